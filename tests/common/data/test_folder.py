"""The data folder: where it is found, names that would leave it, and the check that lists every fault."""

import hashlib
from pathlib import Path

import pytest

from common.data.folder import FileFacts, check_folder, find_data, resolve_inside
from common.errors import UsageError


def test_data_is_found_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPLICATIONS_DATA", raising=False)
    assert find_data("hips") is None
    (tmp_path / "data/hips").mkdir(parents=True)
    assert find_data("hips") is None  # empty
    (tmp_path / "data/hips/a").touch()
    assert find_data("hips") == Path("data/hips")
    (tmp_path / "shared/hips").mkdir(parents=True)
    (tmp_path / "shared/hips/a").touch()
    monkeypatch.setenv("REPLICATIONS_DATA", str(tmp_path / "shared"))
    assert find_data("hips") == tmp_path / "shared/hips"
    assert find_data("hips", tmp_path) == tmp_path
    with pytest.raises(UsageError, match="--data .*nowhere: no such folder"):
        find_data("hips", tmp_path / "nowhere")


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/passwd", "a/../../x", "C:\\x", "..\\x", "\\\\server\\x", "", "a\0b", "a/..", "link/x", "file"],
)
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    (tmp_path / "secret").touch()
    (folder / "file").symlink_to(tmp_path / "secret")
    with pytest.raises(UsageError, match="data folder"):
        resolve_inside(folder, name)


def test_names_inside_the_folder_are_accepted(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "inner").symlink_to(tmp_path / "a")
    for name in ("a/b.png", "a/./b.png", "...", "inner/b.png", "a b/ä.png"):
        assert resolve_inside(tmp_path, name) == tmp_path / name
    outside = tmp_path / "a"
    (outside / "out").symlink_to(tmp_path.parent)
    assert resolve_inside(outside, "out/x", follow_links=True) == outside / "out/x"
    with pytest.raises(UsageError, match="leaves"):
        resolve_inside(outside, "out/../x", follow_links=True)


def test_check_lists_every_problem(tmp_path):
    for name, content in {
        "a.png": b"a",
        "b.png": b"b",
        "c.png": b"c",
        "sub/d.png": b"a",
        "bad.png": b"",
        "x.png": b"x",
    }.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
    (tmp_path / "notes.txt").write_text("not part of the data")

    def read(file: Path) -> None:
        if not file.read_bytes():
            raise OSError("cannot identify\nimage")

    facts = {
        "a.png": FileFacts(1, hashlib.sha256(b"a").hexdigest()),
        "b.png": FileFacts(1, hashlib.sha256(b"other").hexdigest()),
        "c.png": FileFacts(7),
        "sub/d.png": FileFacts(),
        "bad.png": FileFacts(),
        "gone.png": FileFacts(3),
    }
    assert check_folder(tmp_path, facts, pattern="**/*.png", read=read) == [
        "a.png: the same content as sub/d.png",
        "b.png: wrong checksum",
        "bad.png: unreadable: cannot identify image",
        "c.png: wrong size: 1 bytes, expected 7",
        "gone.png: missing",
        "x.png: unexpected",
    ]
    whole = {name: FileFacts(1) for name in ("a.png", "b.png", "c.png")}
    assert check_folder(tmp_path, whole, pattern="[abc].png") == []
