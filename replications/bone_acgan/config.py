"""Every setting of the replication: one frozen dataclass, one literal a setting, each with its place in the paper.

"unstated" marks what the paper leaves open; the reason of each choice stands in paper.toml.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

from common.ranges import DISK, MEMORY, SEED, SEEDS, TIME, Conflict, above, below, between, each, one_of, within
from common.records.contract import Contract

CLASSES = ("health", "metastases", "benign changes")  # sec. 4.1
GANS = ("ACGAN", "MU-ACGAN")  # sec. 5.1.2
BRANCHES = ("DenseNet121", "VGG16", "ResNeXt50")  # of the multi-scale CNN, sec. 3.3
NETWORKS = ("ResNet34", *BRANCHES, "MobileNetV3", "InceptionV3", "EfficientNet")  # Tables 4 to 7


@dataclass(frozen=True)
class Config:
    # Data (sec. 4.1): sizes and thresholds unstated
    # which collection, where the data folder holds several: own, bs80k
    source: Annotated[str, one_of("auto", "own", "bs80k")] = "auto"
    clip_percentile: Annotated[float, above(0, 100)] = 99.5  # of a view's counts, to white
    crop_threshold: Annotated[float, below(0, 1)] = 0.02  # of that percentile: what is body
    crop_margin: Annotated[float, within(0, 1)] = 0.02  # of the view's height and width
    picture_height: Annotated[int, within(32, 2_048, MEMORY)] = 448  # of the classifiers' pictures, shape kept
    picture_width: Annotated[int, within(32, 2_048, MEMORY)] = 224

    # Phantoms only (unstated in the paper, sec. 4.1)
    phantom_patients: Annotated[int, within(3, 10_000, DISK)] = 173  # 346 views
    phantom_signal: Annotated[float, within(0, 100)] = 1.0  # how strongly lesions take up; 0: none is seen
    phantom_anatomy: Annotated[float, within(0, 100)] = 1.0  # how far patients differ; 0: all are the same
    phantom_chests: Annotated[int, within(4, 100_000, DISK)] = 400  # pictures of the source domain

    # Traditional augmentation (sec. 4.1, Table 2): magnitudes unstated
    enlargement: Annotated[int, within(1, 1_000, MEMORY)] = 15  # times, the original included: 1950 / 130
    rotation: Annotated[float, within(0, 180)] = 10.0  # degrees
    shift: Annotated[float, below(0, 1)] = 0.05  # of height and width
    mirror: bool = True  # every second variant
    poisson_share: Annotated[float, within(0, 1)] = 0.5  # of the variants that get noise
    poisson_snr: Annotated[float, between(0, 1)] = 0.7  # what the noise leaves of the ratio of signal to noise
    poisson_white: Annotated[float, above(0, 1_000_000)] = 40.0  # counts of a white pixel, where a picture does not say

    # Pictures of the GAN (sec. 3.2); unstated
    height: Annotated[int, within(8, 1_024, MEMORY)] = 192  # pixels
    width: Annotated[int, within(8, 1_024, MEMORY)] = 64

    # MU-ACGAN (sec. 3.2, Fig. 3): all widths unstated
    noise: Annotated[int, within(1, 65_536, MEMORY)] = 100  # normal(0, 1)
    embedding: Annotated[int, within(1, 65_536, MEMORY)] = 50  # of the class
    # of the generator's levels, the finest first; "4-level U-Net"
    channels: Annotated[tuple[int, ...], each(within(1, 4_096), most=8)] = (32, 64, 128, 256)
    # channels of the maps that noise and class are reshaped to; 0: those of the level
    seed_channels: Annotated[int, within(0, 4_096, MEMORY)] = 0
    discriminator_channels: Annotated[tuple[int, ...], each(within(1, 4_096), most=8)] = (32, 64, 128)  # "three RDA blocks"
    discriminator_norm: bool = True  # batch normalisation in the discriminator's RDA blocks (Fig. 6)
    discriminator_dropout: Annotated[float, below(0, 1)] = 0.3
    attention_reduction: Annotated[int, within(1, 4_096)] = 16  # coordinate attention (Hou et al. 2021)
    attention_least: Annotated[int, within(1, 4_096)] = 8  # channels after the reduction, at least
    norm_momentum: Annotated[float, below(0, 1)] = 0.9  # of moving statistics
    norm_epsilon: Annotated[float, above(0, 1)] = 1e-5

    # Plain ACGAN (sec. 5.1.2 names it, no widths)
    # of the generator, coarsest first
    plain_channels: Annotated[tuple[int, ...], each(within(1, 4_096), most=8)] = (256, 128, 64, 32, 32)
    plain_discriminator_channels: Annotated[tuple[int, ...], each(within(1, 4_096), most=8)] = (32, 64, 128, 256)
    plain_leak: Annotated[float, below(0, 1)] = 0.2  # slope of the leaky ReLU

    # Training of the GANs (sec. 4.2)
    gan_learning_rate: Annotated[float, above(0, 1)] = 2e-4
    gan_beta_1: Annotated[float, below(0, 1)] = 0.5  # unstated
    gan_batch_size: Annotated[int, within(1, 4_096, MEMORY)] = 2
    gan_epochs: Annotated[int, within(1, 100_000, TIME)] = 500  # "iterations", which the figures call epochs
    gan_steps: Annotated[int, within(0, 100_000_000, TIME)] = 0  # steps of a training instead; 0: gan_epochs, as the paper
    gan_balanced: bool = True  # every batch draws its classes with equal chance; unstated
    source_epochs: Annotated[int, within(1, 100_000, TIME)] = 10  # first stage (sec. 3.4); unstated
    source_steps: Annotated[int, within(0, 100_000_000, TIME)] = 0  # steps of the first stage instead; 0: source_epochs
    shown_epochs: Annotated[tuple[int, ...], each(within(1, 100_000), order="different")] = (1, 100, 200, 500)  # Fig. 10
    # generated for each class (Table 3): as many as the largest class has; unstated
    evaluated_pictures: Annotated[int, within(2, 100_000, MEMORY)] = 130
    # of that of real pictures, below which a class counts as collapsed; ours
    least_diversity: Annotated[float, within(0, 1)] = 0.3

    # Classifiers (sec. 3.3, 4.2)
    # "head": only the new layer, on pooled features that are computed once; for trial runs
    trained: Annotated[str, one_of("all", "head")] = "all"
    shortened: bool = False  # backbones end at about a third of their depth; for trial runs
    attention: bool = False  # coordinate attention before pooling: sec. 5.2.2 says so, sec. 3.3 and Fig. 7 do not
    batch_size: Annotated[int, within(1, 4_096, MEMORY)] = 4
    classifier_epochs: Annotated[int, within(1, 100_000, TIME)] = 500  # "iterations"
    # of every training instead, whatever the size of its data set; 0: classifier_epochs
    classifier_updates: Annotated[int, within(0, 100_000_000, TIME)] = 0
    branch_learning_rate: Annotated[float, above(0, 1)] = 1e-4  # RAdam; unstated
    head_learning_rate: Annotated[float, above(0, 1)] = 1e-3  # unstated
    patience: Annotated[int, within(1, 100_000)] = 30  # leakfree only: epochs without a lower validation cross-entropy; unstated
    # how often a training of classifier_updates is checked on the validation patients; ours
    checks: Annotated[int, within(1, 100_000)] = 10

    # Splits and seeds (Table 1; leakfree: patients)
    # of each class: 32, 25 and 15 of 162, 126 and 58 (Table 1)
    test_share: Annotated[tuple[float, ...], each(between(0, 1), least=3, most=3)] = (0.1975, 0.1984, 0.2586)
    leakfree_folds: Annotated[int, within(2, 100)] = 5  # leakfree only
    validation_share: Annotated[float, between(0, 1)] = 0.2  # leakfree only: of the patients that are not tested
    split_seed: Annotated[int, SEED] = 0  # unstated; also of the augmentation
    seeds: Annotated[tuple[int, ...], SEEDS] = (0, 1, 2, 3, 4)  # unstated

    def find_conflicts(self) -> Iterator[Conflict]:
        """Settings that contradict one another, though each lies in its range."""
        for channels in ("channels", "plain_channels"):
            halvings = len(getattr(self, channels)) - 1
            if self.height % 2**halvings or self.width % 2**halvings:
                yield ("height", "width", channels), f"pictures cannot be halved {halvings} times"
        if not self.shortened and min(self.picture_height, self.picture_width) < 75:
            yield ("picture_height", "picture_width", "shortened"), "whole networks take pictures of at least 75 pixels"
        if self.classifier_updates and self.checks > self.classifier_updates:
            yield ("checks", "classifier_updates"), "more checks than updates"


PAPER = Config()

DEMO = replace(  # phantoms, small pictures and networks of random weights; every table and figure
    PAPER,
    phantom_patients=72,
    phantom_signal=8.0,
    phantom_anatomy=0.9,
    phantom_chests=200,
    picture_height=128,
    picture_width=64,
    enlargement=3,
    height=48,
    width=16,
    channels=(8, 16),
    seed_channels=1,
    discriminator_channels=(8, 16),
    discriminator_norm=False,
    plain_channels=(64, 32, 16, 16, 8),
    plain_discriminator_channels=(8, 16, 32, 64),
    gan_learning_rate=1e-3,
    gan_batch_size=8,  # as quick as two at this size, and pictures of a class come to differ from those of another
    gan_steps=240,
    source_steps=100,
    evaluated_pictures=20,
    trained="head",
    shortened=True,
    batch_size=128,  # with four the new layers do not come to fit what they train on, and the last epoch is left to chance
    head_learning_rate=2e-3,
    classifier_updates=1200,
    test_share=(0.4, 0.4, 0.4),  # a fifth would be 25 views
    leakfree_folds=2,
    seeds=(0,),
)

SMOKE = replace(  # the smallest run that passes through every line
    DEMO,
    phantom_patients=30,
    phantom_chests=40,
    picture_height=64,
    picture_width=32,
    enlargement=2,
    gan_batch_size=2,
    gan_steps=40,
    source_steps=20,
    evaluated_pictures=8,
    batch_size=4,
    head_learning_rate=1e-3,
    classifier_updates=60,
    test_share=PAPER.test_share,
    checks=3,
)

PRESETS = {"paper": PAPER, "demo": DEMO, "smoke": SMOKE}

CONTRACT = Contract(
    small=("--rows", "ResNet34 / data set 1,ResNet34 / data set 2"),
    learns=(
        "--rows", "ResNet34 / data set 4", "--set", "trained=all", "--set", "classifier_updates=320", "--set", "batch_size=8",
        "--set", "branch_learning_rate=1e-3", "--set", "picture_height=64", "--set", "picture_width=32",
    ),
    row="ResNet34 / data set 4",
)  # fmt: skip
