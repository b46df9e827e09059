"""Published tables, typed as facts, and the examples of mlscorecheck: what the audit says of them."""

import logging
from collections import Counter

import numpy as np
import pytest

from benchmarks.audit_alarms import METRICS, compute_metrics
from common.audit.averages import search_average
from common.audit.confusions import search_binary
from common.audit.matrices import check_averages, check_matrix
from common.audit.operating import check_auc, check_likelihood
from common.audit.outcomes import Averaging, Line, Outcome
from common.audit.prevalence import bound_prevalence, check_prevalence
from common.audit.printed import Printed
from common.audit.readings import explain_line
from common.audit.repairs import check_heads, check_left_out, judge_rows
from common.audit.spreads import bound_sd, check_spreads

SINGLE = Averaging("binary", folds=1, runs=1)
NAMES = ("accuracy", "sensitivity", "specificity", "precision", "npv")


def make_line(row: str, values: dict[str, str], classes: dict[str, int] | None = None, says: Averaging = SINGLE) -> Line:
    return Line(row, ("1",), classes or {}, {name: Printed(text, "fraction") for name, text in values.items()}, says)


def only(outcomes: list[Outcome]) -> Outcome:
    (outcome,) = outcomes
    return outcome


# ------------------------------------------------------------------------------------------------------ published tables

LUNG = {"accuracy": "0.905", "precision": "0.505", "npv": "0.995", "specificity": "0.953", "sensitivity": "0.911"}  # PMC7415126
BREAST = {  # Hindawi 9980326, Table 4: 20 malignant, 20 benign; accuracy, sensitivity, specificity, F1
    "2": ("0.875", "0.895", "0.85", "0.872"), "4": ("0.925", "0.905", "0.95", "0.927"), "6": ("0.9", "0.9", "0.9", "0.9"),
    "8": ("0.85", "0.889", "0.8", "0.84"), "10": ("0.875", "0.941", "0.8", "0.84"), "12": ("0.85", "0.889", "0.8", "0.84"),
    "16": ("0.875", "0.895", "0.85", "0.872"),
}  # fmt: skip
CT = {  # PMC9301895, Table 2, keV; NAMES; the cases are not printed
    "40": ("0.818", "0.792", "0.850", "0.850", "0.792"), "10": ("0.776", "0.898", "0.646", "0.731", "0.855"),
    "80": ("0.774", "0.593", "0.968", "0.952", "0.689"),
}  # fmt: skip


@pytest.mark.parametrize(("says", "verdict"), [(SINGLE, "impossible"), (Averaging(), "only uneven folds")])
def test_one_number_dropped_frees_the_other_four(says, verdict):
    line = make_line("AI", LUNG, {"infected": 101, "clean": 1921}, says)
    rows = [outcome for outcome in check_matrix([line], "infected") if outcome.check == "one matrix"]
    assert [outcome.verdict for outcome in rows] == [verdict]  # folds of whole patients may hold any part of a class
    found = only(check_left_out([line], "infected", {("1", "AI"): verdict}))
    assert found.metrics == ("accuracy",)
    assert "92/101 and 1831/1921 right" in found.arithmetic


def test_exchanged_heads_explain_a_table():
    names = ("accuracy", "sensitivity", "specificity", "f1")
    lines = [
        make_line(row, dict(zip(names, v, strict=True)), {"malignant": 20, "benign": 20}, Averaging())
        for row, v in BREAST.items()
    ]
    found = only(check_heads(lines, "malignant", frozenset()))
    assert found.verdict == "unlikely"
    assert "if sensitivity is precision, specificity is sensitivity" in found.arithmetic
    assert (found.fits, found.tried) == (6, 7)
    assert found.arithmetic.startswith("as headed 1 rows")  # the row of four times 0.9
    right = [
        make_line(str(i), {"accuracy": "0.875", "sensitivity": "0.900", "specificity": "0.850"}, lines[0].classes)
        for i in range(5)
    ]
    assert not check_heads(right, "malignant", frozenset())


def test_shares_of_positives_that_do_not_meet():
    verdicts = {}
    for row, values in CT.items():
        line = make_line(row, dict(zip(NAMES, values, strict=True)))
        outcome = only(check_prevalence([line]))
        verdicts[row] = outcome.verdict
        assert ("no share gives all" in outcome.arithmetic) == (outcome.verdict != "possible")
    assert verdicts["40"] == "within one unit"
    values = dict(zip(NAMES, CT["40"], strict=True))
    assert only(check_prevalence([make_line("40", {**values, "accuracy": "0.820"})])).verdict == "possible"
    worse = make_line("40", {**values, "accuracy": "0.812"})
    assert only(check_prevalence([worse])).verdict == "impossible"
    assert only(check_prevalence([make_line("40", {**values, "accuracy": "0.812"}, says=Averaging())])).verdict == "only averaged"
    found = only(check_left_out([worse], "", judge_rows(check_prevalence([worse]))))
    assert found.arithmetic.startswith("without accuracy 0.812 the other 4 fit a share of positives of 51.")


def test_prevalence_of_real_matrices_is_inside():
    generator = np.random.default_rng(6)
    for _ in range(60):
        tp, fn, fp, tn = (int(n) for n in generator.integers(1, 200, 4))
        n = tp + fn + fp + tn
        values = (tp + tn) / n, tp / (tp + fn), tn / (tn + fp), tp / (tp + fp), tn / (tn + fn)
        printed = {name: Printed(f"{value:.3f}", "fraction") for name, value in zip(NAMES, values, strict=True)}
        low, high = bound_prevalence(printed)
        assert low - 1e-5 <= (tp + fn) / n <= high + 1e-5


# ---------------------------------------------------------------------------------------- areas, ratios, spreads


def test_empirical_roc_areas_are_inside():
    from sklearn.metrics import roc_auc_score

    generator = np.random.default_rng(7)
    for _ in range(40):
        truth = np.repeat([0, 1], generator.integers(5, 60, 2))
        scores = np.round(generator.normal(truth * generator.uniform(0, 3)), int(generator.integers(0, 3)))
        answer = scores > generator.normal(0.5)
        values = {
            "auc": roc_auc_score(truth, scores),
            "sensitivity": answer[truth == 1].mean(),
            "specificity": (~answer)[truth == 0].mean(),
        }
        line = make_line("net", {name: f"{value:.3f}" for name, value in values.items()})
        assert only(check_auc([line])).verdict == "possible"
    assert (
        only(check_auc([make_line("net", {"auc": "0.95", "sensitivity": "0.75", "specificity": "0.70"})])).verdict == "impossible"
    )


def test_negative_correlations_and_kappa():
    """5 of 20 and 10 of 30 right: mcc = (50 - 300) / sqrt(25 x 20 x 30 x 25), kappa = -500 / 1225... by scikit-learn."""
    from sklearn.metrics import cohen_kappa_score, matthews_corrcoef

    truth, answer = np.repeat([1, 1, 0, 0], [5, 15, 20, 10]), np.repeat([1, 0, 1, 0], [5, 15, 20, 10])
    values = {"mcc": matthews_corrcoef(truth, answer), "kappa": cohen_kappa_score(truth, answer)}
    printed = {name: Printed(f"{value:.4f}", "fraction") for name, value in values.items()}
    assert all(number.text.startswith("-0.") for number in printed.values())
    assert (5, 10) in search_binary(printed, 20, 30)
    assert not search_binary({**printed, "kappa": Printed("0.4000", "fraction")}, 20, 30)


def test_likelihood_ratios_follow_from_the_rates():
    line = make_line("CT", {"sensitivity": "0.792", "specificity": "0.850", "lr_positive": "5.13", "lr_negative": "0.245"})
    assert Counter(outcome.verdict for outcome in check_likelihood([line])) == {"impossible": 1, "possible": 1}


def test_largest_spread_by_brute_force():
    for k, mean in ((3, 0.8), (4, 0.9), (5, 0.5), (6, 0.95)):
        widest = 0.0
        for values in np.random.default_rng(8).random((4000, k)) ** 0.2:
            values = np.clip(np.round(values * 4) / 4, 0, 1)
            if abs(values.mean() - mean) < 1e-9:
                widest = max(widest, values.std(ddof=1))
        assert widest <= bound_sd((0, 1), (mean, mean), k)
    line = make_line("x", {"accuracy": "0.95", "accuracy_sd": "0.12"}, says=Averaging(folds=2, runs=1))
    assert only(check_spreads([line])).verdict == "impossible"  # two values: 0.9 and 1 at most
    line = make_line("x", {"accuracy": "0.90", "accuracy_sd": "0.02", "accuracy_min": "0.91"})
    assert only(check_spreads([line])).verdict == "only truncated"  # 0.909 is cut to 0.90


# ---------------------------------------------------------------------------------------------------------- mlscorecheck

# The library's own examples (documentation of mlscorecheck, MIT), with what it says of them: whether they contradict themselves.
MULTICLASS = [
    ((10, 100, 80), "macro", {"accuracy": "0.6000", "sensitivity": "0.3417", "specificity": "0.6928", "f1": "0.3308"}, False),
    ((10, 100, 80), "macro", {"accuracy": "0.6020", "sensitivity": "0.3417", "specificity": "0.6928", "f1": "0.3308"}, True),
    (
        (10, 100, 80),
        "micro",
        {"accuracy": "0.5158", "sensitivity": "0.2737", "specificity": "0.6368", "precision": "0.2737"},
        False,
    ),
    (
        (10, 100, 80),
        "micro",
        {"accuracy": "0.5258", "sensitivity": "0.2737", "specificity": "0.6368", "precision": "0.2737"},
        True,
    ),
]
FOLDS = [
    ((126, 131), ((52, 94), (74, 37)), {"accuracy": "0.573", "sensitivity": "0.768", "balanced_accuracy": "0.662"}, False),
    (
        (398, 569),
        ((100, 142), (100, 142), (99, 142), (99, 143)),
        {"accuracy": "0.90", "specificity": "0.90", "sensitivity": "0.60"},
        True,
    ),
]


@pytest.mark.parametrize(("cases", "average", "values", "contradicts"), MULTICLASS)
def test_multiclass_examples_of_mlscorecheck(cases, average, values, contradicts):
    line = make_line("x", values, {f"class {i}": n for i, n in enumerate(cases)}, Averaging(average, folds=1, runs=1))
    assert (explain_line(line)[0] == "impossible") is contradicts
    # An accuracy that is impossible by itself is said once, of the accuracy.
    assert [outcome.verdict for outcome in check_averages([line])] == ([] if contradicts else ["possible"])


@pytest.mark.parametrize(("cases", "folds", "values", "contradicts"), FOLDS)
def test_fold_examples_of_mlscorecheck(cases, folds, values, contradicts):
    line = make_line("x", values, dict(zip(("p", "n"), cases, strict=True)), Averaging("binary", fold_sizes=folds, runs=1))
    assert (explain_line(line)[0] == "impossible") is contradicts


def test_folds_against_mlscorecheck():
    """Never accused where its integer programme finds folds; and it finds none where ours accuses."""
    check = pytest.importorskip("mlscorecheck.check.binary", reason="the test extra").check_1_dataset_known_folds_mos
    logging.getLogger("mlscorecheck").setLevel(logging.ERROR)
    generator, pairs = np.random.default_rng(9), []
    for _ in range(12):
        folds = [tuple(int(n) for n in generator.integers(5, 15, 2)) for _ in range(3)]
        right = [[int(generator.binomial(n, 0.8)) for n in fold] for fold in folds]
        values = {
            "sensitivity": np.mean([r[0] / f[0] for r, f in zip(right, folds, strict=True)]),
            "specificity": np.mean([r[1] / f[1] for r, f in zip(right, folds, strict=True)]),
            "accuracy": np.mean([sum(r) / sum(f) for r, f in zip(right, folds, strict=True)]) + generator.choice([0, 0.04]),
        }
        printed = {name: f"{min(1, value):.3f}" for name, value in values.items()}
        cases = tuple(map(sum, zip(*folds, strict=True)))
        line = make_line(
            "x", printed, dict(zip(("p", "n"), cases, strict=True)), Averaging("binary", fold_sizes=tuple(folds), runs=1)
        )
        scores = {
            short: float(printed[name]) for name, short in (("accuracy", "acc"), ("sensitivity", "sens"), ("specificity", "spec"))
        }
        theirs = check(
            dataset={"p": cases[0], "n": cases[1]},
            folding={"folds": [{"p": p, "n": n} for p, n in folds]},
            scores=scores,
            eps=1e-3,
        )["inconsistency"]
        pairs.append((explain_line(line)[0] == "impossible", theirs))
    assert not [pair for pair in pairs if pair[0] and not pair[1]]
    assert 2 <= sum(ours for ours, _ in pairs) <= sum(theirs for _, theirs in pairs) <= 10


def test_averages_by_brute_force():
    """Every matrix of 3, 2 and 2 cases: search_average finds one exactly where one of them prints so."""
    cases, generator = (3, 2, 2), np.random.default_rng(10)
    rows = [[(a, b, n - a - b) for a in range(n + 1) for b in range(n + 1 - a)] for n in cases]
    matrices = np.array([[x, y, z] for x in rows[0] for y in rows[1] for z in rows[2]])
    for average in ("macro", "weighted"):
        values = [compute_metrics(matrix, average) for matrix in matrices]
        known = sorted({tuple(f"{value[name]:.3f}" for name in METRICS[:4]) for value in values})
        for texts in generator.permutation(known)[:20]:
            printed = {name: Printed(text, "fraction") for name, text in zip(METRICS[:4], texts, strict=True)}
            assert search_average(printed, cases, average)
            # Another precision; without the accuracy, which may be a mean of the classes' accuracies.
            printed["precision"] = Printed(f"{generator.random():.3f}", "fraction")
            del printed["accuracy"]
            close = any(
                all(abs(value[name] - float(number.value)) <= 0.0005 + 1e-12 for name, number in printed.items())
                for value in values
            )  # a tie may be rounded either way
            assert bool(search_average(printed, cases, average)) is close
