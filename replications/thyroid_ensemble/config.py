"""Every setting of the replication: one frozen dataclass, one literal a setting, each with its place in the paper.

"unstated" marks what the paper leaves open; the reason of each choice stands in paper.toml.
"""

from dataclasses import dataclass, replace

from common.records.contract import Contract

READINGS = {  # settings that name one of several readings
    "augmentation": ("fixed", "realtime"),
    "cropping": ("frame", "shear"),
    "scratch_init": ("gaussian", "he"),
    "stopping": ("test", "none"),
}
NETWORKS = ("AlexNet", "VGG16", "ResNet50")  # Table 2
SMALL_NETWORKS = ("MobileNetV2", "SqueezeNet")  # ours: small enough to transfer from on a processor
SCALES = (1, 2, 3)  # sec. 1.3
CLASSES = ("benign", "malignant")
# The five best models by the paper's names (Table 2): network and scale.
LETTERS = {
    "A": ("AlexNet", 1), "B": ("VGG16", 1), "C": ("ResNet50", 1), "D": ("AlexNet", 2), "E": ("VGG16", 2),
}  # fmt: skip
SUBSETS = (("A", "B", "C"), ("D", "B", "C"), ("E", "B", "C"))  # Table 3


@dataclass(frozen=True)
class Config:
    # Data (sec. 1.1) and ROI (sec. 1.2)
    source: str = "auto"  # which collection, where the data folder holds several: own, hou2024, tn5000, tn3k, ddti
    roi_side: int = 128  # pixels; sec. 1.2
    roi_mode: str = "box_resize"  # "centre_window": a fixed window around the centre of the lesion; unstated
    roi_margin: float = 0.1  # of the longest side of the lesion's box, box_resize only; unstated
    tirads_malignant: tuple[str, ...] = ("4a", "4b", "4c", "5")  # DDTI only, which has no pathology
    phantom_patients: int = 124  # phantoms only; sec. 1.1: 124 patients
    phantom_images: int = 11  # phantoms only: images of a patient; sec. 1.1: 1344 images / 124 patients
    phantom_signal: float = 1.0  # phantoms only: 0 = the classes look alike

    # Scales (sec. 1.3, Fig. 3): side of the centre crop of the ROI, pixels
    scale_sides: tuple[int, ...] = (128, 64, 32)

    # Standardisation (sec. 1.2): "subtract the image mean"
    mean: str = "image"  # "image": of each image; "dataset": of the training images; "imagenet": the network's native one

    # Augmentation of the training images (sec. 1.2)
    augmentation: str = "fixed"  # each image and 3 variants drawn once; "realtime": fresh variants in every epoch
    enlargement: int = 4  # "to 4 times the original data"
    shift: float = 0.2  # of width and height
    zoom: float = 0.2  # factors 0.8 to 1.2; the same amplitude is given for shift, crop and zoom
    cropping: str = "frame"  # random crop of amplitude 0.2: shift and zoom move the frame; "shear": Keras' shear_range; unstated
    shear: float = 0.2  # degrees, as Keras' shear_range counts it; cropping = "shear" only
    rotation: float = 30.0  # degrees
    flip: bool = True  # horizontal
    augment_before_crop: bool = True  # the ROI is augmented, then the scale is cut; False: the other order; unstated

    # Networks (sec. 1.4); input sides in pixels: every scale is enlarged to it; unstated
    input_mode: str = "resize"  # "native": VGG16 and ResNet50 take the patches of every scale as they are
    alexnet_side: int = 227
    vgg16_side: int = 224
    resnet50_side: int = 224
    inceptionv3_side: int = 299  # [11] of Table 7
    mobilenetv2_side: int = 224  # ours, a network that is not in the paper
    squeezenet_side: int = 227  # ours, as above
    alexnet_variant: str = "torchvision"  # "original": with response normalisation and two groups; deviation, sec. 1.4
    width: float = 1.0  # factor on the filters of every convolution: below 1 only for small trial runs
    vgg16_end: str = "block5_pool"  # last layer of the backbone; an earlier one only for small trial runs
    resnet50_end: str = "conv5_block3_out"
    inceptionv3_end: str = "mixed10"
    mobilenetv2_end: str = "out_relu"  # ours, a network that is not in the paper
    squeezenet_end: str = "fire9"  # ours, as above
    source_task_images: int = 0  # weights "phantom" only: pictures of the synthetic task that stands for ImageNet
    source_task_epochs: int = 0

    # Head (sec. 1.5, Fig. 5): "4 layers of neural network with 8 neurons", Dropout, L2, softmax
    head_pooling: str = "average"  # "flatten"; unstated
    head_units: tuple[int, ...] = (8, 8, 8, 8)
    head_dropout: float = 0.2  # unstated
    head_l2: float = 1e-3  # unstated

    # Step 1, transfer (sec. 1.5): Adam on the head, all convolutions frozen
    batch_size: int = 32  # unstated
    transfer_learning_rate: float = 1e-3  # unstated
    transfer_epochs: int = 50  # unstated
    transfer_patience: int = 10  # unstated

    # Step 2, fine-tuning (sec. 1.5): SGD on the last k convolutions and the head
    depths: tuple[int, ...] = (0, 1, 2, 3, 4)  # k; sec. 2.2, Fig. 9; "all" is trained beside them at scale 1
    tune_learning_rate: float = 1e-4
    tune_momentum: float = 0.9
    tune_decay: float = 1e-6  # learning rate / (1 + decay * step)
    tune_epochs: int = 100  # unstated
    tune_patience: int = 15  # unstated
    stopping: str = "test"  # paper only: what early stopping looks at, as there is no validation set; "none": all epochs

    # Without transfer (sec. 2.1, Fig. 8): small Gaussian weights, all layers trained
    scratch_init: str = "gaussian"  # all kernels from one Gaussian; "he": He et al. 2015, by the inputs of each layer
    scratch_std: float = 0.01  # of the Gaussian; unstated
    scratch_learning_rate: float = 1e-3  # Adam; unstated
    scratch_epochs: int = 50  # unstated
    scratch_patience: int = 10  # unstated

    # Ensemble (sec. 1.6, Table 3): weights by enumeration (sec. 2.4)
    weight_step: float = 0.1  # all published weights are multiples of it

    # Classic features + SVM (sec. 2.5, Table 6); all unstated
    lbp_points: int = 8
    lbp_radius: float = 1.0  # pixels
    glcm_distances: tuple[int, ...] = (1,)  # pixels
    glcm_angles: tuple[float, ...] = (0.0, 45.0, 90.0, 135.0)  # degrees; averaged
    gabor_frequencies: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4)  # cycles a pixel
    gabor_orientations: int = 6
    svm_c: tuple[float, ...] = (0.1, 1.0, 10.0, 100.0)  # chosen by inner cross-validation
    svm_gamma: tuple[float, ...] = (0.1, 1.0, 10.0)  # times 1 / features
    svm_folds: int = 5

    # Methods of other papers (sec. 2.6, Table 7); all unstated
    forest_trees: int = 300  # [11]
    forest_leaf: int = 5  # [11]: least cases of a leaf; with pure leaves costs would hardly move a probability
    forest_malignant_cost: float = 2.0  # [11]: cost of a missed malignant nodule, of a false alarm 1
    hog_cell: int = 16  # [26], pixels
    hog_orientations: int = 9  # [26]

    # Splits and seeds
    test_share: float = 0.2  # Table 1
    inner_folds: int = 5  # leakfree only: patient-grouped cross-validation of what is not test
    split_seed: int = 0  # unstated; also of the augmentation
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)  # unstated

    # Feature cache: most that the activations kept on disk may take, in GB; beyond it the network is trained plainly
    cache_gigabytes: float = 40.0  # ours; changes no number


PAPER = Config()

DEMO = replace(  # phantoms, narrow networks, small inputs, every table and figure
    PAPER,
    phantom_patients=40,
    phantom_images=3,
    alexnet_side=67,
    vgg16_side=32,
    resnet50_side=32,
    inceptionv3_side=75,
    mobilenetv2_side=32,
    squeezenet_side=32,
    width=0.125,
    resnet50_end="conv3_block1_out",
    inceptionv3_end="mixed0",
    mobilenetv2_end="block_6_project_BN",
    squeezenet_end="fire5",
    vgg16_end="block4_pool",
    source_task_images=400,
    source_task_epochs=10,
    transfer_learning_rate=5e-3,
    transfer_epochs=12,
    transfer_patience=6,
    tune_learning_rate=1e-3,
    tune_epochs=4,
    tune_patience=3,
    scratch_init="he",  # from the paper's Gaussian the narrow networks would not leave chance in so few epochs
    scratch_epochs=5,
    svm_folds=3,
    forest_trees=100,
    inner_folds=2,
    seeds=(0, 1, 2),
    cache_gigabytes=1.0,
)

SMOKE = replace(  # the smallest run that passes through every line
    DEMO,
    phantom_patients=20,
    phantom_images=2,
    resnet50_end="conv2_block2_out",
    vgg16_end="block2_pool",
    mobilenetv2_end="block_2_project_BN",
    squeezenet_end="fire3",
    source_task_images=120,
    source_task_epochs=1,
    transfer_epochs=2,
    tune_epochs=2,
    scratch_init="gaussian",
    scratch_epochs=2,
    depths=(0, 2),
    svm_c=(1.0,),
    svm_gamma=(1.0,),
    svm_folds=2,
    forest_trees=20,
    seeds=(0,),
)

PRESETS = {"paper": PAPER, "demo": DEMO, "smoke": SMOKE}

CONTRACT = Contract(
    small=("--rows", "Scale 1 / AlexNet,ULBP"),
    learns=("--rows", "Scale 1 / VGG16"),
    row="Scale 1 / VGG16",
    absent=tuple(f"[{number}] as quoted" for number in (3, 8, 9, 10, 11)),
)
