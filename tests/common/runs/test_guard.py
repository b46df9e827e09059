"""--publish refuses before anything is trained; a clean rerun clears what uncommitted code left."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sample_results import make_command, make_content, make_extra, write_sample_predictions

from common.cases.sources import Source
from common.cli import parse_options
from common.errors import UsageError
from common.files import write_json_atomic
from common.records.predictions import tabulate_scores, write_predictions
from common.records.provenance import has_changed_code
from common.records.results import Command
from common.runs import run as runs_run
from common.runs.cells import UNCLEAN, Cell, is_done, read_record
from common.runs.guard import guard_results
from common.runs.publish import PUBLISHED_FILES, find_unclean, publish
from common.runs.run import log_command, open_run, train

REAL = Source("scans", Path("scans"), "scans of a hospital", synthetic=False)
METRIC = {"mean": 0.9, "sd": None, "low": None, "high": None}
WHOLE = {"net": [0, 1, 2], "other net": [3, 4, 5]}
CODE = "def train_cell(settings, folder, threads, report):\n    (folder / 'a.txt').write_text('a')\n    return {}\n"


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "--no-verify", "-m", "a change")


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A committed checkout with a package of one module, from whose folder commands are given; runs lie outside."""
    folder = tmp_path / "checkout"
    package = folder / "replications" / "some_paper"
    package.mkdir(parents=True)
    (package / "guarded_training.py").write_text(CODE)
    git(folder, "init")
    commit(folder)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(package)
    monkeypatch.delitem(sys.modules, "guarded_training", raising=False)  # that of another test
    return folder


@pytest.fixture
def begin(checkout):
    """Opens a run of the package, as its command line would; each ends before the next begins."""
    opened: list[runs_run.Run] = []

    def open_one(*arguments: str, preset: str = "paper") -> runs_run.Run:
        for earlier in opened:
            earlier.lock.close()
        argv = ["--out", str(checkout.parent / "runs"), "--workers", "1", "--threads", "1", *arguments]
        options = parse_options(argv, "replications.some_paper.run", "", ["demo", "paper"])
        package = checkout / "replications" / "some_paper"
        opened.append(open_run(package, options, preset, {"epochs": 3}, synthetic=False, datasets={}))
        return opened[-1]

    return open_one


def make_row(row: str, protocol: str, seeds: list[int], **changes) -> dict:
    metrics = {"accuracy": METRIC | {"by_seed": [0.9] * len(seeds)}}
    about = {"table": "2", "n": 10, "patients": 5, "positives": 4, "below_majority": False}
    return about | {"row": row, "protocol": protocol, "seeds": seeds, "metrics": metrics} | changes


def make_rows(seeds: list[int], **changes) -> list[dict]:
    """Two networks under both protocols."""
    return [make_row(row, protocol, seeds, **changes) for row in ("net", "other net") for protocol in ("paper", "leakfree")]


def accept(checkout: Path, **changes) -> Path:
    """An accepted run with three seeds, committed."""
    folder = checkout / "results" / "some_paper"
    folder.mkdir(parents=True)
    write_json_atomic(folder / "results.json", make_content(rows=make_rows([0, 1, 2]), **changes))
    commit(checkout)
    return folder


def test_a_clean_whole_run_of_the_paper_s_preset_may_begin(checkout, begin):
    guard_results(begin("--publish"), {"net": [0]}, sources=[REAL])  # none is accepted yet
    accept(checkout)
    guard_results(begin("--publish"), WHOLE, sources=[REAL])


@pytest.mark.parametrize(
    ("arguments", "rows", "message"),
    [
        ([], {"net": [0, 1, 2]}, r"other net, the paper's protocol: not run; other net, leak-free: not run"),
        ([], WHOLE | {"net": [7]}, r"net, the paper's protocol: 1 of 3 seeds; net, leak-free: 1 of 3 seeds"),
        (["--protocol", "paper"], WHOLE, r"net, leak-free: not run"),
        (["--set", "epochs=1"], WHOLE, r"--set epochs, which it left as published"),
    ],
)
def test_less_than_the_accepted_run_is_refused(checkout, begin, arguments, rows, message):
    accept(checkout, overrides={"width": "2"})
    with pytest.raises(UsageError, match=message) as caught:
        guard_results(begin("--publish", *arguments), rows, sources=[REAL])
    assert "nothing was trained" in str(caught.value)
    assert "delete results/some_paper" in str(caught.value)
    guard_results(begin(*arguments), rows, sources=[REAL])  # without --publish nothing is asked


def test_a_setting_that_the_accepted_run_changed_may_be_changed(checkout, begin):
    accept(checkout, overrides={"width": "2"})
    guard_results(begin("--publish", "--set", "width=3"), WHOLE, sources=[REAL])


def tabulate(*rows: str) -> pd.DataFrame:
    """Predictions of seeds 0 and 1 under both protocols."""
    cases = pd.DataFrame({"case_id": ["a", "b"], "patient_id": ["p", "q"], "label": [0, 1]})
    scores = np.array([[0.4, 0.6], [0.3, 0.7]])
    places = [(row, protocol, seed) for row in rows for protocol in ("paper", "leakfree") for seed in (0, 1)]
    tables = [tabulate_scores(cases, scores, row=row, protocol=of, seed=seed, fold=-1) for row, of, seed in places]
    return pd.concat(tables, ignore_index=True)


def test_seeds_of_earlier_commands_count_and_rows_where_the_results_take_them_in(checkout, begin):
    accept(checkout)
    run = begin("--publish")
    write_predictions(tabulate("net", "other net"), run.folder / "predictions.csv.gz")
    guard_results(run, {"net": [2], "other net": [2]}, sources=[REAL])
    with pytest.raises(UsageError, match="other net, the paper's protocol: not run"):
        guard_results(run, {"net": [2]}, sources=[REAL])
    with pytest.raises(UsageError, match="other net, the paper's protocol: 2 of 3 seeds"):
        guard_results(run, {"net": [2]}, sources=[REAL], keeps_rows=True)


@pytest.mark.parametrize(
    ("preset", "source", "message"),
    [
        ("demo", {}, "preset demo"),
        ("paper", {"synthetic": True}, "synthetic data"),
        ("paper", {"own": True}, "a user's own have patients"),
    ],
)
def test_another_preset_synthetic_and_own_data_are_refused(begin, preset, source, message):
    with pytest.raises(UsageError, match=message):
        guard_results(begin("--publish", preset=preset), WHOLE, sources=[None, replace(REAL, **source)])


@pytest.mark.parametrize("file", ["notes.txt", "replications/some_paper/guarded_training.py"])
def test_a_dirty_tree_is_refused_until_it_is_committed(checkout, begin, file):
    (checkout / file).write_text("# changed")
    with pytest.raises(UsageError, match=r"uncommitted or untracked files .* Nothing was trained"):
        guard_results(begin("--publish"), WHOLE, sources=[REAL])
    commit(checkout)
    guard_results(begin("--publish"), WHOLE, sources=[REAL])


# What uncommitted code left


def test_documents_do_not_make_code_changed(checkout):
    package = checkout / "replications" / "some_paper"
    assert has_changed_code(package) is False
    (checkout / "README.md").write_text("text")
    assert has_changed_code(package) is False
    (package / "new").mkdir()
    (package / "new" / "module.py").write_text("")
    assert has_changed_code(package) is True
    assert has_changed_code(checkout.parent) is None


def make_cells() -> list[Cell]:
    return [Cell(f"cell-{seed}", "guarded_training:train_cell", {"seed": seed}) for seed in range(2)]


def test_a_clean_rerun_with_publish_trains_anew_what_uncommitted_code_trained(checkout, begin, capsys):
    module, cells = checkout / "replications" / "some_paper" / "guarded_training.py", make_cells()
    run = begin()
    home = run.folder / "cells"
    module.write_text(CODE + "# changed\n")
    log_command(run)
    assert train(run, cells[:1]) == {}
    module.write_text(CODE)
    run = begin()
    log_command(run)
    assert train(run, cells) == {}
    assert [read_record(cell, home)["dirty"] for cell in cells] == [True, False]
    kept = (home / "cell-1" / "cell.json").stat().st_mtime_ns
    run = begin("--publish", "--dry-run")
    guard_results(run, {}, sources=[REAL])
    assert (home / "cell-0").is_dir()  # a dry run takes nothing away
    run = begin("--publish")
    guard_results(run, {}, sources=[REAL])
    log_command(run)
    assert train(run, cells) == {}
    assert [read_record(cell, home)["dirty"] for cell in cells] == [False, False]
    assert (home / "cell-1" / "cell.json").stat().st_mtime_ns == kept
    assert "1 training was made with uncommitted code" in capsys.readouterr().err


def test_a_begun_training_remembers_uncommitted_code(checkout, begin):
    module, (cell, _) = checkout / "replications" / "some_paper" / "guarded_training.py", make_cells()
    run = begin()
    begun = run.folder / "cells" / f"{cell.key}.partial"
    begun.mkdir(parents=True)
    (begun / ".digest").write_text(cell.digest)
    (begun / UNCLEAN).touch()  # as a start with uncommitted code leaves it
    assert module.read_text() == CODE
    assert train(run, [cell]) == {}
    assert read_record(cell, run.folder / "cells")["dirty"] is True
    assert [path.name for path in find_unclean(run.folder / "cells", [])] == [cell.key]


def test_a_training_that_recorded_nothing_is_judged_by_the_commands(checkout, begin):
    cell, _ = make_cells()
    run = begin()
    train(run, [cell])
    path = run.folder / "cells" / cell.key / "cell.json"
    record = json.loads(path.read_text())
    del record["record_sha256"]  # as earlier versions wrote it
    path.write_text(json.dumps(record | {"dirty": None}))
    assert read_record(cell, run.folder / "cells")["dirty"] is None
    dirty, clean = (Command(**make_command(dirty=state)) for state in (True, False))
    assert find_unclean(run.folder / "cells", [clean]) == []
    assert [path.name for path in find_unclean(run.folder / "cells", [dirty, clean])] == [cell.key]


def test_what_earlier_commands_left_of_uncommitted_code_counts_for_nothing(checkout, begin, capsys):
    """Its trainings are not asked for again, so they would hinder the end, after hours."""
    module, (cell, _) = checkout / "replications" / "some_paper" / "guarded_training.py", make_cells()
    accept(checkout)
    module.write_text(CODE + "# changed\n")
    run = begin()
    log_command(run)
    assert train(run, [cell]) == {}
    write_predictions(tabulate("net", "other net"), run.folder / "predictions.csv.gz")
    module.write_text(CODE)
    with pytest.raises(UsageError, match="1 of 3 seeds"):
        guard_results(begin("--publish"), {"net": [2], "other net": [2]}, sources=[REAL], keeps_rows=True)
    assert is_done(cell, run.folder / "cells")
    guard_results(begin("--publish"), WHOLE, sources=[REAL], keeps_rows=True)
    assert not is_done(cell, run.folder / "cells")
    assert "1 training was made with uncommitted code" in capsys.readouterr().err


# At the end


def write_run(folder: Path, **changes) -> Path:
    (folder / "figures").mkdir(parents=True)
    for name in PUBLISHED_FILES:
        (folder / name).write_text(name)
    write_sample_predictions(folder)
    (folder / "figures" / "a.png").write_text("picture")
    write_json_atomic(folder / "results.json", make_content(**changes))
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preset": "demo"}, "preset demo; run it with --preset paper"),
        ({"rows": make_rows([0, 1])}, "net, the paper's protocol: 2 of 3 seeds"),
        ({"rows": make_rows([0, 1, 2])[:3]}, "other net, leak-free: not run"),
        ({"rows": make_rows([0, 1, 2], departures=["epochs = 1 instead of 100"])}, "net: epochs = 1 instead of 100"),
    ],
)
def test_a_smaller_run_never_replaces_the_accepted_one(checkout, tmp_path, changes, message):
    target = accept(checkout)
    before = (target / "results.json").read_bytes()
    with pytest.raises(UsageError, match=message):
        publish(write_run(tmp_path / "run", **changes), target)
    assert (target / "results.json").read_bytes() == before
    publish(write_run(tmp_path / "whole", rows=make_rows([5, 6, 7])), target)
    assert (target / "results.json").read_bytes() != before


def test_a_command_with_uncommitted_code_whose_trainings_were_made_anew_hinders_nothing(tmp_path):
    trained = {"key": "net-seed0", "commit": "abc", "seconds": 1.0, "threads": [1]}
    commands = [make_command(dirty=True), make_command(dirty=False)]
    for number, (dirty, refused) in enumerate(((True, True), (None, True), (False, False))):
        known = trained if dirty is None else trained | {"dirty": dirty}
        run = write_run(tmp_path / str(number), extra=make_extra(commands=commands, cells=[known]))
        if refused:
            with pytest.raises(UsageError, match="uncommitted changes when net-seed0 was trained"):
                publish(run, tmp_path / "results")
        else:
            publish(run, tmp_path / "results")
    assert (tmp_path / "results" / "results.json").is_file()


def test_predictions_of_new_pictures_are_no_change_of_the_checkout(root):
    ignored = subprocess.run(["git", "check-ignore", "predictions/predictions.csv"], cwd=root, capture_output=True, text=True)
    if ignored.returncode == 128:
        pytest.skip("needs a git checkout")
    assert ignored.stdout.split() == ["predictions/predictions.csv"]
