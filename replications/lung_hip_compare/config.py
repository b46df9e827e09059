"""Every setting of the replication: one frozen dataclass, one literal a setting, each with its place in the paper.

"unstated" marks what the paper leaves open; the reason of each choice stands in paper.toml.
"""

from dataclasses import dataclass, replace

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
    luna_side: int = 50  # pixels; "50x50 jpg"
    luna_window: tuple[float, float] = (-1000.0, 400.0)  # HU -> 0..255; unstated, from the public patch recipe
    luna_negatives_per_positive: int = 5  # unstated, from the public patch recipe (candidates.csv)
    luna_recipe_seed: int = 42  # unstated, from the public patch recipe
    luna_voxel_rule: str = "signed"  # "as-published": the recipe's |world - origin|, wrong on turned or oblique axes
    luna_block_rows: int = 620  # proxy scan of ready patches without candidates.csv: 551,065 rows / 888 scans
    luna_gap_rows: int = 1500  # rows of candidates.csv left out between the sides of a block split
    luna_phantom_scans: int = 0  # phantoms only: 0 = none
    luna_phantom_nodules: int = 4  # phantoms only: nodules (and 5 times as many other candidates) per scan

    # Data: hips (sec. 2.1, Table 1); (without fracture, with fracture)
    hip_radiographs: tuple[int, int] = (147, 77)  # sec. 2.1: 77 positive, 147 negative radiographs
    hip_crops: tuple[int, int] = (100, 100)  # sec. 2.1: after cropping to the joint
    hip_enlarged_uncropped: tuple[int, int] = (2780, 1578)  # Table 1, "unresized"
    hip_enlarged_cropped: tuple[int, int] = (1877, 1877)  # Table 1, "resized"
    hip_sides: tuple[int, int] = (128, 256)  # pixels; sec. 2.1
    hip_test_share: float = 0.2  # Table 1: ceil of 20 % of each class
    hip_shift: float = 0.1  # "shift" (Fig. 3c); magnitude unstated
    hip_flip: bool = True  # "flip" (Fig. 3c)
    hip_folds: int = 5  # leakfree only: grouped cross-validation of 224 radiographs
    hip_repetitions: int = 1  # leakfree only: repetitions of the grouped cross-validation

    # Training, all networks (sec. 2.2)
    learning_rate: float = 1e-4  # Adam, sec. 2.2
    batch_size: int = 20  # sec. 2.2
    cnn_epochs: int = 100  # sec. 2.2, the same for all networks
    resnet_epochs: int = 100
    dbn_epochs: int = 100
    sgan_epochs: int = 100
    beta_1: float = 0.9  # unstated: Keras default
    patience: int = 10  # leakfree only: early stopping on validation loss, best epoch restored
    validation_share: float = 0.1  # leakfree only; the paper has no validation set

    # CNN (sec. 2.2)
    cnn_filters: tuple[int, ...] = (32, 64, 128, 256)
    cnn_dense: int = 256

    # ResNet-50 (sec. 2.2, Fig. 4)
    resnet_width: int = 64
    resnet_blocks: tuple[int, ...] = (3, 4, 6, 3)
    resnet_strides: str = "standard"  # "as_written": stride 1 in stages 2 to 5, as the text says
    resnet_pooling: str = "flatten"  # 2x2 average pooling, then flatten; "global" is the alternative
    resnet_weights: str = "random"  # unstated: "pre-trained" without a source; the ImageNet row is separate

    # DBN (sec. 2.2)
    dbn_hidden: tuple[int, ...] = (1500, 1000, 500, 200)
    rbm_epochs: int = 20  # per layer; unstated
    rbm_learning_rates: tuple[float, float] = (0.01, 0.1)  # visible-hidden, hidden-hidden; unstated
    rbm_momentum: tuple[float, float] = (0.5, 0.9)  # first 5 epochs, then; unstated
    rbm_momentum_switch: int = 5  # epoch; unstated
    rbm_weight_decay: float = 2e-4  # unstated

    # SGAN (sec. 2.2, Fig. 5)
    sgan_noise: int = 100  # unstated
    sgan_filters: int = 128  # "Conv2DTranspose 128", "Conv 128"
    sgan_beta_1: float = 0.5  # unstated
    sgan_dropout: float = 0.4  # unstated
    sgan_leak: float = 0.2  # LeakyReLU slope; unstated
    sgan_base: int = 0  # side of the generator's first map; 0: 14 for 50 pixels, side / 4 otherwise
    label_shares: tuple[float, ...] = (0.1, 0.25, 0.5)  # labelled share of the training set (ours)

    # Splits and seeds: unstated in sec. 2.2
    split_seed: int = 0
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)


PAPER = Config()

DEMO = replace(  # phantoms of the paper's class ratios, small inputs, every table and figure; steps enough to learn
    PAPER,
    luna_side=32,
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
    seeds=(0, 1, 2),
)

SMOKE = replace(  # the smallest run that passes through every line
    DEMO,
    luna_side=50,
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
    seeds=(0,),
)

PRESETS = {"paper": PAPER, "demo": DEMO, "smoke": SMOKE}

CONTRACT = Contract(
    small=("--tables", "2", "--rows", "LUNA16 / CNN,LUNA16 / DBN,LUNA16 / SGAN,128x128 resized / CNN"),
    learns=("--rows", "LUNA16 / CNN", "--set", "cnn_epochs=30"),
    row="LUNA16 / CNN",
)
