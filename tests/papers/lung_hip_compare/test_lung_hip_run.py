"""lung_hip_compare through its own command line: what is this package's alone. The rest: tests/contract."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from common.cases import prepared
from common.evaluation.verdicts import name_standing
from common.files import slug
from common.records.results import DatasetEntry, read_results
from replications.lung_hip_compare import config, data, experiments, run

ROWS_OF_PAPER = experiments.list_rows(config.PAPER)


def test_figures_of_every_data_set(smoke_run):
    drawn = {figure.file for figure in read_results(smoke_run / "results.json").extra.figures}
    assert {"figure2-patches.png", "figure3-hips.png", "accuracy.png", "intervals.png", "labels.png"} <= drawn
    assert {f"figure6-{slug(dataset)}-paper.png" for dataset in config.DATASETS} <= drawn


def test_variants_of_one_radiograph_leak_under_the_paper_s_protocol(smoke_run):
    for dataset in read_results(smoke_run / "results.json").datasets:
        if dataset.dataset != "LUNA16":
            leak = dataset.splits["paper"].leak
            assert leak.same_patient > 0.8 * leak.test_cases


def test_a_training_that_fails_is_said_and_the_others_go_on(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(config.PRESETS, "smoke", replace(config.SMOKE, resnet_strides="diagonal"))
    argv = ["--preset", "smoke", "--out", str(tmp_path), "--workers", "1", "--threads", "1"]
    rows = "LUNA16 / ResNet-50,LUNA16 / DBN"
    assert run.main([*argv, "--rows", rows, "--tables", "2"]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if "choose one of standard, as_written" in line]
    assert len(errors) == 2  # one a protocol
    (folder,) = (tmp_path / "lung_hip_compare").glob("smoke-*")
    results = read_results(folder / "results.json")
    reasons = {missing.row: missing.reason for missing in results.extra.not_run}
    assert reasons["LUNA16 / ResNet-50"].startswith("failed: ")
    assert reasons["LUNA16 / CNN"] == "not asked for (--rows)"
    assert {row.row for row in results.rows} == {"LUNA16 / DBN"}


def test_a_folder_without_the_imagenet_file_leaves_out_its_row_alone(tmp_path, capsys):
    argv = ["--preset", "smoke", "--out", str(tmp_path), "--workers", "1", "--threads", "1", "--dry-run", "--weights"]
    assert run.main([*argv, str(tmp_path), "--rows", "LUNA16"]) == 0
    error = capsys.readouterr().err
    assert f"not run, what starts from weights of {experiments.IMAGENET_ROW}: {tmp_path}" in error
    assert "to do: " in error
    assert run.main([*argv, str(tmp_path), "--rows", "ImageNet"]) == 2
    assert config.IMAGENET_FILE in capsys.readouterr().err.splitlines()[-1]
    assert run.main([*argv, str(tmp_path / "elsewhere"), "--rows", "LUNA16"]) == 2
    assert "no such folder" in capsys.readouterr().err.splitlines()[-1]


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
    for setting, value in (("luna_voxel_rule", "as-published"), ("luna_side", 64)):  # they decide which patches are padded
        other = replace(config.PAPER, **{setting: value})
        assert [experiments.list_departures(row, other, config.PAPER) == [] for row in ("LUNA16", "128x128 resized")] == [
            False,
            True,
        ]


def test_each_row_stands_on_its_own_data_set():
    """A real LUNA16 beside a user's own hips: verdicts on the former alone."""
    about = {"note": "", "cases": 2, "patients": 2, "classes": {}, "files_sha256": None, "unreadable": [], "splits": {}}
    described = [
        DatasetEntry(dataset=name, name=name, synthetic=False, substitute=name != "LUNA16", **about)
        for name in ("LUNA16", "128x128 resized")
    ]
    rows = ("LUNA16", "LUNA16 / ResNet-50, ImageNet", "128x128 resized / CNN", "256x256 resized / CNN")
    found = [name_standing(experiments.find_dataset(row, described), "paper") for row in rows]
    assert found == ["", "", "other data", ""]  # the last is not here, so it is not run either


def test_every_setting_shapes_some_row_or_is_free():
    for field in fields(config.PAPER):
        value = getattr(config.PAPER, field.name)
        changed = replace(config.PAPER, **{field.name: (*value, value[0]) if isinstance(value, tuple) else None})
        shapes = any(experiments.list_departures(row.name, changed, config.PAPER) for row in ROWS_OF_PAPER)
        if "phantom" not in field.name:  # no setting of a real run
            assert shapes != (field.name in experiments.FREE_SETTINGS), field.name


def learn_phantoms(folder: Path) -> float:
    """AUC of the paper's CNN on phantoms, labels shuffled among the training cases."""
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
    targets = np.random.default_rng(0).permutation(labels[fold.train])
    images = np.asarray(dataset.images[fold.train])
    (folder / "cell").mkdir()
    model = fit.build_compiled(
        "phantoms", "cnn", lambda: train.compile_classifier(models.build_cnn(settings.luna_side, settings), settings), 0, 20
    )
    fit.fit(
        model, lambda epoch: (images[o := shuffle_order(len(images), 0, epoch)], targets[o]), stage="CNN", epochs=30,
        batch_size=20, folder=folder / "cell", report=lambda *_: None,
    )  # fmt: skip
    return roc_auc_score(labels[fold.test], fit.predict(model, np.asarray(dataset.images[fold.test]))[:, 1])


@pytest.mark.usefixtures("backend")
def test_shuffled_labels_are_not_learnt(tmp_path):
    assert 0.25 < learn_phantoms(tmp_path) < 0.75
