"""Films prepared on a cluster of two hosts, against the same work on this machine alone: equal pictures, images a second.

`python -m benchmarks.two_hosts [--films 10000] [--height 400]`

The hosts are network namespaces of this machine, made here (root, iproute2) and taken away at the end, each with a Dask worker;
they reach this machine's scheduler and nothing else, and share its disk. The films are phantoms in lossless JPEG. One process
here, two here, and the cluster prepare them; starting the processes counts, the engine's own start does not. Exit code 1 where
pictures differ.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.mammograms import write_films
from replications.ddsm_inceptionv4.config import PAPER
from replications.ddsm_inceptionv4.preparing import Films, Team, prepare_films

ROOT = Path(__file__).parents[1]
NETWORK = "10.213"  # the hosts have 10.213.1.2 and 10.213.2.2, this machine 10.213.1.1 and 10.213.2.1
ADDRESS = f"tcp://{NETWORK}.1.1:18786"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


@contextlib.contextmanager
def make_host(number: int) -> Iterator[list[str]]:
    """A network namespace that reaches this machine alone; gives the words before a command that runs there.

    Raises subprocess.CalledProcessError where namespaces are not allowed."""
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


def start(words: list[str]) -> subprocess.Popen:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(words, cwd=ROOT, start_new_session=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, **quiet)


def end(process: subprocess.Popen) -> None:
    """With all that it started, at once, as by a lost power supply."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def open_cluster(hosts: Sequence[list[str]]) -> Iterator[list[subprocess.Popen]]:
    """A scheduler on this machine at ADDRESS and a worker on each host; gives the workers, which may be ended."""
    from distributed import Client

    module = [sys.executable, "-m"]
    command = [*module, "distributed.cli.dask_scheduler", "--host", f"{NETWORK}.1.1", "--port", "18786", "--no-dashboard"]
    worker = [*module, "distributed.cli.dask_worker", ADDRESS, "--nthreads", "1", "--no-dashboard"]
    running = [start(command)]
    try:
        running += [start([*host, *worker]) for host in hosts]
        with Client(ADDRESS, timeout=60) as client:
            client.wait_for_workers(len(hosts), timeout=90)
        yield running[1:]
    finally:
        for process in running:
            end(process)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=10_000)
    parser.add_argument("--height", type=int, default=400, help="of a film, pixels")
    given = parser.parse_args(argv)
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (place / "films").mkdir()
        films = write_films(place / "films", given.films, given.height)
        kept: Films | None = None

        def prepare(title: str, team: Team) -> bool:
            """Whether the pictures are those that were there before."""
            nonlocal kept
            started = time.perf_counter()
            found = prepare_films(place / "films", films, PAPER, place / title.replace(" ", "-"), team)
            seconds = time.perf_counter() - started
            first, kept = kept, kept or found
            same = first is None or (first.films == found.films and np.array_equal(first.pictures, found.pictures))
            print(f"{title}: {len(found.read)} pictures in {seconds:.1f} s, {len(films) / seconds:.1f} images/s", flush=True)
            return same

        same = [prepare("1 process", Team(1)), prepare("2 processes", Team(2))]
        hosts = [stack.enter_context(make_host(number)) for number in (1, 2)]
        stack.enter_context(open_cluster(hosts))
        same.append(prepare("cluster of 2 hosts", Team(2, 1, ADDRESS)))
    print("equal pictures" if all(same) else "pictures DIFFER")
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
