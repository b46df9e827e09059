"""Initial weights of the networks: which file, from where, and how it comes into the run folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from common.cli import Options
from common.errors import UsageError
from common.training import weights
from common.training.weights import Offer, WeightFile, confirm_fetch
from replications.thyroid_ensemble.config import Config

_GOOGLE = "https://storage.googleapis.com/tensorflow/keras-applications"
# Network -> address of its ImageNet weights without top, and the checksum that its publishers state: MD5 of
# keras.applications; of AlexNet, the beginning of the sha256 that stands in the file's name; of the last two none is stated.
ADDRESSES = {
    "AlexNet": ("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth", "7be5be79"),
    "VGG16": (f"{_GOOGLE}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", "6d6bbae143d832006294945121d1f1fc"),
    "ResNet50": (f"{_GOOGLE}/resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5", "4d473c1dd8becc155b73f8504c6f6626"),
    "InceptionV3": (
        f"{_GOOGLE}/inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "bcbd6486424b2319ff4ef7d526e38f63",
    ),
    "MobileNetV2": (f"{_GOOGLE}/mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5", ""),
    "SqueezeNet": (
        "https://github.com/rcmalli/keras-squeezenet/releases/download/v1.0/"
        "squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "",
    ),
}
MEGABYTES = {"AlexNet": 245, "VGG16": 59, "ResNet50": 95, "InceptionV3": 88, "MobileNetV2": 2, "SqueezeNet": 3}
# What is taken from a folder instead: the same weights without pickle, or those of Caffe.
ALEXNET_FILES = {"torchvision": "alexnet-owt-7be5be79.safetensors", "original": "bvlc_alexnet.safetensors"}
PHANTOM = "phantom"  # weights of train.train_source_cell

Files = Mapping[str, WeightFile]  # by network


def choose_weights(given: str | None, preset: str, config: Config) -> str:
    """What the networks start from: imagenet, random, phantom (trial runs: the synthetic source task), or a folder.

    Raises UsageError for narrow or cut networks with weights of whole ones, and for a source task that is not set up.
    """
    chosen = given or ("imagenet" if preset == "paper" else PHANTOM)
    if chosen == PHANTOM and not config.source_task_images:
        raise UsageError("--weights phantom: only for trial runs (presets demo and smoke); the paper's are imagenet")
    if chosen not in (PHANTOM, "random") and config.width != 1:
        raise UsageError(f"--weights {chosen}: this preset has narrow networks (width {config.width:g}); add --preset paper")
    return chosen


def describe_weights(chosen: str) -> str:
    """What results say of the initial weights."""
    if chosen == PHANTOM:
        return "phantom: trained on synthetic pictures, not ImageNet"
    return chosen if chosen in ("imagenet", "random") else "imagenet, files of the user"


def confirm_weights(chosen: str, networks: Sequence[str], config: Config, options: Options) -> str:
    """`chosen`, after what it would fetch was named (see `confirm_fetch`)."""
    offered = [network for network in networks if network != "AlexNet" or config.alexnet_variant == "torchvision"]
    return confirm_fetch(chosen, [Offer(ADDRESSES[network][0], MEGABYTES[network]) for network in offered], options)


def provide_weights(chosen: str, networks: Sequence[str], config: Config, folder: Path) -> tuple[Files, dict[str, str]]:
    """ImageNet weights of the networks, linked into the run folder; and for each network without a file the reason.

    chosen: imagenet (Keras' own cache, else downloaded) or a folder of files; others need no file. Raises UsageError as
    `common.training.weights.provide_weights` says, for imagenet where any is lacking.
    """
    if chosen in (PHANTOM, "random"):
        return {}, {}
    return weights.provide_weights(chosen, networks, lambda network: _find_file(network, chosen, config), folder, whole=True)


def _find_file(network: str, chosen: str, config: Config) -> Path:
    from common.training.pretrained import find_weight_file  # Keras is needed for files alone

    address, checksum = ADDRESSES[network]
    name = address.rpartition("/")[2]
    folder = None if chosen == "imagenet" else Path(chosen)
    if network == "AlexNet":
        if config.alexnet_variant not in ALEXNET_FILES:
            raise UsageError(f"alexnet_variant={config.alexnet_variant}: choose one of {', '.join(ALEXNET_FILES)}")
        other = ALEXNET_FILES[config.alexnet_variant]
        if folder is not None and (folder / other).is_file():
            return folder / other
        if config.alexnet_variant == "original":
            raise UsageError(f"{folder or 'AlexNet'}: no {other}; nobody offers it: convert Caffe's bvlc_alexnet, see alexnet.py")
    return find_weight_file(folder, name, address, checksum)
