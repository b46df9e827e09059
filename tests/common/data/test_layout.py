"""A data folder at the wrong level or under another spelling: the tree found, the tree wanted, what to do."""

from pathlib import Path

import pytest

from common.cases.sources import pick_source
from common.cli import parse_options
from common.data.folder import find_data
from common.data.layout import refuse_layout
from common.errors import UsageError

LAYOUT = {"hips": ["cases.csv"], "archive": [], "marked": ["*.mark"]}
FOLDERS = {"own": "hips", "archive": "archive", "marked": "marked"}


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("names", "given", "advice"),
    [
        (["hips/cases.csv", "hips/a.png"], "hips", "this is hips/ itself: give its parent, {root}"),
        (["x/cases.csv", "x/a.png"], "x", "put the content of {root}/x into {root}/x/hips/"),
        (["paper/hips/cases.csv"], "", "hips/ lies a level lower: give {root}/paper"),
        (["x/Hips/cases.csv"], "x", "'Hips' is there"),
        (["x/hips/Cases.csv"], "x", "'Cases.csv' is there"),
        (["x/hips/a.png"], "x", "hips/ is there without cases.csv; found in it: a.png"),
        (["x/a.png", "x/b.png"], "x", "these are the pictures themselves: put them into {root}/x/hips/, with cases.csv"),
        (["archive/a/b.png"], "archive", "this is archive/ itself: give its parent, {root}"),
        (["archive/b.png"], "archive", "this is archive/ itself: give its parent, {root}"),
        (["hips/a.png"], "hips", "this is hips/ itself, without cases.csv: give its parent, {root}"),
        (["hips/cases.csv", "hips/images/a.png"], "hips/images", "this lies in hips/: give its parent, {root}"),
        (["x/a.mark", "x/images/a.png"], "x", "put the content of {root}/x into {root}/x/marked/"),
        (
            ["x/a.mark", "x/images/a.png"],
            "x/images",
            "looks like marked/: put the content of {root}/x into {root}/x/marked/",
        ),
        (["x/notes.txt"], "x", "python -m replications.paper.data says what to get"),
    ],
)
def test_what_is_there_and_what_is_wanted(tmp_path, monkeypatch, names, given, advice):
    monkeypatch.delenv("REPLICATIONS_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    folder = touch(tmp_path, *names) / given
    with pytest.raises(UsageError) as caught:
        pick_source({}, "auto", FOLDERS, folder, "replications.paper.data", LAYOUT)
    message = str(caught.value)
    assert advice.format(root=tmp_path) in message
    assert f"found in {folder}: " in message
    assert f"wanted: {folder}/hips/cases.csv or archive/" in message
    assert "\n" not in message


def test_a_linked_folder_is_the_one_that_was_given(tmp_path, monkeypatch):
    monkeypatch.delenv("REPLICATIONS_DATA", raising=False)
    touch(tmp_path, "elsewhere/download/cases.csv", "mine/notes.txt")
    (tmp_path / "mine" / "hips").symlink_to(tmp_path / "elsewhere" / "download")
    with pytest.raises(UsageError, match=f"this is hips/ itself: give its parent, {tmp_path}/mine$"):
        refuse_layout("paper", tmp_path / "mine" / "hips", LAYOUT, "replications.paper.data")


def test_a_folder_found_unasked_stops_only_where_its_content_lies_wrong(tmp_path, monkeypatch):
    monkeypatch.setenv("REPLICATIONS_DATA", str(tmp_path))
    folder = touch(tmp_path, "paper/other/x") / "paper"
    refuse_layout("paper", folder, LAYOUT, "replications.paper.data")
    touch(folder, "cases.csv")
    with pytest.raises(UsageError, match="put the content of"):
        refuse_layout("paper", folder, LAYOUT, "replications.paper.data")
    refuse_layout("paper", tmp_path / "empty", LAYOUT, "replications.paper.data")


def test_replications_data_that_cannot_be_meant(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "root/some_paper/a", "file", "other/Some-Paper/a", "root2/elsewhere/a")

    def refuse(root: str, *parts: str) -> None:
        monkeypatch.setenv("REPLICATIONS_DATA", str(tmp_path / root))
        with pytest.raises(UsageError) as caught:
            find_data("some_paper")
        for part in ("wanted: $REPLICATIONS_DATA/some_paper/", *parts):
            assert part in str(caught.value)

    refuse("nowhere", "no such folder")
    refuse("file", "a file")
    refuse("root/some_paper", "the folder some_paper itself", f"set it to the parent, {tmp_path / 'root'}")
    refuse("other", "'Some-Paper'", "rename it")
    monkeypatch.setenv("REPLICATIONS_DATA", str(tmp_path / "root2"))
    assert find_data("some_paper") is None
    assert "found there: elsewhere/; wanted: $REPLICATIONS_DATA/some_paper/" in capsys.readouterr().err
    touch(tmp_path, "root2/some_paper/.DS_Store", "root2/some_paper/._a")
    assert find_data("some_paper") is None  # nothing in it but what a Mac adds


def test_smoke_reads_no_data_and_says_so():
    with pytest.raises(UsageError, match="--preset smoke --data x: this preset takes phantoms"):
        parse_options(["--preset", "smoke", "--data", "x"], "replications.paper.run", "", ["smoke", "demo"])
    assert parse_options(["--preset", "demo", "--data", "x"], "replications.paper.run", "", ["smoke", "demo"]).data == Path("x")
