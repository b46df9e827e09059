"""Every setting of the replication: one frozen dataclass, one literal a setting, each with its place in the paper.

"unstated" marks what the paper leaves open; the reason of each choice stands in paper.toml.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

from common.ranges import DISK, MEMORY, SEED, SEEDS, TIME, Conflict, above, below, between, each, one_of, within
from common.records.contract import Contract

DATASETS = ("LUNA16", "128x128 resized", "128x128 unresized", "256x256 resized", "256x256 unresized")  # Table 1
NETWORKS = ("CNN", "ResNet-50", "DBN", "SGAN")  # Table 2
# keras.applications' ResNet-50 without its top
IMAGENET_FILE = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
IMAGENET_ADDRESS = f"https://storage.googleapis.com/tensorflow/keras-applications/resnet/{IMAGENET_FILE}"
IMAGENET_MD5 = "4d473c1dd8becc155b73f8504c6f6626"
IMAGENET_MEGABYTES = 95
NOT_IN_PAPER = (("256x256 resized", "DBN"), ("256x256 unresized", "DBN"))  # Table 2 prints "-"


@dataclass(frozen=True)
class Config:
    # Data: LUNA16 (sec. 2.1)
    luna_side: Annotated[int, within(16, 512)] = 50  # pixels; "50x50 jpg"
    # HU -> 0..255; unstated, from the public patch recipe
    luna_window: Annotated[tuple[float, float], each(within(-10_000, 10_000), order="rising")] = (-1000.0, 400.0)
    luna_negatives_per_positive: Annotated[int, within(1, 100)] = 5  # unstated, from the public patch recipe (candidates.csv)
    luna_recipe_seed: Annotated[int, SEED] = 42  # unstated, from the public patch recipe
    # "as-published": the recipe's |world - origin|, wrong on turned or oblique axes
    luna_voxel_rule: Annotated[str, one_of("signed", "as-published")] = "signed"
    # proxy scan of ready patches without candidates.csv: 551,065 rows / 888 scans
    luna_block_rows: Annotated[int, within(1, 1_000_000)] = 620
    # rows of candidates.csv left out between the sides of a block split
    luna_gap_rows: Annotated[int, within(0, 1_000_000)] = 1500
    luna_phantom_scans: Annotated[int, within(0, 1_000, DISK)] = 0  # phantoms only: 0 = none
    # phantoms only: nodules (and 5 times as many other candidates) per scan
    luna_phantom_nodules: Annotated[int, within(1, 20)] = 4

    # Data: hips (sec. 2.1, Table 1); (without fracture, with fracture)
    # sec. 2.1: 77 positive, 147 negative radiographs
    hip_radiographs: Annotated[tuple[int, int], each(within(2, 10_000, DISK))] = (147, 77)
    hip_crops: Annotated[tuple[int, int], each(within(2, 10_000))] = (100, 100)  # sec. 2.1: after cropping to the joint
    hip_enlarged_uncropped: Annotated[tuple[int, int], each(within(2, 100_000, MEMORY))] = (2780, 1578)  # Table 1, "unresized"
    hip_enlarged_cropped: Annotated[tuple[int, int], each(within(2, 100_000, MEMORY))] = (1877, 1877)  # Table 1, "resized"
    hip_sides: Annotated[tuple[int, int], each(within(16, 1_024, MEMORY))] = (128, 256)  # pixels; sec. 2.1
    hip_test_share: Annotated[float, between(0, 1)] = 0.2  # Table 1: ceil of 20 % of each class
    hip_shift: Annotated[float, below(0, 1)] = 0.1  # "shift" (Fig. 3c); magnitude unstated
    hip_flip: bool = True  # "flip" (Fig. 3c)
    hip_folds: Annotated[int, within(2, 100)] = 5  # leakfree only: grouped cross-validation of 224 radiographs
    hip_repetitions: Annotated[int, within(1, 100)] = 1  # leakfree only: repetitions of the grouped cross-validation

    # Training, all networks (sec. 2.2)
    learning_rate: Annotated[float, above(0, 1)] = 1e-4  # Adam, sec. 2.2
    batch_size: Annotated[int, within(2, 4_096, MEMORY)] = 20  # sec. 2.2
    cnn_epochs: Annotated[int, within(1, 100_000, TIME)] = 100  # sec. 2.2, the same for all networks
    resnet_epochs: Annotated[int, within(1, 100_000, TIME)] = 100
    dbn_epochs: Annotated[int, within(1, 100_000, TIME)] = 100
    sgan_epochs: Annotated[int, within(1, 100_000, TIME)] = 100
    beta_1: Annotated[float, below(0, 1)] = 0.9  # unstated: Keras default
    patience: Annotated[int, within(1, 100_000)] = 10  # leakfree only: early stopping on validation loss, best epoch restored
    validation_share: Annotated[float, between(0, 1)] = 0.1  # leakfree only; the paper has no validation set

    # CNN (sec. 2.2)
    cnn_filters: Annotated[tuple[int, ...], each(within(1, 4_096))] = (32, 64, 128, 256)
    cnn_dense: Annotated[int, within(1, 65_536, MEMORY)] = 256

    # ResNet-50 (sec. 2.2, Fig. 4)
    resnet_width: Annotated[int, within(1, 1_024, MEMORY)] = 64
    resnet_blocks: Annotated[tuple[int, ...], each(within(1, 100), most=4)] = (3, 4, 6, 3)
    # "as_written": stride 1 in stages 2 to 5, as the text says
    resnet_strides: Annotated[str, one_of("standard", "as_written")] = "standard"
    # 2x2 average pooling, then flatten; "global" is the alternative
    resnet_pooling: Annotated[str, one_of("flatten", "global")] = "flatten"
    # unstated: "pre-trained" without a source; the ImageNet row is separate
    resnet_weights: Annotated[str, one_of("random", "imagenet")] = "random"

    # DBN (sec. 2.2)
    dbn_hidden: Annotated[tuple[int, ...], each(within(1, 65_536, MEMORY))] = (1500, 1000, 500, 200)
    rbm_epochs: Annotated[int, within(1, 100_000, TIME)] = 20  # per layer; unstated
    rbm_learning_rates: Annotated[tuple[float, float], each(above(0, 1))] = (0.01, 0.1)  # visible-hidden, hidden-hidden; unstated
    rbm_momentum: Annotated[tuple[float, float], each(below(0, 1))] = (0.5, 0.9)  # first 5 epochs, then; unstated
    rbm_momentum_switch: Annotated[int, within(0, 100_000)] = 5  # epoch; unstated
    rbm_weight_decay: Annotated[float, below(0, 1)] = 2e-4  # unstated

    # SGAN (sec. 2.2, Fig. 5)
    sgan_noise: Annotated[int, within(1, 65_536, MEMORY)] = 100  # unstated
    sgan_filters: Annotated[int, within(1, 4_096, MEMORY)] = 128  # "Conv2DTranspose 128", "Conv 128"
    sgan_beta_1: Annotated[float, below(0, 1)] = 0.5  # unstated
    sgan_dropout: Annotated[float, below(0, 1)] = 0.4  # unstated
    sgan_leak: Annotated[float, below(0, 1)] = 0.2  # LeakyReLU slope; unstated
    sgan_base: Annotated[int, within(0, 256)] = 0  # side of the generator's first map; 0: 14 for 50 pixels, side / 4 otherwise
    # labelled share of the training set (ours)
    label_shares: Annotated[tuple[float, ...], each(above(0, 1), order="different")] = (0.1, 0.25, 0.5)

    # Splits (unstated in sec. 2.1) and seeds (unstated in sec. 2.2)
    split_seed: Annotated[int, SEED] = 0
    seeds: Annotated[tuple[int, ...], SEEDS] = (0, 1, 2, 3, 4)

    def find_conflicts(self) -> Iterator[Conflict]:
        """Settings that contradict one another, though each lies in its range."""
        if any(crops > 2 * pictures for crops, pictures in zip(self.hip_crops, self.hip_radiographs, strict=True)):
            yield ("hip_crops", "hip_radiographs"), "a radiograph has two hips"
        if self.sgan_base and 4 * self.sgan_base < min(self.luna_side, *self.hip_sides):
            yield ("sgan_base", "luna_side", "hip_sides"), "four times sgan_base must reach the side of a picture"


PAPER = Config()

DEMO = replace(  # phantoms of the paper's class ratios, small inputs, every table and figure; steps enough to learn
    PAPER,
    luna_phantom_scans=40,
    luna_phantom_nodules=2,
    hip_radiographs=(48, 26),
    hip_crops=(34, 34),
    hip_enlarged_uncropped=(260, 140),
    hip_enlarged_cropped=(180, 180),
    hip_sides=(32, 48),
    hip_shift=0.04,  # small enough that the networks recall radiographs: the leak that was put in shows
    hip_folds=2,
    batch_size=10,  # moving averages of batch normalisation (momentum 0.99) need some hundred steps
    cnn_epochs=26,
    resnet_epochs=20,
    dbn_epochs=26,
    sgan_epochs=8,
    learning_rate=2e-3,
    patience=20,
    validation_share=0.2,
    cnn_filters=(8, 16, 32, 64),
    cnn_dense=64,
    resnet_width=8,
    resnet_blocks=(1, 1, 1),
    dbn_hidden=(64, 32),
    rbm_epochs=3,
    sgan_filters=8,
    label_shares=(0.25, 0.5),  # a tenth are six nodules
    seeds=(0,),
)

SMOKE = replace(  # the smallest run that passes through every line
    DEMO,
    luna_phantom_scans=10,
    luna_phantom_nodules=2,
    hip_radiographs=(10, 6),
    hip_crops=(8, 8),
    hip_enlarged_uncropped=(40, 24),
    hip_enlarged_cropped=(32, 32),
    hip_sides=(32, 48),
    hip_shift=0.1,
    batch_size=20,
    cnn_epochs=2,
    resnet_epochs=2,
    dbn_epochs=2,
    sgan_epochs=2,
    learning_rate=1e-3,
    patience=6,
    validation_share=0.1,
    resnet_blocks=(1, 1),
    dbn_hidden=(100, 64, 32, 16),
    rbm_epochs=1,
    label_shares=(0.5,),
)

PRESETS = {"paper": PAPER, "demo": DEMO, "smoke": SMOKE}

CONTRACT = Contract(
    small=("--tables", "2", "--rows", "LUNA16 / CNN,LUNA16 / DBN,LUNA16 / SGAN,128x128 resized / CNN"),
    learns=("--rows", "LUNA16 / CNN", "--set", "cnn_epochs=30"),
    row="LUNA16 / CNN",
)
