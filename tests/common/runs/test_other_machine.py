"""A run that was moved, as to another machine, and a clock that jumps: what is finished counts, and nothing is trained again."""

import shutil
import time

from toy_cells import make_cells

from common.runs.cells import is_done, read_record, run_cell


def run(cell, home):
    run_cell(cell, home, 1, lambda *_: None)


def test_a_moved_run_trains_nothing_again(tmp_path):
    cell, begun = make_cells(2)
    run(cell, tmp_path / "here" / "cells")
    (tmp_path / "here" / "cells" / f"{begun.key}.partial").mkdir()
    shutil.move(tmp_path / "here", tmp_path / "elsewhere")
    home = tmp_path / "elsewhere" / "cells"
    before = read_record(cell, home)
    assert is_done(cell, home)
    run(cell, home)
    run(begun, home)
    assert read_record(cell, home) == before
    assert is_done(begun, home)


def test_a_copied_run_with_other_times_trains_nothing_again(tmp_path):
    (cell,) = make_cells(1)
    run(cell, tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "there", copy_function=shutil.copyfile)  # without the times of the files
    assert is_done(cell, tmp_path / "there")


def test_a_clock_that_jumps_back_changes_no_duration(tmp_path, monkeypatch):
    (cell,) = make_cells(1)
    clock = iter(range(10**6, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    run(cell, tmp_path)
    assert 0 <= read_record(cell, tmp_path)["seconds"] < 60
