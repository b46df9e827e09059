"""What is left in --out by a command that was refused, and by a dry run."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from common.cases.table import LeakError
from common.cli import Options, parse_options
from common.errors import UsageError
from common.files import hold_lock
from common.runs.undo import run_or_undo

NAME = "some_paper"


def ask(out: Path, *flags: str) -> Options:
    return parse_options(["--out", str(out), *flags], f"replications.{NAME}.run", "", ["demo"])


def make(home: Path, *, synthetic: bool = True, begun: bool = False) -> None:
    """What a command makes before its trainings: phantoms, a prepared set and its lock, the folder of the run."""
    for place in ("phantoms-111111111111", "prepared/own-1", "demo-both-111111111111/cells"):
        (home / place).mkdir(parents=True, exist_ok=True)
    (home / "prepared" / "own-1" / "data.json").write_text(json.dumps({"synthetic": synthetic}))
    (home / "prepared" / "own-1.lock").touch()
    if begun:
        (home / "demo-both-111111111111" / "commands.json").write_text("[]")


def list_files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def refuse(options: Options) -> int:
    make(options.out / NAME)
    raise LeakError("a patient on both sides")


def test_a_refused_command_leaves_nothing(tmp_path):
    with pytest.raises(UsageError, match="a patient on both sides"):
        run_or_undo(refuse, ask(tmp_path / "a" / "b"), NAME)
    assert not list_files(tmp_path)


def test_a_dry_run_leaves_nothing(tmp_path):
    def run(options: Options) -> int:
        make(options.out / NAME)
        return 0

    assert run_or_undo(run, ask(tmp_path / "out", "--dry-run"), NAME) == 0
    assert not list_files(tmp_path)
    assert run_or_undo(run, ask(tmp_path / "out"), NAME) == 0  # no dry run, and none refused
    assert "some_paper/phantoms-111111111111" in list_files(tmp_path / "out")


def test_what_was_there_before_stays(tmp_path):
    home = tmp_path / NAME
    make(home)
    (home / "demo-both-000000000000").mkdir()
    before = list_files(tmp_path)

    def run(options: Options) -> int:
        (home / "demo-both-222222222222").mkdir()
        (home / "prepared" / "own-2").mkdir()
        (home / "prepared" / "own-2" / "data.json").write_text(json.dumps({"synthetic": True}))
        return refuse(options)

    with pytest.raises(LeakError):
        run_or_undo(run, ask(tmp_path), NAME)
    assert list_files(tmp_path) == before


def test_prepared_pictures_of_real_data_stay(tmp_path):
    def run(options: Options) -> int:
        make(options.out / NAME, synthetic=False)
        (options.out / NAME / "prepared" / "half").mkdir()
        (options.out / NAME / "prepared" / "refused.lock").touch()  # its pictures could not be read
        return 0

    assert run_or_undo(run, ask(tmp_path, "--dry-run"), NAME) == 0
    assert list_files(tmp_path / NAME) == [
        "prepared", "prepared/half", "prepared/own-1", "prepared/own-1.lock", "prepared/own-1/data.json",
    ]  # fmt: skip


def test_files_of_others_stay(tmp_path):
    """Such as a download into the same folder."""

    def run(options: Options) -> int:
        (options.out / NAME / "scans").mkdir()
        (options.out / NAME / "scans.zip.lock").touch()
        return refuse(options)

    with pytest.raises(LeakError):
        run_or_undo(run, ask(tmp_path), NAME)
    assert list_files(tmp_path / NAME) == ["scans", "scans.zip.lock"]


def test_a_run_that_began_stays_as_it_is(tmp_path):
    """A refusal at its end, such as one to publish, loses no training."""

    def run(options: Options) -> int:
        make(options.out / NAME, begun=True)
        raise UsageError("not to be published")

    with pytest.raises(UsageError):
        run_or_undo(run, ask(tmp_path), NAME)
    assert "some_paper/demo-both-111111111111/cells" in list_files(tmp_path)
    assert "some_paper/phantoms-111111111111" in list_files(tmp_path)


def test_nothing_goes_while_another_command_works_there(tmp_path):
    """It may have begun to read what this one has made."""

    def outer(options: Options) -> int:
        with pytest.raises(LeakError):
            run_or_undo(refuse, options, NAME)
        assert "some_paper/prepared/own-1" in list_files(options.out)
        return 0

    assert run_or_undo(outer, ask(tmp_path), NAME) == 0
    assert "some_paper/prepared/own-1" in list_files(tmp_path)


def test_the_run_of_another_command_stays_where_copies_are_joined(tmp_path):
    """It may have made its folder since this one began, and both may be of the same data."""
    ours, other = (tmp_path / NAME / f"demo-both-{digit * 12}" for digit in "12")
    starts = []

    def run(_options: Options) -> int:
        ours.mkdir(parents=True, exist_ok=True)
        lock = contextlib.ExitStack()
        lock.enter_context(hold_lock(ours / ".run.lock", wait=False))
        if not starts:
            other.mkdir()
        starts.append(other.is_dir())
        if len(starts) < 3:
            error = LeakError("two copies")
            error.copies = (("a", str(len(starts)), 0.9),)
            raise error
        lock.close()
        return 0

    def beside(options: Options) -> int:
        return run_or_undo(run, options, NAME)

    assert run_or_undo(beside, ask(tmp_path), NAME) == 0
    assert starts == [True, True, True]


def test_an_out_that_can_no_longer_be_made_is_left_to_the_run(tmp_path):
    options = replace(ask(tmp_path), out=tmp_path / "file")
    options.out.touch()

    def run(_options: Options) -> int:
        raise UsageError("says what is wrong")

    with pytest.raises(UsageError, match="says what is wrong"):
        run_or_undo(run, options, NAME)
    assert list_files(tmp_path) == ["file"]
