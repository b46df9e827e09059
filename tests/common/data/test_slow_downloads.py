"""Servers that drip, send something else, or send elsewhere; and a download that is asked to end."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from common.data import downloads
from common.data.downloads import download, fetch
from common.errors import UsageError

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Length: 1000\r\n\r\n"
PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<!DOCTYPE html><title>sign in</title>"
SHORT = OK.replace(b"application/zip", b"text/html").replace(b"1000", b"14") + b"<html>no</html"
LOOP = b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"


@contextmanager
def serve(start: bytes, drip: bytes = b"", pause: float = 0.05):
    """A server that answers every connection with `start`, then with `drip` again and again until it ends."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer(connection: socket.socket) -> None:
            with connection:
                try:
                    connection.recv(4096)
                    connection.sendall(start)
                    while drip:
                        connection.sendall(drip)
                        time.sleep(pause)
                except OSError:
                    pass

        def listen() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        threading.Thread(target=listen, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/data.zip"


def refuse(act) -> str:
    started = time.monotonic()
    with pytest.raises(UsageError) as caught:
        act()
    assert time.monotonic() - started < 10
    assert str(caught.value).isprintable()
    return str(caught.value)


def both(url: str, folder) -> list[str]:
    """What either way of fetching says of a server; neither leaves the file under its name."""
    said = [
        refuse(lambda: download(url, folder / "data.zip", "0" * 64, 1000)),
        refuse(lambda: fetch(url, folder / "fetched.zip", 10_000, "get it by hand")),
    ]
    assert not (folder / "data.zip").exists()
    assert all(url in line for line in said)
    return said


def test_a_drop_now_and_then_is_too_slow(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "WINDOW", 0.3)
    with serve(OK, b"x") as url:
        first, second = both(url, tmp_path)
    assert "slower than 1 kB/s at " in first
    assert "the same command goes on from there" in first
    assert (tmp_path / "data.zip.part").stat().st_size > 0
    assert "slower than 1 kB/s; get it by hand" in second


def test_a_file_has_a_time_in_all(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "MOST_SECONDS", 0.3)
    with serve(OK, b"x" * 10) as url:
        assert all("not done in" in line for line in both(url, tmp_path))


def test_headers_that_drip_are_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "MOST_SECONDS_OF_HEADERS", 0.3)
    with serve(b"HTTP/1.1 200 OK\r\nX-A: ", b"a") as url:
        assert all("no answer in 0 s" in line for line in both(url, tmp_path))


def test_what_came_instead_is_told(tmp_path):
    with serve(PAGE) as url:
        first, second = both(url, tmp_path)
    assert "the offered file is a web page" in first
    assert "a web page came instead of the file" in second
    with serve(SHORT) as url:
        assert "smaller than expected: 14 bytes of 'text/html' came instead of 1000" in both(url, tmp_path)[0]
    assert list(tmp_path.iterdir()) == []


def test_a_ring_of_redirections_is_one_line(tmp_path):
    with serve(LOOP) as url:
        assert all("redirect error" in line for line in both(url, tmp_path))


@pytest.mark.parametrize("end", ["a\nb.zip", "a b.zip", "a\r\nHost: x", "\x1b[2J.zip"])
def test_line_breaks_in_an_address_are_one_line(tmp_path, end):
    for act in (
        lambda: download(f"http://127.0.0.1:9/{end}", tmp_path / "data.zip", "0" * 64, 1000),
        lambda: fetch(f"http://127.0.0.1:9/{end}", tmp_path / "data.zip", 1000, "by hand"),
    ):
        assert "an address with spaces, line breaks or control characters" in refuse(act)


PROGRAM = """
import sys, tempfile
from pathlib import Path
from common.data.downloads import fetch
from common.errors import run_main

def main():
    with tempfile.TemporaryDirectory(dir=sys.argv[2]) as folder:
        print("begun", flush=True)
        fetch(sys.argv[1], Path(folder) / "data.zip", 10000, "by hand")

sys.exit(run_main(main))
"""


def test_a_download_that_is_asked_to_end_leaves_nothing(tmp_path, root):
    with serve(OK, b"x") as url:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, url, str(tmp_path)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
        )  # fmt: skip
        assert process.stdout.readline() == "begun\n"
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob("*/.data.zip*")) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (143, "stopped; the same command goes on where it stopped\n")
    assert list(tmp_path.iterdir()) == []
