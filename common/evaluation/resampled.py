"""The t test over repeated splits of one data set, corrected for the cases that their training sets share."""

from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike


class Resampled(NamedTuple):
    """A mean over splits with its 95 % interval and two-sided p; NaN with fewer than two splits."""

    mean: float
    low: float
    high: float
    p: float


def compare_resampled(values: ArrayLike, test_share: float) -> Resampled:
    """Whether the mean of `values` (J,), one of each split, such as a difference of two methods on its test set, is 0.

    test_share: mean number of test cases over training cases. The variance is that of the values times 1 / J + test_share, as
    splits of one data set are not independent: Nadeau C, Bengio Y. Mach Learn 2003;52:239-281. t with J - 1 degrees of freedom;
    repeated cross-validation counts every fold: Bouckaert RR, Frank E. PAKDD 2004:3-12.

    Ten folds of five-fold cross-validation, repeated: four training cases for a test case.

    >>> found = compare_resampled([1, 2, 3, 2, 1, 3, 2, 2, 1, 3], test_share=0.25)
    >>> print(f"{found.mean:.1f}, {found.low:.2f} to {found.high:.2f}, p = {found.p:.3f}")  # 0.816 x sqrt(0.35) = 0.483
    2.0, 0.91 to 3.09, p = 0.003
    """
    values = np.asarray(values, np.float64)
    mean = float(values.mean()) if values.size else float("nan")
    if values.size < 2:
        return Resampled(mean, *[float("nan")] * 3)
    error = float(np.sqrt(values.var(ddof=1) * (1 / values.size + test_share)))
    df = values.size - 1
    half = float(scipy.stats.t.ppf(0.975, df)) * error
    if error == 0:
        return Resampled(mean, mean, mean, 1.0 if mean == 0 else 0.0)
    return Resampled(mean, mean - half, mean + half, float(2 * scipy.stats.t.sf(abs(mean) / error, df)))
