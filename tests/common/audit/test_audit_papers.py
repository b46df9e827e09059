"""What the audit finds in the five papers, computed from their paper.toml; and that it passes what is right."""

import logging
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from common.audit.outcomes import Outcome, read_lines
from common.audit.papers import audit_paper, find_impossible_claims
from common.audit.rows import exchange_f1
from common.audit.summary import EXCHANGED, judge_numbers, summarise_paper
from common.records.paper import Paper, load_paper

ROOT = Path(__file__).parents[3]
PAPERS = ("bone_acgan", "ddsm_inceptionv4", "glioma_inceptionv3", "lung_hip_compare", "thyroid_ensemble")


def load(name: str) -> Paper:
    return load_paper(ROOT / "replications" / name / "paper.toml")


@pytest.fixture(scope="module")
def audits() -> dict[str, Sequence[Outcome]]:
    return {name: audit_paper(load(name)) for name in PAPERS}


def pick(outcomes: Sequence[Outcome], check: str, contains: str = "") -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.check == check and contains in outcome.subject]


def count(outcomes: Sequence[Outcome], check: str) -> Counter:
    return Counter(outcome.verdict for outcome in pick(outcomes, check))


def only(outcomes: Sequence[Outcome], check: str, contains: str = "") -> Outcome:
    (found,) = pick(outcomes, check, contains)
    return found


# -------------------------------------------------------------------------------------------------------------- thyroid


def test_thyroid_orientation(audits):
    """No row is possible with malignant positive; 7 of 12 are within 0.1 points with the other class, 4 of them strictly."""
    found = audits["thyroid_ensemble"]
    orientation = only(found, "orientation")
    assert orientation.verdict == "swapped"
    assert (orientation.fits, orientation.tried) == (7, 12)
    assert "malignant positive (133): 0 of 12 rows" in orientation.arithmetic
    assert "benign positive (136): 7 of 12 rows have a confusion matrix (4 rounded" in orientation.arithmetic
    assert "sensitivity alone is k/136 in 11 of 12" in orientation.arithmetic
    assert "specificity alone is k/133 in 12 of 12" in orientation.arithmetic
    assert count(found, "one matrix") == {"possible": 4, "only truncated": 2, "within one unit": 1, "impossible": 5}
    fitting = {outcome.rows[-1][1] for outcome in pick(found, "one matrix") if outcome.verdict == "possible"}
    assert {row.split()[0] for row in fitting} == {"mean", "ULBP", "[10]", "[11]"}


def test_thyroid_headline(audits):
    headline = only(audits["thyroid_ensemble"], "attainable", "accuracy 96.0")
    assert (headline.verdict, headline.fits) == ("within one unit", 0)  # 95.91 is 95.9; no k of 269 is 96.0
    assert headline.arithmetic == "258/269 = 95.91, 259/269 = 96.28"
    assert {table for table, _ in headline.rows} >= {"3", "4", "5", "6", "7"}
    ensemble = only(audits["thyroid_ensemble"], "one matrix", "ensemble")
    assert ensemble.verdict == "within one unit"
    assert "sensitivity 128/136 = 94.12, specificity 130/133 = 97.74, accuracy 258/269 = 95.91" in ensemble.arithmetic


def test_thyroid_unattainable_accuracies(audits):
    found = pick(audits["thyroid_ensemble"], "attainable")
    by_verdict = {
        verdict: {float(outcome.subject.split()[1]) for outcome in found if outcome.verdict == verdict}
        for verdict in ("impossible", "within one unit", "only truncated")
    }
    assert by_verdict == {
        "impossible": {92.0, 85.7, 72.3, 73.8}, "within one unit": {85.2, 78.9, 96.0}, "only truncated": {81.7, 94.7, 89.5},
    }  # fmt: skip
    assert only(audits["thyroid_ensemble"], "denominator").fits == 0


def test_thyroid_introduction(audits):
    between = pick(audits["thyroid_ensemble"], "between")
    # Of that paper's test set and folds nothing is known: a mean over folds of a few patients, which lack a class, may be so.
    (wrong,) = [outcome for outcome in between if outcome.verdict == "only uneven folds"]
    assert wrong.arithmetic.startswith(
        "accuracy 97.3 is not between 64.17 and 80.7, but may be with folds of very different shares"
    )
    assert {outcome.verdict for outcome in between if outcome is not wrong} == {"possible"}
    assert len(between) == 14


@pytest.mark.parametrize(("positive", "negative", "consistent"), [("malignant", "benign", 0), ("benign", "malignant", 4)])
def test_thyroid_rows_against_mlscorecheck(positive, negative, consistent):
    """An independent library finds as many rows possible by rounding, with either class as the positive one."""
    check = pytest.importorskip("mlscorecheck.check.binary", reason="the test extra").check_1_testset_no_kfold
    logging.getLogger("mlscorecheck").setLevel(logging.ERROR)
    lines = [line for line in read_lines(load("thyroid_ensemble").printed) if line.n and "sensitivity" in line.metrics]
    names = {"accuracy": "acc", "sensitivity": "sens", "specificity": "spec"}
    possible = 0
    for line in lines:
        scores = {short: float(line.metrics[name].value) for name, short in names.items()}
        testset = {"p": line.classes[positive], "n": line.classes[negative]}
        possible += not check(testset=testset, scores=scores, eps=5e-4)["inconsistency"]
    assert (len(lines), possible) == (12, consistent)


# ----------------------------------------------------------------------------------------------------------------- bone


def test_bone_accuracies_are_of_77_not_of_72(audits):
    found = audits["bone_acgan"]
    assert count(found, "attainable") == {"impossible": 11}
    denominator = only(found, "denominator")
    assert "0 of 11 are attainable over 72" in denominator.arithmetic
    # All accuracies, and nothing else: the macro means are possible.
    paper = load("bone_acgan")
    assert find_impossible_claims(paper) == {claim.key for claim in paper.printed if claim.metric == "accuracy"}
    assert "77, 154, 231, 308, 385" in denominator.arithmetic
    assert denominator.fits == 5


def test_bone_composition(audits):
    """37/25/15 with 0.01 in the denominators alone explains all ten rows with precision, recall and specificity."""
    composition = only(audits["bone_acgan"], "macro")
    assert composition.verdict == "impossible"  # as stated: 32/25/15, no offset
    assert (composition.fits, composition.tried) == (1, 2 * 494)
    assert composition.arithmetic.startswith("37/25/15 with 0.01 added to every denominator explains 10 of 10 rows")
    assert "with offset 0 0;" in composition.arithmetic
    assert "the best other division of 77 explains 2" in composition.arithmetic


def test_bone_final_confusion_matrix(audits):
    final = only(audits["bone_acgan"], "macro row", "multi-scale CNN / data set 5")
    assert "one matrix: (36, 1, 0), (4, 21, 0), (5, 1, 9)" in final.arithmetic
    assert final.fits == 1
    densenet = only(audits["bone_acgan"], "macro row", "DenseNet121")
    assert densenet.fits == 3
    assert "one matrix" not in densenet.arithmetic


def test_bone_swapped_heads(audits):
    found = pick(audits["bone_acgan"], "F1")
    swapped = [outcome for outcome in found if outcome.verdict == "swapped"]
    assert [outcome.rows[0] for outcome in swapped] == [("4", f"ResNet34 / data set {i}") for i in range(1, 6)]
    assert all("the column headed specificity" in outcome.arithmetic for outcome in swapped)
    assert {outcome.rows[-1][0] for outcome in found if outcome.verdict == "possible"} == {"7", "8"}
    lines = {(line.tables[0], line.row): line for line in read_lines(load("bone_acgan").printed)}
    mended, table7 = exchange_f1(lines["4", "ResNet34 / data set 4"]), lines["7", "ResNet34 / data set 4"]
    assert mended.metrics == table7.metrics


def test_bone_pairs(audits):
    """64 and 66 of 77 differ by two images: no McNemar test can be significant."""
    first = only(audits["bone_acgan"], "pair", "MU-ACGAN for the final model")
    assert first.verdict == "never significant"
    assert first.arithmetic == "64 and 66 of 77: at most 2 more right, McNemar p >= 2/2^2 = 0.5"
    assert count(audits["bone_acgan"], "pair") == {"never significant": 3, "possible": 1}
    assert only(audits["bone_acgan"], "pair", "all steps").arithmetic.endswith("0.0078")


def test_bone_equations(audits):
    found = pick(audits["bone_acgan"], "equation")
    assert {outcome.subject.split(" (")[0] for outcome in found if outcome.verdict == "impossible"} == {
        "0.8052 - 0.6623 = 0.0649",
        "0.7284 - 0.5899 = 0.0623",
    }
    near = only(found, "equation", "0.0412 / 0.5160")  # 0.0413 / 0.5159 is 8.005 %
    assert (near.verdict, near.arithmetic) == (
        "within one unit", "0.0412 / 0.5160 * 100 is 7.96357 to 8.00543; 8.1 is 8 to 8.2",
    )  # fmt: skip


def test_bone_equations_with_numbers_of_ours_are_set_apart(audits):
    """77 test images and 356 views follow from what the paper prints; it prints neither."""
    found = {outcome.subject.split(" (")[0]: outcome for outcome in pick(audits["bone_acgan"], "derived equation")}
    assert {text: outcome.verdict for text, outcome in found.items()} == {
        "178 * 2 = 356": "possible", "130 + 101 + 43 + 77 = 346": "impossible",
    }  # fmt: skip
    assert all(outcome.arithmetic.endswith(" is derived, not printed") for outcome in found.values())
    assert not any(claim.value == 356 for claim in load("bone_acgan").printed)


def test_bone_columns_that_are_exchanged_are_those_of_table_4(audits):
    """F1 and specificity of five rows; Table 5, which repeats one of them, prints neither."""
    paper = load("bone_acgan")
    judged = judge_numbers(paper, audits["bone_acgan"])
    exchanged = {key for key, found in judged.items() if found == EXCHANGED}
    assert exchanged == {("4", f"ResNet34 / data set {n}", metric) for n in range(1, 6) for metric in ("f1", "specificity")}
    assert "; 5 rows fit only with columns exchanged;" in summarise_paper(paper, audits["bone_acgan"])


# --------------------------------------------------------------------------------------------------------------- glioma


def test_glioma_denominators(audits):
    found = pick(audits["glioma_inceptionv3"], "float32")
    unique = {int(outcome.arithmetic.split("/")[1]) for outcome in found if outcome.fits == 1}
    assert unique == {232, 245, 222, 229, 253, 262, 241}
    summary = found[-1]
    assert "7 of 10" in summary.subject
    assert "mean n = 2417/10 = 241.7, pooled 2323/2417 = 0.9611" in summary.arithmetic
    assert all(outcome.verdict == "possible" for outcome in found)


def test_glioma_split_size(audits):
    verdicts = {outcome.subject.split(" images")[0]: outcome for outcome in pick(audits["glioma_inceptionv3"], "split size")}
    assert verdicts["10 % of 1208"].verdict == "impossible"
    assert "222, is 9.7 sd away" in verdicts["10 % of 1208"].arithmetic
    assert verdicts["20 % of 1208"].verdict == verdicts["10 % of 2416"].verdict == "possible"
    assert "chi-square 6.66 on 10 df, p = 0.76" in verdicts["20 % of 1208"].arithmetic
    assert "chi-square 5.92 on 10 df, p = 0.82" in verdicts["10 % of 2416"].arithmetic


def test_glioma_mean_and_variance(audits):
    mean, variance = only(audits["glioma_inceptionv3"], "mean"), only(audits["glioma_inceptionv3"], "variance")
    assert (mean.verdict, variance.verdict) == ("impossible", "possible")
    assert "96.11; printed 96.0, 1.08 units of its last digit away" in mean.arithmetic
    assert (variance.fits, variance.tried) == (1, 2)  # over n - 1, not over n
    assert find_impossible_claims(load("glioma_inceptionv3")) == {("text", "mean of ten runs", "accuracy")}


# --------------------------------------------------------------------------------------------------- lung, hip, mammograms


def test_lung_accuracies(audits):
    found = audits["lung_hip_compare"]
    assert count(found, "attainable") == {"possible": 16, "only truncated": 2}
    truncated = {outcome.arithmetic for outcome in pick(found, "attainable") if outcome.verdict == "only truncated"}
    assert truncated == {"678/752 = 90.16", "560/752 = 74.47"}
    assert not pick(found, "denominator")
    assert not find_impossible_claims(load("lung_hip_compare"))


def test_lung_majority(audits):
    below = [outcome for outcome in pick(audits["lung_hip_compare"], "majority") if outcome.verdict != "possible"]
    assert {(outcome.rows[0][1], outcome.verdict) for outcome in below} == {
        ("LUNA16 / SGAN", "below majority"),
        ("256x256 unresized / SGAN", "not above majority"),
    }
    (sgan,) = [outcome for outcome in below if outcome.verdict == "below majority"]
    assert sgan.arithmetic == "always non-nodule: 1340/1622 = 82.61; 42 cases below"


def test_ddsm_has_no_ratio_and_a_right_product(audits):
    paper = load("ddsm_inceptionv4")
    assert all(claim.value is None for claim in paper.printed if claim.unit != "count")
    (found,) = (outcome for outcome in audits["ddsm_inceptionv4"] if outcome.check != "not checked")
    assert (found.check, found.verdict) == ("equation", "possible")


# ------------------------------------------------------------------------------------------------------------ all of them


@pytest.mark.parametrize("name", PAPERS)
def test_paper_is_complete(name):
    paper = load(name)
    assert paper.claims
    assert paper.unstated
    assert paper.deviations


def test_every_accuracy_with_cases_has_an_interval(audits):
    for name in PAPERS:
        lines = read_lines(load(name).printed)
        expected = {key for line in lines if line.n and "accuracy" in line.metrics for key in line.keys}
        with_interval = {key for o in audits[name] if o.check == "attainable" and o.interval for key in o.rows}
        assert with_interval == expected


def test_fast_and_without_network_library():
    """All five papers in a fresh process."""
    code = "import sys; from common.audit.__main__ import main; main([]); print({'tensorflow', 'keras'} & {*sys.modules} or [])"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 10  # seconds of computing; about 2.5
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stdout.count("printed number") == 4  # and one paper whose numbers are not in the available text
    assert done.stdout.count("none was checked") == 1
