"""The flags that every `run` shares, typed overrides of a configuration, and the exit codes.

Exit codes: 0 done; 1 the run failed, or `predict` could not read some of its files; 2 usage or data error (one line); 130 stopped
with Ctrl-C (the same command goes on).
"""

import argparse
import dataclasses
import difflib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from common import __version__
from common.errors import UsageError, explain_system_error
from common.ranges import SEEDS, SHOWN, Conflict, cut_end, read_setting, refuse_conflicts, within

PROCESSES = within(1, 1024)  # --workers, --threads
PROTOCOLS = ("paper", "leakfree")  # the paper's own, and the one that keeps patients apart


class Configuration(Protocol):
    """Settings of a paper: any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    def find_conflicts(self) -> Iterator[Conflict]:
        """Settings that contradict one another, though each lies in its range."""


ConfigT = TypeVar("ConfigT", bound=Configuration)


@dataclasses.dataclass(frozen=True)
class Options:
    """What the command line asks for; `None` where it says nothing, so that the paper's own setting holds."""

    preset: str | None
    protocols: tuple[str, ...]  # of PROTOCOLS
    data: Path | None  # folder
    patients: str  # same or different: ids that differ only by case, leading zeros or .0; "": not answered
    near_duplicates: str  # group or refuse
    weights: str | None  # imagenet, random or a folder
    tables: tuple[str, ...] | None
    rows: tuple[str, ...] | None  # parts of their names
    seeds: tuple[int, ...] | None
    overrides: dict[str, str]  # setting -> value as text, see `apply_overrides`
    out: Path
    workers: int  # trainings side by side
    threads: int | None  # of each training
    cluster: str | None  # address of a Dask scheduler
    skip_unreadable: bool
    publish: bool
    dry_run: bool = False
    yes: bool = False  # to a run of more than a day
    cases: Path | None = None  # a user's own table of cases
    columns: dict[str, str] = dataclasses.field(default_factory=dict)  # our name of a column -> its name in that table


def parse_options(argv: Sequence[str] | None, module: str, description: str, presets: Sequence[str]) -> Options:
    """Options from the command line of `python -m <module>`; argparse prints usage errors and exits with 2."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    add = parser.add_argument
    add("--preset", choices=presets, help="default: paper if the data is found, else demo on phantoms")
    add("--protocol", choices=[*PROTOCOLS, "both"], default="both", help="the paper's, the leak-free one, or both (default)")
    add_data_flags(parser)
    add("--weights", metavar="W", help="imagenet, random or a folder of weight files")
    add("--tables", type=_split, metavar="2,3", help="only these tables")
    add("--rows", type=_split, metavar="TEXT,...", help="only the rows that contain one of these texts")
    add("--seeds", type=_split_ints, metavar="0,1,2", help="seeds of the trainings")
    add("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="override one setting (repeatable)")
    add("--out", type=Path, default=Path("runs"), metavar="DIR", help="where runs are kept (default: runs)")
    add("--workers", type=_count, default=None, metavar="N", help="trainings side by side (default: one for each core)")
    add("--threads", type=_count, default=None, metavar="N", help="threads for each training (default: cores / workers)")
    add("--cluster", metavar="ADDRESS", help="Dask scheduler to spread the trainings over")
    add("--skip-unreadable", action="store_true", help="leave out (and count) unreadable files instead of stopping")
    add("--dry-run", action="store_true", help="say what would be done and what it costs; train nothing")
    add("--yes", action="store_true", help="start without a question, also where more than a day is expected")
    add("--publish", action="store_true", help="copy the finished run of real data to results/")
    add("--version", action="version", version=f"%(prog)s {__version__}")
    given = parser.parse_args(argv)
    if given.cluster and given.workers:
        parser.error("--workers and --cluster exclude each other")
    if given.preset == "smoke" and given.data and given.cases is None:
        other = "leave out --data, or take another preset"
        raise UsageError(
            f"--preset smoke --data {given.data}: this preset takes phantoms, or your own pictures with --cases; {other}"
        )
    confirm_writable(given.out)
    return Options(
        preset=given.preset,
        protocols=PROTOCOLS if given.protocol == "both" else (given.protocol,),
        data=given.data,
        patients=given.patients,
        near_duplicates=given.near_duplicates,
        weights=given.weights,
        tables=given.tables,
        rows=given.rows,
        seeds=given.seeds,
        overrides=_split_overrides(given.overrides),
        out=given.out,
        workers=given.workers or count_cores(),
        threads=given.threads,
        cluster=given.cluster,
        skip_unreadable=given.skip_unreadable,
        publish=given.publish,
        dry_run=given.dry_run,
        yes=given.yes,
        cases=given.cases,
        columns=given.columns,
    )


def confirm_writable(out: Path) -> None:
    """Raise UsageError unless files can be written below `out`, or where it would be made; nothing is left there."""
    try:
        there = out.absolute()
        while not _exists(there):
            there = there.parent
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        bare = OSError(error.errno, error.strerror)  # without the name of our temporary file
        raise UsageError(f"{explain_system_error(bare, f'--out {out}')}; nothing was done") from None


def _exists(path: Path) -> bool:
    """Whether there is a file or folder; raises OSError where there can be none."""
    try:
        path.stat()
    except FileNotFoundError:
        if path.is_symlink():
            raise
        return False
    return True


def add_data_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags on data that `run` and `data` share: the folder, and answers that only the user of the data can give."""
    add = parser.add_argument
    add("--data", type=Path, metavar="DIR", help="data folder; default: $REPLICATIONS_DATA/<package> or data/<package>")
    text = "a table (CSV) of your own pictures in the data folder, which may lie there as it likes: docs/own_data.md"
    add("--cases", type=Path, metavar="FILE", help=text)
    text = "what its columns are called, where not path, label, patient: path=file,label=diagnosis"
    add("--columns", type=_split_columns, default={}, metavar="OURS=YOURS,...", help=text)
    text = "whether patients whose ids differ only by case, leading zeros or .0 are the same; asked for where there are such"
    add("--patients", choices=("same", "different"), default="", help=text)
    text = "patients that share a near-duplicate picture: count them as one (default), or stop and list them"
    add("--near-duplicates", choices=("group", "refuse"), default="group", help=text)


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def apply_overrides(config: ConfigT, overrides: dict[str, str]) -> ConfigT:
    """Config with each KEY=VALUE of --set; UsageError for unknown keys (lists the known ones), wrong types, values outside the
    range beside the setting, and settings that contradict one another."""
    known = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    changes = {}
    for key, text in overrides.items():
        if key not in known:
            close = difflib.get_close_matches(key, known, 1)
            hint = f", did you mean {close[0]}?" if close else "."
            raise UsageError(f"--set {cut_end(key)}: unknown setting{hint} Known: {', '.join(sorted(known))}")
        changes[key] = read_setting(type(config), key, text, known[key])
    changed = dataclasses.replace(config, **changes)
    refuse_conflicts(changed, list(changed.find_conflicts()), list(overrides))
    return changed


def keep_changes(options: Options, config: Any) -> Options:
    """The options without those --set that say what the preset says, so that they count as no other setting.

    config: of the preset; settings are known and valid, see `apply_overrides`."""
    kept = {
        key: text
        for key, text in options.overrides.items()
        if read_setting(type(config), key, text, getattr(config, key)) != getattr(config, key)
    }
    return dataclasses.replace(options, overrides=kept)


def _split(text: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in text.split(","))
    if not all(parts):
        raise argparse.ArgumentTypeError(f"empty item in {text!r}")
    return parts


def _split_columns(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in _split(text)]
    names = {ours.strip(): theirs.strip() for ours, _, theirs in pairs}
    if not all(ours and theirs for ours, theirs in names.items()) or len(names) < len(pairs):
        raise argparse.ArgumentTypeError(f"{text!r} is not OURS=YOURS,... such as path=file,label=diagnosis")
    return names


def _split_ints(text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in _split(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{cut_end(text)!r} is not a list of whole numbers") from None
    if not SEEDS.holds(numbers):
        raise argparse.ArgumentTypeError(f"{cut_end(text)}: must be {SEEDS}")
    return numbers


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > SHOWN or not PROCESSES.holds(int(text)):
        raise argparse.ArgumentTypeError(f"{cut_end(text)!r}: must be a whole number {PROCESSES}")
    return int(text)


def _split_overrides(items: Sequence[str]) -> dict[str, str]:
    overrides = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {item}: expected KEY=VALUE")
        overrides[key.strip()] = value.strip()
    return overrides


def restore_config(kind: type[ConfigT], values: dict[str, Any]) -> ConfigT:
    """Settings from their JSON form: lists become tuples; settings of another version, which `kind` does not have, are left out.

    kind: the dataclass. A setting that `values` lacks takes its default; TypeError where it has none.
    """
    known = {f.name for f in dataclasses.fields(kind)}
    return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items() if name in known})
