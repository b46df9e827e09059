"""The data folder: where it is found, names that would leave it, and the check that lists every fault."""

from pathlib import Path

import pytest

from common.data.folder import find_data, resolve_inside
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
    with pytest.raises(UsageError, match="a file; give its folder"):
        find_data("hips", tmp_path / "shared/hips/a")


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
