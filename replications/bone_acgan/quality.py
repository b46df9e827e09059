"""How good generated pictures are: like real ones, unlike each other, and not copied.

SSIM is the paper's measure (sec. 5.1.2, Table 3, Fig. 12). It rewards blur and repetition, so it stands beside what it gives for
real pictures of other patients and for the mean picture of the class; the distances of features, the nearest training picture and
the spread within a class say what it cannot. Pictures are float (n, height, width), 0..1; features float (n, f) of a network that
is named beside every number.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

SIGMA = 1.5  # pixels: window of SSIM (Wang et al. 2004)
C1, C2 = 0.01**2, 0.03**2  # of SSIM, for a range of 1
COPY_RATIO, LEAST_COPIES = 0.5, 0.05  # of distances; share of the generated pictures


def match_levels(picture: np.ndarray, model: np.ndarray) -> np.ndarray:
    """The picture with the brightness and contrast (mean and standard deviation) of another one, as before Table 3.

    >>> matched = match_levels(np.array([[0.0, 1.0]]), np.array([[0.2, 0.4]]))
    >>> matched.round(6).tolist()
    [[0.2, 0.4]]
    """
    spread = picture.std()
    return (picture - picture.mean()) * (model.std() / spread if spread else 0.0) + model.mean()


def measure_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity of two pictures (height, width), Gaussian window, range 1: Wang et al. 2004.

    >>> picture = np.random.default_rng(0).random((32, 32))
    >>> measure_ssim(picture, picture), measure_ssim(picture, 1 - picture) < 0
    (1.0, True)
    """
    return float(_compare(_describe(a), _describe(b)).mean())


@dataclass(frozen=True)
class _Local:
    """A picture with its local means and variances."""

    picture: np.ndarray
    mean: np.ndarray
    variance: np.ndarray


def _blur(values: np.ndarray) -> np.ndarray:
    return gaussian_filter(values, SIGMA, truncate=3.5, mode="reflect")


def _describe(picture: np.ndarray) -> _Local:
    picture = np.asarray(picture, np.float64)
    mean = _blur(picture)
    return _Local(picture, mean, _blur(picture**2) - mean**2)


def _compare(a: _Local, b: _Local) -> np.ndarray:
    together = _blur(a.picture * b.picture) - a.mean * b.mean
    return ((2 * a.mean * b.mean + C1) * (2 * together + C2)) / ((a.mean**2 + b.mean**2 + C1) * (a.variance + b.variance + C2))


def compare_sets(pictures: np.ndarray, models: np.ndarray, *, same: bool = False) -> np.ndarray:
    """SSIM of every picture with every model, levels matched to those of the model: float64 (n, m).

    same: pictures and models are one set, whose diagonal is left out (NaN).
    """
    described = [_describe(model) for model in models]
    found = np.full((len(pictures), len(models)), np.nan)
    for row, picture in enumerate(pictures):
        for column, model in enumerate(described):
            if not (same and row == column):
                found[row, column] = _compare(_describe(match_levels(picture, model.picture)), model).mean()
    return found


@dataclass(frozen=True)
class Copies:
    """How close generated pictures lie to training pictures, beside how close real pictures of other patients do."""

    generated: float  # median distance of the features to the nearest training picture
    held_out: float
    share: float  # of the generated pictures that are copies
    memorised: bool  # at least LEAST_COPIES of them


def find_copies(generated: np.ndarray, training: np.ndarray, held_out: np.ndarray) -> Copies:
    """Which generated pictures repeat training pictures.

    Features (n, f), (m, f), (h, f); held_out: real pictures of patients that are not in training, one view of each. A copy lies
    nearer to a training picture than any held-out picture does, and at most COPY_RATIO times as far from it as from the nearest
    held-out picture. The second tells copies from blur, which lies near to everything.
    """
    near, usual = (find_nearest(of, training) for of in (generated, held_out))
    copies = (near < usual.min()) & (near <= COPY_RATIO * find_nearest(generated, held_out))
    share = float(copies.mean())
    return Copies(float(np.median(near)), float(np.median(usual)), share, share >= LEAST_COPIES)


def find_nearest(features: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Euclidean distance of each row to its nearest among the others: float64 (n,)."""
    squares = (features**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * features @ others.T
    return np.sqrt(np.maximum(squares, 0).min(axis=1))


def measure_diversity(features: np.ndarray) -> float:
    """Mean distance between two pictures of a set, by features (n, f); NaN for fewer than two.

    >>> measure_diversity(np.array([[0.0], [2.0]])), measure_diversity(np.zeros((4, 3)))
    (2.0, 0.0)
    """
    if len(features) < 2:
        return float("nan")
    squares = (features**2).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * features @ features.T, 0))
    return float(distances[np.triu_indices(len(features), 1)].mean())


def find_collapse(diversity: Iterable[float], real: Iterable[float], least: float) -> list[int]:
    """Classes whose generated pictures differ from each other by less than a share of what real ones do.

    diversity, real: of each class; least: the share.

    >>> find_collapse([0.9, 0.1], [1.0, 1.0], 0.5)
    [1]
    """
    return [number for number, (made, wanted) in enumerate(zip(diversity, real, strict=True)) if made < least * wanted]
