"""Every setting of the replication: one frozen dataclass, one literal a setting, each with its place in the paper.

"unstated" marks what the paper leaves open; the reason of each choice stands in paper.toml.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from common.ranges import DISK, MEMORY, SEED, SEEDS, TIME, Conflict, above, below, between, each, one_of, within, words
from common.records.contract import Contract

CLASSES = ("no lesion", "lesion")  # sec. 6.1, footnote 1
LEVELS = ("image", "breast", "case", "density")  # what a label speaks of; density: dense tissue, a control of ours
OPTIMIZERS = ("rmsprop", "adam")
GREYS = ("levels", "density")  # grey levels of the digitiser, or optical density of the film


def list_block_names(blocks: Sequence[int]) -> list[str]:
    """Blocks of InceptionV4 from input to output, without the softmax.

    >>> list_block_names((1, 1, 1))
    ['stem', 'inception_a1', 'reduction_a', 'inception_b1', 'reduction_b', 'inception_c1']
    """
    a, b, c = ([f"inception_{letter}{n + 1}" for n in range(count)] for letter, count in zip("abc", blocks, strict=True))
    return ["stem", *a, "reduction_a", *b, "reduction_b", *c]


@dataclass(frozen=True)
class Config:
    # Data (sec. 6.1)
    # which collection, where the data folder holds several
    source: Annotated[str, one_of("auto", "ddsm", "cbis", "mias", "own")] = "auto"
    # footnote 1 labels patients positive and images negative
    label_levels: Annotated[tuple[str, ...], each(one_of(*LEVELS), order="different")] = ("image", "case")

    # Preprocessing (sec. 6.2, Fig. 4): the algorithm is unstated
    grey: Annotated[str, one_of(*GREYS)] = "levels"  # density: by the curve of the digitiser, where it is known
    percentiles: Annotated[tuple[float, float], each(within(0, 100), order="rising")] = (0.5, 99.5)  # to black and white
    mask_side: Annotated[int, within(32, 4_096, MEMORY)] = 512  # pixels of the longer side, for finding the breast
    opening: Annotated[float, between(0, 0.5)] = 0.1  # of that side: what is narrower is no breast
    flip: bool = True  # right breasts to the left
    size: Annotated[int, within(75, 2_048, MEMORY)] = 299  # of the pictures, padded to a square; unstated

    # Phantoms only (unstated in the paper, sec. 6.1)
    phantom_cases: Annotated[int, within(2, 10_000, DISK)] = 120  # of four views
    phantom_height: Annotated[int, within(64, 8_192, DISK)] = 420  # pixels of a film
    phantom_signal: Annotated[float, within(0, 100)] = 1.0  # contrast of lesions; 0: none is seen
    phantom_patient: Annotated[float, within(0, 100)] = 1.0  # how far women differ; 0: all are the same
    # share of the cases with lesions that the first digitiser has; 0.5: no shortcut
    phantom_scanner: Annotated[float, within(0, 1)] = 0.6

    # Augmentation (sec. 6.2): magnitudes unstated
    # of a picture, the original included, one an epoch; 0: a new one every epoch, and no feature cache
    variants: Annotated[int, within(0, 100, DISK)] = 4
    vertical_flip: bool = True
    horizontal_flip: bool = True
    contrast: Annotated[float, within(0, 1)] = 0.2  # factors from 1 - contrast to 1 + contrast
    saturation: Annotated[float, within(0, 1)] = 0.2  # likewise; without effect on grey pictures
    crop_area: Annotated[float, above(0, 1)] = 0.875  # share of the picture that a random crop keeps

    # Networks (sec. 4.1, 6.2; Szegedy et al. 2016)
    blocks: Annotated[tuple[int, int, int], each(within(1, 32))] = (4, 7, 3)  # Inception-A, -B, -C
    width: Annotated[float, above(0, 4, MEMORY)] = 1.0  # factor on all numbers of filters
    dropout: Annotated[float, below(0, 1)] = 0.2  # "keep 0.8"
    norm_momentum: Annotated[float, below(0, 1)] = 0.99  # of moving statistics; TF-slim's 0.9997 is for epochs of 40,000 steps
    small_blocks: Annotated[tuple[int, int, int], each(within(1, 32))] = (1, 2, 1)  # of the row of ours that a CPU can train
    small_size: Annotated[int, within(75, 2_048, MEMORY)] = 149
    small_width: Annotated[float, above(0, 4, MEMORY)] = 1.0
    small_momentum: Annotated[float, below(0, 1)] = 0.9
    mobile_size: Annotated[int, within(32, 2_048, MEMORY)] = 224  # of MobileNetV2, a row of ours

    # weights "phantom" only: pictures of the synthetic task that stands for ImageNet
    source_task_images: Annotated[int, within(0, 100_000, MEMORY)] = 0
    source_task_epochs: Annotated[int, within(0, 10_000, TIME)] = 0  # likewise: of its training

    # Training (sec. 6.2): all unstated
    optimizer: Annotated[str, one_of(*OPTIMIZERS)] = "rmsprop"  # or adam
    vanilla_rate: Annotated[float, above(0, 1)] = 0.01
    head_rate: Annotated[float, above(0, 1)] = 1e-3  # transfer: the last layer
    block_rate: Annotated[float, above(0, 1)] = 1e-4  # transfer*: retrained blocks; the last layer keeps head_rate
    rate_decay: Annotated[float, above(0, 1)] = 0.94  # every decay_epochs
    decay_epochs: Annotated[int, within(1, 100_000)] = 2
    rho: Annotated[float, below(0, 1)] = 0.9  # of RMSprop
    momentum: Annotated[float, below(0, 1)] = 0.9
    epsilon: Annotated[float, above(0, 10)] = 1.0
    weight_decay: Annotated[float, below(0, 1)] = 4e-5  # L2, as TF-slim counts it
    batch_size: Annotated[int, within(1, 4_096, MEMORY)] = 32
    epochs: Annotated[int, within(1, 100_000, TIME)] = 100
    patience: Annotated[int, within(1, 100_000)] = 10  # epochs without a higher validation AUC
    class_weights: bool = True  # balanced

    # further blocks of the layer-wise curve (sec. 6.3: "further research")
    layer_starts: Annotated[tuple[str, ...], each(words(32), most=100, order="different")] = (
        "inception_c1", "reduction_b", "inception_b1", "reduction_a", "inception_a1", "stem",
    )  # fmt: skip

    # Unsupervised part, planned (sec. 4.1, Fig. 2): all unstated
    sample_size: Annotated[int, within(8, 1_024, MEMORY)] = 64  # pixels
    latent: Annotated[int, within(1, 65_536, MEMORY)] = 64
    sample_channels: Annotated[tuple[int, ...], each(within(1, 4_096), most=8)] = (32, 64, 128, 256)
    sample_epochs: Annotated[int, within(1, 100_000, TIME)] = 60
    sample_batch: Annotated[int, within(1, 4_096, MEMORY)] = 32
    sample_rate: Annotated[float, above(0, 1)] = 2e-4
    sample_beta_1: Annotated[float, below(0, 1)] = 0.5  # of Adam
    sample_variance: Annotated[float, above(0, 1)] = 0.01  # of a pixel 0..1 given the latent variables (VAE)
    samples: Annotated[int, within(2, 100_000, MEMORY)] = 500  # drawn of each model
    labelled_share: Annotated[float, above(0, 1)] = 0.1  # of the training cases, that a small labelled set has

    # Splits and seeds (unstated in sec. 6.2)
    folds: Annotated[int, within(1, 100)] = 1  # 1: one split; more: every case is tested once, in both protocols
    test_share: Annotated[float, between(0, 1)] = 0.2
    validation_share: Annotated[float, between(0, 1)] = 0.1
    split_seed: Annotated[int, SEED] = 0
    seeds: Annotated[tuple[int, ...], SEEDS] = (0, 1, 2, 3, 4)

    def find_conflicts(self) -> Iterator[Conflict]:
        """Settings that contradict one another, though each lies in its range."""
        known = list_block_names(self.blocks)
        if unknown := [name for name in self.layer_starts if name not in known]:
            yield ("layer_starts", "blocks"), f"no block {unknown[0]!r}; known: {', '.join(known)}"
        if self.sample_size % 2 ** len(self.sample_channels):
            yield ("sample_size", "sample_channels"), "cannot be halved as often as sample_channels has entries"
        if self.test_share + self.validation_share >= 1 or (self.folds > 1 and self.validation_share + 1 / self.folds >= 1):
            yield ("test_share", "validation_share", "folds"), "nothing is left to train on"
        if bool(self.source_task_images) != bool(self.source_task_epochs):
            yield ("source_task_images", "source_task_epochs"), "either both are 0 or none"


PAPER = Config()

DEMO = replace(  # phantoms, small pictures and networks; every table and figure
    PAPER,
    phantom_cases=96,
    phantom_signal=6.0,
    mask_side=256,
    size=88,
    vertical_flip=False,  # the waves in a woman's tissue have a direction, by which she is recalled
    horizontal_flip=False,
    blocks=(1, 2, 1),
    width=0.25,
    norm_momentum=0.8,
    small_blocks=(1, 1, 1),
    small_size=75,
    small_width=0.25,
    mobile_size=75,
    layer_starts=("reduction_b", "inception_b1"),
    source_task_images=600,
    source_task_epochs=7,
    optimizer="adam",
    vanilla_rate=1e-3,
    head_rate=3e-3,
    block_rate=1e-3,
    rate_decay=1.0,
    epochs=26,
    patience=20,
    sample_size=32,
    latent=16,
    sample_channels=(16, 32, 64),
    sample_epochs=20,
    sample_rate=1e-3,
    samples=60,
    labelled_share=0.75,  # with fewer the lesions that show something can be counted on one hand
    test_share=0.28,
    validation_share=0.12,
    seeds=(0,),
)

SMOKE = replace(  # the smallest run that passes through every line
    DEMO,
    phantom_cases=24,
    phantom_height=300,
    size=75,
    blocks=(1, 1, 1),
    mobile_size=75,
    variants=2,
    vertical_flip=True,
    horizontal_flip=True,
    layer_starts=("reduction_a",),
    source_task_images=64,
    source_task_epochs=1,
    epochs=3,
    sample_epochs=3,
    samples=30,
    test_share=0.2,
)

PRESETS = {"paper": PAPER, "demo": DEMO, "smoke": SMOKE}

CONTRACT = Contract(
    small=("--rows", "InceptionV4 transfer,metadata alone", "--set", "label_levels=image"),
    learns=("--rows", "InceptionV4 vanilla", "--set", "label_levels=image"),
    row="InceptionV4 vanilla",
)
