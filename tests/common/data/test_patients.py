"""Ids of patients: what nobody can tell apart is one, what only a person can decide is a question."""

import unicodedata

import pytest

from common.data.patients import find_doubtful, normalise_patient


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Jos\u00e9 0", "Jose\u0301 0"),
        ("M\u00fcller", "Mu\u0308ller"),
        ("P 7", "P\u00a07"),
        ("P 7", " P\t7 "),
        ("P 7", "P\u2003\u3000\u20287"),
        ("P7", "\ufeffP7"),
        ("P7", "P\u200b7"),
        ("P7", "P\u00ad7"),
        ("P7", "\u202aP7\u202c"),
        ("P7", "\u2066P7\u2069"),
        ("P7", "P\u20607\ufe0f"),
        ("P7", "P\u034f7"),
        ("P7", "\uff30\uff17"),
        ("P-7", "P\u20117"),
        ("P-7", "P\u22127"),
        ("A7", "\u04107"),
        ("O'Neil", "O\u2019Neil"),
    ],
)
def test_what_reads_the_same_is_the_same(one, other):
    assert one != other
    assert normalise_patient(one) == normalise_patient(other) == one


@pytest.mark.parametrize(
    ("one", "other"), [("P7", "p7"), ("P7", "P07"), ("P7", "P 7"), ("P7", "P8"), ("x\u00b2", "x2"), ("Mueller", "M\u00fcller")]
)
def test_what_a_person_tells_apart_stays_apart(one, other):
    assert normalise_patient(one) != normalise_patient(other)


def test_normalising_twice_changes_nothing_and_every_format_character_goes():
    for code in range(0x110000):
        letter = chr(code)
        if unicodedata.category(letter) == "Cf":
            assert normalise_patient(f"a{letter}b") == "ab", hex(code)
        elif letter.isspace():
            assert normalise_patient(f"a{letter}b") == "a b", hex(code)
    for text in ("Jose\u0301", "\u0410\u043d\u043d\u0430 \u2460", "\uff21\u00a0\u00a0b\u2014c", "\u1e9b\u0323"):
        assert normalise_patient(normalise_patient(text)) == normalise_patient(text)
    assert normalise_patient("\u200b \u00ad\ufeff") == ""


def test_doubtful_ids_are_grouped():
    ids = ["7", "07", "7.0", "007.00", "P1", "p01", "P10", "P100", "1.3.6.10", "1.3.6.1", "a", "rows-0", "rows-310"]
    assert find_doubtful(ids) == [["007.00", "07", "7", "7.0"], ["P1", "p01"]]
    assert find_doubtful(["7", "7"]) == []
