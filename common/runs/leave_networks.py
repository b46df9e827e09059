"""Copy a run without its networks, as from a GPU machine to the desk: `python -m common.runs.leave_networks RUN COPY`.

A network can be a hundred times larger than all else that a training leaves. In the copy every finished training stays finished:
tables, figures and the report are made of its predictions, and the same command goes on there with what is missing. What
needs a network itself (`predict`) says that it was left behind. Data, reports and begun trainings are not copied.
"""

import argparse
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from common.errors import UsageError, run_main
from common.files import hash_file
from common.runs.cells import LEFT, find_record, write_record
from common.runs.networks import MODEL
from common.runs.run import COMMANDS


def copy_without(run: Path, copy: Path) -> int:
    """Copy the finished cells of a run folder into `copy`, an empty or new folder, without their networks; return their number.

    Raises UsageError for a folder without finished cells, a copy that holds cells already, and a damaged cell.
    """
    if (copy / "cells").exists():
        raise UsageError(f"{copy}: holds trainings already; name another folder")
    records = {folder: found for folder in sorted(run.glob("cells/*/")) if (found := find_record(folder)) is not None}
    if not records:
        raise UsageError(f"{run}: no finished trainings; give the folder of a run, as printed when it begins")
    for folder, record in records.items():
        home = copy / "cells" / folder.name
        home.mkdir(parents=True)
        kept = {name: sha256 for name, sha256 in record["files"].items() if name != MODEL}
        for name, sha256 in kept.items():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, home / name)
            if hash_file(home / name) != sha256:
                raise UsageError(f"{folder / name}: damaged; give the command of the run again, which makes it anew")
        left = {name: sha256 for name, sha256 in record["files"].items() if name == MODEL}
        write_record(home, record | {"files": kept} | ({LEFT: left} if left else {}))
    if (run / COMMANDS).is_file():
        shutil.copyfile(run / COMMANDS, copy / COMMANDS)
    return len(records)


def main(arguments: Iterable[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m common.runs.leave_networks", description="Copy a run without its networks.")
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument(
        "copy", type=Path, metavar="COPY", help="where to: a new folder, to be given the name of RUN at its place"
    )
    given = parser.parse_args(None if arguments is None else list(arguments))
    count = copy_without(given.run, given.copy)
    print(f"copied without their networks: {count} finished trainings, to {given.copy}")
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
