"""checklist.toml: read whole, and refused where an answer is missing, doubled, unknown, or without the place that it needs."""

from pathlib import Path

import pytest

from common.errors import UsageError
from common.records.checklist import ANSWERS, Answer, count_answers, load_checklist, parse_checklist, split_citation
from common.records.checklist_items import CLAIM, GUIDELINES, TRIPOD_AI

PATH = Path("mine/checklist.toml")
OUTLINE = """[outline]
parts = ["title", "abstract"]
sections = ["1", "2.1"]
tables = ["1"]
figures = ["2"]
equations = ["1"]
missing = ["Table 3"]
"""
NO = 'paper = { reported = "no" }\nours = { reported = "no", remark = "not yet" }\n'


def write_checklist(**answers: str) -> str:
    """A whole file; answers: "claim_1" or "tripod_5a" -> the two lines of its answers, else both are no."""
    parts = [OUTLINE]
    for guideline in GUIDELINES:
        for item in guideline.items:
            lines = answers.get(f"{guideline.id}_{item.number}", NO)
            parts.append(f'[[{guideline.id}]]\nitem = "{item.number}"\ntopic = "{item.topic}"\n{lines}')
    return "\n".join(parts)


def answer(paper: str, ours: str = 'reported = "no"') -> str:
    return f"paper = {{ {paper} }}\nours = {{ {ours} }}\n"


def test_the_lists_have_their_items():
    """44 items of CLAIM 2024, 27 of TRIPOD+AI with 52 parts, each once, none without words."""
    assert [item.number for item in CLAIM.items] == [str(number) for number in range(1, 45)]
    numbers = [item.number for item in TRIPOD_AI.items]
    assert len(numbers) == len(set(numbers)) == 52
    assert list(dict.fromkeys(number.rstrip("abcdefg") for number in numbers)) == [str(number) for number in range(1, 28)]
    for guideline in GUIDELINES:
        assert len({item.topic for item in guideline.items}) >= len(guideline.items) - 2
        assert all(item.part and item.topic and item.asks for item in guideline.items)


def test_a_whole_file_is_read_in_the_order_of_the_lists():
    text = write_checklist(
        claim_3=answer('reported = "yes", where = "sections 1 and 2.1; Fig. 2; title"', 'reported = "yes", where = "README.md"'),
        tripod_5a=answer('reported = "not in the available text", where = "Table 3", remark = "it may stand there"'),
    )
    checklist = parse_checklist(text, PATH)
    assert checklist.name == "mine"
    assert [entry.item for entry in checklist.entries["claim"]] == list(CLAIM.items)
    assert [entry.item for entry in checklist.entries["tripod"]] == list(TRIPOD_AI.items)
    third = checklist.entries["claim"][2]
    assert third.paper == Answer("yes", ("sections 1 and 2.1", "Fig. 2", "title"), "")
    assert third.ours.where == ("README.md",)
    counted = count_answers(entry.paper for entry in checklist.entries["tripod"])
    assert list(counted) == list(ANSWERS)
    assert counted == {"yes": 0, "partly": 0, "no": 51, "not applicable": 0, "not in the available text": 1}


FAULTS = {
    "an unknown item": (lambda text: text.replace('item = "44"', 'item = "45"'), "CLAIM 2024 has no item '45'"),
    "an item of the other list": (lambda text: text.replace('item = "44"', 'item = "5a"'), "CLAIM 2024 has no item '5a'"),
    "a doubled item": (
        lambda text: text + f'[[claim]]\nitem = "1"\ntopic = "{CLAIM.items[0].topic}"\n{NO}',
        "claim item 1 stands twice",
    ),
    "a missing item": (
        lambda text: text.replace(f'[[tripod]]\nitem = "19"\ntopic = "{TRIPOD_AI.items[38].topic}"\n{NO}', ""),
        "TRIPOD+AI has no answer to item 19",
    ),
    "the topic of another item": (lambda text: text.replace('topic = "aims"', 'topic = "title"', 1), "its topic is 'aims'"),
    "an unknown field": (lambda text: text.replace('item = "7"', 'item = "7"\npage = 3', 1), "unknown field 'page'"),
    "an unknown entry": (lambda text: text + '[[stard]]\nitem = "1"\n', "unknown entry 'stard'"),
    "no outline": (lambda text: text.replace(OUTLINE, ""), "[outline]: missing"),
    "a section twice": (lambda text: text.replace('"1", "2.1"', '"1", "1"'), "names one thing twice"),
    "broken TOML": (lambda text: text + "[[claim", "not a valid TOML file"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_file_is_refused(fault):
    damage, message = FAULTS[fault]
    whole = write_checklist()
    damaged = damage(whole)
    assert damaged != whole
    with pytest.raises(UsageError) as error:
        parse_checklist(damaged, PATH)
    assert message in str(error.value)
    assert str(error.value).startswith("mine/checklist.toml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("paper", "message"),
    [
        ('reported = "yes"', "paper: 'yes' needs a place"),
        ('reported = "yes", where = " ; "', "paper: 'yes' needs a place"),
        ('reported = "partly", remark = "half"', "paper: 'partly' needs a place"),
        ('reported = "partly", where = "title"', "paper: 'partly' needs a 'remark'"),
        ('reported = "not applicable"', "paper: 'not applicable' needs a 'remark'"),
        ('reported = "no", where = "title"', "paper: 'no' cites 'title'"),
        ('reported = "maybe"', "must be one of yes, partly, no"),
        ('reported = "yes", where = "section 2.2"', "cites 'section 2.2', which [outline] does not have"),
        ('reported = "yes", where = "sections 1, 3"', "cites 'sections 1, 3'"),
        ('reported = "yes", where = "Tables 1"', "cites 'Tables 1'"),
        ('reported = "yes", where = "Table 1; keywords"', "cites 'keywords'"),
        ('reported = "yes", where = "Table 3"', "cites 'Table 3'"),
        ('reported = "not in the available text", where = "Table 1", remark = "?"', "'Table 1' is not among"),
        ('reported = "not in the available text", remark = "?"', "needs a place"),
    ],
)
def test_an_answer_that_does_not_hold_is_refused_with_its_line(paper, message):
    text = write_checklist(tripod_3b=answer(paper))
    line = text[: text.index('item = "3b"')].count("\n")  # of the header before it
    with pytest.raises(UsageError) as error:
        parse_checklist(text, PATH)
    assert message in str(error.value)
    assert str(error.value).startswith(f"mine/checklist.toml, line {line}: tripod 4, item 3b")


def test_gaps_of_a_text_are_no_excuse_of_ours():
    ours = 'reported = "not in the available text", where = "Table 3", remark = "?"'
    with pytest.raises(UsageError, match="an answer for papers alone"):
        parse_checklist(write_checklist(claim_9=answer('reported = "no"', ours)), PATH)


def test_one_of_a_kind_and_several_are_written_apart():
    assert split_citation("Tables 1, 2 and 4") == [("Table", "1"), ("Table", "2"), ("Table", "4")]
    assert split_citation("equations (1) and (2)") == [("equation", "1"), ("equation", "2")]
    assert split_citation("Table 1, 2") == [("part", "Table 1, 2")] * 2


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UsageError, match="checklist.toml: cannot be read"):
        load_checklist(tmp_path / "checklist.toml")
    (tmp_path / "checklist.toml").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="not a valid TOML file"):
        load_checklist(tmp_path / "checklist.toml")
