"""Files and folders that replace others: whole after a failed rename and after `kill -9`, with nothing left over."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common import files
from common.files import put_in_place, replace_file, replace_folder
from common.records.provenance import git_state

ROOT = Path(__file__).parents[2]
PAUSE = """
import os, sys, time
from pathlib import Path
from common import files
real, calls = os.replace, []
def replace(source, target):
    if calls:
        print("between", flush=True)
        time.sleep(60)
    calls.append(1)
    real(source, target)
os.replace = replace
with files.replace_folder(Path(sys.argv[1])) as new:
    (new / "content").write_text("new")
    if sys.argv[2] == "writing":
        print("writing", flush=True)
        time.sleep(60)
"""


def fill(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "content").write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def stop_writer():
    """start(folder, where): a process that stops while it replaces the folder; start.kill ends it."""
    started = []

    def start(folder: Path, where: str) -> subprocess.Popen:
        command = [sys.executable, "-c", PAUSE, str(folder), where]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        started.append(process)
        assert process.stdout.readline() == f"{where}\n"
        return process

    yield start
    for process in started:
        kill(process)


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_the_old_folder_stands_again_after_a_failed_rename(tmp_path, monkeypatch, error):
    fill(tmp_path / "kept", "old")
    real, calls = os.replace, []

    def fail(source, target):
        calls.append(source)
        if len(calls) > 1:
            raise error("no")
        real(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(error, match="no"), replace_folder(tmp_path / "kept") as new:
        (new / "content").write_text("new")
    assert names(tmp_path) == ["kept"]
    assert (tmp_path / "kept" / "content").read_text() == "old"


def test_a_folder_comes_back_after_kill_9_between_the_renames(tmp_path, stop_writer):
    fill(tmp_path / "kept", "old")
    kill(stop_writer(tmp_path / "kept", "between"))
    assert len(names(tmp_path)) == 2
    assert "kept" not in names(tmp_path)
    with pytest.raises(ValueError, match="stop"), replace_folder(tmp_path / "kept"):
        raise ValueError("stop")
    assert names(tmp_path) == ["kept"]
    assert (tmp_path / "kept" / "content").read_text() == "old"


@pytest.mark.parametrize("through", ["replace_folder", "put_in_place"])
def test_leftovers_of_the_dead_go_with_the_next_writing(tmp_path, stop_writer, through):
    kill(stop_writer(tmp_path / "kept", "writing"))
    (left,) = names(tmp_path)
    fill(tmp_path / left.replace(".part", ".old"), "older")
    fill(tmp_path / "kept", "old")
    fill(tmp_path / left.replace(".kept.", ".kept.too."), "of another name")
    if through == "replace_folder":
        with replace_folder(tmp_path / "kept") as new:
            (new / "content").write_text("new")
    else:
        fill(tmp_path / "kept.partial", "new")
        put_in_place(tmp_path / "kept.partial", tmp_path / "kept")
    assert names(tmp_path) == [left.replace(".kept.", ".kept.too."), "kept"]
    assert (tmp_path / "kept" / "content").read_text() == "new"


def test_what_a_living_process_writes_is_left_alone(tmp_path, stop_writer):
    stop_writer(tmp_path / "kept", "writing")
    (part,) = names(tmp_path)
    with replace_folder(tmp_path / "kept") as new:
        (new / "content").write_text("of another")
    assert names(tmp_path) == [part, "kept"]
    assert (tmp_path / part / "content").read_text() == "new"


@pytest.mark.parametrize("stale", ["file", "folder", "link"])
@pytest.mark.parametrize("kind", ["part", "old"])
def test_leftovers_with_our_own_process_number_are_no_obstacle(tmp_path, stale, kind):
    for name, replace in (("kept", replace_folder), ("kept.txt", replace_file)):
        left = tmp_path / f".{name}.{os.getpid()}.{kind}"
        if stale == "file":
            left.write_text("stale")
        elif stale == "folder":
            fill(left, "stale")
        else:
            left.symlink_to(tmp_path)
        if replace is replace_folder:
            fill(tmp_path / name, "old")
        else:
            (tmp_path / name).write_text("old")
        with replace(tmp_path / name) as new:
            (new / "content" if replace is replace_folder else new).write_text("new")
    assert names(tmp_path) == ["kept", "kept.txt"]
    assert (tmp_path / "kept" / "content").read_text() == (tmp_path / "kept.txt").read_text() == "new"


def test_odd_process_numbers_are_dead_ones(tmp_path):
    (tmp_path / f".kept.{'9' * 30}.part").mkdir()
    with replace_folder(tmp_path / "kept"):
        pass
    assert names(tmp_path) == ["kept"]


def test_a_link_in_the_place_of_a_folder_is_replaced_not_followed(tmp_path):
    fill(tmp_path / "elsewhere", "kept")
    (tmp_path / "place").symlink_to(tmp_path / "elsewhere")
    with replace_folder(tmp_path / "place") as new:
        (new / "content").write_text("new")
    assert names(tmp_path) == ["elsewhere", "place"]
    assert [(tmp_path / name / "content").read_text() for name in names(tmp_path)] == ["kept", "new"]


def test_leftovers_do_not_count_as_changes_of_the_code(tmp_path):
    subprocess.run(["git", "-C", str(tmp_path), "init"], check=True, capture_output=True)
    shutil.copyfile(ROOT / ".gitignore", tmp_path / ".git" / "info" / "exclude")
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    commit = ["commit", "--allow-empty", "--no-verify", "-m", "first"]
    subprocess.run(["git", "-C", str(tmp_path), *identity, *commit], check=True, capture_output=True)
    (tmp_path / "results").mkdir()
    for kind in ("part", "old"):
        fill(tmp_path / "results" / f".some_paper.17.{kind}", "left over")
        assert files.LEFTOVER.fullmatch(f".some_paper.17.{kind}")
    assert git_state(tmp_path).dirty is False
