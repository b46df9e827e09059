"""Every setting of the replication: one frozen dataclass, one literal a setting, each with its place in the paper.

"unstated" marks what the paper leaves open; the reason of each choice stands in paper.toml.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

from common.ranges import DISK, MEMORY, SEED, SEEDS, TIME, Conflict, above, below, between, each, one_of, within
from common.records.contract import Contract

NETWORKS = ("AlexNet", "VGG16", "ResNet50")  # Table 2
SMALL_NETWORKS = ("MobileNetV2", "SqueezeNet")  # ours: small enough to transfer from on a processor
SCALES = (1, 2, 3)  # sec. 1.3
CLASSES = ("benign", "malignant")
# The five best models by the paper's names (Table 2): network and scale.
LETTERS = {
    "A": ("AlexNet", 1), "B": ("VGG16", 1), "C": ("ResNet50", 1), "D": ("AlexNet", 2), "E": ("VGG16", 2),
}  # fmt: skip
# Layers that a backbone may end with.
VGG16_ENDS = tuple(f"block{number}_pool" for number in range(1, 6))
MOBILENETV2_ENDS = (*(f"block_{number}_project_BN" for number in (2, 5, 6, 9, 12, 15)), "out_relu")
SQUEEZENET_ENDS = tuple(f"fire{number}" for number in range(2, 10))
RESNET50_ENDS = tuple(
    f"conv{stage}_block{n}_out" for stage, blocks in ((2, 3), (3, 4), (4, 6), (5, 3)) for n in range(1, blocks + 1)
)
INCEPTIONV3_ENDS = tuple(f"mixed{number}" for number in range(11))
SUBSETS = (("A", "B", "C"), ("D", "B", "C"), ("E", "B", "C"))  # Table 3


@dataclass(frozen=True)
class Config:
    # Data (sec. 1.1) and ROI (sec. 1.2)
    # which collection, where the data folder holds several: own, hou2024, tn5000, tn3k, ddti
    source: Annotated[str, one_of("auto", "own", "hou2024", "tn5000", "tn3k", "ddti")] = "auto"
    roi_side: Annotated[int, within(16, 1_024, MEMORY)] = 128  # pixels; sec. 1.2
    # "centre_window": a fixed window around the centre of the lesion; unstated
    roi_mode: Annotated[str, one_of("box_resize", "centre_window")] = "box_resize"
    roi_margin: Annotated[float, within(0, 10)] = 0.1  # of the longest side of the lesion's box, box_resize only; unstated
    # DDTI only, which has no pathology
    tirads_malignant: Annotated[tuple[str, ...], each(one_of("2", "3", "4a", "4b", "4c", "5"))] = ("4a", "4b", "4c", "5")
    phantom_patients: Annotated[int, within(2, 10_000, DISK)] = 124  # phantoms only; sec. 1.1: 124 patients
    # phantoms only: images of a patient; sec. 1.1: 1344 images / 124 patients
    phantom_images: Annotated[int, within(1, 100, DISK)] = 11
    phantom_signal: Annotated[float, within(0, 100)] = 1.0  # phantoms only: 0 = the classes look alike

    # Scales (sec. 1.3, Fig. 3): side of the centre crop of the ROI, pixels
    scale_sides: Annotated[tuple[int, ...], each(within(8, 1_024), least=3, most=3)] = (128, 64, 32)

    # Standardisation (sec. 1.2): "subtract the image mean"
    # "image": of each image; "dataset": of the training images; "imagenet": the network's native one
    mean: Annotated[str, one_of("image", "dataset", "imagenet")] = "image"

    # Augmentation of the training images (sec. 1.2)
    # each image and 3 variants drawn once; "realtime": fresh variants in every epoch
    augmentation: Annotated[str, one_of("fixed", "realtime")] = "fixed"
    enlargement: Annotated[int, within(1, 100, MEMORY)] = 4  # "to 4 times the original data"
    shift: Annotated[float, below(0, 1)] = 0.2  # of width and height
    zoom: Annotated[float, below(0, 1)] = 0.2  # factors 0.8 to 1.2; the same amplitude is given for shift, crop and zoom
    # random crop of amplitude 0.2: shift and zoom move the frame; "shear": Keras' shear_range; unstated
    cropping: Annotated[str, one_of("frame", "shear")] = "frame"
    shear: Annotated[float, below(0, 90)] = 0.2  # degrees, as Keras' shear_range counts it; cropping = "shear" only
    rotation: Annotated[float, within(0, 180)] = 30.0  # degrees
    flip: bool = True  # horizontal
    augment_before_crop: bool = True  # the ROI is augmented, then the scale is cut; False: the other order; unstated

    # Networks (sec. 1.4); input sides in pixels: every scale is enlarged to it; unstated
    # "native": VGG16 and ResNet50 take the patches of every scale as they are
    input_mode: Annotated[str, one_of("resize", "native")] = "resize"
    alexnet_side: Annotated[int, within(63, 1_024, MEMORY)] = 227
    vgg16_side: Annotated[int, within(32, 1_024, MEMORY)] = 224
    resnet50_side: Annotated[int, within(32, 1_024, MEMORY)] = 224
    inceptionv3_side: Annotated[int, within(75, 1_024, MEMORY)] = 299  # [11] of Table 7
    mobilenetv2_side: Annotated[int, within(32, 1_024, MEMORY)] = 224  # ours, a network that is not in the paper
    squeezenet_side: Annotated[int, within(32, 1_024, MEMORY)] = 227  # ours, as above
    # "original": with response normalisation and two groups; deviation, sec. 1.4
    alexnet_variant: Annotated[str, one_of("torchvision", "original")] = "torchvision"
    # factor on the filters of every convolution: below 1 only for small trial runs
    width: Annotated[float, above(0, 4, MEMORY)] = 1.0
    # last layer of the backbone; an earlier one only for small trial runs
    vgg16_end: Annotated[str, one_of(*VGG16_ENDS)] = "block5_pool"
    resnet50_end: Annotated[str, one_of(*RESNET50_ENDS)] = "conv5_block3_out"
    inceptionv3_end: Annotated[str, one_of(*INCEPTIONV3_ENDS)] = "mixed10"
    mobilenetv2_end: Annotated[str, one_of(*MOBILENETV2_ENDS)] = "out_relu"  # ours, a network that is not in the paper
    squeezenet_end: Annotated[str, one_of(*SQUEEZENET_ENDS)] = "fire9"  # ours, as above
    # weights "phantom" only: pictures of the synthetic task that stands for ImageNet
    source_task_images: Annotated[int, within(0, 100_000, MEMORY)] = 0
    source_task_epochs: Annotated[int, within(0, 10_000, TIME)] = 0

    # Head (sec. 1.5, Fig. 5): "4 layers of neural network with 8 neurons", Dropout, L2, softmax
    head_pooling: Annotated[str, one_of("average", "flatten")] = "average"  # "flatten"; unstated
    head_units: Annotated[tuple[int, ...], each(within(1, 4_096))] = (8, 8, 8, 8)
    head_dropout: Annotated[float, below(0, 1)] = 0.2  # unstated
    head_l2: Annotated[float, below(0, 1)] = 1e-3  # unstated

    # Step 1, transfer (sec. 1.5): Adam on the head, all convolutions frozen
    batch_size: Annotated[int, within(1, 4_096, MEMORY)] = 32  # unstated
    transfer_learning_rate: Annotated[float, above(0, 1)] = 1e-3  # unstated
    transfer_epochs: Annotated[int, within(1, 100_000, TIME)] = 50  # unstated
    transfer_patience: Annotated[int, within(1, 100_000)] = 10  # unstated

    # Step 2, fine-tuning (sec. 1.5): SGD on the last k convolutions and the head
    # k; sec. 2.2, Fig. 9; "all" is trained beside them at scale 1
    depths: Annotated[tuple[int, ...], each(within(0, 5), most=6, order="different")] = (0, 1, 2, 3, 4)
    tune_learning_rate: Annotated[float, above(0, 1)] = 1e-4
    tune_momentum: Annotated[float, below(0, 1)] = 0.9
    tune_decay: Annotated[float, below(0, 1)] = 1e-6  # learning rate / (1 + decay * step)
    tune_epochs: Annotated[int, within(1, 100_000, TIME)] = 100  # unstated
    tune_patience: Annotated[int, within(1, 100_000)] = 15  # unstated
    # paper only: what early stopping looks at, as there is no validation set; "none": all epochs
    stopping: Annotated[str, one_of("test", "none")] = "test"

    # Without transfer (sec. 2.1, Fig. 8): small Gaussian weights, all layers trained
    # all kernels from one Gaussian; "he": He et al. 2015, by the inputs of each layer
    scratch_init: Annotated[str, one_of("gaussian", "he")] = "gaussian"
    scratch_std: Annotated[float, above(0, 10)] = 0.01  # of the Gaussian; unstated
    scratch_learning_rate: Annotated[float, above(0, 1)] = 1e-3  # Adam; unstated
    scratch_epochs: Annotated[int, within(1, 100_000, TIME)] = 50  # unstated
    scratch_patience: Annotated[int, within(1, 100_000)] = 10  # unstated

    # Ensemble (sec. 1.6, Table 3): weights by enumeration (sec. 2.4)
    weight_step: Annotated[float, within(0.01, 0.5)] = 0.1  # all published weights are multiples of it

    # Classic features + SVM (sec. 2.5, Table 6); all unstated
    lbp_points: Annotated[int, within(2, 24)] = 8
    lbp_radius: Annotated[float, above(0, 32)] = 1.0  # pixels
    glcm_distances: Annotated[tuple[int, ...], each(within(1, 64), order="different")] = (1,)  # pixels
    # degrees; averaged
    glcm_angles: Annotated[tuple[float, ...], each(below(0, 360), order="different")] = (0.0, 45.0, 90.0, 135.0)
    # cycles a pixel
    gabor_frequencies: Annotated[tuple[float, ...], each(above(0, 0.5), order="different")] = (0.05, 0.1, 0.2, 0.4)
    gabor_orientations: Annotated[int, within(1, 64)] = 6
    # chosen by inner cross-validation
    svm_c: Annotated[tuple[float, ...], each(above(0, 1_000_000), order="different")] = (0.1, 1.0, 10.0, 100.0)
    svm_gamma: Annotated[tuple[float, ...], each(above(0, 1_000_000), order="different")] = (0.1, 1.0, 10.0)  # times 1 / features
    svm_folds: Annotated[int, within(2, 100)] = 5

    # Methods of other papers (sec. 2.6, Table 7); all unstated
    forest_trees: Annotated[int, within(1, 100_000, MEMORY)] = 300  # [11]
    # [11]: least cases of a leaf; with pure leaves costs would hardly move a probability
    forest_leaf: Annotated[int, within(1, 10_000)] = 5
    # [11]: cost of a missed malignant nodule, of a false alarm 1
    forest_malignant_cost: Annotated[float, above(0, 1_000_000)] = 2.0
    hog_cell: Annotated[int, within(2, 128)] = 16  # [26], pixels
    hog_orientations: Annotated[int, within(1, 64)] = 9  # [26]

    # Splits and seeds
    test_share: Annotated[float, between(0, 1)] = 0.2  # Table 1
    inner_folds: Annotated[int, within(2, 100)] = 5  # leakfree only: patient-grouped cross-validation of what is not test
    split_seed: Annotated[int, SEED] = 0  # unstated; also of the augmentation
    seeds: Annotated[tuple[int, ...], SEEDS] = (0, 1, 2, 3, 4)  # unstated

    # Feature cache: most that the activations kept on disk may take, in GB; beyond it the network is trained plainly
    cache_gigabytes: Annotated[float, within(0, 100_000)] = 40.0  # ours; changes no number

    def find_conflicts(self) -> Iterator[Conflict]:
        """Settings that contradict one another, though each lies in its range."""
        if max(self.scale_sides) > self.roi_side:
            yield ("scale_sides", "roi_side"), "a scale is cut from the ROI, so none is larger"
        if self.input_mode == "native" and min(self.scale_sides) < 32:
            yield ("input_mode", "scale_sides"), "VGG16 and ResNet50 take pictures of at least 32 pixels"
        if self.alexnet_variant == "original" and self.alexnet_side < 67:
            yield ("alexnet_side", "alexnet_variant"), "this AlexNet takes pictures of at least 67 pixels"
        if max(self.depths) > 2 * (1 + VGG16_ENDS.index(self.vgg16_end)):  # two convolutions a block, or three
            yield ("depths", "vgg16_end"), "VGG16 has fewer convolutions up to there"
        steps = round(1 / self.weight_step)
        if abs(steps * self.weight_step - 1) > 1e-9 or steps < len(SUBSETS[0]):
            yield ("weight_step",), f"must be 1 / N, with N from {len(SUBSETS[0])} to 100"
        if 2 * self.hog_cell > self.roi_side:
            yield ("hog_cell", "roi_side"), "two cells must lie beside each other in the ROI"
        if 2 * self.lbp_radius >= self.roi_side - 1:
            yield ("lbp_radius", "roi_side"), "no circle of this radius lies in the ROI"
        if bool(self.source_task_images) != bool(self.source_task_epochs):
            yield ("source_task_images", "source_task_epochs"), "either both are 0 or none"


PAPER = Config()

DEMO = replace(  # phantoms, narrow networks, small inputs, every table and figure
    PAPER,
    phantom_patients=110,
    phantom_images=3,
    phantom_signal=2.0,
    test_share=0.35,  # with fewer patients the intervals would hold the share of the most frequent class
    alexnet_side=67,
    vgg16_side=32,
    resnet50_side=32,
    inceptionv3_side=75,
    mobilenetv2_side=64,
    squeezenet_side=64,
    width=0.125,
    resnet50_end="conv3_block1_out",
    inceptionv3_end="mixed0",
    mobilenetv2_end="block_6_project_BN",
    squeezenet_end="fire5",
    vgg16_end="block3_pool",
    source_task_images=400,
    source_task_epochs=14,
    transfer_learning_rate=5e-3,
    transfer_epochs=12,
    transfer_patience=6,
    tune_learning_rate=1e-3,
    tune_epochs=4,
    tune_patience=3,
    scratch_init="he",  # from the paper's Gaussian the narrow networks would not leave chance in so few epochs
    scratch_learning_rate=3e-4,  # at 1e-3 the ReLUs die in the first epoch
    scratch_epochs=48,  # in fewer not every network leaves chance, wherefore none stops before
    scratch_patience=48,
    svm_folds=3,
    forest_trees=100,
    inner_folds=2,
    seeds=(0,),
    cache_gigabytes=1.0,
)

SMOKE = replace(  # the smallest run that passes through every line
    DEMO,
    phantom_patients=20,
    phantom_images=2,
    phantom_signal=1.0,
    test_share=0.2,
    mobilenetv2_side=32,
    squeezenet_side=32,
    resnet50_end="conv2_block2_out",
    vgg16_end="block2_pool",
    mobilenetv2_end="block_2_project_BN",
    squeezenet_end="fire3",
    source_task_images=120,
    source_task_epochs=1,
    transfer_epochs=2,
    tune_epochs=2,
    scratch_init="gaussian",
    scratch_learning_rate=1e-3,
    scratch_epochs=2,
    depths=(0, 2),
    svm_c=(1.0,),
    svm_gamma=(1.0,),
    svm_folds=2,
    forest_trees=20,
)

PRESETS = {"paper": PAPER, "demo": DEMO, "smoke": SMOKE}

CONTRACT = Contract(
    small=("--rows", "Scale 1 / AlexNet,ULBP"),
    learns=("--rows", "Scale 1 / VGG16"),
    row="Scale 1 / VGG16",
    absent=tuple(f"[{number}] as quoted" for number in (3, 8, 9, 10, 11)),
)
