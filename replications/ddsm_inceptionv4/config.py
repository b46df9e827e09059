"""Every setting of the replication: one frozen dataclass, one literal a setting, each with its place in the paper.

"unstated" marks what the paper leaves open; the reason of each choice stands in paper.toml.
"""

from dataclasses import dataclass, replace

from common.records.contract import Contract

CLASSES = ("no lesion", "lesion")  # sec. 6.1, footnote 1
LEVELS = ("image", "breast", "case", "density")  # what a label speaks of; density: dense tissue, a control of ours
OPTIMIZERS = ("rmsprop", "adam")
GREYS = ("levels", "density")  # grey levels of the digitiser, or optical density of the film


@dataclass(frozen=True)
class Config:
    # Data (sec. 6.1)
    source: str = "auto"  # which collection, where the data folder holds several
    label_levels: tuple[str, ...] = ("image", "case")  # footnote 1 labels patients positive and images negative

    # Preprocessing (sec. 6.2, Fig. 4): the algorithm is unstated
    grey: str = "levels"  # density: by the curve of the digitiser, where it is known
    percentiles: tuple[float, float] = (0.5, 99.5)  # to black and white
    mask_side: int = 512  # pixels of the longer side, for finding the breast
    opening: float = 0.1  # of that side: what is narrower is no breast
    flip: bool = True  # right breasts to the left
    size: int = 299  # of the pictures, padded to a square; unstated

    # Phantoms only (unstated in the paper, sec. 6.1)
    phantom_cases: int = 120  # of four views
    phantom_height: int = 420  # pixels of a film
    phantom_signal: float = 1.0  # contrast of lesions; 0: none is seen
    phantom_patient: float = 1.0  # how far women differ; 0: all are the same
    phantom_scanner: float = 0.6  # share of the cases with lesions that the first digitiser has; 0.5: no shortcut

    # Augmentation (sec. 6.2): magnitudes unstated
    variants: int = 4  # of a picture, the original included, one an epoch; 0: a new one every epoch, and no feature cache
    vertical_flip: bool = True
    horizontal_flip: bool = True
    contrast: float = 0.2  # factors from 1 - contrast to 1 + contrast
    saturation: float = 0.2  # likewise; without effect on grey pictures
    crop_area: float = 0.875  # share of the picture that a random crop keeps

    # Networks (sec. 4.1, 6.2; Szegedy et al. 2016)
    blocks: tuple[int, int, int] = (4, 7, 3)  # Inception-A, -B, -C
    width: float = 1.0  # factor on all numbers of filters
    dropout: float = 0.2  # "keep 0.8"
    norm_momentum: float = 0.99  # of moving statistics; TF-slim's 0.9997 is for epochs of 40,000 steps
    small_blocks: tuple[int, int, int] = (1, 2, 1)  # of the row of ours that a CPU can train
    small_size: int = 149
    small_width: float = 1.0
    small_momentum: float = 0.9
    mobile_size: int = 224  # of MobileNetV2, a row of ours

    source_task_images: int = 0  # weights "phantom" only: pictures of the synthetic task that stands for ImageNet
    source_task_epochs: int = 0

    # Training (sec. 6.2): all unstated
    optimizer: str = "rmsprop"  # or adam
    vanilla_rate: float = 0.01
    head_rate: float = 1e-3  # transfer: the last layer
    block_rate: float = 1e-4  # transfer*: retrained blocks; the last layer keeps head_rate
    rate_decay: float = 0.94  # every decay_epochs
    decay_epochs: int = 2
    rho: float = 0.9  # of RMSprop
    momentum: float = 0.9
    epsilon: float = 1.0
    weight_decay: float = 4e-5  # L2, as TF-slim counts it
    batch_size: int = 32
    epochs: int = 100
    patience: int = 10  # epochs without a higher validation AUC
    class_weights: bool = True  # balanced

    layer_starts: tuple[str, ...] = (  # further blocks of the layer-wise curve (sec. 6.3: "further research")
        "inception_c1", "reduction_b", "inception_b1", "reduction_a", "inception_a1", "stem",
    )  # fmt: skip

    # Unsupervised part, planned (sec. 4.1, Fig. 2): all unstated
    sample_size: int = 64  # pixels
    latent: int = 64
    sample_channels: tuple[int, ...] = (32, 64, 128, 256)
    sample_epochs: int = 60
    sample_batch: int = 32
    sample_rate: float = 2e-4
    sample_beta_1: float = 0.5  # of Adam
    sample_variance: float = 0.01  # of a pixel 0..1 given the latent variables (VAE)
    samples: int = 500  # drawn of each model
    labelled_share: float = 0.1  # of the training cases, that a small labelled set has

    # Splits and seeds (unstated in sec. 6.2)
    folds: int = 1  # 1: one split; more: every case is tested once, in both protocols
    test_share: float = 0.2
    validation_share: float = 0.1
    split_seed: int = 0
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)


PAPER = Config()

DEMO = replace(  # phantoms, small pictures and networks; every table and figure
    PAPER,
    phantom_cases=48,
    phantom_signal=2.0,
    mask_side=256,
    size=96,
    blocks=(1, 2, 1),
    width=0.25,
    norm_momentum=0.9,
    small_blocks=(1, 1, 1),
    small_size=75,
    small_width=0.25,
    mobile_size=96,
    layer_starts=("reduction_b", "inception_b1", "stem"),
    source_task_images=600,
    source_task_epochs=8,
    optimizer="adam",
    vanilla_rate=1e-3,
    head_rate=1e-2,
    block_rate=1e-3,
    rate_decay=1.0,
    epochs=25,
    sample_size=32,
    latent=16,
    sample_channels=(16, 32, 64),
    sample_epochs=30,
    sample_rate=1e-3,
    samples=60,
    labelled_share=0.25,
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
    layer_starts=("reduction_a",),
    source_task_images=64,
    source_task_epochs=1,
    epochs=3,
    sample_epochs=3,
    samples=30,
)

PRESETS = {"paper": PAPER, "demo": DEMO, "smoke": SMOKE}

CONTRACT = Contract(
    small=("--rows", "InceptionV4 transfer,metadata alone", "--set", "label_levels=image"),
    learns=("--rows", "InceptionV4 vanilla", "--set", "label_levels=image"),
    row="InceptionV4 vanilla",
)
