"""What every package keeps, run through its own command line: rows, reproducibility, known answers, resume after a kill.

Packages are found by their run.py; each says in CONTRACT (config.py) which short run stands for it.
"""

import contextlib
import gzip
import importlib
import itertools
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from sample_results import make_content

from common.errors import UsageError
from common.files import write_json_atomic
from common.records.paper import Paper, load_paper
from common.records.results import Git, Results, read_results
from common.report.exhibits import find_makers
from common.runs import estimate
from common.runs.publish import publish

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(path.parent.name for path in (ROOT / "replications").glob("*/run.py"))
SCHEMA = json.loads((ROOT / "common" / "records" / "results.schema.json").read_text(encoding="utf-8"))
ARTEFACTS = ("results.json", "predictions.csv.gz", "history.csv.gz", "environment.txt", "table.md", "report.html")


@pytest.fixture(scope="module", params=PACKAGES)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def package(name) -> dict[str, ModuleType]:
    """The modules of the package by their names."""
    return {part: importlib.import_module(f"replications.{name}.{part}") for part in ("config", "run", "sources.phantoms")}


@pytest.fixture(scope="module")
def paper(name) -> Paper:
    return load_paper(ROOT / "replications" / name / "paper.toml")


@pytest.fixture(scope="module")
def smoke(name, smoke_of) -> Path:
    """Folder of a finished smoke run."""
    return smoke_of(name)


@pytest.fixture(scope="module")
def results(smoke) -> Results:
    return read_results(smoke / "results.json")


@pytest.fixture(scope="module")
def small(name, package) -> list[str]:
    """The flags of the short run."""
    return ["--preset", "smoke", "--threads", "1", *package["config"].CONTRACT.small]


@pytest.fixture(scope="module")
def small_run(name, package, small, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("small")
    assert package["run"].main([*small, "--out", str(out), "--workers", "1"]) == 0
    return find_run(out, name)


def find_run(out: Path, name: str) -> Path:
    (folder,) = (path.parent for path in (out / name).glob("*/results.json"))
    return folder


def read_bytes(folder: Path) -> bytes:
    return (folder / "predictions.csv.gz").read_bytes()


# The smoke run


def test_exactly_the_rows_of_the_paper(results, paper, package):
    absent = set(package["config"].CONTRACT.absent)
    printed = [claim for claim in paper.claims if claim.value is not None and claim.row not in absent]
    counted = {(claim.table, claim.row) for claim in results.claims if claim.metric == "share" and claim.ours is not None}
    rows = {(row.table, row.row) for row in results.rows} | counted
    assert {(claim.table, claim.row) for claim in printed if claim.unit != "count"} <= rows
    assert [claim.key for claim in results.claims] == [claim.key for claim in paper.claims]
    assert {row.protocol for row in results.rows} == {"paper", "leakfree"}
    not_run = {claim.key for claim in results.claims if claim.verdict == "not run"}
    assert not not_run & {claim.key for claim in printed}
    assert absent <= {missing.row for missing in results.extra.not_run}


def test_phantoms_get_no_verdict(results):
    """Neither claims, nor counts, nor statements."""
    assert {claim.verdict for claim in results.claims if claim.ours is not None} == {"phantoms"}
    assert {claim.difference for claim in results.claims} == {None}
    assert results.extra.statements
    assert {statement.verdict for statement in results.extra.statements} <= {"phantoms", "not run"}
    assert "phantoms" in {statement.verdict for statement in results.extra.statements}


def test_every_artefact_is_left(smoke, results):
    for name in ARTEFACTS:
        assert (smoke / name).stat().st_size > 100, name
    assert results.extra.figures
    for figure in results.extra.figures:
        assert (smoke / "figures" / figure.file).read_bytes().startswith(b"\x89PNG")


def test_results_keep_to_the_schema(smoke):
    Draft202012Validator(SCHEMA).validate(json.loads((smoke / "results.json").read_text(encoding="utf-8")))


def test_synthetic_data_are_said_everywhere_and_never_published(smoke, results):
    assert results.synthetic
    for name in ("table.md", "report.html"):
        assert "ynthetic data" in (smoke / name).read_text(encoding="utf-8")
    with pytest.raises(UsageError, match="synthetic"):
        publish(smoke, smoke.parent / "never")


def test_leaks_are_measured_and_the_leak_free_protocol_has_none(results):
    for dataset in results.datasets:
        leak = dataset.splits["leakfree"].leak
        assert (leak.same_patient, leak.same_pixels, leak.near_duplicate) == (0, 0, 0)
        assert leak.test_cases > 0
        assert dataset.splits["paper"].leak.test_cases > 0


def test_every_exhibit_of_the_paper_has_its_function(paper, name, package):
    absent = package["config"].CONTRACT.absent
    exhibits = {claim.table.partition(",")[0] for claim in paper.claims if claim.row not in absent}
    assert exhibits <= {maker.exhibit for maker in find_makers(ROOT / "replications" / name)}


def test_every_statement_is_checked(results, paper):
    assert {check.id for check in results.extra.statements} == {statement.id for statement in paper.statements}


def test_no_path_of_this_machine_is_written(results):
    text = results.model_dump_json()
    assert str(ROOT) not in text
    home = Path.home()
    assert home == home.parent or f"{home}/" not in text  # a home of "/" is in every path


# The short run, again and again


def test_two_workers_give_the_same_bytes_as_one(name, package, small, small_run, tmp_path):
    """Also the same command twice: another process, another folder, the same predictions to the last bit."""
    assert package["run"].main([*small, "--out", str(tmp_path), "--workers", "2"]) == 0
    assert read_bytes(find_run(tmp_path, name)) == read_bytes(small_run)


def test_kill_9_and_the_same_command_again(name, small, small_run, tmp_path):
    command = [sys.executable, "-m", f"replications.{name}.run", *small, "--out", str(tmp_path), "--workers", "2"]
    quiet = {"cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, **quiet)
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob(f"{name}/*/cells/*/cell.json")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(tmp_path.glob(f"{name}/*/results.json"))
    subprocess.run(command, check=True, timeout=400, **quiet)
    assert read_bytes(find_run(tmp_path, name)) == read_bytes(small_run)


def test_a_damaged_training_is_redone(package, small, small_run):
    expected = read_bytes(small_run)
    victim = sorted((small_run / "cells").glob("*/predictions.csv.gz"))[0]
    victim.write_bytes(gzip.compress(b"nonsense"))
    assert package["run"].main([*small, "--out", str(small_run.parents[1]), "--workers", "1"]) == 0
    assert read_bytes(small_run) == expected


def test_a_finished_run_trains_nothing_again(package, small, small_run, capfd):
    assert package["run"].main([*small, "--out", str(small_run.parents[1]), "--workers", "1"]) == 0
    counts = [line for line in capfd.readouterr().err.splitlines() if line.endswith("trainings were done before")]
    assert counts
    assert all(line.split()[0] == line.split()[2] for line in counts)


def test_a_dry_run_knows_what_is_done(package, smoke, capfd):
    """The cost names exactly the trainings that the run then makes: of a finished one, none."""
    before = sorted(smoke.parent.rglob("*"))
    argv = ["--preset", "smoke", "--workers", "1", "--threads", "1", "--out", str(smoke.parents[1])]
    assert package["run"].main([*argv, "--dry-run"]) == 0
    assert "to do: no training (" in capfd.readouterr().err
    assert sorted(smoke.parent.rglob("*")) == before


def test_a_dry_run_leaves_nothing_behind(package, small, tmp_path, capfd):
    argv = [*small, "--workers", "1", "--dry-run", "--out", str(tmp_path / "runs" / "of mine")]
    assert package["run"].main(argv) == 0
    assert "expected time: under" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flags", [["--publish"], ["--publish", "--dry-run"]])
def test_a_run_that_may_not_be_published_leaves_nothing_behind(package, smoke, flags, capfd):
    """It is refused once its folder stands, beside that of a finished run with the same data."""
    before = sorted(smoke.parent.rglob("*"))
    argv = ["--preset", "smoke", "--workers", "1", "--threads", "1", "--protocol", "paper", "--out", str(smoke.parents[1])]
    assert package["run"].main([*argv, *flags]) == 2
    assert "only runs of the preset paper are published" in capfd.readouterr().err
    assert sorted(smoke.parent.rglob("*")) == before


def test_data_alone_fetches_nothing(package, tmp_path, capsys, monkeypatch):
    """As if the published settings were those of the smoke run: without --weights they start from ImageNet's."""
    config = package["config"]
    monkeypatch.setitem(config.PRESETS, "paper", config.SMOKE)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a connection"))
    package["sources.phantoms"].write_phantoms(tmp_path / "data", config.SMOKE, seed=0)
    argv = ["--data", str(tmp_path / "data"), "--out", str(tmp_path), "--workers", "1", "--threads", "1", "--dry-run"]
    package["run"].main(argv)
    assert not (tmp_path / "keras").exists()
    assert "fetching" not in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("backend")
def test_every_network_of_the_cost_can_be_timed(package, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(estimate, "SHORT", 0)
    monkeypatch.setattr(estimate, "MEASURING", 600)
    argv = ["--preset", "smoke", "--workers", "1", "--threads", "1", "--out", str(tmp_path), "--dry-run"]
    assert package["run"].main(argv) == 0
    (timed,) = re.findall(r"(\d+) of (\d+) networks measured", capfd.readouterr().err)
    assert timed[0] == timed[1]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--tables", "no such"], "no such table; known: "),
        (["--rows", "nothing of the kind"], "no row is left"),
        (["--set", "epochz=1"], "unknown setting"),
        (["--preset", "paper", "--data", "no/such/folder"], "no/such/folder"),
    ],
)
def test_usage_errors_are_one_line(package, tmp_path, capsys, argv, message):
    code = package["run"].main(["--preset", "smoke", "--out", str(tmp_path), "--workers", "1", "--threads", "1", *argv])
    errors = [line for line in capsys.readouterr().err.splitlines() if message in line]
    assert (code, len(errors)) == (2, 1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "smoke"], "preset smoke"),
        (["--preset", "paper"], "synthetic data"),
        (["--preset", "paper", "--rows"], "less than the accepted run"),
    ],
)
def test_publishing_less_is_refused_before_anything_is_trained(
    name, package, small, paper, tmp_path, monkeypatch, capsys, arguments, message
):
    """As if the published settings were those of the smoke run, in a clean checkout; the last as if the phantoms were real."""
    config, module = package["config"], package["run"]
    monkeypatch.setitem(config.PRESETS, "paper", config.SMOKE)
    monkeypatch.setattr("common.runs.guard.git_state", lambda _: Git(commit="abc", dirty=False))
    monkeypatch.chdir(tmp_path)
    argv = [*small, "--out", str(tmp_path / "runs"), "--workers", "1", "--publish", "--weights", "random", *arguments]
    if "paper" in arguments:
        package["sources.phantoms"].write_phantoms(tmp_path / "data", config.SMOKE, seed=0)
        argv += ["--data", str(tmp_path / "data")]
    if argv[-3] == "--rows":
        argv[-2:-2] = [config.CONTRACT.row]
        accept_rows(tmp_path / "results" / name, [config.CONTRACT.row, "another row"])
        guard = module.guard_results
        monkeypatch.setattr(module, "guard_results", lambda *args, **named: guard(*args, **named | {"sources": []}))
    assert module.main(argv) == 2
    assert message in capsys.readouterr().err
    assert not list((tmp_path / "runs").glob("*/*/cells"))


def accept_rows(folder: Path, rows: list[str]) -> None:
    """An accepted run with these rows."""
    about = {"table": "2", "n": 10, "patients": 5, "positives": 4, "below_majority": False, "metrics": {}, "seeds": [0]}
    folder.mkdir(parents=True)
    found = [about | {"row": row, "protocol": protocol} for row in rows for protocol in ("paper", "leakfree")]
    write_json_atomic(folder / "results.json", make_content(rows=found))


def test_an_override_is_recorded_and_marks_the_rows_that_it_shapes(name, package, small, paper, tmp_path, monkeypatch):
    """As if the published settings were those of the smoke run: another batch size marks networks, no count of pictures."""
    config = package["config"]
    monkeypatch.setitem(config.PRESETS, "paper", config.SMOKE)
    package["sources.phantoms"].write_phantoms(tmp_path / "data", config.SMOKE, seed=0)
    argv = [*small, "--preset", "paper", "--data", str(tmp_path / "data"), "--weights", "random", "--out", str(tmp_path)]
    assert package["run"].main([*argv, "--workers", "1", "--protocol", "paper", "--set", "batch_size=10"]) == 0
    results = read_results(find_run(tmp_path, name) / "results.json")
    of_small = dict(text.split("=", 1) for flag, text in itertools.pairwise(small) if flag == "--set")
    assert results.overrides == of_small | {"batch_size": "10"}
    assert (results.on_protocol, results.protocol) == (False, "paper")
    counts = {claim.key for claim in paper.claims if claim.unit == "count"}
    assert {claim.verdict for claim in results.claims if claim.ours is not None} == {"phantoms"}
    marked = {claim.key: "batch_size = 10 instead of" in claim.note for claim in results.claims if claim.ours is not None}
    assert marked.keys() & counts
    assert any(marked.values())
    assert not any(off for key, off in marked.items() if key in counts)


# Known answers


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("strength", "low", "high"), [(1.0, 0.9, 1.0), (0.0, 0.25, 0.75)])
def test_separable_phantoms_are_learnt_and_those_without_signal_are_not(name, package, tmp_path, strength, low, high):
    """Leak-free AUC on test patients after a demo run on phantoms whose classes differ, or do not."""
    contract, config = package["config"].CONTRACT, package["config"].PRESETS["demo"]
    package["sources.phantoms"].write_phantoms(tmp_path / "data", config, seed=0, strength=strength)
    argv = ["--preset", "demo", "--data", str(tmp_path / "data"), "--out", str(tmp_path), "--protocol", "leakfree"]
    seeds = ["--seeds", ",".join(map(str, contract.seeds))]
    with contextlib.chdir(ROOT):
        assert package["run"].main([*argv, *seeds, "--workers", "1", "--threads", "1", *contract.learns]) == 0
    results = read_results(find_run(tmp_path, name) / "results.json")
    (found,) = {row.row: row for row in results.rows if row.row == contract.row}.values()
    assert low < np.mean(found.metrics["auc"].by_seed) <= high
