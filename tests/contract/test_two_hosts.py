"""A run on a cluster of two hosts, in network namespaces of this machine, of which one is lost in the middle."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.files import hash_file
from replications.lung_hip_compare import run

ROOT = Path(__file__).parents[2]
ASKED = ["--preset", "smoke", "--protocol", "leakfree", "--tables", "2", "--rows", "LUNA16 / CNN,128x128 resized / CNN"]
NETWORK = "10.213"  # the hosts have 10.213.1.2 and 10.213.2.2, this machine 10.213.1.1 and 10.213.2.1


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


@contextlib.contextmanager
def make_host(number: int) -> Iterator[list[str]]:
    """A network namespace that reaches this machine alone; gives the words before a command that runs there."""
    name, here, there = f"suite-{os.getpid()}-{number}", f"sh{os.getpid() % 10**6}{number}", f"st{os.getpid() % 10**6}{number}"
    try:
        ip("netns", "add", name)
        ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
        ip("address", "add", f"{NETWORK}.{number}.1/24", "dev", here)
        ip("link", "set", here, "up")
        ip("-n", name, "address", "add", f"{NETWORK}.{number}.2/24", "dev", there)
        ip("-n", name, "link", "set", there, "up")
        ip("-n", name, "link", "set", "lo", "up")
        ip("-n", name, "route", "add", "default", "via", f"{NETWORK}.{number}.1")
        yield ["ip", "netns", "exec", name]
    finally:
        subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


@pytest.fixture(scope="module")
def hosts() -> Iterator[list[list[str]]]:
    """Two hosts; skips where namespaces are not allowed."""
    if shutil.which("ip") is None:
        pytest.skip("needs iproute2 (ip)")
    with contextlib.ExitStack() as stack:
        try:
            yield [stack.enter_context(make_host(number)) for number in (1, 2)]
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")


def start(words: list[str]) -> subprocess.Popen:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(words, cwd=ROOT, start_new_session=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, **quiet)


def end(process: subprocess.Popen) -> None:
    """With all that it started, at once, as by a lost power supply."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def train(out: Path, *argv: str) -> dict[str, str]:
    """sha256 of the predictions of the run and of every training."""
    assert run.main([*ASKED, "--threads", "1", "--out", str(out), *argv]) == 0
    (folder,) = (out / "lung_hip_compare").glob("smoke-*")
    return {str(path.relative_to(folder)): hash_file(path) for path in sorted(folder.rglob("predictions.csv.gz"))}


def test_a_host_that_is_lost_changes_nothing(hosts, tmp_path):
    """Trainings of the lost host are done by the other; the same bytes as without a cluster."""
    pytest.importorskip("distributed", reason="needs the extra 'cluster'")
    address = f"tcp://{NETWORK}.1.1:18786"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", f"{NETWORK}.1.1", "--port", "18786"]
    running = [start([*command, "--no-dashboard"])]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard"]
    running += [start([*host, *worker]) for host in hosts]
    lost: list[bool] = []

    def lose() -> None:
        """The second host, as soon as both have a training."""
        deadline = time.monotonic() + 100
        while len(list((tmp_path / "cluster").glob("**/*.partial/.digest"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        lost.append(running[2].poll() is None)
        end(running[2])

    try:
        from distributed import Client

        with Client(address, timeout=60) as client:
            client.wait_for_workers(2, timeout=90)
        threading.Thread(target=lose, daemon=True).start()
        found = train(tmp_path / "cluster", "--cluster", address)
        assert lost == [True]
        assert len(found) > 2
    finally:
        for process in running:
            end(process)
    assert found == train(tmp_path / "here", "--workers", "1")
