"""The sentences of the package's README follow from the accepted result and from the code."""

import pytest

from common.records.checklist import load_checklist
from common.records.results import Results, RowResult, read_results
from common.report.lines import is_one_fit
from replications.ddsm_inceptionv4.claims import FASTER, LEEWAY


@pytest.fixture(scope="module")
def results(root) -> Results:
    return read_results(root / "results" / "ddsm_inceptionv4" / "results.json")


@pytest.fixture(scope="module")
def prose(root) -> str:
    return " ".join((root / "replications" / "ddsm_inceptionv4" / "README.md").read_text(encoding="utf-8").split())


def find(results: Results, name: str, protocol: str) -> RowResult:
    (row,) = (row for row in results.rows if (row.row, row.protocol) == (name, protocol))
    return row


def show(results: Results, name: str, protocol: str) -> str:
    auc = find(results, name, protocol).metrics["auc"]
    return f"{auc.mean:.3f} [{auc.low:.3f}, {auc.high:.3f}]"


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("MobileNetV2 0.35 transfer / case labels", "AUC of MobileNetV2 {paper} and {leakfree}"),
        ("InceptionV4 (1, 2, 1) vanilla / case labels", "of InceptionV4 from scratch, one seed, {paper} and {leakfree}"),
        ("metadata alone / case labels", "its AUC is {paper}, wholly below chance, and leak-free {leakfree}"),
    ],
)
def test_areas_of_the_first_paragraph(results, prose, row, sentence):
    assert sentence.format(**{protocol: show(results, row, protocol) for protocol in ("paper", "leakfree")}) in prose


def test_the_negative_control_is_below_chance_and_one_training(results, prose):
    rows = [row for row in results.rows if row.row.startswith("metadata alone")]
    assert len(rows) == 6
    assert all(is_one_fit(row) and len(row.seeds) == 5 for row in rows)
    assert find(results, "metadata alone / case labels", "paper").metrics["auc"].high < 0.5
    assert "its five seeds are one training" in prose
    assert prose.count("| 5, one deterministic fit |") == 3  # of the paper's protocol
    assert not any(is_one_fit(row) for row in results.rows if row not in rows)


def test_the_limits_of_two_to_three_are_said(prose):
    low, high = FASTER[0] * (1 - LEEWAY), FASTER[1] * (1 + LEEWAY)
    assert f'of which {low:g} to {high:g} times faster count as "two to three" ({100 * LEEWAY:.0f} % of leeway' in prose


def test_the_guide_to_intervals_gives_the_same_control(root, results):
    guide = " ".join((root / "docs" / "statistics.md").read_text(encoding="utf-8").split())
    auc = find(results, "metadata alone / case labels", "paper").metrics["auc"]
    assert f"published {auc.mean:.3f} with an interval of [{auc.low:.3f}, {auc.high:.3f}], which does not hold 0.5" in guide


def test_an_abstract_that_our_text_lacks_is_not_called_absent(root):
    """The transcription begins with section 1: what the title page holds nobody knows from it."""
    checklist = load_checklist(root / "replications" / "ddsm_inceptionv4" / "checklist.toml")
    abstracts = [entry.paper for of in checklist.entries.values() for entry in of if entry.item.number == "2"]
    assert [(answer.reported, answer.where) for answer in abstracts] == [("not in the available text", ("abstract",))] * 2
    assert {"title page", "abstract"} <= set(checklist.outline.missing)
