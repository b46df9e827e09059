"""Initial weights of the backbones: which file, from where, and how it comes into the run folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from common.cli import Options
from common.training import weights
from common.training.weights import Offer, WeightFile, confirm_fetch
from replications.glioma_inceptionv3.rows import INCEPTION, MOBILENET

_GOOGLE = "https://storage.googleapis.com/tensorflow/keras-applications"
# Backbone -> address of its ImageNet weights without top, and the MD5 that keras.applications states (of MobileNetV2 none).
ADDRESSES = {
    INCEPTION: (
        f"{_GOOGLE}/inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "bcbd6486424b2319ff4ef7d526e38f63",
    ),
    MOBILENET: (f"{_GOOGLE}/mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5", ""),
}
MEGABYTES = {INCEPTION: 88, MOBILENET: 3}
RANDOM_WEIGHTS = "random"

Files = Mapping[str, WeightFile]  # by backbone


def choose_weights(given: str | None, preset: str) -> str:
    """What the backbones start from: imagenet, a folder of its files, or random (the trial runs)."""
    return given or ("imagenet" if preset == "paper" else RANDOM_WEIGHTS)


def describe_weights(chosen: str) -> str:
    """What results say of the initial weights."""
    return chosen if chosen in ("imagenet", RANDOM_WEIGHTS) else "imagenet, files of the user"


def confirm_weights(chosen: str, backbones: Sequence[str], options: Options) -> str:
    """`chosen`, after what it would fetch was named (see `confirm_fetch`)."""
    offers = [Offer(ADDRESSES[name][0], MEGABYTES[name]) for name in dict.fromkeys(backbones) if name in ADDRESSES]
    return confirm_fetch(chosen, offers, options)


def provide_weights(chosen: str, backbones: Sequence[str], folder: Path) -> tuple[Files, dict[str, str]]:
    """ImageNet weights of the backbones, linked into the run folder; and for each backbone without a file the reason.

    chosen: imagenet (Keras' own cache, else downloaded) or a folder of files; random needs none. Raises UsageError as
    `common.training.weights.provide_weights` says.
    """
    wanted = [backbone for backbone in backbones if backbone in ADDRESSES]
    if chosen == RANDOM_WEIGHTS or not wanted:
        return {}, {}
    return weights.provide_weights(chosen, wanted, lambda backbone: _find_file(backbone, chosen), folder)


def _find_file(backbone: str, chosen: str) -> Path:
    from common.training.pretrained import find_weight_file  # Keras is needed for files alone

    address, checksum = ADDRESSES[backbone]
    return find_weight_file(None if chosen == "imagenet" else Path(chosen), address.rpartition("/")[2], address, checksum)
