"""paper.toml: the loader refuses what is wrong; the lung and hip file is complete and consistent with itself."""

import math
import re
from pathlib import Path

import pytest

from common.errors import UsageError
from common.records.paper import load_paper

ROOT = Path(__file__).parents[3]
LUNG_HIP = ROOT / "replications" / "lung_hip_compare" / "paper.toml"

VALID = """
[paper]
title = "A title"
authors = "A, B"
venue = "Journal"
year = "2020"
doi = ""
task = "a task"
positive_class = "ill"
headline = { table = "1", row = "net", metric = "accuracy" }

[classes]
test = { "healthy" = 60, "ill" = 40 }

[[claim]]
table = "1"
row = "net"
metric = "accuracy"
value = 91
digits = 1
unit = "percent"
where = "Table 1"
classes = "test"

[[claim]]
table = "1"
row = "other net"
metric = "auc"
digits = 3
unit = "fraction"
where = "Table 1"
classes = { a = 3 }

[[audit]]
check = "a check"
found = "something"
rows = ["net"]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "some_paper" / "paper.toml"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    return path


def test_loads_a_valid_file(tmp_path):
    paper = load_paper(write(tmp_path, VALID))
    first, second = paper.claims
    assert paper.name == "some_paper"
    assert (first.n, first.value, first.fraction) == (100, 91.0, 0.91)
    assert (second.value, second.fraction, second.note) == (None, None, "")
    assert paper.audits[0].rows == ("net",)
    assert first.printed_key == first.key == ("1", "net", "accuracy")


def test_the_mark_of_utf8_is_no_part_of_the_text(tmp_path):
    """As editors of Windows put it in front."""
    assert load_paper(write(tmp_path, f"\ufeff{VALID}")).title == "A title"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('venue = "Journal"\n', "", "'venue' is missing"),
        ('venue = "Journal"', 'venue = " "', "'venue' is empty"),
        ('year = "2020"', "year = 2020", "'year' must be str"),
        ('year = "2020"', 'year = "2020"\njournal = "x"', "unknown field 'journal'"),
        ("[[audit]]", "[[audits]]", "unknown entry 'audits'"),
        ('row = "net", metric', 'row = "nets", metric', "headline names no claim"),
        ('metric = "accuracy" }', 'metric = "accuracy", statement = "best" }', "headline names no [[statement]]: 'best'"),
        ("value = 91", "value = 101", "outside the range"),
        ("value = 91", "value = nan", "outside the range"),
        ("value = 91", "value = true", "'value' must be float"),
        ("value = 91", 'value = "91"', "'value' must be float"),
        ("digits = 1", "digits = -1", "'digits' must be between"),
        ("digits = 1", "digits = 1\nbest_of = -2", "'best_of' must be at least 1"),
        ("digits = 1", 'digits = 1\nbest_of = "five"', "'best_of' must be int"),
        ('unit = "percent"', 'unit = "per cent"', "'unit' must be one of"),
        ('unit = "fraction"', 'unit = "count"\nvalue = 1.5', "not a whole number"),
        ('classes = "test"', 'classes = "training"', "'training'"),
        ("classes = { a = 3 }", "classes = { a = -3 }", "class 'a'"),
        ("classes = { a = 3 }", "classes = {}", "cases per class"),
        ('row = "other net"\nmetric = "auc"', 'row = "net"\nmetric = "accuracy"', "stands twice"),
        ('rows = ["net"]', 'rows = ["nett"]', "'nett'"),
        ('rows = ["net"]', 'rows = ["net"]\nimpossible = true', "unknown field 'impossible'"),
        ("[[claim]]\ntable", "[claim]]\ntable", "not a valid TOML"),
    ],
)
def test_names_the_file_and_the_fault(tmp_path, old, new, message):
    assert old in VALID
    path = write(tmp_path, VALID.replace(old, new, 1))
    with pytest.raises(UsageError, match=r"paper\.toml") as caught:
        load_paper(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        load_paper(tmp_path / "paper.toml")


def test_lung_hip_is_complete():
    paper = load_paper(LUNG_HIP)
    counts = [claim for claim in paper.claims if claim.table == "1"]
    ratios = [claim for claim in paper.claims if claim.table == "2"]
    assert len(counts) == 20
    assert len([claim for claim in ratios if claim.value is not None]) == 18
    assert [claim.row for claim in ratios if claim.value is None] == [
        "256x256 resized / DBN",
        "256x256 unresized / DBN",
    ]
    assert len(paper.statements) == 4
    assert len(paper.unstated) >= 15
    assert len(paper.deviations) >= 10
    assert len(paper.audits) >= 6


def test_lung_hip_counts_add_up():
    counts = {(claim.row, claim.metric): claim for claim in load_paper(LUNG_HIP).claims if claim.table == "1"}
    for row in {row for row, _ in counts}:
        value = {metric: counts[row, metric].value for metric in ("positive", "negative", "train", "test")}
        assert value["positive"] + value["negative"] == value["train"] + value["test"]
        assert counts[row, "test"].n == value["test"]
        assert all(counts[row, metric].classes == counts[row, "test"].classes for metric in value)


def test_lung_hip_accuracies_are_attainable():
    truncated = []
    for claim in load_paper(LUNG_HIP).claims:
        if claim.table == "1" or claim.value is None:
            continue
        scale = 10**claim.digits
        exact = [100 * k * scale / claim.n for k in range(claim.n + 1)]
        printed = round(claim.value * scale)
        if printed not in {math.floor(value + 0.5) for value in exact}:
            assert printed in {math.floor(value) for value in exact}, claim
            truncated.append(claim.row)
    assert truncated == ["256x256 resized / ResNet-50", "256x256 resized / SGAN"]


READINGS = """
[[claim]]
table = "1"
row = "net"
metric = "sensitivity"
value = 90
digits = 1
unit = "percent"
where = "Table 1"
classes = "test"

[[reading]]
id = "a"
text = "healthy was coded positive"
metrics = { sensitivity = "specificity" }
classes = "test"

[[reading]]
id = "b"
text = "the counts are exchanged"
metrics = { sensitivity = "sensitivity" }
classes = "exchanged"
"""


def test_an_ambiguous_claim_is_compared_under_every_reading(tmp_path):
    text = VALID.replace("[classes]", "[classes]\nexchanged = { healthy = 40, ill = 60 }") + READINGS
    paper = load_paper(write(tmp_path, text))
    assert [claim.metric for claim in paper.printed] == ["accuracy", "auc", "sensitivity"]
    compared = {claim.key: claim for claim in paper.claims}
    assert len(compared) == len(paper.claims) == 4
    assert compared["1", "net", "specificity"].classes == {"healthy": 60, "ill": 40}
    assert compared["1", "net", "specificity"].note == "printed as sensitivity"
    assert compared["1, reading b", "net", "sensitivity"].classes == {"healthy": 40, "ill": 60}
    ambiguous = [claim for claim in paper.claims if claim.metric in ("sensitivity", "specificity")]
    assert [claim.printed_key for claim in ambiguous] == [("1", "net", "sensitivity")] * 2


def test_a_claim_may_leave_its_case_numbers_open(tmp_path):
    paper = load_paper(write(tmp_path, VALID.replace("classes = { a = 3 }", "")))
    assert paper.claims[1].classes == {}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('classes = "exchanged"', 'classes = "other"', "'other', which [classes] does not have"),
        ('metrics = { sensitivity = "sensitivity" }', "metrics = {}", "reading 2: field 'metrics'"),
        ('id = "b"', 'id = "a"', "reading a stands twice"),
    ],
)
def test_wrong_readings_are_refused(tmp_path, old, new, message):
    text = VALID.replace("[classes]", "[classes]\nexchanged = { healthy = 40, ill = 60 }") + READINGS
    with pytest.raises(UsageError, match=re.escape(message)):
        load_paper(write(tmp_path, text.replace(old, new)))
