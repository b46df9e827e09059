"""Long work says on stderr how far it is, short work says nothing; and libraries keep to one thread below ours."""

import os
import threading
import time
import warnings

import cv2
import pytest
from threadpoolctl import threadpool_info

from common import progress
from common.data.pictures import ignore_warnings, mute_stderr
from common.data.reading import read_ahead
from common.parallel import limit_libraries, spread
from common.progress import FIRST, MANY, tell_progress, track


def test_short_work_says_nothing(capsys):
    assert list(track(range(5), "reading")) == [0, 1, 2, 3, 4]
    assert capsys.readouterr() == ("", "")


def test_of_very_many_things_the_first_line_comes_at_once(capsys):
    items = track(range(MANY), "reading")
    next(items)
    assert capsys.readouterr() == ("", f"reading: {MANY:,}\n")
    items.close()


def test_one_slow_thing_is_told_within_two_seconds_and_then_again(capsys, monkeypatch):
    assert FIRST < 2
    monkeypatch.setattr(progress, "FIRST", 0.05)
    monkeypatch.setattr(progress, "EVERY", 0.05)
    with tell_progress("reading", total=4) as advance:
        advance(1)
        time.sleep(0.4)
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert printed.out == ""
    assert len(lines) >= 2
    assert all(line.startswith("reading: 1 of 4, about ") for line in lines)
    time.sleep(0.2)
    assert capsys.readouterr().err == "", "nothing after its end"


def test_faults_end_the_telling(capsys):
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), tell_progress("reading"):
        raise ZeroDivisionError
    assert threading.active_count() == before


def test_work_comes_back_in_order_on_several_threads_with_single_threaded_libraries():
    threads = cv2.getNumThreads()

    def work(number):
        time.sleep(0.01 * (number % 3))
        blas = max((one["num_threads"] for one in threadpool_info()), default=1)
        return number, threading.get_ident(), cv2.getNumThreads(), blas

    numbers, idents, opencv, blas = zip(*spread(work, range(12)), strict=True)
    assert numbers == tuple(range(12))
    assert set(opencv) == set(blas) == {1}
    assert threading.get_ident() not in idents
    assert cv2.getNumThreads() == threads
    with limit_libraries(), limit_libraries():
        pass
    assert cv2.getNumThreads() == threads


def test_a_failure_comes_through_and_other_work_is_not_begun():
    begun = []

    def work(number):
        begun.append(number)
        if number == 2:
            raise ZeroDivisionError
        return number

    with pytest.raises(ZeroDivisionError):
        list(spread(work, range(10_000)))
    assert len(begun) < 1000


def test_ended_work_closes_what_it_took_its_items_from():
    """Though the traceback still holds it: else lines of progress came behind the error."""
    before, closed = threading.active_count(), []

    def give():
        try:
            yield from range(100)
        finally:
            closed.append("here")

    with pytest.raises(ZeroDivisionError) as caught:
        list(spread(lambda number: 1 // (number - 3), track(give(), "reading")))
    assert caught.tb
    assert closed == ["here"]
    assert threading.active_count() == before


def test_threads_that_read_leave_screen_and_warnings_as_they_were(capfd):
    filters = list(warnings.filters)

    def read(number):
        with mute_stderr(), ignore_warnings():
            os.write(2, b"hidden")
        with ignore_warnings():
            warnings.warn("hidden", stacklevel=1)
        return number

    assert [number for number, _ in read_ahead(read, range(200))] == list(range(200))
    assert warnings.filters == filters
    os.write(2, b"seen")
    assert capfd.readouterr().err == "seen"
