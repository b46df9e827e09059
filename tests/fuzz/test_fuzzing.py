"""The fuzzing itself: damages come back by their number, are of every kind, and what no reader may do is found."""

import pytest
from mutator import LARGE, SMALL, mutate

CONTENT = bytes(range(256)) + b"width 512 height 1024\n" * 20
FOUND = {
    "stumble": "UnicodeDecodeError: ", "spin": "a hang over 0.3 s", "wait": "a hang over 0.3 s",
    "swell": "more memory than allowed",
    "crash": "the process died: SIGSEGV", "ramble": "control characters: ", "quote": " letters: ", "print": "on the screen: ",
    "overlook": "accepted though changed",
}  # fmt: skip


def test_a_damage_follows_from_its_number():
    assert [mutate(CONTENT, number) for number in range(50)] == [mutate(CONTENT, number) for number in range(50)]
    assert len({mutate(CONTENT, number) for number in range(300)}) > 280


def test_every_kind_of_damage_is_among_the_first_three_hundred(monkeypatch):
    done = set()
    for name, ways in (("SMALL", SMALL), ("LARGE", LARGE)):
        seen = tuple((lambda changed, random, way=way: done.add(way.__name__) or way(changed, random)) for way in ways)
        monkeypatch.setattr(f"mutator.{name}", seen)
    assert mutate(CONTENT, 0) == b""
    for number in range(1, 300):
        mutate(CONTENT, number)
    assert done == {way.__name__ for way in (*SMALL, *LARGE)}


@pytest.mark.parametrize("name", FOUND)
def test_what_no_reader_may_do_is_found(attack, tmp_path, monkeypatch, name):
    found = attack("bad_readers", name, tmp_path, 25, 0.3 if name in ("spin", "wait") else 8)
    assert any(FOUND[name] in fault for fault in found["faults"]), found


def test_a_sound_reader_has_no_fault(attack, tmp_path):
    found = attack("bad_readers", "sound", tmp_path, 40)
    assert found["faults"] == {}
    assert min(found["accepted"], found["refused"]) > 0
