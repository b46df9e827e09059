"""The checklists of the packages: every item answered, no place that the paper or the repository does not have."""

import re
import tomllib
from pathlib import Path

import pytest

from common.records.checklist import Outline
from common.records.checklist_items import CLAIM, TRIPOD_AI
from common.report.checklists import FILE, load_checklists

ROOT = Path(__file__).parents[2]
BLOCK = "<!-- generated: checklist -->"
NAMED = re.compile(r"\b([Ss]ections?|[Ss]ec\.|Tables?|Figs?\.) (\d+(?:\.\d+)*)")
KINDS = {"s": "section", "t": "table", "f": "figure"}
MEASURED = (("claim", "37"), ("tripod", "23a"))  # performance, which needs an accepted result


@pytest.fixture(scope="module")
def checklists():
    return load_checklists(ROOT)  # refuses files and headings of ours that do not exist


def test_every_item_of_both_lists_is_answered_for_all_papers(checklists):
    told = {path.parent.name for path in (ROOT / "replications").glob("*/README.md") if BLOCK in path.read_text()}
    assert checklists.keys() == told
    assert len(told) >= 5
    for checklist in checklists.values():
        for guideline in (CLAIM, TRIPOD_AI):
            assert [entry.item for entry in checklist.entries[guideline.id]] == list(guideline.items)
            for entry in checklist.entries[guideline.id]:
                assert entry.paper.reported
                assert entry.ours.reported


def list_known(outline: Outline) -> dict[str, set[str]]:
    missing = {kind: set(re.findall(rf"{kind} (\S+)$", "\n".join(outline.missing), re.M)) for kind in ("section", "Table")}
    tables = {*outline.tables, *missing["Table"]}
    return {"section": {*outline.sections, *missing["section"]}, "table": tables, "figure": set(outline.figures)}


def test_outlines_hold_what_is_cited_of_the_papers_elsewhere(checklists):
    """Sections, tables and figures that paper.toml names are in the outline, and its numbered tables are those of the claims."""
    checked = 0
    for name, checklist in checklists.items():
        text = (ROOT / "replications" / name / "paper.toml").read_text()
        known = list_known(checklist.outline)
        for found in NAMED.finditer(re.sub(r"http\S+", "", text)):
            assert found[2] in known[KINDS[found[1][0].lower()]], f"{name}: {found[0]}"
            checked += 1
        document = tomllib.loads(text)
        numbers = {entry["table"] for entry in (*document.get("claim", ()), *document.get("table", ()))}
        for table in numbers:
            if re.match(r"\d", table):
                first, _, last = table.partition("-")
                assert {str(i) for i in range(int(first), int(last or first) + 1)} <= known["table"], f"{name}: Table {table}"
    assert checked > 100


def test_performance_is_reported_where_there_is_an_accepted_result(checklists):
    """A result that is published, or withdrawn, changes these answers: mend checklist.toml of the package."""
    for name, checklist in checklists.items():
        accepted = (ROOT / "results" / name / "results.json").is_file()
        for guideline, number in MEASURED:
            (entry,) = [entry for entry in checklist.entries[guideline] if entry.item.number == number]
            assert (entry.ours.reported != "no") == accepted, f"{name}/{FILE}: {guideline}, item {number}"


def test_the_same_measure_for_papers_and_for_us(checklists):
    """An item that does not apply to our repetition of a study does not apply to the study, unless it is about labelling."""
    relabelled = {"18", "8c", "9c"}  # some papers labelled, cropped or outlined images themselves; we never do
    for name, checklist in checklists.items():
        for entries in checklist.entries.values():
            for entry in entries:
                if entry.ours.reported == "not applicable" and entry.item.number not in relabelled:
                    assert entry.paper.reported == "not applicable", f"{name}: {entry.item.number}, {entry.item.topic}"
