"""The readings of the thyroid paper's augmentation: what its amplitude means, and whether scales are cut before it or behind."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from common.cases.folds import Fold
from common.cases.prepared import FILES, Dataset
from common.cli import apply_overrides
from common.training.augmentation import build_matrix, draw_transforms, enlarge_images
from replications.thyroid_ensemble import run, tasks
from replications.thyroid_ensemble.config import PAPER, SMOKE
from replications.thyroid_ensemble.rois import crop_scale, cut_patches, resize_crops

ROIS = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 1)).astype(np.uint8)


def measure_kept(scale: int, config) -> float:
    """Mean share of a patch that shows what the patch showed before, from the drawings themselves."""
    augmented = config.roi_side if config.augment_before_crop else config.scale_sides[scale - 1]
    side = config.scale_sides[scale - 1]
    low = (augmented - side) / 2
    columns, rows = np.meshgrid(np.arange(side) + low, np.arange(side) + low)
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1)[::2, ::2]
    shares = []
    for drawing in draw_transforms(tasks.describe_augmentation(config), (augmented, augmented, 1), range(1000)):
        places = np.einsum("ij,yxj->yxi", build_matrix(drawing, (augmented, augmented)), pixels)
        shares.append(((places >= low - 0.5) & (places <= low + side - 0.5)).all(axis=-1).mean())
    return float(np.mean(shares))


def test_what_the_order_leaves_of_a_patch_is_as_declared(paper):
    (entry,) = (entry for entry in paper.unstated if entry.item == "Order of augmentation and centre crop")
    *by_scale, other = map(int, re.findall(r"(\d+) %", entry.because))
    assert len(by_scale) == 3
    for scale, share in enumerate(by_scale, start=1):
        assert 100 * measure_kept(scale, PAPER) == pytest.approx(share, abs=1)
        assert 100 * measure_kept(scale, replace(PAPER, augment_before_crop=False)) == pytest.approx(other, abs=1)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_both_orders(scale):
    def augment(images: np.ndarray) -> np.ndarray:
        return enlarge_images(images, 2, tasks.describe_augmentation(PAPER), 0)[0]

    before = tasks.augment_patches(ROIS, "VGG16", scale, PAPER, augment)
    np.testing.assert_array_equal(before, cut_patches(augment(ROIS), "VGG16", scale, PAPER))
    after = tasks.augment_patches(ROIS, "VGG16", scale, replace(PAPER, augment_before_crop=False), augment)
    crops = np.ascontiguousarray(crop_scale(ROIS, scale, PAPER))
    np.testing.assert_array_equal(after, resize_crops(augment(crops), "VGG16", scale, PAPER))
    assert before.shape == after.shape == (6, 224, 224, 1)
    np.testing.assert_array_equal(before[:3], after[:3])  # the originals are the same in both
    assert np.array_equal(before, after) == (scale == 1)


@pytest.mark.parametrize("augmentation", ["fixed", "realtime"])
def test_the_order_reaches_what_a_network_is_given(augmentation, tmp_path, monkeypatch):
    """Patches, variants and labels of a task, in both kinds of augmentation."""
    from replications.thyroid_ensemble import train

    given = {}
    for first in (True, False):
        config = replace(SMOKE, augmentation=augmentation, augment_before_crop=first)
        cases = pd.DataFrame({"label": [0, 1, 1]})
        fold = Fold(-1, np.array([0, 2]), np.array([], int), np.array([1]))
        dataset = Dataset(ROIS, cases, {f"{name}_sha256": name for name in FILES})
        monkeypatch.setattr(tasks, "load_dataset", lambda _, dataset=dataset: dataset)
        settings = {"protocol": "paper", "network": "VGG16", "scale": 3, "seed": 0, "data_sha256": dataset.sha256}
        task = tasks.Task(config, settings, dataset, fold, tmp_path / "cells" / "x", lambda *_: None)
        if augmentation == "fixed":
            tasks._load_patches.cache_clear()
            given[first] = task.patches
            assert len(given[first]) == 4 * 3
        else:
            monkeypatch.setattr(train.fit, "fit", lambda model, arrays, **_: arrays(0))
            monkeypatch.setattr(tasks.Task, "patches", ROIS)
            upper = train.Upper(None, ROIS, "")
            patches, labels = train._fit(task, None, upper, "x", 1, 1)
            given[first] = patches[slice(None)]
            assert len(given[first]) == len(labels) == 4 * 2
            assert sorted(labels) == [0] * 4 + [1] * 4
    tasks._load_patches.cache_clear()
    assert not np.array_equal(given[True], given[False])


def test_the_crop_is_the_frame_s_movement_or_the_generator_s_shear():
    assert tasks.describe_augmentation(PAPER).shear == 0
    sheared = tasks.describe_augmentation(replace(PAPER, cropping="shear"))
    assert sheared.shear == PAPER.shear == PAPER.zoom == PAPER.shift
    drawn = draw_transforms(sheared, (128, 128, 1), range(200))
    assert 0.15 < max(abs(one["shear"]) for one in drawn) <= 0.2


@pytest.mark.parametrize(
    ("name", "readings"),
    [
        ("augmentation", ("fixed", "realtime")),
        ("cropping", ("frame", "shear")),
        ("scratch_init", ("gaussian", "he")),
        ("stopping", ("test", "none")),
    ],
)
def test_an_unknown_reading_is_refused_before_anything_is_made(name, readings, tmp_path, capsys):
    for known in readings:
        assert getattr(apply_overrides(PAPER, {name: known}), name) == known
    assert run.main(["--preset", "smoke", "--out", str(tmp_path), "--set", f"{name}=moon"]) == 2
    assert f"{name}=moon: must be one of {', '.join(readings)}" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
