"""The cost of a run, said before it: measured on this device, asked about where it is large."""

import dataclasses
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence

from common.cli import count_cores
from common.errors import UsageError
from common.records.provenance import read_commands
from common.runs import workers as processes
from common.runs.cells import RECORD, Cell, is_done, read_record
from common.runs.publish import find_unclean
from common.runs.run import COMMANDS, Run
from common.runs.work import Amount, Network, Times, Work, add_up, bound_seconds, complete_times, list_networks

MEASURE = "common.training.timing:measure_cell"
MEASURING = 10  # seconds, of each worker
RATE = 2e9  # multiply-adds a second of one thread, which every processor of these years surpasses
SHORT = 300  # seconds at that rate, up to which nothing is measured
LONG = 24 * 3600  # seconds from which the user is asked
CLOSING = 12  # seconds of intervals, figures and the report, which follow the trainings
LEAST_BYTES = 20e6  # of predictions, figures and the report
DAY, HOUR, MINUTE = 24 * 3600, 3600, 60


def announce(run: Run, works: Sequence[Work], missing: Mapping[str, str] | None = None) -> bool:
    """Print what the run will do and what it costs; whether it is to be done (not with --dry-run).

    works: all trainings that the command asks for; those that are done do not count, but with --publish those that rest on
    uncommitted code do. missing: network -> why its initial weights are not there; what needs them is no part of works. What was
    measured stays in the run's folder; a dry run takes away a folder that it made. Raises UsageError for a run of more than a
    day without --yes, unless the user agrees on the terminal, for a disk that is too small, and where for want of weights nothing
    is left to do.
    """
    for network, why in (missing or {}).items():
        print(f"not run, what starts from weights of {network}: {why}", file=sys.stderr)
    if missing and not works:
        run.lock.close()
        if run.fresh:
            shutil.rmtree(run.folder)
        raise UsageError(f"no row can be run without {', '.join(missing)}: get the files named above, or --weights random")
    home = run.folder / "cells"
    unclean = find_unclean(home, read_commands(run.folder / COMMANDS)) if run.options.publish else []
    done = [work for work in works if (home / work.key / RECORD).is_file() and home / work.key not in unclean]
    known = {work.key for work in done}
    amount, how = estimate(run, [work for work in works if work.key not in known], done)
    for line in describe(run, amount, how, len(done)):
        print(line, file=sys.stderr)
    if run.options.dry_run:
        processes.stop_workers()
        run.lock.close()
        if run.fresh:
            shutil.rmtree(run.folder)
        return False
    confirm_room(run, amount)
    if amount.seconds > LONG and not run.options.yes:
        confirm(run, amount)
    return True


def estimate(run: Run, works: Sequence[Work], done: Sequence[Work] = ()) -> tuple[Amount, str]:
    """The cost of trainings that are not done, and how it was found out: in words, "" where there is nothing to do."""
    options = run.options
    team = 1 if options.cluster else max(1, min(options.workers, len(works)))
    threads = options.threads or (1 if options.cluster else processes.share_threads(options.workers, count_cores()))
    networks, rate = list_networks(works), RATE * threads
    if not works:
        return add_up([], {}, team), ""
    bound = bound_seconds(works, rate, team)
    if bound <= SHORT or not networks:
        amount = add_up(works, complete_times({}, networks, rate), team, done)
        return dataclasses.replace(amount, seconds=bound + CLOSING), "short"
    found, device, failed = measure(run, networks, team, threads)
    amount = add_up(works, complete_times(found, networks, rate), team, done)
    amount = dataclasses.replace(amount, seconds=amount.seconds + CLOSING)
    if failed:
        return amount, f"not measured ({failed}); by a low rate"
    timed = sum("picture" in times or "step" in times for times in found.values())
    return amount, f"on this {device}, {timed} of {len(networks)} networks measured"


def measure(run: Run, networks: Sequence[Network], team: int, threads: int) -> tuple[dict[str, Times], str, str]:
    """Times by network, the device, and why there are none, if so. All workers measure at once, as they will work; the records
    stay among the trainings of the run, so that a further command finds them."""
    cells = plan_measurement(networks, team, threads)
    home = run.folder / "cells"
    if not all(is_done(cell, home) for cell in cells):
        count = f"{min(team, len(cells))} worker{'s' * (team > 1)}"
        takes = f"{MEASURING} s on {count}, about half a minute with building them"
        print(f"measuring the run's networks on this device: {takes}", file=sys.stderr)
    failed = processes.run_cells(
        cells,
        run.folder,
        workers=team,
        threads=threads,
        cluster=run.options.cluster,
        title="measurement",
        noun="measurements",
    )
    found: dict[str, Times] = {}
    device = "device"
    for cell in cells:
        if cell.key not in failed:
            outcome = read_record(cell, home)["outcome"]
            device = outcome["device"]
            for name, times in outcome["networks"].items():
                found[name] = max(found.get(name, {}), times, key=len)
    return found, device, next(iter(failed.values()), "")


def plan_measurement(networks: Sequence[Network], team: int, threads: int) -> list[Cell]:
    """One cell a worker, each with its share of the networks, the dearest first; with fewer networks than workers some are
    measured twice."""
    shares = [networks[number::team] or networks[number % len(networks) :][:1] for number in range(team)]
    return [
        Cell(
            f"measurement-{number}",
            MEASURE,
            {
                "networks": [
                    {"name": one.name, "function": one.function, "settings": one.settings, "batch": one.batch} for one in share
                ],
                "seconds": MEASURING,
                "threads": threads,
                "workers": team,
            },
        )
        for number, share in enumerate(shares, start=1)
    ]


def describe(run: Run, amount: Amount, how: str, done: int) -> list[str]:
    """The cost in a few lines."""
    before = f" ({done} more are done)" if done else ""
    if not amount.trainings:
        return [f"to do: no training{before}"]
    options = run.options
    team = "one worker; the workers of the cluster share it" if options.cluster else f"{options.workers} at a time"
    if how == "short":
        time = f"under {_round_up(amount.seconds)} on an idle machine; few operations, so not measured"
    else:
        time = f"about {name_time(amount.seconds)}, {team} ({how}); sooner where a training stops early"
    free = shutil.disk_usage(run.folder).free
    return [
        f"to do: {amount.trainings:,} trainings{before}, {amount.epochs:,} epochs at most, "
        f"{amount.operations:.1e} multiply-adds at most",
        f"expected time: {time}",
        f"disk: about {name_bytes(LEAST_BYTES + amount.disk_bytes)} ({name_bytes(free)} free); "
        f"memory: about {name_bytes(amount.memory_bytes)}",
    ]


def _round_up(seconds: float) -> str:
    minutes = int(-(-seconds // MINUTE))
    return "a minute" if minutes <= 1 else f"{minutes} minutes"


def name_time(seconds: float) -> str:
    """A duration in the unit that people would use.

    >>> name_time(20), name_time(200), name_time(3 * 3600), name_time(1e7)
    ('20 s', '3.3 min', '3.0 h', '116 days')
    """
    for unit, size, least in (("days", DAY, 2 * DAY), ("h", HOUR, 100 * MINUTE), ("min", MINUTE, 100)):
        if seconds >= least:
            value = seconds / size
            return f"{value:.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
    return f"{seconds:.0f} s"


def name_bytes(count: float) -> str:
    """Bytes in GB or MB.

    >>> name_bytes(3e9), name_bytes(2e6)
    ('3.0 GB', '2 MB')
    """
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{max(1, count / 1e6):.0f} MB"


def confirm_room(run: Run, amount: Amount) -> None:
    """UsageError where the disk of --out has less room than the trainings that are to be done leave there."""
    needed = LEAST_BYTES + amount.disk_bytes - amount.cache_bytes
    begun = sum(path.stat().st_size for path in run.folder.glob("cells/*.partial/**/*") if path.is_file())
    free = shutil.disk_usage(run.folder).free
    if amount.trainings and needed > free + begun:
        processes.stop_workers()
        run.lock.close()
        tell = "free some, or choose another --out; then the same command goes on. Nothing was trained"
        raise UsageError(f"{run.folder}: the run needs about {name_bytes(needed)}, and {name_bytes(free)} are free; {tell}")


def confirm(run: Run, amount: Amount) -> None:
    """Ask on a terminal; else, or where the answer is no, UsageError with the line to type and the cheaper ways."""
    expected = f"this run takes about {name_time(amount.seconds)}"
    smaller = "--preset demo, " if run.preset == "paper" else ""
    cheaper = f"cheaper: {smaller}fewer --rows, one of --seeds"
    if sys.stdin.isatty() and sys.stderr.isatty():
        print(f"{expected}; {cheaper}\ngo on? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return
    processes.stop_workers()
    run.lock.close()
    line = shlex.join(["python", "-m", run.module, *sys.argv[1:], "--yes"])
    raise UsageError(f"{expected}; to start it: {line}; {cheaper}")
