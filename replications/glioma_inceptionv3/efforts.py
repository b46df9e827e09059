"""What each training will do, for the cost of a run before it: pictures, steps. Nothing here imports TensorFlow."""

from collections.abc import Mapping, Sequence

from common.runs.cells import Cell
from common.runs.work import Network, Stage, Work
from common.training.weights import WeightFile
from replications.glioma_inceptionv3 import plans
from replications.glioma_inceptionv3.config import INCEPTIONV3_ENDS, Config
from replications.glioma_inceptionv3.rows import FIXED, LEAKFREE, MOBILENET

BUILD = "replications.glioma_inceptionv3.specimens:build_specimen"
PUBLISHED = (5.7e9, 299), (0.06e9, 224)  # multiply-adds and side of InceptionV3 and MobileNetV2 0.35
MOBILENET_FEATURES = 1280  # of pooled bottlenecks
INCEPTION_FEATURES = dict(zip(INCEPTIONV3_ENDS, (256, 288, 288, 768, 768, 768, 768, 768, 1280, 2048, 2048), strict=True))
Extractions = Mapping[tuple[str, str], Cell]  # (backbone, view) -> the cell of its bottlenecks


def list_works(
    trainings: Sequence[plans.Training],
    extractions: Extractions,
    config: Config,
    datasets: plans.Datasets,
    divided: plans.Divided,
    seeds: Sequence[int],
) -> list[Work]:
    """The work of all bottlenecks, and of the trainings on them. seeds: of --seeds, none: those of the settings."""
    works = [
        Work(cell.key, (Stage(describe_backbone(backbone, config), 0, 0, once=len(datasets[view].cases)),))
        for (backbone, view), cell in extractions.items()
    ]
    features = {setup: WeightFile("", "") for setup in extractions}  # not there yet: the keys of the cells do not need them
    for training in trainings:
        cells = plans.plan_cells(training, config, plans.list_seeds(training, config, seeds), datasets, divided, features)
        pictures = len(datasets[training.view].cases)
        entries = len(divided[training.mode, training.view, training.shuffled][0].cases)
        works += [plan_work(cell, training, pictures, entries, config) for cell in cells]
    return works


def plan_work(cell: Cell, training: plans.Training, pictures: int, entries: int, config: Config) -> Work:
    """A head; or classifiers without a network, whose seconds follow a rule of thumb."""
    if training.description == plans.HEAD:
        head = describe_head(training, pictures, config)
        return Work(cell.key, (Stage(head, 1, config.steps),))
    thousands = entries / 1000
    if training.description != "bottlenecks":  # some hundred numbers a picture, and one
        return Work(cell.key, seconds=0.2 + (1.2 * thousands if training.description == "radiomics" else 0.0))
    count = len([name for name in training.rows if name != FIXED])
    return Work(cell.key, seconds=0.2 + 1.9 * count * thousands**2 * _count_features(training, config) / MOBILENET_FEATURES)


def describe_backbone(backbone: str, config: Config) -> Network:
    """The network below the bottlenecks."""
    operations, side = PUBLISHED[backbone == MOBILENET]
    most = operations * (config.side / side) ** 2 if backbone != MOBILENET else operations
    settings = {"backbone": backbone, "config": plans.reduce_config(config)}
    return Network(f"{backbone}, {config.side} pixels", BUILD, settings, config.feature_batch, most)


def describe_head(training: plans.Training, pictures: int, config: Config) -> Network:
    """The new last layer on a table of bottlenecks: one head, under leakfree one for each rate."""
    rates = config.leakfree_rates if training.mode == LEAKFREE else (1.0,)
    features = _count_features(training, config)
    settings = {
        "backbone": "",
        "config": plans.reduce_config(config),
        "features": features,
        "mode": training.mode,
        "pictures": pictures,
        "rates": list(rates),
    }
    name = f"last layer ({training.mode}), {len(rates)} x {features} on {pictures} pictures"
    return Network(name, BUILD, settings, config.batch_size, 4.0 * features * len(rates))


def _count_features(training: plans.Training, config: Config) -> int:
    """Numbers of a bottleneck."""
    if training.backbone == MOBILENET:
        return MOBILENET_FEATURES
    return INCEPTION_FEATURES[config.inceptionv3_end or INCEPTIONV3_ENDS[-1]]
