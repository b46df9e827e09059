"""What every package keeps, run through its own command line: rows, reproducibility, known answers, resume after a kill."""

import gzip
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from common.cases import prepared
from common.errors import UsageError
from common.files import slug
from common.records import paper
from common.records.results import read_results
from common.runs.publish import publish
from replications.lung_hip_compare import config, data, experiments, run

ROOT = Path(__file__).parents[2]
PAPER = paper.load_paper(ROOT / "replications/lung_hip_compare/paper.toml")
ROWS_OF_PAPER = experiments.list_rows(config.PAPER)
ROWS = "LUNA16 / CNN,LUNA16 / DBN,LUNA16 / SGAN,128x128 resized / CNN"
SMALL = ["--preset", "smoke", "--threads", "1", "--tables", "2", "--rows", ROWS]


def finished(out: Path) -> Path:
    (folder,) = (out / "lung_hip_compare").glob("smoke-*")
    return folder


def predictions(folder: Path) -> bytes:
    return (folder / "predictions.csv.gz").read_bytes()


def test_smoke_run_gives_exactly_the_rows_of_the_paper(smoke_run):
    found = read_results(smoke_run / "results.json")
    run_rows = {row.row for row in found.rows if row.table == "2"}
    assert run_rows == {claim.row for claim in PAPER.claims if claim.table == "2" and claim.value is not None}
    assert {claim.row for claim in found.claims} == {claim.row for claim in PAPER.claims}
    assert {row.protocol for row in found.rows} == {"paper", "leakfree"}
    printed = {claim.key for claim in PAPER.claims if claim.value is not None}
    assert not [claim for claim in found.claims if claim.verdict == "not run" and claim.key in printed]


def test_smoke_run_leaves_every_artefact(smoke_run):
    for name in ("results.json", "predictions.csv.gz", "history.csv.gz", "environment.txt", "table.md", "report.html"):
        assert (smoke_run / name).stat().st_size > 100, name
    found = read_results(smoke_run / "results.json")
    drawn = {figure.file for figure in found.extra.figures}
    assert {"figure2-patches.png", "figure3-hips.png", "accuracy.png", "intervals.png", "labels.png"} <= drawn
    assert {f"figure6-{slug(d)}-paper.png" for d in config.DATASETS} <= drawn
    for name in drawn:
        assert (smoke_run / "figures" / name).read_bytes().startswith(b"\x89PNG")


def test_synthetic_data_are_said_everywhere(smoke_run):
    for name in ("table.md", "report.html"):
        assert "ynthetic data" in (smoke_run / name).read_text()
    assert all(dataset.synthetic for dataset in read_results(smoke_run / "results.json").datasets)
    with pytest.raises(UsageError, match="synthetic"):
        publish(smoke_run, smoke_run.parent / "never")


def test_leak_is_measured_on_both_protocols(smoke_run):
    for dataset in read_results(smoke_run / "results.json").datasets:
        leak = dataset.splits["leakfree"].leak
        assert (leak.same_patient, leak.same_pixels, leak.near_duplicate) == (0, 0, 0)
        if dataset.dataset != "LUNA16":  # variants of one picture on both sides
            leak = dataset.splits["paper"].leak
            assert leak.same_patient > 0.8 * leak.test_cases


@pytest.fixture(scope="module")
def small_run(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("small")
    assert run.main([*SMALL, "--out", str(out), "--workers", "1"]) == 0
    return finished(out)


def test_two_workers_give_the_same_bytes_as_one(small_run, tmp_path):
    """Also the same command twice: another process, another folder, the same predictions to the last bit."""
    assert run.main([*SMALL, "--out", str(tmp_path), "--workers", "2"]) == 0
    assert predictions(finished(tmp_path)) == predictions(small_run)


def test_kill_9_and_the_same_command_again(small_run, tmp_path):
    command = [sys.executable, "-m", "replications.lung_hip_compare.run", *SMALL, "--out", str(tmp_path), "--workers", "2"]
    quiet = {"cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, **quiet)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("lung_hip_compare/*/cells/*.partial/checkpoint-*")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(tmp_path.glob("lung_hip_compare/*/results.json"))
    subprocess.run(command, check=True, timeout=300, **quiet)
    assert predictions(finished(tmp_path)) == predictions(small_run)


def test_a_damaged_cell_is_redone(small_run):
    expected = predictions(small_run)
    victim = next((small_run / "cells").glob("*dbn*/predictions.csv.gz"))
    victim.write_bytes(gzip.compress(b"nonsense"))
    assert run.main([*SMALL, "--out", str(small_run.parents[1]), "--workers", "1"]) == 0
    assert predictions(small_run) == expected


def test_overrides_are_recorded_and_mark_the_run(tmp_path):
    argv = [*SMALL, "--out", str(tmp_path), "--workers", "1", "--rows", "LUNA16 / CNN", "--protocol", "paper"]
    assert run.main([*argv, "--set", "cnn_epochs=1"]) == 0
    found = read_results(finished(tmp_path) / "results.json")
    assert found.overrides == {"cnn_epochs": "1"}
    assert found.on_protocol is False
    assert found.protocol == "paper"
    reasons = {item.row: item.reason for item in found.extra.not_run}
    assert reasons["LUNA16 / DBN"] == "not asked for (--rows)"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--tables", "9"], "no such table; known: 2, labels, weights"),
        (["--rows", "nothing"], "no row is left"),
        (["--set", "epochz=1"], "unknown setting"),
        (["--set", "resnet_strides=diagonal", "--rows", "LUNA16 / ResNet-50"], "choose one of standard, as_written"),
        (["--preset", "paper", "--data", "no/such/folder"], "no/such/folder"),
    ],
)
def test_usage_errors_are_one_line(tmp_path, capsys, argv, message):
    code = run.main(["--preset", "smoke", "--out", str(tmp_path), "--workers", "1", "--threads", "1", *argv])
    errors = [line for line in capsys.readouterr().err.splitlines() if message in line]
    refused_by_network = "ResNet" in str(argv)  # then its two trainings fail, each with its line, and the others would go on
    assert len(errors) == (2 if refused_by_network else 1)
    assert code == (1 if refused_by_network else 2)


def learn_phantoms(folder: Path, shuffled: bool) -> float:
    """AUC of the paper's CNN on phantoms, labels as they are or shuffled among the training cases."""
    from common.training import fit
    from common.training.batches import shuffle_order
    from replications.lung_hip_compare import models, train

    settings = replace(config.DEMO, luna_phantom_scans=40)
    data.write_phantoms(folder / "raw", settings, seed=0)
    source = data.find_sources(folder / "raw")["luna"]
    data.prepare_dataset("LUNA16", source, settings, folder / "data")
    dataset = prepared.load_dataset(folder / "data")
    (fold,) = data.split_dataset(dataset, "LUNA16", "leakfree", settings)
    labels = dataset.cases["label"].to_numpy()
    targets = labels[fold.train]
    if shuffled:
        targets = np.random.default_rng(0).permutation(targets)
    images = np.asarray(dataset.images[fold.train])
    (folder / "cell").mkdir()
    model = fit.build_compiled(
        "phantoms", "cnn", lambda: train.compile_classifier(models.build_cnn(50, settings), settings), 0, 20
    )
    fit.fit(
        model, lambda epoch: (images[o := shuffle_order(len(images), 0, epoch)], targets[o]), stage="CNN", epochs=30,
        batch_size=20, folder=folder / "cell", report=lambda *_: None,
    )  # fmt: skip
    return roc_auc_score(labels[fold.test], fit.predict(model, np.asarray(dataset.images[fold.test]))[:, 1])


@pytest.mark.usefixtures("backend")
def test_separable_phantoms_are_learnt(tmp_path):
    assert learn_phantoms(tmp_path, shuffled=False) > 0.9


@pytest.mark.usefixtures("backend")
def test_shuffled_labels_are_not(tmp_path):
    assert 0.25 < learn_phantoms(tmp_path, shuffled=True) < 0.75


def test_results_hold_no_path_of_this_machine(smoke_run):
    text = read_results(smoke_run / "results.json").model_dump_json(exclude={"command", "extra"})
    assert str(ROOT) not in text
    assert os.path.expanduser("~") + "/" not in text


def test_departures_belong_to_the_rows_that_they_shape():
    short = replace(config.PAPER, resnet_epochs=6)
    departed = {row.name: experiments.list_departures(row.name, short, config.PAPER) for row in ROWS_OF_PAPER}
    assert departed["LUNA16 / ResNet-50"] == ["resnet_epochs = 6 instead of 100"]
    assert departed["LUNA16 / CNN"] == departed["LUNA16 / SGAN, 10 % labels"] == []
    assert {name for name, found in departed.items() if found} == {name for name in departed if "ResNet-50" in name}
    hips = replace(config.PAPER, hip_shift=0.2)
    assert experiments.list_departures("LUNA16 / CNN", hips, config.PAPER) == []
    assert experiments.list_departures("128x128 resized / CNN", hips, config.PAPER) == ["hip_shift = 0.2 instead of 0.1"]
    assert experiments.list_departures("LUNA16", short, config.PAPER) == []  # a data set of Table 1
