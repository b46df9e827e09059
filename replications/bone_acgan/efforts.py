"""What each training will do, for the cost of a run before it: networks, steps, pictures. Nothing here imports TensorFlow."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.cases.folds import Fold
from common.cases.prepared import Dataset
from common.records.results import Split
from common.runs.work import Below, Network, Stage, Work
from common.training.weights import WeightFile
from replications.bone_acgan import plans
from replications.bone_acgan.config import Config
from replications.bone_acgan.rows import CHESTS, SCANS, SETS, list_branches
from replications.bone_acgan.stages import Place, Placed
from replications.bone_acgan.tasks import CACHE_BYTES, MOST_COMPARED, count_missing, plan_classifier_epochs, plan_gan_epochs

BUILD = "replications.bone_acgan.specimens:build_specimen"
WHOLE, UPPER, LOWER = "whole", "upper", "lower"  # parts of a classifier, cut below its last layer
PUBLISHED = {  # multiply-adds at 224 x 224 pixels
    "ResNet34": 3.7e9, "ResNeXt50": 4.3e9, "VGG16": 15.5e9, "DenseNet121": 2.9e9, "InceptionV3": 2.9e9, "MobileNetV3": 0.22e9,
    "EfficientNet": 0.4e9,
}  # fmt: skip
OF_PAIR, OF_PIXEL = 1e-4, 4e-8  # seconds that comparing two pictures takes, and more for each pixel, by rule of thumb
FILL_BATCH = 32
Folds = Mapping[str, tuple[Dataset, Sequence[Fold]]]  # protocol -> cases, folds


def list_works(
    gans: Sequence[plans.Gan],
    classifiers: Sequence[plans.Classifier],
    places: Sequence[Place],
    config: Config,
    placed: Placed,
    divided: Folds,
    splits: Mapping[str, Split],
) -> list[Work]:
    """The work of GANs in both stages, of their judgement and of classifiers at places (protocol, fold, seed)."""
    there = CHESTS in placed
    trained = [one for one in gans if there or not one.transfer]
    works = []
    for gan in dict.fromkeys(one.gan for one in trained if one.transfer):
        chests = placed[CHESTS][1]
        epochs, steps = plan_gan_epochs(len(chests.cases), config.source_epochs, config.source_steps, config)
        key = plans.plan_source(gan, config, chests.sha256).key
        works.append(Work(key, (Stage(describe_gan(gan, config), epochs, steps),)))
    sha256, none = placed[SCANS][1].sha256, WeightFile("", "")  # keys of cells do not need what is not there yet
    for one in trained:
        for place in places:
            labels = divided[place[0]][0].cases["label"].to_numpy()
            cell = plans.plan_gan(one, place, config, sha256, splits, None)
            train = find_fold(divided, place).train
            epochs, steps = plan_gan_epochs(len(train), config.gan_epochs, config.gan_steps, config)
            works.append(Work(cell.key, (Stage(describe_gan(one.gan, config), epochs, steps),)))
            works.append(Work(plans.plan_judgement(cell, none, None).key, seconds=guess_judgement(labels[train], config)))
    for kind in classifiers:
        for place in places:
            planned = plans.plan_classifier(kind, place, config, sha256, splits, {}, {(kind.gan, place): none})
            if planned is not None and (there or not kind.gan):
                works.append(plan_classifier(planned.key, kind, place, divided, config))
    return works


def guess_judgement(labels: np.ndarray, config: Config) -> float:
    """Seconds that judging a GAN takes: its pictures and real ones of each class beside real ones, by SSIM. labels: int (n,), of
    the training pictures.

    >>> fast, slow = (guess_judgement(np.arange(600) % 3, Config(evaluated_pictures=count)) for count in (20, 130))
    >>> round(fast), round(slow)
    (78, 117)
    """
    compared = np.minimum(np.bincount(labels), MOST_COMPARED)
    pairs = int(np.sum(compared * (config.evaluated_pictures + compared + 1)))
    return pairs * (OF_PAIR + OF_PIXEL * config.height * config.width)


def find_fold(divided: Folds, place: Place) -> Fold:
    """The fold of a training."""
    return next(fold for fold in divided[place[0]][1] if fold.fold == place[1])


def plan_classifier(key: str, one: plans.Classifier, place: Place, divided: Folds, config: Config) -> Work:
    """Epochs and steps as `train.train_classifier` makes them, if it does not stop early."""
    dataset, fold = divided[place[0]][0], find_fold(divided, place)
    gan, enlarged = SETS[one.number]
    labels = dataset.cases["label"].to_numpy()[fold.train]
    added = int(np.sum(count_missing(labels))) if gan else 0
    count = (len(labels) + added) * (config.enlargement if enlarged else 1)
    epochs, size = plan_classifier_epochs(count, config)
    scored = len(fold.validation)
    about: dict[str, Any] = {"steps": math.ceil(size / config.batch_size), "scored": scored, "once": len(fold.test) + scored}
    if config.trained != "head":
        return Work(key, (Stage(describe_classifier(one.network, WHOLE, config), epochs, **about),))
    lower = describe_classifier(one.network, LOWER, config)
    below = Below(lower, len(dataset.cases) * config.enlargement, CACHE_BYTES)
    upper = Stage(describe_classifier(one.network, UPPER, config), epochs, **about, below=below)
    drawn = Stage(lower, 0, 0, once=added * (config.enlargement if enlarged else 1))
    return Work(key, (upper, drawn) if added else (upper,))


def describe_classifier(network: str, part: str, config: Config) -> Network:
    """A part of a classifier."""
    area = config.picture_height * config.picture_width / 224**2
    most = sum(PUBLISHED[branch] for branch in list_branches(network)) * area * (0.7 if config.shortened else 1)
    settings = {"config": plans.reduce_config(config), "network": network, "part": part}
    title = f"{network}, {config.picture_height} x {config.picture_width} pixels" + ("" if part == WHOLE else f", {part} part")
    batch = FILL_BATCH if part == LOWER else config.batch_size
    return Network(title, BUILD, settings, batch, 1e5 if part == UPPER else most)


def describe_gan(gan: str, config: Config) -> Network:
    """Generator and discriminator."""
    finest = sorted({*config.channels, *config.plain_channels})[: max(len(config.channels), len(config.plain_channels))]
    maps = sum(width**2 / 4**number for number, width in enumerate(finest))
    settings = {"config": plans.reduce_config(config), "network": gan, "part": WHOLE}
    title = f"{gan}, {config.height} x {config.width} pixels"
    return Network(title, BUILD, settings, config.gan_batch_size, 200.0 * config.height * config.width * maps)
