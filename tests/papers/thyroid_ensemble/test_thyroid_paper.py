"""paper.toml of the thyroid ensemble against arithmetic."""

import re

import pandas as pd

from common.audit.papers import find_impossible_claims
from common.evaluation.verdicts import judge_claims
from replications.thyroid_ensemble import ensemble
from replications.thyroid_ensemble.config import NETWORKS, PAPER, SCALES, SUBSETS


def test_paper_is_complete(paper):
    tables = pd.Series([claim.table for claim in paper.printed])
    expected = {"1": 6, "2": 9, "3": 3, "4": 12, "5": 9, "6": 12, "7": 12, "Fig. 10": 1, "introduction": 9}
    assert tables.value_counts(sort=False).to_dict() == expected
    assert all(claim.value is not None for claim in paper.printed)
    assert [claim.row for claim in paper.claims if claim.table == "2"] == [f"Scale {s} / {n}" for s in SCALES for n in NETWORKS]
    assert [claim.row for claim in paper.claims if claim.table == "3"] == [f"{{{', '.join(of)}}}" for of in SUBSETS]
    assert len({statement.id for statement in paper.statements}) == 12
    judged = judge_claims(paper.claims, [], {}, positive_class=paper.positive_class)
    assert {claim.verdict for claim in judged} == {"not run"}


def test_one_number_everywhere(paper):
    """The ensemble's numbers are printed four times, those of single networks twice: always the same."""
    for row in {claim.row for claim in paper.printed}:
        for metric in ("accuracy", "sensitivity", "specificity"):
            assert len({claim.value for claim in paper.printed if (claim.row, claim.metric) == (row, metric)}) <= 1


def test_published_weights_are_enumerated(paper):
    grid = {tuple(weights) for weights in ensemble.enumerate_weights(3, PAPER.weight_step).tolist()}
    for claim in paper.claims:
        if claim.table == "3":
            terms = re.findall(r"(0\.\d) ([A-E])", claim.note)
            assert tuple(float(weight) for weight, _ in terms) in grid
            assert "{" + ", ".join(letter for _, letter in terms) + "}" == claim.row


def test_readings_share_out_the_same_numbers(paper, sizes):
    first, second = paper.readings
    assert first.metrics == {"sensitivity": "specificity", "specificity": "sensitivity"}
    claims = {claim.key: claim for claim in paper.claims}
    recall = claims["4", "ensemble", "specificity"], claims["4, reading b", "ensemble", "sensitivity"]
    assert recall[0].value == recall[1].value == printed(paper, "4")["ensemble"]["sensitivity"]
    # Either way the printed sensitivity is the recall of the larger class.
    assert recall[0].classes["benign"] == recall[1].classes["malignant"] == sizes["benign"]


def printed(paper, *tables: str) -> dict[str, dict[str, float]]:
    rows: dict[str, dict[str, float]] = {}
    for claim in paper.printed:
        if claim.table in tables:
            rows.setdefault(claim.row, {})[claim.metric] = claim.value
    return rows


def find_counts(value: float, n: int) -> tuple[list[int], list[int]]:
    """Numbers of n whose percentage is printed as `value` with one decimal: if rounded, if truncated."""
    tenths = round(10 * value)
    rounded = [k for k in range(n + 1) if (2000 * k + n) // (2 * n) == tenths]
    return rounded, [k for k in range(n + 1) if 1000 * k // n == tenths]


def test_sums_of_table_1(paper):
    counts = {(claim.row, claim.metric): claim.value for claim in paper.claims if claim.table == "1"}
    for row in ("training", "test"):
        assert counts[row, "benign"] + counts[row, "malignant"] == counts[row, "total"]
    for name in ("benign", "malignant"):
        assert counts["test", name] == round(PAPER.test_share * (counts["training", name] + counts["test", name]))
    stated = next(claim.classes for claim in paper.claims if claim.table == "2")
    assert stated == {name: counts["test", name] for name in ("benign", "malignant")}


def test_positive_class(paper, sizes):
    """The readings stand on this count, made here once more without the audit's code."""
    rows = printed(paper, "4", "5", "6", "7")
    assert len(rows) == 12
    fits = {"malignant": 0, "sensitivity": 0, "rounded": 0, "truncated": 0, "near": 0, "exact": 0}
    for row in rows.values():
        sensitivity = find_counts(row["sensitivity"], sizes["malignant"])
        specificity = find_counts(row["specificity"], sizes["benign"])
        fits["malignant"] += any(sensitivity) and any(specificity)
        first, _ = find_counts(row["sensitivity"], sizes["benign"])
        second, truncated = find_counts(row["specificity"], sizes["malignant"])
        fits["sensitivity"] += bool(first)
        fits["rounded"] += bool(second)
        fits["truncated"] += not second and bool(truncated)
        totals = [a + b for a in first for b in second or truncated]
        fits["near"] += any(abs(100 * k / sizes["total"] - row["accuracy"]) <= 0.1 for k in totals)
        fits["exact"] += any(k in find_counts(row["accuracy"], sizes["total"])[0] for k in totals) and bool(second)
    assert fits == {"malignant": 0, "sensitivity": 11, "rounded": 9, "truncated": 3, "near": 7, "exact": 4}


def test_impossible_claims(paper, sizes):
    """Accuracies more than a unit of their last digit from every count; of rows without a matrix, what it takes for that."""
    n = sizes["total"]
    accuracies = [claim for claim in paper.printed if claim.metric == "accuracy" and claim.classes]
    unrounded = {claim.row for claim in accuracies if not any(find_counts(claim.value, n))}
    assert unrounded >= {"ensemble", "{E, B, C}"}  # 96.0 of 269: 258 are 95.91 %, within one unit
    expected = {claim.key for claim in accuracies if min(abs(1000 * k / n - 10 * claim.value) for k in range(n + 1)) > 1}
    assert {row for _, row, _ in expected} < unrounded
    # Of Scale 1 / AlexNet and VGG16, and of the two SVMs, sensitivity and specificity fit each other: the accuracy is at fault
    # alone. Of Scale 1 / ResNet50 they do not, so that the whole row is in question.
    alone = [("4", "Scale 1 / AlexNet"), ("4", "Scale 1 / VGG16"), ("6", "GLCM + SVM"), ("6", "Gabor + SVM")]
    assert {(table, row, "accuracy") for table, row in alone} < expected
    whole = {("4", "Scale 1 / ResNet50")}
    expected |= {claim.key for claim in paper.printed if claim.key[:2] in whole}
    assert find_impossible_claims(paper) == expected


def test_a_claim_under_a_reading_is_marked_as_it_is_printed(paper):
    judged = judge_claims(paper.claims, [], {}, positive_class=paper.positive_class, impossible=find_impossible_claims(paper))
    marked = {claim.key for claim in judged if claim.impossible}
    assert len(marked) == 9 + 2  # sensitivity and specificity of the row in which they exclude each other, under reading b
    row = "Scale 1 / ResNet50"  # its printed sensitivity is no count: that row is impossible in Table 4, not its accuracy alone
    assert {key for key in marked if key[1] == row} == {
        ("4", row, "accuracy"),
        *((table, row, metric) for table in ("4", "4, reading b") for metric in ("sensitivity", "specificity")),
    }
    assert not [key for key in marked if key[1] == "ensemble"]  # within one unit


def test_numbers_of_the_remarks(paper):
    found = {audit.check: audit.found for audit in paper.audits}
    value = printed(paper, "5")
    rounded, cut = (value[row]["specificity"] for row in ("mean probability", "class voting"))
    assert f"129 of 133 is printed {cut} for class voting and {rounded}" in found["Rounded here, cut off there"]
    counts = [find_counts(rounded, 133), find_counts(cut, 133)]
    assert (counts[0][0], counts[1]) == ([129], ([], [129]))
    images, patients, mean = re.search(
        r"(\d+) images of (\d+) patients are ([\d.]+) a", found["Images of one patient on both sides"]
    ).groups()
    assert f"{int(images) / int(patients):.1f}" == mean
    assert f"With {mean} images a patient" in found["Sampling error"]
