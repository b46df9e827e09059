"""A run on a cluster of two hosts, in network namespaces of this machine, of which one is lost in the middle."""

import contextlib
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.mammograms import write_films
from benchmarks.two_hosts import ADDRESS, end, make_host, open_cluster
from common.files import hash_file
from replications.ddsm_inceptionv4.config import PAPER
from replications.ddsm_inceptionv4.preparing import PART, Team, prepare_films
from replications.lung_hip_compare import run

ASKED = ["--preset", "smoke", "--protocol", "leakfree", "--tables", "2", "--rows", "LUNA16 / CNN,128x128 resized / CNN"]


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


def train(out: Path, *argv: str) -> dict[str, str]:
    """sha256 of the predictions of the run and of every training."""
    assert run.main([*ASKED, "--threads", "1", "--out", str(out), *argv]) == 0
    (folder,) = (out / "lung_hip_compare").glob("smoke-*")
    return {str(path.relative_to(folder)): hash_file(path) for path in sorted(folder.rglob("predictions.csv.gz"))}


def test_a_host_that_is_lost_changes_nothing(hosts, tmp_path):
    """Trainings of the lost host are done by the other; the same bytes as without a cluster."""
    pytest.importorskip("distributed", reason="needs the extra 'cluster'")
    lost: list[bool] = []

    def lose(worker: subprocess.Popen) -> None:
        """A host, as soon as both have a training."""
        deadline = time.monotonic() + 100
        while len(list((tmp_path / "cluster").glob("**/*.partial/.digest"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        lost.append(worker.poll() is None)
        end(worker)

    with open_cluster(hosts) as workers:
        threading.Thread(target=lose, args=(workers[1],), daemon=True).start()
        found = train(tmp_path / "cluster", "--cluster", ADDRESS)
    assert lost == [True]
    assert len(found) > 2
    assert found == train(tmp_path / "here", "--workers", "1")


def test_films_are_prepared_on_both_hosts_to_the_same_pictures(hosts, tmp_path):
    """More than one part for each host; the benchmark does the same with 10,000 films."""
    pytest.importorskip("distributed", reason="needs the extra 'cluster'")
    (tmp_path / "films").mkdir()
    films = write_films(tmp_path / "films", 2 * PART + 5, 200)
    here = prepare_films(tmp_path / "films", films, PAPER, tmp_path / "here", Team())
    with open_cluster(hosts):
        found = prepare_films(tmp_path / "films", films, PAPER, tmp_path / "cluster", Team(cluster=ADDRESS))
    assert found.films == here.films
    assert found.pictures.tobytes() == here.pictures.tobytes()
    assert found.thumbnails.tobytes() == here.thumbnails.tobytes()
