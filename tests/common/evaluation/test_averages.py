"""Means over classes: the interval against the classes' own, and its coverage where a class is rare."""

import numpy as np
import pytest
from drawn_clusters import tabulate_classes
from scipy import stats

from benchmarks import coverage
from common.evaluation import metrics
from common.evaluation.averages import estimate_average, forget_seeds
from common.evaluation.intervals import estimate_share, linearise_ratio, measure_spread


def draw_parts(right: np.ndarray, classes: np.ndarray):
    of_class = [np.broadcast_to((classes == c).astype(float), right.shape) for c in np.unique(classes)]
    return [linearise_ratio(right * of, of) for of in of_class]


def test_independent_classes_add_their_squared_distances():
    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(3), 30)
    parts = draw_parts((rng.random((1, 90)) < 0.8).astype(float), classes)
    own = [estimate_share(part) for part in parts]
    found = estimate_average(parts, own)
    expected = np.sqrt(sum((of.mean - of.low) ** 2 for of in own)) / 3
    assert found.mean - found.low == pytest.approx(float(expected), rel=1e-6)
    assert found.error == pytest.approx(float(np.sqrt(sum(of.error**2 for of in own)) / 3))


def test_variance_between_seeds_is_that_of_the_mean():
    rng = np.random.default_rng(1)
    classes = np.repeat(np.arange(3), 200)
    right = (rng.random((3, 600)) < np.array([0.7, 0.8, 0.9])[:, None]).astype(float)
    parts = draw_parts(right, classes)
    found = estimate_average(parts, [estimate_share(part._replace(by_seed=forget_seeds(part.by_seed))) for part in parts])
    whole = linearise_ratio(right, np.ones_like(right))  # of equal classes
    assert found.error**2 - found.error_patients**2 == pytest.approx(float(measure_spread(whole).seeds), rel=0.02)
    assert found.df < 4


def test_a_class_of_four_that_is_all_right_does_not_pass_for_certain():
    y = np.repeat([0, 1, 2], [4, 60, 60])
    given = y.copy()
    given[4:13], given[64:73] = 2, 1
    (row,) = metrics.evaluate(tabulate_classes(y, given))
    found = row.metrics["sensitivity"]
    assert found.mean == pytest.approx((1 + 0.85 + 0.85) / 3)
    assert found.low < 0.8 < 0.9 < found.high
    assert found.error_patients**2 > 2 * (0.85 * 0.15 / 60 + 0.01) / 9  # a share of 4 patients is known to 15 points at best


@pytest.mark.parametrize(("sizes", "seeds"), [((4, 60, 60), 1), ((10, 100, 400), 3), ((30, 30, 30), 3)])
def test_coverage_of_a_mean_over_classes(sizes, seeds):
    """Fails where the share of 400 samples lies outside the 99.9 % binomial bounds of 93 to 98 %."""
    found = coverage.measure_class_cover(coverage.Classes(sizes, 0.85, seeds), 400, seed=1)
    low, high = stats.binom.ppf(0.001, 400, 0.93) / 400, stats.binom.ppf(0.999, 400, 0.98) / 400
    for name in ("sensitivity", "specificity"):
        assert low <= found[name] <= high, (name, found[name])
