"""The names of rows, trainings and files: what the tables and the plans call them."""

from dataclasses import dataclass

from common.errors import UsageError
from replications.ddsm_inceptionv4.config import Config, list_block_names

INCEPTION, SMALL, MOBILE = "InceptionV4", "small InceptionV4", "MobileNetV2 0.35"
SCRATCH, SOFTMAX = "", "softmax"  # where retraining starts: all layers from scratch; the last layer alone
METADATA = "metadata alone"
FILMS, WHOLE = "films", "thumbnails"  # folders of the run that hold the prepared data sets
SUFFIXES = {"image": "", "breast": " / breast labels", "case": " / case labels", "density": " / dense tissue"}
PER_BREAST, PER_PATIENT = "per breast", "per patient"
# Phase 2 (sec. 4.1): models of unlabelled pictures, and what a small labelled set gains by what they draw.
VAE, DCGAN, VAE_GAN = "VAE", "DCGAN", "VAE-GAN"
SAMPLERS = (VAE, DCGAN, VAE_GAN)
JUDGEMENT = "judgement"
UNLABELLED = "real unlabelled"
FEW = "few labels"
SAMPLES, MEASURES = "samples.npz", "measures.json"  # what their trainings leave


@dataclass(frozen=True)
class Model:
    """One way of training: a network, where its retraining starts, what its labels speak of."""

    network: str
    start: str  # SCRATCH, SOFTMAX, or the block from which it is retrained
    level: str = "image"
    name: str = ""  # as the row is called, without the level

    @property
    def row(self) -> str:
        return self.name + SUFFIXES[self.level]

    @property
    def transfer(self) -> bool:
        return self.start != SCRATCH


def find_last_block(config: Config) -> str:
    """The last Inception-C."""
    return list_block_names(config.blocks)[-1]


def list_starts(config: Config) -> list[str]:
    """Where retraining starts in the layer-wise curve, from the softmax downwards. UsageError for a block that is not there."""
    blocks = list_block_names(config.blocks)
    if unknown := [name for name in config.layer_starts if name not in blocks]:
        raise UsageError(f"--set layer_starts: no block {unknown[0]!r}; known: {', '.join(blocks)}")
    return [SOFTMAX, *dict.fromkeys([blocks[-1], *config.layer_starts])]


def name_start(start: str, config: Config) -> str:
    """The row of InceptionV4 whose retraining starts there; Table 2 has names for two of them.

    >>> config = Config()
    >>> [name_start(start, config) for start in ("softmax", "inception_c3", "stem")]
    ['InceptionV4 transfer', 'InceptionV4 transfer*', 'InceptionV4 retrained from stem']
    """
    known = {SOFTMAX: f"{INCEPTION} transfer", find_last_block(config): f"{INCEPTION} transfer*"}
    return known.get(start, f"{INCEPTION} retrained from {start.replace('_', ' ')}")


def list_models(config: Config) -> list[Model]:
    """Every training of the tables, those of one network side by side."""
    a, b, c = config.small_blocks
    named = [
        (INCEPTION, SCRATCH, f"{INCEPTION} vanilla"),
        (INCEPTION, SOFTMAX, name_start(SOFTMAX, config)),
        (INCEPTION, find_last_block(config), name_start(find_last_block(config), config)),
        (SMALL, SCRATCH, f"{INCEPTION} ({a}, {b}, {c}) vanilla"),
        (MOBILE, SOFTMAX, f"{MOBILE} transfer"),
    ]
    models = [Model(network, start, level, name) for network, start, name in named for level in config.label_levels]
    layerwise = [Model(INCEPTION, start, "image", name_start(start, config)) for start in list_starts(config)]
    known = {model.row for model in models}
    return [*models, *(model for model in layerwise if model.row not in known)]


def name_metadata(level: str) -> str:
    """The classifier that sees no picture."""
    return METADATA + SUFFIXES[level]


def name_few(added: str) -> str:
    """The classifier of a small labelled set, with what is added to it.

    >>> name_few(""), name_few(VAE)
    ('few labels', 'few labels + VAE samples')
    """
    if not added:
        return FEW
    return f"{FEW} + {added}" + " samples" * (added in SAMPLERS)
