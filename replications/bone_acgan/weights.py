"""Initial weights of the classifiers: which file, from where, and how it comes into the run folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from common.cli import Options
from common.errors import UsageError
from common.training import weights
from common.training.weights import Offer, WeightFile, confirm_fetch, link_weights
from replications.bone_acgan.config import Config

_GOOGLE = "https://storage.googleapis.com/tensorflow/keras-applications"
# Network -> address of its ImageNet weights without top, and the checksum that its publishers state: MD5 of keras.applications;
# of PyTorch's files the beginning of the sha256 that stands in their names.
ADDRESSES = {
    "ResNet34": ("https://download.pytorch.org/models/resnet34-b627a593.pth", "b627a593"),
    "ResNeXt50": ("https://download.pytorch.org/models/resnext50_32x4d-7cdf4587.pth", "7cdf4587"),
    "VGG16": (f"{_GOOGLE}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", "6d6bbae143d832006294945121d1f1fc"),
    "DenseNet121": (
        f"{_GOOGLE}/densenet/densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "30ee3e1110167f948a6b9946edeeb738",
    ),
    "InceptionV3": (
        f"{_GOOGLE}/inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "bcbd6486424b2319ff4ef7d526e38f63",
    ),
    "MobileNetV3": (f"{_GOOGLE}/mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5", ""),
    "EfficientNet": (
        "https://storage.googleapis.com/keras-applications/efficientnetb0_notop.h5",
        "50bc09e76180e00e4465e1a485ddc09d",
    ),
}
MEGABYTES = {
    "ResNet34": 88,
    "ResNeXt50": 101,
    "VGG16": 59,
    "DenseNet121": 30,
    "InceptionV3": 88,
    "MobileNetV3": 13,
    "EfficientNet": 17,
}
FEATURES = (
    f"{_GOOGLE}/mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5",
    "",
)  # of the network that KID and FID rest on
FEATURES_MEGABYTES = 3
RANDOM = "random"

Files = Mapping[str, WeightFile]  # by network


def choose_weights(given: str | None, preset: str, config: Config) -> str:
    """What the classifiers start from: imagenet, random, or a folder of files. UsageError for shortened networks with files."""
    chosen = given or ("imagenet" if preset == "paper" else RANDOM)
    if chosen != RANDOM and config.shortened:
        raise UsageError(f"--weights {chosen}: this preset has shortened networks; add --preset paper")
    return chosen


def describe_weights(chosen: str) -> str:
    """What results say of the initial weights."""
    return chosen if chosen in ("imagenet", RANDOM) else "imagenet, files of the user"


def confirm_weights(chosen: str, networks: Sequence[str], options: Options) -> str:
    """`chosen`, after what it would fetch was named (see `confirm_fetch`): weights of the networks, and those of the judge."""
    offers = [Offer(ADDRESSES[network][0], MEGABYTES[network]) for network in networks]
    return confirm_fetch(chosen, [*offers, Offer(FEATURES[0], FEATURES_MEGABYTES)], options)


def provide_weights(chosen: str, networks: Sequence[str], folder: Path) -> tuple[Files, dict[str, str]]:
    """ImageNet weights of the networks, linked into the run folder; and for each network without a file the reason.

    Raises UsageError as `common.training.weights.provide_weights` says, for "imagenet" where any is lacking.
    """
    if chosen == RANDOM:
        return {}, {}
    return weights.provide_weights(chosen, networks, lambda network: _find_file(*ADDRESSES[network], chosen), folder, whole=True)


def provide_features(chosen: str, folder: Path) -> WeightFile | None:
    """The weights of the network that pictures are judged by; None where they are not at hand: pixels stand in, and say so."""
    if chosen == RANDOM:
        return None
    found, _ = link_weights(["features"], lambda _name: _find_file(*FEATURES, chosen), folder)
    return found.get("features")


def _find_file(address: str, checksum: str, chosen: str) -> Path:
    from common.training.pretrained import find_weight_file  # Keras is needed for files alone

    folder = None if chosen == "imagenet" else Path(chosen)
    name = address.rpartition("/")[2]
    if folder is not None and name.endswith(".pth"):  # the same weights without pickle
        other = folder / name.replace(".pth", ".safetensors")
        if other.is_file():
            return other
    return find_weight_file(folder, name, address, checksum)
