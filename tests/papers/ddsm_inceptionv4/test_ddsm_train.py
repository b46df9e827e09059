"""Trainings: what is frozen, the feature cache equals plain Keras, augmentation, class weights, the recipe, costs."""

from dataclasses import replace

import cv2
import keras
import numpy as np
import pytest
from ddsm_samples import SMALL

from common.cases.folds import Fold
from common.cases.prepared import Dataset
from common.errors import UsageError
from common.training import fit
from common.training.cuts import freeze_except
from replications.ddsm_inceptionv4 import costs, models, train, variants
from replications.ddsm_inceptionv4.config import PAPER
from replications.ddsm_inceptionv4.inception_v4 import build_inception_v4, list_layers
from replications.ddsm_inceptionv4.rows import INCEPTION, MOBILE, SCRATCH, SOFTMAX, list_models, list_starts
from replications.ddsm_inceptionv4.rows import SMALL as SMALL_NETWORK
from replications.ddsm_inceptionv4.tasks import Task

CONFIG = replace(
    SMALL, blocks=(1, 1, 1), width=0.125, optimizer="rmsprop", epochs=2, patience=5, rate_decay=0.5, decay_epochs=1, dropout=0.0
)


def quiet(*_args) -> None:
    """A report that goes nowhere."""


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    random = np.random.default_rng(0)
    found = random.integers(0, 120, (24, 75, 75), np.uint8)
    found[::2, 20:50, 20:50] += 100
    return found


def make_task(pictures, folder, config=CONFIG) -> Task:
    import pandas as pd

    count = len(pictures)
    cases = pd.DataFrame({"case_id": [f"c{n}" for n in range(count)], "label": (np.arange(count) % 2 == 0).astype(int)})
    home = folder / "cells" / "x.partial"
    home.mkdir(parents=True, exist_ok=True)
    order = np.arange(count)
    fold = Fold(-1, order[:14], order[14:18], order[18:])
    settings = {"seed": 0, "weights": None, "data_sha256": "d"}
    return Task(config, settings, Dataset(pictures[..., None], cases, {}), fold, home, quiet)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("start", [SOFTMAX, "inception_c1"])
def test_the_feature_cache_equals_plain_keras_with_frozen_layers(pictures, tmp_path, start):
    """The same weights after two epochs of the paper's recipe, with two rates and their decay."""
    task = make_task(pictures, tmp_path)
    material = train.open_material(task, INCEPTION, start)
    assert material.note.startswith("cached at")
    model, history, _ = train.train_network(task, INCEPTION, start, material)
    whole = models.build_network(INCEPTION, train.reduce_config(CONFIG), None, start, CONFIG.split_seed)
    models.draw_softmax(whole, 0)
    models.compile_network(whole, start, 1, CONFIG)
    stored = variants.open_variants(pictures, "d", 75, CONFIG, task.cache)
    labels, fold = task.labels, task.fold
    weights = train.weigh_classes(labels[fold.train], balanced=True)
    best = []
    for epoch in range(2):
        order = train.shuffle_order(len(fold.train), 0, epoch)
        places = fold.train[order]
        inputs = stored[places, (places + epoch) % CONFIG.variants][..., None]
        whole.fit(inputs, labels[places], sample_weight=weights[order], batch_size=32, shuffle=False, verbose=0)
        best.append([layer.get_weights() for layer in whole.layers if layer.trainable and layer.weights])
    chosen = fit.find_best(history, "val_auc")
    trained = [layer.get_weights() for layer in model.layers if layer.trainable and layer.weights]
    for ours, plain in zip(trained, best[chosen], strict=True):
        for a, b in zip(ours, plain, strict=True):
            assert np.abs(a - b).max() < 1e-6


@pytest.mark.usefixtures("backend")
def test_what_is_retrained():
    config = replace(CONFIG, blocks=(1, 2, 2))
    for start, expected in ((SOFTMAX, {"softmax"}), ("inception_c2", {"inception_c2", "softmax"})):
        model = models.build_network(INCEPTION, config, None, start, 0)
        trained = {layer.name for layer in model.layers if layer.trainable and layer.weights}
        assert {name if name == "softmax" else "_".join(name.split("_")[:2]) for name in trained} == expected
    scratch = models.build_network(INCEPTION, config, None, SCRATCH, 0)
    assert all(layer.trainable for layer in scratch.layers if layer.weights)
    small = models.build_network(SMALL_NETWORK, config, None, SCRATCH, 0)
    assert small.input_shape[1:] == (config.small_size, config.small_size, 1)
    mobile = models.build_network(MOBILE, config, None, SOFTMAX, 0)
    assert [layer.name for layer in mobile.layers if layer.trainable and layer.weights] == ["softmax"]


@pytest.mark.usefixtures("backend")
def test_two_rates_and_their_decay():
    """A block moves at block_rate, the softmax at head_rate, both less after every decay."""
    optimizer = models.build_optimizer("inception_c1", 3, replace(PAPER, rate_decay=0.5, decay_epochs=2))
    schedule = optimizer._learning_rate
    assert [float(schedule(step)) for step in (0, 5, 6)] == pytest.approx([1e-4, 1e-4, 5e-5])
    block, head = (
        keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros", name=name) for name in ("inception_c1_0_0", SOFTMAX)
    )
    for layer in (block, head):
        layer.build((None, 1))
    optimizer.apply([keras.ops.ones((1, 1))] * 2, [block.kernel, head.kernel])
    assert float(head.kernel[0, 0]) / float(block.kernel[0, 0]) == pytest.approx(10, rel=1e-4)
    assert models.build_optimizer(SCRATCH, 1, PAPER).epsilon == 1.0
    assert isinstance(models.build_optimizer(SOFTMAX, 1, replace(PAPER, optimizer="adam")), keras.optimizers.Adam)
    with pytest.raises(UsageError, match="rmsprop or adam"):
        models.build_optimizer(SOFTMAX, 1, replace(PAPER, optimizer="lion"))


@pytest.mark.usefixtures("backend")
def test_the_epoch_of_the_highest_validation_auc_is_kept(tmp_path):
    """By the common `fit`: validation AUC rises and falls; of equals the lower cross-entropy."""
    histories = [{"val_auc": 0.6, "val_loss": 1.0}, {"val_auc": 0.8, "val_loss": 2.0}, {"val_auc": 0.8, "val_loss": 1.5}]
    assert fit.find_best(histories, "val_auc") == 2
    assert fit.find_best(histories, "val_loss") == 0
    assert fit._is_over(histories, 2, "val_loss")
    assert not fit._is_over(histories, 2, "val_auc")


def test_variants_are_fixed_and_new_ones_are_not(pictures, tmp_path):
    stored = variants.open_variants(pictures, "d", 75, replace(SMALL, variants=3), tmp_path)
    assert stored.shape == (24, 3, 75, 75)
    assert (stored[:, 0] == pictures).all()
    assert not (stored[:, 1] == stored[:, 2]).all()
    again = variants.open_variants(pictures[:5], "other", 75, replace(SMALL, variants=3), tmp_path)
    assert (again == stored[:5]).all()  # a variant depends on its place and number alone
    epochs = [variants.vary_epoch(pictures, np.arange(4), 0, epoch, SMALL) for epoch in (0, 0, 1)]
    assert (epochs[0] == epochs[1]).all()
    assert not (epochs[0] == epochs[2]).all()


def test_each_kind_of_augmentation():
    picture = np.zeros((40, 40), np.uint8)
    picture[5:20, :15] = 100
    picture[8:12, 3:6] = 200
    still = replace(SMALL, vertical_flip=False, horizontal_flip=False, contrast=0.0, saturation=0.0, crop_area=1.0)
    random = np.random.default_rng
    assert (variants.vary(picture, random(0), still) == picture).all()
    flips = {
        variants.vary(picture, random(seed), replace(still, vertical_flip=True, horizontal_flip=True)).tobytes()
        for seed in range(30)
    }
    assert flips == {of.tobytes() for of in (picture, picture[::-1], picture[:, ::-1], picture[::-1, ::-1])}
    contrasted = [variants.vary(picture, random(seed), replace(still, contrast=0.2)) for seed in range(5)]
    assert all((of == 0).sum() == (picture == 0).sum() for of in contrasted)  # the outside stays black
    assert len({of.max() for of in contrasted}) > 1
    cropped = [variants.vary(picture, random(seed), replace(still, crop_area=0.25)) for seed in range(9)]
    assert len({of.tobytes() for of in cropped}) > 3
    assert max((of > 0).sum() for of in cropped) > (picture > 0).sum()  # enlarged
    saturated = [variants.vary(picture, random(0), replace(still, saturation=of)) for of in (0.0, 0.9)]
    assert (saturated[0] == saturated[1]).all()  # of grey pictures nothing changes
    colour = cv2.merge([picture, picture // 2, picture // 4])
    assert not (variants.change_saturation(colour, 0.2) == colour).all()


def test_class_weights_balance():
    labels = np.array([0] * 9 + [1] * 3)
    weights = train.weigh_classes(labels, balanced=True)
    assert weights[labels == 0].sum() == pytest.approx(weights[labels == 1].sum()) == pytest.approx(6)
    assert (train.weigh_classes(labels, balanced=False) == 1).all()


def test_new_variants_every_epoch_rule_out_the_cache(pictures, tmp_path, backend):
    task = make_task(pictures, tmp_path, replace(CONFIG, variants=0))
    material = train.open_material(task, INCEPTION, SOFTMAX)
    assert material.fresh is not None
    assert "new variants" in material.note


@pytest.mark.usefixtures("backend")
def test_operations_explain_the_speed():
    """12.25 x 10^9 multiplications at 299 pixels; the last Inception-C has 2.4 % of them."""
    model = build_inception_v4(2, PAPER.blocks, PAPER.size)
    freeze_except(model, list_layers(model, "inception_c3", PAPER.blocks))
    assert sum(costs.count_operations(model).values()) / 1e9 == pytest.approx(12.25, abs=0.05)
    assert costs.share_above(model, "inception_c3") == pytest.approx(0.024, abs=0.001)
    assert costs.share_above(model, SCRATCH) == 1


def test_rows_and_their_trainings():
    rows = [model.row for model in list_models(PAPER)]
    assert len(rows) == len(set(rows))
    assert {"InceptionV4 vanilla", "InceptionV4 transfer", "InceptionV4 transfer*", "InceptionV4 (1, 2, 1) vanilla"} <= set(rows)
    assert list_starts(PAPER)[:3] == [SOFTMAX, "inception_c3", "inception_c1"]
    with pytest.raises(UsageError, match="no block 'inception_d1'"):
        list_starts(replace(PAPER, layer_starts=("inception_d1",)))
