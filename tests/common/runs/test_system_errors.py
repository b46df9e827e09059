"""What the machine does to a run: a full disk, limits, things in the way. One line, exit code 1 (--out: 2), nothing is lost."""

import contextlib
import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from toy_cells import make_cells
from toy_run import read_toy, run_toy

from common import files
from common.cli import parse_options
from common.errors import RunError, UsageError, run_main
from common.runs import estimate
from common.runs.cells import Cell
from common.runs.run import Run, open_run
from common.runs.work import Work
from common.runs.workers import run_cells

TESTS = Path(__file__).parent
GOES_ON = "then the same command goes on where it stopped"


def read_line(capfd) -> str:
    """The last line on stderr, where no other tells of an error."""
    errors = capfd.readouterr().err
    assert "Traceback" not in errors
    lines = errors.splitlines()
    assert sum(line.startswith("error: ") for line in lines) == 1
    return lines[-1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """What an undisturbed run leaves."""
    out = tmp_path_factory.mktemp("whole")
    assert run_toy(out) == 0
    return read_toy(out)


def test_the_disk_is_full_at_any_point(whole, tmp_path, monkeypatch, capfd):
    """Each time that something is brought to the disk, once."""
    real, calls, failed = os.fsync, 0, 0
    left = 0  # of the calls that succeed

    def fsync(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls > left:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(files.os, "fsync", fsync)
    while True:
        calls = 0
        if (code := run_toy(tmp_path)) == 0:
            break
        assert code == 1
        line = read_line(capfd)
        assert str(tmp_path) in line
        assert ".part:" not in line
        assert f"no space is left on the disk; free some, or take a folder on another disk; {GOES_ON}" in line
        failed, left = failed + 1, left + 2
    assert failed > 5
    assert read_toy(tmp_path) == whole


@pytest.mark.parametrize("limit", [100, 25_000])
def test_files_may_not_become_as_large(whole, tmp_path, limit):
    """ulimit -f, met by the table or the pictures of the prepared data."""
    command = [sys.executable, str(TESTS / "toy_run.py"), str(tmp_path), "1", str(limit)]
    environment = os.environ | {"PYTHONPATH": f"{TESTS.parents[2]}{os.pathsep}{TESTS}"}
    first = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, timeout=100)
    assert first.returncode == 1
    (line,) = first.stderr.splitlines()
    assert line.startswith("error: ")
    assert str(tmp_path) in line
    assert line.endswith(GOES_ON)
    assert run_toy(tmp_path) == 0
    assert read_toy(tmp_path) == whole


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a file system of so many kB; again: makes it larger."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(kilobytes: int, *options: str) -> Path:
        how = ",".join([*(["remount"] if place.is_mount() else []), f"size={kilobytes}k", *options])
        command = ["mount", "-t", "tmpfs", "-o", how, "tmpfs", str(place)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("needs the right to mount a file system")
        return place

    yield mount
    if place.is_mount():
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("kilobytes", [4, 8, 20, 40, 48, 56, 64, 80, 92, 100])
def test_a_small_disk(whole, small_disk, kilobytes, capfd):
    out = small_disk(kilobytes)
    assert run_toy(out) == 1
    line = read_line(capfd)
    assert str(out) in line
    assert line.endswith(GOES_ON)
    assert run_toy(small_disk(1000)) == 0
    assert read_toy(out) == whole


def test_a_read_only_disk(small_disk, capfd):
    out = small_disk(1000, "ro")
    assert run_toy(out / "runs") == 2
    wrong = "the file system is read-only; make it writable, or take another folder; nothing was done"
    assert read_line(capfd) == f"error: --out {out / 'runs'}: {wrong}"


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        ("file", "leads through a file where a folder belongs"),
        ("file/runs/deep", "leads through a file where a folder belongs"),
        ("dangling", "is not there"),
        ("loop/runs", "is a link that leads to itself"),
        ("n" * 300, "the name is too long"),
    ],
)
def test_an_impossible_out_is_refused_before_anything_is_done(tmp_path, capfd, out, reason):
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to("loop")
    before = sorted(tmp_path.rglob("*"))
    assert run_toy(tmp_path / out) == 2
    line = read_line(capfd)
    assert line.startswith(f"error: --out {tmp_path / out}: {reason}; ")
    assert line.endswith("; nothing was done")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_may_not_be_written_is_refused(tmp_path, monkeypatch):
    def refuse(**_named):
        raise PermissionError(errno.EACCES, "Permission denied", "/tmpfile")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(UsageError, match="no permission; give yourself access, or take another folder; nothing was done"):
        parse_options(["--out", str(tmp_path / "new")], "replications.toy.run", "", ["demo"])
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", [".lock", ".run.lock"])
def test_a_folder_where_a_lock_belongs(tmp_path, capfd, name):
    assert run_toy(tmp_path) == 0
    (folder,) = (tmp_path / "toy").glob("demo-*")
    (folder / name).unlink()
    (folder / name).mkdir()
    assert run_toy(tmp_path) == 1
    assert read_line(capfd) == f"error: {folder / name}: is a folder where a file belongs; move it away; {GOES_ON}"
    (folder / name).rmdir()
    assert run_toy(tmp_path) == 0


def test_a_link_where_a_folder_of_the_run_belongs_gives_way(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.png").touch()
    (tmp_path / "figures").symlink_to("elsewhere")
    with files.replace_folder(tmp_path / "figures") as new:
        (new / "1.png").touch()
    assert not (tmp_path / "figures").is_symlink()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png")) == ["elsewhere/mine.png", "figures/1.png"]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("memory", "memory ran out; take fewer --workers"),
        ("device", "memory ran out; take fewer --workers"),
        (str(errno.EACCES), "file.npz: no permission"),
        (str(errno.EBUSY), "file.npz: words of the system; put that right"),
    ],
)
def test_a_training_that_the_system_refuses_is_said_and_the_others_go_on(tmp_path, capfd, workers, how, words):
    todo = [Cell("refused", "toy_cells:run_out", {"how": how}), *make_cells(1)]
    failed = run_cells(todo, tmp_path, workers=workers, threads=1)
    assert failed.keys() == {"refused"}
    assert words in failed["refused"]
    assert failed["refused"].endswith(GOES_ON)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("how", ["weights", str(errno.ENOSPC), str(errno.EROFS)])
def test_what_every_training_would_meet_ends_the_run(tmp_path, workers, how):
    todo = [Cell("refused", "toy_cells:run_out", {"how": how}), *make_cells(1)]
    with pytest.raises(RunError, match=f"refused: .*/refused.partial.*; {GOES_ON}"):
        run_cells(todo, tmp_path, workers=workers, threads=1)


def test_memory_that_runs_out_outside_of_a_training(capfd):
    def fail() -> int:
        raise MemoryError

    assert run_main(fail) == 1
    assert "memory ran out" in read_line(capfd)


def test_a_fault_of_ours_keeps_its_traceback():
    def fail() -> int:
        raise RuntimeError("ours")

    with pytest.raises(RuntimeError, match="ours"):
        run_main(fail)


def test_a_reader_that_ends_is_no_error():
    script = "from common.errors import run_main\nrun_main(lambda: [print('line' * 99) for _ in range(9999)] and 0)"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=TESTS.parents[2]
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


def open_toy(out: Path) -> Run:
    options = parse_options(["--out", str(out), "--workers", "1", "--threads", "1"], "replications.toy.run", "", ["demo"])
    return open_run(Path("replications/toy"), options, "demo", {}, synthetic=False, datasets={})


def test_a_disk_that_is_too_small_is_told_before_the_work(tmp_path, monkeypatch):
    """What a begun training has on the disk already does not count twice; the folder is free again afterwards."""
    run = open_toy(tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(estimate.shutil, "disk_usage", lambda _: usage._replace(free=10_000_000))
    with pytest.raises(UsageError, match=r"needs about 20 MB, and 10 MB are free; free some, or choose another --out"):
        estimate.announce(run, [Work("new", seconds=1)])
    again = open_toy(tmp_path)
    assert estimate.announce(again, [])  # nothing is to be done
    partial = again.folder / "cells" / "new.partial"
    partial.mkdir(parents=True)
    with contextlib.closing(open(partial / "checkpoint.npz", "wb")) as file:
        file.truncate(11_000_000)
    assert estimate.announce(again, [Work("new", seconds=1)])
    again.lock.close()
