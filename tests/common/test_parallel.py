"""Processes of ours: they give what threads give, in order, and leave nothing behind."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from joblib.parallel import BACKENDS

from common.cases import descriptions, duplicates
from common.data import reading
from common.errors import RunError, UsageError
from common.parallel import spread_apart

ROOT = Path(__file__).parents[2]


def add_up(array, row):
    return row, os.getpid(), float(array[row].sum()), cv2.getNumThreads()


def fail_at(last, number):
    if number == last:
        raise ZeroDivisionError
    return number


def end_at(last, number):
    if number == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_work_comes_back_in_order_from_other_processes_with_single_threaded_libraries():
    array = np.arange(1000.0).repeat(64).reshape(1000, 64)
    rows, processes, sums, threads = zip(*spread_apart(partial(add_up, array), range(1000), lot=7), strict=True)
    assert rows == tuple(range(1000))
    assert list(sums) == array.sum(axis=1).tolist()
    assert os.getpid() not in processes
    assert set(threads) == {1}


def test_who_takes_no_more_hears_nothing_of_what_was_sent_ahead(recwarn):
    work = spread_apart(abs, range(3000), lot=10)
    assert [next(work) for _ in range(12)] == list(range(12))
    work.close()
    assert not recwarn.list


def test_a_failure_comes_through_and_a_process_that_was_killed_gives_one_line():
    with pytest.raises(ZeroDivisionError):
        list(spread_apart(partial(fail_at, 5), range(100)))
    with pytest.raises(RunError, match="ended from outside.*the same command starts it again"):
        list(spread_apart(partial(end_at, 5), range(100)))
    assert list(spread_apart(abs, range(10))) == list(range(10))  # and the next work has processes again


def test_a_folder_that_takes_no_shared_array_is_told_in_one_line(tmp_path, monkeypatch):
    place = tmp_path / "file"
    place.touch()
    monkeypatch.setenv("JOBLIB_TEMP_FOLDER", str(place))
    with pytest.raises(RunError, match="leads through a file where a folder belongs.*; JOBLIB_TEMP_FOLDER names another$"):
        list(spread_apart(partial(add_up, np.ones((100, 1000))), range(10)))


def test_threads_do_it_where_the_system_has_no_semaphores_to_share(monkeypatch):
    monkeypatch.delitem(BACKENDS, "loky")
    assert {process for _, process, *_ in spread_apart(partial(add_up, np.ones((10, 10))), range(10), lot=3)} == {os.getpid()}


def test_threads_do_it_where_the_screen_is_closed(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert {process for _, process, *_ in spread_apart(partial(add_up, np.ones((10, 10))), range(10), lot=3)} == {os.getpid()}


def test_pictures_are_described_and_compared_alike_by_processes(monkeypatch):
    rough = np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8)
    pictures = rough.repeat(8, axis=1).repeat(8, axis=2)
    pictures[7], pictures[50] = 255 - pictures[30], pictures[30][:, ::-1]
    pictures[12:20, :9] = pictures[12:20, -9:] = 0  # bordered
    threads = descriptions.describe_images(pictures)
    expected = duplicates.compare_images(threads, limit=0.9)
    monkeypatch.setattr(descriptions, "MANY", 1)
    monkeypatch.setattr(duplicates, "APART", 1)
    monkeypatch.setattr(descriptions, "LOT", 7)
    monkeypatch.setattr(duplicates, "BLOCK", 16)
    processes = descriptions.describe_images(pictures)
    for name in ("thumbnails", "sketches", "coarse", "spectra", "widths", "image_of", "numbers"):
        np.testing.assert_array_equal(getattr(processes, name), getattr(threads, name))
    assert len(threads.image_of) == 68
    pd.testing.assert_frame_equal(duplicates.compare_images(processes, limit=0.9), expected)
    assert {(7, 30), (7, 50), (30, 50)} <= set(zip(expected["index_a"], expected["index_b"], strict=True))


def test_very_many_files_are_read_by_processes_and_their_faults_stay_in_their_place(monkeypatch):
    monkeypatch.setattr(reading, "MANY", 10)

    def read(number):
        if number % 3 == 1:
            raise UsageError(f"{number}.png: damaged")
        return number, os.getpid()

    found = list(reading.read_ahead(read, range(100)))
    assert [number for number, _ in found] == list(range(100))
    assert [str(one) for _, one in found[1::3]] == [f"{number}.png: damaged" for number in range(1, 100, 3)]
    assert os.getpid() not in {one[1] for _, one in found[::3]}


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to find processes")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_command_that_is_ended_takes_its_processes_along(tmp_path, how):
    script = tmp_path / "work.py"
    script.write_text(
        "import sys, time\nfrom common.errors import run_main\nfrom common.parallel import spread_apart\n"
        "def main():\n    for number in spread_apart(time.sleep, [0.2] * 500):\n        print('done', flush=True)\n"
        "sys.exit(run_main(main))\n"
    )
    command = subprocess.Popen(
        [sys.executable, script],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stdout
    assert command.stdout.readline() == "done\n"
    children = list_children(command.pid)
    assert children
    command.send_signal(how)
    _, said = command.communicate(timeout=30)  # its processes hold the screen too
    if how == signal.SIGTERM:
        assert (command.returncode, said) == (143, "stopped; the same command goes on where it stopped\n")
    left = time.monotonic() + 10
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < left, children
        time.sleep(0.1)


def list_children(parent):
    """Processes whose parent is that one."""
    stats = [path.read_text().rpartition(")")[2].split() for path in Path("/proc").glob("[0-9]*/stat")]
    ids = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/stat")]
    return [child for child, stat in zip(ids, stats, strict=True) if int(stat[1]) == parent]
