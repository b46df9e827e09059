"""The difference from a printed number: its interval, verdict and needed patients, against formulas and other implementations."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from benchmarks.verdicts import LIMITS, Cell, draw_correct, gather_evidence, measure_rates
from common.evaluation.design_effects import measure_design_effects
from common.evaluation.differences import (
    AGREES,
    CANNOT_TELL,
    HIGHER,
    LOWER,
    MARGIN,
    Evidence,
    count_patients_needed,
    expect_gain,
    explain_impossible,
    measure_interval,
    name_verdict,
    vary_auc,
    vary_proportion,
)
from common.evaluation.statistics import hanley_mcneil_halfwidth
from common.evaluation.verdicts import judge_claims
from common.records.paper import Claim
from common.records.results import Metric, RowResult


@pytest.mark.parametrize(("k", "n"), [(54, 60), (60, 60), (1500, 1600)])
def test_the_variance_of_a_printed_share_is_that_of_agresti_and_coull(k, n):
    """Two cases of each kind are z^2 / 2 at z = 2."""
    low, _ = proportion_confint(k, n, alpha=2 * stats.norm.sf(2), method="agresti_coull")
    assert 2 * float(vary_proportion(k / n, n)) ** 0.5 == pytest.approx((k + 2) / (n + 4) - low)
    assert vary_proportion(k / n, n, 2.5) == vary_proportion(k / n, n / 2.5)


def test_the_variance_of_a_printed_area_is_that_of_hanley_and_mcneil():
    for area, ill, healthy in ((0.85, 40, 40), (0.95, 30, 300), (1.0, 25, 60)):
        drawn = (area * min(ill, healthy) + 2) / (min(ill, healthy) + 4)
        assert vary_auc(area, ill, healthy) == pytest.approx((hanley_mcneil_halfwidth(drawn, ill, healthy) / 1.959964) ** 2)
    assert vary_auc(0.9, 40, 60, 2.0) == pytest.approx(vary_auc(0.9, 20, 30))
    assert vary_auc(0.85, 4000, 4000) == pytest.approx((hanley_mcneil_halfwidth(0.85, 4000, 4000) / 1.959964) ** 2, rel=0.01)


def test_degrees_of_freedom_are_those_of_the_part_that_dominates():
    def halves(**given) -> list[float]:
        nothing = {"ours_sampling": 0.0, "patients": 30, "paper_sampling": 0.0, "between_seeds": 0.0, "seeds": 3}
        evidence = Evidence(0.8, 0.9, **{**nothing, **given})
        return [float(np.subtract(*measure_interval(evidence, level)[::-1])) / 2 for level in (0.95, 0.90)]

    assert halves(ours_sampling=1e-4) == pytest.approx([0.01 * stats.t.ppf(q, 29) for q in (0.975, 0.95)])
    assert halves(paper_sampling=1e-4) == pytest.approx([0.01 * stats.norm.ppf(q) for q in (0.975, 0.95)])
    error = (1e-4 * (1 / 3 + 1)) ** 0.5
    assert halves(between_seeds=1e-4) == pytest.approx([error * stats.t.ppf(q, 2) for q in (0.975, 0.95)])
    # Welch's test of two means: 30 patients against a printed number without a spread of its own.
    both = halves(ours_sampling=1e-4, paper_sampling=3e-4)
    assert both == pytest.approx([0.02 * stats.t.ppf(q, 16 * 29) for q in (0.975, 0.95)])
    assert halves(between_seeds=1e-4)[0] > halves(between_seeds=1e-4, runs=5)[0]  # the paper's number is a mean itself
    with pytest.raises(ValueError, match="confidence level"):
        measure_interval(Evidence(0.8, 0.9, 0, 2, 0, 0, 3), 95)


def test_a_perfect_score_of_few_patients_is_not_certain():
    perfect = Evidence(1.0, 0.9, 0.0, 15, 1e-6, 0.0, 3)
    low, high = measure_interval(perfect, 0.95)
    assert low < 0 < high
    assert str(name_verdict(perfect)) == CANNOT_TELL


def test_a_certain_difference_is_one_however_small():
    small = Evidence(0.89, 0.90, 1e-6, 1000, 1e-6, 0.0, 5)
    assert str(name_verdict(small)) == LOWER
    assert max(map(abs, measure_interval(small, 0.90))) < MARGIN
    assert name_verdict(Evidence([0.93, 0.90, 0.70], 0.90, 4e-4, 100, 1e-6, 0.0, 5)).tolist() == [CANNOT_TELL, AGREES, LOWER]
    assert str(name_verdict(Evidence(0.99, 0.90, 1e-6, 1000, 1e-6, 0.0, 5))) == HIGHER


@pytest.mark.parametrize("ours", [0.90, 0.88, 0.93, 0.80])
def test_the_number_of_patients_is_the_first_that_tells(ours):
    evidence = Evidence(ours, 0.90, 0.06**2, 40, 0.008**2, 0.005**2, 5)
    assert str(name_verdict(evidence)) == CANNOT_TELL
    needed = count_patients_needed(evidence)

    def tell(patients: int) -> str:
        return str(name_verdict(Evidence(ours, 0.90, 0.06**2 * 40 / patients, patients, 0.008**2, 0.005**2, 5)))

    assert needed is not None
    assert needed > 40
    assert tell(needed) != CANNOT_TELL
    assert tell(needed - 1) == CANNOT_TELL


@pytest.mark.parametrize(
    ("paper_sampling", "between_seeds", "reason"),
    [(0.04**2, 0.0, "test set is too small"), (1e-6, 0.04**2, "the paper's number is one"), (1e-6, 0.02**2, "more seeds")],
)
def test_where_no_number_of_patients_tells_the_reason_is_named(paper_sampling, between_seeds, reason):
    evidence = Evidence(0.9, 0.9, 0.05**2, 40, paper_sampling, between_seeds, 3)
    assert count_patients_needed(evidence) is None
    assert reason in explain_impossible(evidence)


def test_the_gain_of_the_best_of_several_is_that_of_drawn_ones():
    random = np.random.default_rng(0)
    shared, own = random.standard_normal((40000, 1)), random.standard_normal((40000, 7))
    scores = 2.0 * (0.6**0.5 * shared + 0.4**0.5 * own)  # correlation 0.6, standard error 2
    assert expect_gain(7, 2.0, 0.6) == pytest.approx(scores.max(axis=1).mean(), abs=0.04)
    assert expect_gain(1, 2.0) == pytest.approx(0)


def tabulate(correct: np.ndarray, ill: np.ndarray, random: np.random.Generator) -> pd.DataFrame:
    """Predictions of one row from bool (trainings, patients, images); ill: (patients,)."""
    trainings, patients, images = correct.shape
    y = np.repeat(ill.astype(int), images)
    tables = []
    for seed in range(trainings):
        sure = 0.5 + 0.5 * random.random(y.size)
        score = np.where(correct[seed].ravel() == (y == 1), sure, 1 - sure)
        tables.append(pd.DataFrame({
            "protocol": "paper", "row": "net", "seed": seed, "fold": 0, "case_id": [f"c{i:04d}" for i in range(y.size)],
            "patient_id": np.repeat([f"p{i:03d}" for i in range(patients)], images), "y_true": y,
            "y_score_0": 1 - score, "y_score_1": score,
        }))  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def test_design_effects_are_ratios_of_cluster_robust_variances():
    random = np.random.default_rng(1)
    correct = draw_correct(random, 1, 240, 4, 0.8, 0.0, 3, 0.8)[0]
    table = tabulate(correct, np.arange(60) % 2 == 0, random)
    found = measure_design_effects(table.sample(frac=1, random_state=0), "paper")["net"]
    table["correct"] = ((table["y_score_1"] > 0.5) == table["y_true"]).astype(float)
    for metric, part in (("accuracy", table), ("sensitivity", table[table["y_true"] == 1])):
        ratios = []
        for _, of_seed in part.groupby("seed"):
            model = sm.OLS(of_seed["correct"], np.ones(len(of_seed)))
            groups = pd.factorize(of_seed["patient_id"])[0]
            ratios.append([
                model.fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}).cov_params().iloc[0, 0],
                model.fit(cov_type="HC0").cov_params().iloc[0, 0],
            ])  # fmt: skip
        # All patients of the table count in its correction, also those without an ill image.
        assert found[metric] == pytest.approx(np.divide(*np.sum(ratios, axis=0)) * 60 / 59, rel=1e-9)
    assert found["accuracy"] > 1.5


def test_the_design_effect_of_an_area_is_that_of_its_placements():
    random = np.random.default_rng(2)
    correct = draw_correct(random, 1, 80, 4, 0.75, 0.0, 1, 0.8)[0]
    table = tabulate(correct, np.arange(20) % 2 == 0, random).round(1)  # with ties
    y, score = table["y_true"].to_numpy(), table["y_score_1"].to_numpy()
    wins = (score[y == 1][:, None] > score[y == 0]) + 0.5 * (score[y == 1][:, None] == score[y == 0])
    influence = np.empty(y.size)
    influence[y == 1] = (wins.mean(axis=1) - wins.mean()) / (y == 1).sum()
    influence[y == 0] = (wins.mean(axis=0) - wins.mean()) / (y == 0).sum()
    of_patients = influence.reshape(20, 4).sum(axis=1)
    expected = (of_patients**2).sum() * 20 / 19 / (influence**2).sum()
    assert measure_design_effects(table, "paper")["net"]["auc"] == pytest.approx(expected)


def test_one_image_a_patient_needs_no_design_effect_and_nothing_known_is_the_worst():
    random = np.random.default_rng(3)
    single = tabulate(draw_correct(random, 1, 50, 1, 0.8, 0.0, 2, 0.8)[0], np.arange(50) % 2 == 0, random)
    assert set(measure_design_effects(single, "paper")["net"].values()) == {1.0}
    perfect = tabulate(np.ones((2, 10, 4), bool), np.arange(10) % 2 == 0, random)
    assert measure_design_effects(perfect, "paper")["net"]["accuracy"] == 4.0
    assert measure_design_effects(perfect, "leakfree") == {}


CELLS = (Cell(60, 60, 4, 0.95, 0.01), Cell(200, 200, 1, 0.95, 0.03), Cell(200, 60, 4, 0.85, 0.0))


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_verdicts_keep_their_error_rates(cell):
    """A part of benchmarks/verdicts.py, with the binomial bounds of so few repetitions."""
    repetitions = 1500
    rates = measure_rates(cell, repetitions, seed=1)
    for name, limit in LIMITS.items():
        assert rates[name] * repetitions <= stats.binom.ppf(0.999, repetitions, limit), name
    assert rates["worse, differs"] > 0.05


def test_the_simulation_notices_a_judge_that_forgets_the_papers_error():
    random = np.random.default_rng(4)
    printed = draw_correct(random, 1500, 200, 4, 0.9, 0.0, 1, 0.8).mean(axis=(1, 2, 3))
    evidence = gather_evidence(draw_correct(random, 1500, 200, 4, 0.9, 0.0, 3, 0.8), printed, 10**7)
    assert np.isin(name_verdict(evidence), [LOWER, HIGHER]).sum() > stats.binom.ppf(0.999, 1500, 0.06)


def test_the_simulation_judges_as_claims_are_judged():
    """Each simulated replication as a claim and a row of results: the same verdict."""
    random = np.random.default_rng(5)
    correct = draw_correct(random, 60, 200, 4, 0.88, 0.01, 3, 0.8)
    printed = draw_correct(random, 60, 200, 4, 0.95, 0.01, 1, 0.8).mean(axis=(1, 2, 3)).round(3)
    expected = name_verdict(gather_evidence(correct, printed, 200))
    ill, found = np.arange(50) % 2 == 0, []
    for ours, value in zip(correct, printed, strict=True):
        of_seed = ours.mean(axis=(1, 2))
        sums = ours.mean(axis=0).sum(axis=1)
        error = (((sums - sums.mean()) ** 2).sum() / 49 * 50 / 200**2) ** 0.5
        metric = Metric(
            mean=of_seed.mean(), sd=of_seed.std(ddof=1), low=None, high=None, by_seed=list(of_seed), error_patients=error
        )
        counts = {"n": 200, "patients": 50, "positives": 100, "seeds": [0, 1, 2], "below_majority": False}
        row = RowResult(row="net", protocol="paper", metrics={"accuracy": metric}, **counts)
        claim = Claim("2", "net", "accuracy", float(value), 9, "fraction", "Table 2", {"healthy": 100, "ill": 100})
        effects = measure_design_effects(tabulate(ours, ill, random), "paper")
        (judged,) = judge_claims([claim], [row], {}, design_effects=effects)
        found.append(judged.verdict)
    assert found == expected.tolist()
    assert {LOWER, CANNOT_TELL} <= set(found)
