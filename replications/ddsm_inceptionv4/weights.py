"""Initial weights: which file, from where, and how it comes into the run folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from common.cli import Options
from common.errors import UsageError
from common.training import weights
from common.training.weights import Offer, WeightFile, confirm_fetch
from replications.ddsm_inceptionv4.config import Config
from replications.ddsm_inceptionv4.rows import INCEPTION, MOBILE

# Network -> address of its ImageNet weights, and the checksum that the publishers state.
ADDRESSES = {
    INCEPTION: ("https://huggingface.co/timm/inception_v4.tf_in1k/resolve/main/model.safetensors", ""),
    MOBILE: (
        "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/"
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5",
        "",
    ),
}
MEGABYTES = {INCEPTION: 171, MOBILE: 3}
LOCAL_NAMES = {INCEPTION: "inception_v4.tf_in1k.safetensors", MOBILE: ADDRESSES[MOBILE][0].rpartition("/")[2]}
OTHER_NAMES = {INCEPTION: ("inceptionv4-8e4777a0.pth",)}  # of Cadene's pretrainedmodels: the same tensors but for the last layer
RANDOM, PHANTOM = "random", "phantom"  # phantom: trained on the synthetic source task, for trial runs

Files = Mapping[str, WeightFile]  # by network


def choose_weights(given: str | None, preset: str, config: Config) -> str:
    """What transfer starts from: imagenet, random, phantom, or a folder of files.

    UsageError for small networks with files of whole ones, and for a source task that is not set up.
    """
    chosen = given or ("imagenet" if preset == "paper" else PHANTOM)
    if chosen == PHANTOM and not config.source_task_images:
        raise UsageError("--weights phantom: only for trial runs (presets demo and smoke); the paper's are imagenet")
    if chosen not in (RANDOM, PHANTOM) and (config.width != 1 or config.blocks != (4, 7, 3)):
        raise UsageError(f"--weights {chosen}: this preset has a small InceptionV4; add --preset paper")
    return chosen


def describe_weights(chosen: str) -> str:
    """What results say of the initial weights."""
    if chosen == PHANTOM:
        return "phantom: trained on synthetic pictures, not ImageNet"
    return chosen if chosen in ("imagenet", RANDOM) else "imagenet, files of the user"


def confirm_weights(chosen: str, networks: Sequence[str], options: Options) -> str:
    """`chosen`, after what it would fetch was named (see `confirm_fetch`)."""
    offers = [Offer(ADDRESSES[network][0], MEGABYTES[network], LOCAL_NAMES[network]) for network in networks]
    return confirm_fetch(chosen, offers, options)


def provide_weights(chosen: str, networks: Sequence[str], folder: Path) -> tuple[Files, dict[str, str]]:
    """ImageNet weights of the networks, linked into the run folder; and for each network without a file the reason.

    Raises UsageError as `common.training.weights.provide_weights` says.
    """
    if chosen in (RANDOM, PHANTOM) or not networks:
        return {}, {}
    return weights.provide_weights(chosen, networks, lambda network: _find_file(network, chosen), folder)


def _find_file(network: str, chosen: str) -> Path:
    from common.training.pretrained import find_weight_file  # Keras is needed for files alone

    address, checksum = ADDRESSES[network]
    folder = None if chosen == "imagenet" else Path(chosen)
    for name in OTHER_NAMES.get(network, ()):
        if folder is not None and (folder / name).is_file() and not (folder / LOCAL_NAMES[network]).is_file():
            return folder / name
    return find_weight_file(folder, LOCAL_NAMES[network], address, checksum)
