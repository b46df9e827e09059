"""Kills at random moments: a run that is begun again after each of them ends in the bytes of one that nothing disturbed.

`python -m benchmarks.kill_and_resume [--kills 100] [--packages NAME,...] [--cluster] [--seed 0] [--out FOLDER]`

Each case is one command of a package on its smallest phantoms, first undisturbed, then in chains: killed up to eight times in
a row, at moments drawn from the duration of the undisturbed run, and begun again after each, until it ends. `--cluster` adds the
long training on a Dask cluster of this machine. Compared: predictions, histories, tables but those of measured times, figures,
results.json without times and hosts, and of every training predictions, history and weights. Looked for as well: processes,
held locks and unfinished files that are left, and restarts that print a traceback or refuse.

--out keeps what was done (kills.json): the same command goes on there. Of a chain that went wrong the folder stays. Exit code 1
where anything went wrong, 130 after Ctrl-C.
"""

import argparse
import contextlib
import itertools
import os
import shutil
import signal
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from benchmarks.disturbed_runs import (
    ENDING,
    MARK,
    ROOT,
    Attempt,
    Case,
    find_differences,
    find_remains,
    find_runs,
    list_outputs,
    list_processes,
    tell_stage,
)
from common.files import hold_lock, load_json, write_json_atomic

IN_A_ROW = (2, 8)  # kills of one chain, at most: drawn for each
LONGEST = 3600.0  # seconds of an attempt that nothing disturbs
# What is killed -> its share. INT goes to the whole group, as from a keyboard; TERM to the command, as from a batch system.
WAYS = {"KILL all": 0.5, "KILL the command": 0.1, "KILL a worker": 0.2, "TERM": 0.1, "INT": 0.1}


LONG = (  # half a minute of one training on an idle core: it writes checkpoints
    "--protocol", "paper", "--tables", "2", "--rows", "LUNA16 / CNN", "--set", "cnn_epochs=800",
)  # fmt: skip
CASES = (
    Case("lung", "lung_hip_compare", ("--tables", "2", "--rows", "LUNA16 / CNN"), 36, workers=2),
    Case("lung, long", "lung_hip_compare", LONG, 10),
    Case("thyroid", "thyroid_ensemble", ("--rows", "Scale 1 / AlexNet"), 20, workers=2),
    Case("glioma", "glioma_inceptionv3", ("--rows", "run 1", "--seeds", "1"), 10),
    Case("ddsm", "ddsm_inceptionv4", (
        "--protocol", "leakfree", "--rows", "InceptionV4 vanilla", "--set", "label_levels=image",
        "--set", "width=0.0625", "--set", "phantom_cases=16", "--set", "phantom_height=150", "--set", "epochs=2",
    ), 6),
    Case("bone", "bone_acgan", (
        "--rows", "ResNet34 / data set 1", "--set", "classifier_updates=12", "--set", "leakfree_folds=2",
    ), 10, workers=2),
    Case("lung, long, on a cluster", "lung_hip_compare", LONG, 8, on_cluster=True, like="lung, long"),
)  # fmt: skip


@dataclass(frozen=True)
class Kill:
    """What was killed, when (seconds after the start), and how far the run was."""

    way: str
    moment: float
    stage: str


@dataclass(frozen=True)
class Chain:
    """A run with its kills; faults: what went wrong, in words."""

    case: str
    number: int
    kills: list[Kill]
    faults: list[str]


@dataclass
class Record:
    """The content of kills.json. seconds: of the undisturbed runs."""

    seed: int
    seconds: dict[str, float] = field(default_factory=dict)
    chains: list[Chain] = field(default_factory=list)


def run_chain(
    case: Case, out: Path, random: np.random.Generator, seconds: float, most: int, cluster: Any
) -> Iterator[Kill | str]:
    """Run the case until it ends, killed at most `most` times; gives each kill, and each fault as a text."""
    left = min(int(random.integers(*IN_A_ROW, endpoint=True)), most)
    for number in itertools.count():
        if cluster is not None:
            cluster.wait_for_workers(1, timeout=120)
        attempt = Attempt(case, out, f"{out}#{number}", cluster)
        ways: list[str] = []
        try:
            moment = 0.0
            while left:
                moment += random.uniform(0, seconds)
                if attempt.wait(moment) is not None:
                    break
                stage = tell_stage(out, case.package)
                ways.append(attempt.kill(random.choice(list(WAYS), p=list(WAYS.values())), random))
                left -= 1
                yield Kill(ways[-1], round(moment, 1), stage)
                if cluster is None or ways[-1] != "KILL a worker":  # a worker of a cluster comes back, and the run goes on
                    break
            patience = LONGEST if ways[-1:] in ([], ["KILL a worker"]) else ENDING
            if attempt.wait(time.monotonic() - attempt.began + patience) is None:
                yield f"still running {patience:.0f} s later"
            yield from attempt.end()
        finally:
            for pid in list_processes(attempt.mark):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            attempt.process.wait()
        faults = attempt.find_faults(ways)
        yield from faults
        if attempt.process.returncode == 0 or faults or not ways:
            return


def run_undisturbed(case: Case, folder: Path, record: Record) -> dict[str, str]:
    """The outputs of the run that nothing disturbs, made once; its seconds go into the record."""
    name = case.like or case.name
    out = folder / name / "undisturbed"
    if name not in record.seconds:
        shutil.rmtree(out, ignore_errors=True)
        attempt = Attempt(case, out, f"{out}#undisturbed")
        try:
            code = attempt.wait(LONGEST)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(attempt.process.pid, signal.SIGKILL)
        if code != 0:
            raise SystemExit(f"{name}: the undisturbed run failed, see {attempt.log}")
        record.seconds[name] = round(time.monotonic() - attempt.began, 1)
        print(f"{name}: undisturbed in {record.seconds[name]} s", flush=True)
    (run,) = find_runs(out, case.package)
    return list_outputs(run)


def disturb(case: Case, number: int, most: int, folder: Path, record: Record, cluster: Any) -> Chain:
    """One chain of at most `most` kills, compared with the undisturbed run."""
    wanted = run_undisturbed(case, folder, record)
    out = folder / case.name / f"chain-{number}"
    shutil.rmtree(out, ignore_errors=True)  # begun by a command that was stopped
    random = np.random.default_rng([record.seed, zlib.crc32(case.name.encode()), number])
    kills: list[Kill] = []
    faults: list[str] = []
    name, began = case.like or case.name, time.monotonic()
    for found in run_chain(case, out, random, record.seconds[name], most, cluster):
        if isinstance(found, Kill):
            kills.append(found)
            print(f"{case.name}, chain {number}: {found.way} after {found.moment} s: {found.stage}", flush=True)
        else:
            faults.append(found)
    if not kills:  # it ended before the first moment: the machine is less busy now
        record.seconds[name] = min(record.seconds[name], round(time.monotonic() - began, 1))
    for run in find_runs(out, case.package):  # one, or none: then its last attempt has told why
        faults += [*find_differences(wanted, list_outputs(run)), *find_remains(out)]
    for fault in faults:
        print(f"{case.name}, chain {number}: FAULT: {fault}; seed {record.seed}, folder {out}", flush=True)
    if not faults:
        print(f"{case.name}, chain {number}: equal after {len(kills)} kills", flush=True)
        shutil.rmtree(out)
    return Chain(case.name, number, kills, faults)


def share_kills(kills: int, cases: Sequence[Case]) -> dict[str, int]:
    """Kills of each case, in the ratio of their shares.

    >>> share_kills(10, [Case("a", "", (), 2), Case("b", "", (), 1)])
    {'a': 7, 'b': 3}
    """
    ends = [round(kills * end / sum(case.share for case in cases)) for end in itertools.accumulate(case.share for case in cases)]
    return {case.name: end - start for case, start, end in zip(cases, [0, *ends], ends, strict=False)}


@contextlib.contextmanager
def open_cluster(cases: Sequence[Case]) -> Iterator[Any]:
    """A Dask cluster of one worker, if a case needs one; at its end none of its processes is left."""
    if not any(case.on_cluster for case in cases):
        yield None
        return
    from dask.distributed import LocalCluster

    os.environ |= {MARK: "cluster", "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    about: dict[str, Any] = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1"}
    with LocalCluster(processes=True, silence_logs=60, **about) as cluster:
        yield cluster
    deadline = time.monotonic() + ENDING
    while left := {pid: line for pid, line in list_processes("cluster").items() if "resource_tracker" not in line}:
        if time.monotonic() > deadline:
            raise SystemExit(f"processes of the cluster are left over: {left}")
        time.sleep(0.2)


def work(cases: Sequence[Case], kills: int, folder: Path, seed: int) -> Record:
    """Chains, of the case that is farthest behind first, until each case has its kills; each is kept as soon as it has ended."""
    path = folder / "kills.json"
    record = TypeAdapter(Record).validate_python(load_json(path)) if path.exists() else Record(seed)
    if record.seed != seed:
        raise SystemExit(f"{path}: begun with --seed {record.seed}; give that, or another --out")
    quota = share_kills(kills, cases)
    with open_cluster(cases) as cluster:
        while True:
            had = {case.name: [chain for chain in record.chains if chain.case == case.name] for case in cases}
            lacking = {name: quota[name] - sum(len(chain.kills) for chain in chains) for name, chains in had.items()}
            behind = max(cases, key=lambda case: lacking[case.name] / max(1, quota[case.name]))
            if lacking[behind.name] <= 0:
                return record
            number = len(had[behind.name])
            used = cluster if behind.on_cluster else None
            record.chains.append(disturb(behind, number, lacking[behind.name], folder, record, used))
            write_json_atomic(path, TypeAdapter(Record).dump_python(record))


def print_table(record: Record) -> None:
    """A line for each case, and the sum."""
    print("\n| case | kills | ended equal | not |\n|---|---:|---:|---:|")
    for name, of_case in itertools.groupby(sorted(record.chains, key=lambda chain: chain.case), lambda chain: chain.case):
        chains = list(of_case)
        kills, wrong = sum(len(chain.kills) for chain in chains), sum(bool(chain.faults) for chain in chains)
        print(f"| {name} | {kills} | {len(chains) - wrong} | {wrong} |")
    wrong = sum(bool(chain.faults) for chain in record.chains)
    kills = sum(len(chain.kills) for chain in record.chains)
    print(f"| all | {kills} | {len(record.chains) - wrong} | {wrong} |", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--packages", help="names, by commas; default: all")
    parser.add_argument("--cluster", action="store_true", help="a share of the kills on a Dask cluster of this machine")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/kill_and_resume"))
    given = parser.parse_args(argv)
    packages = given.packages.split(",") if given.packages else [case.package for case in CASES]
    if unknown := set(packages) - {case.package for case in CASES}:
        parser.error(f"no such package: {', '.join(sorted(unknown))}")
    cases = [case for case in CASES if case.package in packages and (given.cluster or not case.on_cluster)]
    for number in (signal.SIGINT, signal.SIGTERM):  # the first is ignored in the background of a shell
        signal.signal(number, signal.default_int_handler)
    folder = given.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    code = 130
    with hold_lock(folder / ".lock", wait=False):
        try:
            record = work(cases, given.kills, folder, given.seed)
            code = int(any(chain.faults for chain in record.chains))
        except KeyboardInterrupt:
            print(f"stopped; the same command goes on in {folder}")
        if (folder / "kills.json").exists():
            print_table(TypeAdapter(Record).validate_python(load_json(folder / "kills.json")))
    return code


if __name__ == "__main__":
    sys.exit(main())
