"""Intervals of clustered cases and seeds: known values, statsmodels, brute force over pairs, and their coverage by simulation."""

import numpy as np
import pytest
import statsmodels.api as sm
from drawn_clusters import draw_clusters, start_of, tabulate
from scipy import stats
from sklearn.metrics import f1_score, matthews_corrcoef, precision_score, recall_score, roc_auc_score

from benchmarks import bootstrap, coverage
from common.evaluation import metrics
from common.evaluation.areas import estimate_area, join_parts, linearise_area, measure_area
from common.evaluation.confusion import estimate_confusion, linearise_mcc
from common.evaluation.intervals import Linear, combine_quantile, estimate_share, linearise_ratio, measure_spread
from common.evaluation.placements import count_wins
from common.evaluation.samples import count_by_patient, gather_sample


def test_the_linearised_variance_is_that_of_a_cluster_robust_regression():
    y, score, ids = draw_clusters(0, seeds=1)
    right = ((score[0] > 0.5) == y).astype(float)
    sizes = np.bincount(ids).astype(float)
    linear = linearise_ratio(np.bincount(ids, right)[None], sizes[None])
    plain = linear._replace(leverage=np.zeros(sizes.size))
    fit = sm.OLS(right, np.ones(right.size)).fit(
        cov_type="cluster", cov_kwds={"groups": ids, "use_correction": False, "df_correction": False}
    )
    assert np.sqrt(measure_spread(plain).patients) == pytest.approx(fit.bse[0], rel=1e-10)
    assert linear.by_seed[0] == pytest.approx(fit.params[0])


def test_one_case_each_gives_wilson_on_one_side_and_the_logit_on_the_other():
    right = np.r_[np.ones(40), np.zeros(10)][None]
    found = estimate_share(linearise_ratio(right, np.ones((1, 50))))
    n = 0.8 * 0.2 / (0.8 * 0.2 / 49)  # the unbiased variance takes one case off
    error = 1 / np.sqrt(n * 0.8 * 0.2)
    assert found.low == pytest.approx(1 / (1 + np.exp(-np.log(4) + 1.959964 * error)), abs=1e-5)
    z2 = 1.959964**2
    assert found.high == pytest.approx((0.8 + z2 / 2 / n + np.sqrt(z2 * 0.16 / n + z2**2 / 4 / n**2)) / (1 + z2 / n), abs=1e-5)
    assert found.error == pytest.approx(np.sqrt(0.16 / 49))


def test_all_right_gives_a_bound_from_the_patients():
    # 20 of 20 patients: Wilson's lower limit n / (n + z^2); 40 cases of 20 patients are no more.
    for cases in (1, 2):
        y, ids = np.repeat(np.arange(20) % 2, cases), np.repeat(np.arange(20), cases)
        (row,) = metrics.evaluate(tabulate(y, np.where(y, 0.9, 0.1)[None], ids))
        accuracy, auc, mcc = (row.metrics[name] for name in ("accuracy", "auc", "mcc"))
        assert (accuracy.low, accuracy.high) == (pytest.approx(20 / (20 + 1.959964**2), abs=1e-6), 1)
        assert mcc.low == pytest.approx(2 * 0.838875 - 1, abs=1e-4)
        assert 0.7 < auc.low < 0.9
        assert auc.high == mcc.high == 1
        for metric in (accuracy, auc, mcc):
            assert metric.error > 0
            assert "all right in every seed" in metric.note
    (row,) = metrics.evaluate(tabulate(y, np.where(y, 0.1, 0.9)[None], ids))
    assert (row.metrics["accuracy"].low, row.metrics["auc"].low) == (0, 0)
    assert row.metrics["accuracy"].high == pytest.approx(1 - 0.838875, abs=1e-4)
    assert row.metrics["auc"].high == pytest.approx(1 - auc.low)
    assert row.metrics["accuracy"].note.startswith("none right")


def test_no_interval_has_no_width():
    """Ten patients, of whom each has three of four right; and scores that tell nothing."""
    ids = np.repeat(np.arange(10), 4)
    y = ids % 2
    right = np.arange(40) % 4 > 0
    (row,) = metrics.evaluate(tabulate(y, np.where(y == right, 0.9, 0.1)[None], ids))
    accuracy = row.metrics["accuracy"]
    assert accuracy.low < 0.75 - 0.2 < 0.75 < accuracy.high
    assert accuracy.error == pytest.approx((0.75 * 0.25 / 10) ** 0.5)  # that of ten cases
    assert accuracy.note == row.metrics["auc"].note == "no spread between the patients is seen: each counts as one case"
    for name in ("mcc", "brier"):
        assert row.metrics[name].low is None
        assert row.metrics[name].note == "no interval: all patients are alike"
    (row,) = metrics.evaluate(tabulate(y[::4], np.full((1, 10), 0.3), np.arange(10)))
    assert row.metrics["auc"].low < 0.3 < 0.7 < row.metrics["auc"].high


def test_notes_and_limits_at_the_ends_are_true():
    y = np.arange(20) % 2
    (wrong,) = metrics.evaluate(tabulate(y, np.where(y, 0.1, 0.9)[None], np.arange(20)))
    mcc = wrong.metrics["mcc"]
    assert (mcc.low, mcc.high) == (-1, pytest.approx(-(2 * 0.838875 - 1), abs=1e-4))
    assert mcc.note.startswith("none right in every seed")
    assert stats.t.ppf(0.975, mcc.df) == pytest.approx(1.959964, abs=1e-4)  # the quantile of Wilson's interval
    (healthy,) = metrics.evaluate(tabulate(0 * y, np.where(y, 0.1, 0.2)[None], np.arange(20)))
    assert healthy.metrics["majority_rate"].note.startswith("all cases are of one class")
    few = np.array([0, 0, 1, 1])
    (poor,) = metrics.evaluate(tabulate(few, np.array([[0.99, 0.01, 0.99, 0.01]]), np.arange(4)))
    assert poor.metrics["brier"].high <= 1


def test_the_perfect_area_of_three_and_three_patients_has_hanley_and_mcneils_bound():
    ill = np.arange(6) > 2
    found = estimate_area(measure_area(ill, ~ill, np.arange(6.0)[None], np.arange(6)))
    low = float(found.low)
    q1, q2 = low / (2 - low), 2 * low**2 / (1 + low)
    variance = (low * (1 - low) + 2 * (q1 - low**2) + 2 * (q2 - low**2)) / 9
    assert (1 - low) ** 2 == pytest.approx(1.959964**2 * variance, rel=1e-5)


def test_wins_equal_a_loop_over_pairs_and_scikit_learn():
    y, score, ids = draw_clusters(1)
    folds = np.arange(y.size) % 3
    for group in (None, np.broadcast_to(folds, score.shape)):
        area = measure_area(y == 1, y == 0, score, start_of(ids), group)
        for s in range(3):
            won = pairs = 0.0
            for i in np.flatnonzero(y == 1):
                for j in np.flatnonzero((y == 0) & ((folds == folds[i]) | (group is None))):
                    won += (score[s, i] > score[s, j]) + 0.5 * (score[s, i] == score[s, j])
                    pairs += 1
            assert area.by_seed[s] == pytest.approx(won / pairs, rel=1e-12)
        if group is None:
            assert area.by_seed == pytest.approx([roc_auc_score(y, of) for of in score])
    wins, pairs = count_wins(y == 1, y == 0, score)
    assert wins[:, y == 1].sum() == pytest.approx(wins[:, y == 0].sum())
    assert (pairs[:, y == 1] == (y == 0).sum()).all()


def test_clustered_variance_of_an_area_is_obuchowskis():
    """Against her formulas by loops over patients, some of whom have cases of both classes."""
    y, score, ids = draw_clusters(2, seeds=1)
    s = score[0]
    psi = (s[y == 1][:, None] > s[y == 0]) + 0.5 * (s[y == 1][:, None] == s[y == 0])
    area = psi.mean()
    v10, v01 = psi.mean(axis=1), psi.mean(axis=0)
    m, n = psi.shape
    s10 = s01 = s11 = 0.0
    patients = np.unique(ids)
    i10, i01 = len(np.unique(ids[y == 1])), len(np.unique(ids[y == 0]))
    for patient in patients:
        a = (v10[ids[y == 1] == patient] - area).sum()
        b = (v01[ids[y == 0] == patient] - area).sum()
        s10, s01, s11 = s10 + a * a, s01 + b * b, s11 + a * b
    positive, negative = linearise_area(measure_area(y == 1, y == 0, score, start_of(ids)))
    # Her factors, patients / (patients - 1), are those of equal leverages.
    parts = [part._replace(leverage=(part.sizes > 0) / part.patients) for part in (positive, negative)]
    f10, f01 = i10 / (i10 - 1), i01 / (i01 - 1)
    expected = f10 * s10 / m**2 + f01 * s01 / n**2 + 2 * np.sqrt(f10 * f01) * s11 / (m * n)
    assert measure_spread(join_parts(*parts)).patients == pytest.approx(expected, rel=1e-10)


def test_metrics_of_counts_equal_scikit_learn_and_their_influence_is_the_derivative():
    y, score, ids = draw_clusters(3)
    sample = gather_sample(tabulate(y, score, ids), "row 'A'")
    counts = count_by_patient(sample)
    found = estimate_confusion(counts)
    given = (score > 0.5).astype(int)
    for name, function in (
        ("sensitivity", recall_score),
        ("precision", precision_score),
        ("f1", f1_score),
        ("mcc", matthews_corrcoef),
    ):
        assert found[name].mean == pytest.approx(np.mean([function(y, of) for of in given]))
    linear = linearise_mcc(counts)
    step = 1e-6
    for patient in (0, 7):
        moved = counts.copy()
        moved[:, patient] *= 1 + step
        change = (linearise_mcc(moved).by_seed - linear.by_seed) / step
        assert change == pytest.approx(linear.influence[:, patient], abs=1e-5)


def test_points_equal_those_of_the_bootstrap_module_with_three_classes_too():
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    scores = rng.dirichlet(np.ones(3), 90) * 0.7 + 0.3 * np.eye(3)[y]
    frame = tabulate(y, scores[None, :, 1], np.arange(90) // 2).drop(columns=["y_score_0", "y_score_1"])
    (row,) = metrics.evaluate(frame.assign(**{f"y_score_{c}": scores[:, c] for c in range(3)}))
    names = ("accuracy", "sensitivity", "specificity", "precision", "f1", "mcc", "auc", "majority_rate", "brier")
    expected = bootstrap.prepare_metrics(y, scores, names)(np.ones((90, 1)))[:, 0]
    assert [row.metrics[name].mean for name in names] == pytest.approx(list(expected))
    for name in names:
        assert 0 < row.metrics[name].low < row.metrics[name].mean < row.metrics[name].high < 1, name


def test_variance_between_seeds_is_part_of_the_interval():
    rng = np.random.default_rng(0)
    right = rng.random((3, 400)) < np.array([0.75, 0.8, 0.85])[:, None]
    spread = measure_spread(linearise_ratio(right.astype(float), np.ones((3, 400))))
    between = right.mean(axis=1).var(ddof=1) / 3
    assert 0.5 * between < spread.seeds < between  # what the cases add is taken off
    same = measure_spread(linearise_ratio(np.tile(right[:1], (3, 1)).astype(float), np.ones((3, 400))))
    assert same.seeds == 0
    assert same.patients == pytest.approx(right[0].var(ddof=1) / 400)
    t = stats.t.ppf(0.975, [399, 2])
    expected = (spread.patients * t[0] + spread.seeds * t[1]) / (spread.patients + spread.seeds)
    assert combine_quantile(spread.patients, np.float64(399), spread.seeds, 3) == pytest.approx(expected)


def test_folds_that_rank_perfectly_are_not_pooled_to_a_poor_area():
    """Five folds of area 1, whose scores are not one scale."""
    y = np.arange(100) % 2
    folds = np.arange(100) // 20
    score = 0.1 + 0.15 * folds + np.where(y, 0.05, 0.0)
    (row,) = metrics.evaluate(tabulate(y, score[None], np.arange(100), folds))
    pooled = roc_auc_score(y, score)
    assert pooled < 0.65
    assert row.metrics["auc"].mean == 1
    assert row.metrics["auc"].low > 0.85
    assert f"{pooled:.3f} if the folds are pooled" in row.metrics["auc"].note
    (single,) = metrics.evaluate(tabulate(y, score[None], np.arange(100), np.arange(100)))  # leave one out: no pair in a fold
    assert single.metrics["auc"].mean == pytest.approx(pooled)
    assert "no fold has cases of both classes" in single.metrics["auc"].note


def test_many_samples_at_once_equal_each_by_itself():
    """The simulation gives whole blocks to the functions that `evaluate` gives one sample: the numbers are the same."""
    cell = coverage.Cell(30, 8, 0.5, 0.85, 0.5, 0.02)
    (sample,) = coverage.draw_sample(np.random.default_rng(0), cell, 4)
    together = coverage.estimate_confusion(coverage.count_cells(sample)) | {"auc": estimate_area(coverage.rank_cases(sample))}
    for replicate in range(4):
        here = sample.here[replicate].ravel()
        y = np.repeat(sample.ill[replicate], 8)[here].astype(int)
        score = 1 / (1 + np.exp(-sample.score[replicate].reshape(3, -1)[:, here]))
        (row,) = metrics.evaluate(tabulate(y, score, np.repeat(np.arange(30), 8)[here]))
        for name in ("accuracy", "sensitivity", "specificity", "precision", "f1", "mcc", "auc"):
            metric = row.metrics[name]
            for part in ("mean", "low", "high", "error", "error_patients", "df"):
                expected = getattr(together[name], part)[replicate]
                assert getattr(metric, part) == pytest.approx(expected, rel=1e-8), (name, part)


@pytest.mark.parametrize(
    "cell",
    [
        coverage.Cell(30, 1, 0.0, 0.97, 0.5, 0.0),
        coverage.Cell(100, 8, 0.5, 0.85, 0.5, 0.02),
    ],
)
def test_coverage_is_as_promised(cell):
    """Fails where the share of 400 samples lies outside the 99.9 % binomial bounds of 93 to 98 %."""
    found = coverage.measure_cover(cell, 400, seed=1)
    low, high = stats.binom.ppf(0.001, 400, 0.93) / 400, stats.binom.ppf(0.999, 400, 0.98) / 400
    for name in ("accuracy", "sensitivity", "specificity", "auc", "f1", "mcc"):
        assert low <= found[name] <= high, (name, found[name])


def test_an_interval_that_ignores_patients_or_seeds_would_be_found_out():
    """The same bounds refuse what was printed before: patients alone, or cases alone."""
    cell = coverage.Cell(300, 8, 0.5, 0.85, 0.5, 0.02)
    (sample,) = coverage.draw_sample(np.random.default_rng(2), cell, 400)
    counts = coverage.count_cells(sample)
    right = np.trace(counts, axis1=-2, axis2=-1)
    linear = linearise_ratio(right, counts.sum(axis=(-2, -1)))
    one = Linear(*linear)._replace(
        by_seed=linear.by_seed.mean(-1, keepdims=True), influence=linear.influence.mean(-2, keepdims=True)
    )
    truth = coverage.find_truth(cell)["accuracy"]
    shares = [np.mean((found.low <= truth) & (truth <= found.high)) for found in (estimate_share(linear), estimate_share(one))]
    assert shares[0] > 0.92
    assert shares[1] < stats.binom.ppf(0.001, 400, 0.93) / 400
