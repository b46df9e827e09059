"""A run of toy trainings through everything that a run writes before its results. As a script: `toy_run.py OUT WORKERS [LIMIT]`,
with a limit on the size of its files in bytes."""

import resource
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from toy_cells import make_large_cells

from common.cases.prepared import is_prepared, write_prepared
from common.cli import parse_options
from common.errors import run_main
from common.files import write_json_atomic
from common.runs.run import log_command, open_run, prepare_shared, train


def run_toy(out: Path, workers: int = 1) -> int:
    """The exit code; leaves prepared data of 30 kB, three trainings of 20 kB each and sums.json."""

    def run() -> int:
        argv = ["--out", str(out), "--workers", str(workers), "--threads", "1"]
        options = parse_options(argv, "replications.toy.run", "", ["demo"])

        def prepare(folder: Path) -> None:
            if not is_prepared(folder, {"side": 100}, skip_unreadable=False):
                cases = pd.DataFrame({"case_id": list("abc"), "patient_id": list("pqr"), "label": [0, 1, 0]})
                write_prepared(folder, np.ones((3, 100, 100), np.uint8), cases, {"origin": {"side": 100}, "unreadable": []})

        package = Path("replications/toy")
        prepared = prepare_shared(package, options, "toy", prepare)
        opened = open_run(package, options, "demo", {}, synthetic=False, datasets={"data": prepared})
        with opened.lock:
            log_command(opened)
            cells = make_large_cells(3)
            if train(opened, cells):
                return 1
            sums = [len((opened.folder / "cells" / cell.key / "large.bin").read_bytes()) for cell in cells]
            write_json_atomic(opened.folder / "sums.json", sums)
        return 0

    return run_main(run)


def read_toy(out: Path) -> dict[str, bytes]:
    """What a finished run has left, by path, but for times."""
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and path.suffix in (".bin", ".npy", ".csv")]
    return {str(path.relative_to(out)): path.read_bytes() for path in [*files, *out.rglob("sums.json")]}


if __name__ == "__main__":
    if len(sys.argv) > 3:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    sys.exit(run_toy(Path(sys.argv[1]), int(sys.argv[2])))
