"""What a user gives to predict: folders, names, negative places, bad items among good ones."""

import argparse
import logging
from pathlib import Path

import pytest

from common.errors import UsageError
from common.runs.inputs import join_negative, list_inputs, name_apart, parse_point, read_each


def test_a_folder_stands_for_what_is_accepted_in_it(tmp_path):
    for name in ("b.png", "a/c.png", "a/._c.png", "a/notes.txt", ".hidden/d.png", "DICOMDIR"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    given = [tmp_path / "missing.png", tmp_path / "empty", tmp_path]
    files, faults = list_inputs(given, lambda path: path.suffix == ".png" or path.name == "DICOMDIR")
    assert files == [tmp_path / "missing.png", tmp_path / "a" / "c.png", tmp_path / "b.png"]
    assert len(faults) == 1
    assert str(tmp_path / "empty") in faults[0]


def test_names_are_as_long_as_they_must_be(tmp_path, monkeypatch):
    files = ["x/1/a.png", "y/1/a.png", "y/b.png", "z/1/c.png", "a.png"]
    assert name_apart([Path(name) for name in files]) == ["x/1/a.png", "y/1/a.png", "b.png", "c.png", f"{Path.cwd().name}/a.png"]
    assert name_apart([Path("a.png"), Path("./a.png").absolute()]) == ["a.png", "a.png"]  # one file
    assert name_apart([Path("a\n.png")]) == ["'a\\n.png'"]


@pytest.mark.parametrize("text", ["-14.2,3,4", "-.5,1,2", "-1e3,-2,-3"])
def test_a_place_that_begins_with_a_minus_is_no_flag(text):
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+")
    parser.add_argument("--at", type=parse_point, action="append")
    parser.add_argument("--run")
    found = parser.parse_args(join_negative(["a", "--at", text, "--at", "1,2,3", "--run", "r"], ["--at"]))
    assert found.at == [tuple(map(float, text.split(","))), (1.0, 2.0, 3.0)]
    assert (found.files, found.run) == (["a"], "r")
    found = parser.parse_args(join_negative([f"--at={text}", "b"], ["--at"]))
    assert len(found.at) == 1


@pytest.mark.parametrize("text", ["1,2", "1,2,3,4", "a,b,c", "nan,0,0", "0,inf,0", ""])
def test_what_is_no_place(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not X,Y,Z in mm"):
        parse_point(text)


def test_bad_items_do_not_stop_the_others(caplog):
    caplog.set_level("DEBUG")

    def read(number: int) -> int:
        logging.getLogger("PIL.Sub").debug("what a file says")
        logging.getLogger("pydicom").warning("what a file says")
        if number == 2:
            raise UsageError("two: bad")
        if number == 3:
            raise MemoryError
        return 10 * number

    faults = ["before"]
    assert read_each([1, 2, 3, 4], read, faults) == [(1, 10), (4, 40)]
    assert faults == ["before", "two: bad", "3: does not fit into memory"]
    assert not caplog.text
    logging.getLogger("PIL.Sub").debug("after")
    assert "after" in caplog.text
