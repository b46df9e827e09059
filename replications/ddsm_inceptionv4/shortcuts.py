"""What a classifier can know without looking at a breast: the digitiser, the size of the film, its range of grey levels.

Two checks. A row of its own, "metadata alone", beside the networks. And scanners that are planted: a grey curve and a frame that
go with the label in training; what a classifier of pictures then makes of them where they do not.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from common.cases.prepared import load_dataset
from common.errors import UsageError
from common.runs import cells
from common.runs.products import Scored, describe_training, write_products
from replications.ddsm_inceptionv4.breast import prepare_picture
from replications.ddsm_inceptionv4.config import CLASSES, Config
from replications.ddsm_inceptionv4.rows import MEASURES, WHOLE
from replications.ddsm_inceptionv4.tasks import Task, open_task

PACKAGE = Path(__file__).parent
NO_NETWORK = {"backend": None, "device": None, "deterministic": True}
NUMBERS = ("height", "width", "bits", "low", "high")
BIAS = 0.85  # share of the cases with (without) a lesion that the first (second) planted scanner has, in training
BIASES = {"same": BIAS, "even": 0.5, "reversed": 1 - BIAS}  # of the test cases
CURVE, FRAME = 0.6, 4  # exponent of the first scanner's grey curve; pixels of its white frame
KINDS = ("whole film", "prepared", "prepared and equalised")
SMALL, BINS, COMPONENTS = 32, 32, 60  # pixels and bins of the features, principal components of the pixels
DRAWS = 5  # plantings
MOST = 1500  # pictures that are planted


def describe_metadata(cases: pd.DataFrame) -> np.ndarray:
    """Digitiser (one column each), height, width, bits, and the lowest and highest grey level: float64 (n, columns).

    >>> about = {"height": [9, 8], "width": [5, 5], "bits": [16, 12], "low": [1, 2], "high": [7, 8]}
    >>> describe_metadata(pd.DataFrame({"digitiser": ["DBA", "Lumisys"], **about})).astype(int).tolist()
    [[1, 0, 9, 5, 16, 1, 7], [0, 1, 8, 5, 12, 2, 8]]
    """
    digitisers = pd.get_dummies(cases["digitiser"]).to_numpy(float)
    return np.hstack([digitisers, cases[list(NUMBERS)].to_numpy(float)])


def build_metadata_reader(config: Config) -> Pipeline:
    """The classifier of metadata: the same for every seed of a split, as nothing in its fit is drawn."""
    machine = LogisticRegression(max_iter=5000, class_weight="balanced" if config.class_weights else None, random_state=0)
    return make_pipeline(StandardScaler(), machine)


def train_metadata_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """The row "metadata alone": a logistic regression of `describe_metadata`. settings: those of `tasks.open_task`, and row."""
    task = open_task(settings, folder, report)
    features = describe_metadata(task.dataset.cases)
    model = build_metadata_reader(task.config)
    model.fit(features[task.fold.train], task.labels[task.fold.train])
    scores = np.full((len(features), len(CLASSES)), np.nan)
    scores[task.fold.test] = model.predict_proba(features[task.fold.test])
    write_products(settings, task.dataset, task.fold, [Scored(settings["row"], scores)], folder)
    return describe_training(PACKAGE, NO_NETWORK)


@dataclass(frozen=True)
class Planted:
    """AUC of a classifier of pictures with planted scanners."""

    kind: str  # of the pictures, one of KINDS; or "scanner alone"
    bias: str  # of the test cases, one of BIASES
    auc: float


def plant_scanner(film: np.ndarray) -> np.ndarray:
    """A film uint8 as the first planted scanner gives it: brighter in its dark parts, a white frame at the bottom and one
    side."""
    changed = np.rint(255 * (film / 255.0) ** CURVE).astype(np.uint8)
    changed[-FRAME:] = 255
    changed[:, -FRAME if film[:, 0].mean() > film[:, -1].mean() else 0 :][:, :FRAME] = 255
    return changed


def equalise(picture: np.ndarray) -> np.ndarray:
    """The breast with every grey level equally often; the outside stays 0. No grey curve of a scanner is left."""
    inside = picture > 0
    if not inside.any():
        return picture
    counts = np.bincount(picture[inside], minlength=256).cumsum()
    return np.where(inside, np.clip(np.rint(255 * counts[picture] / counts[-1]), 1, 255), 0).astype(np.uint8)


def describe_pictures(pictures: np.ndarray) -> np.ndarray:
    """Pixels at SMALL x SMALL and the histogram in BINS: float64 (n, SMALL * SMALL + BINS)."""
    pixels = np.stack([cv2.resize(of, (SMALL, SMALL), interpolation=cv2.INTER_AREA).ravel() for of in pictures])
    histograms = np.stack([np.histogram(of, BINS, (0, 256))[0] / of.size for of in pictures])
    return np.hstack([pixels / 255, histograms])


def build_reader(features: np.ndarray, cases: int) -> Pipeline:
    """The classifier of `describe_pictures`: principal components, logistic regression."""
    count = max(1, min(COMPONENTS, cases - 1, features.shape[1]))
    return make_pipeline(StandardScaler(), PCA(count, random_state=0), LogisticRegression(C=0.1, max_iter=3000, random_state=0))


def measure_planted(films: np.ndarray, labels: np.ndarray, train: np.ndarray, test: np.ndarray, config: Config) -> list[Planted]:
    """The table of planted scanners: whole films uint8 (n, side, side), labels (n,), positions of training and test cases.

    In training the first scanner has BIAS of the cases with a lesion and 1 - BIAS of the others; in the test the same share,
    half, or the reverse. Means over DRAWS plantings. The classifier sees what a simple reader of pictures sees
    (`describe_pictures`).
    """
    small = replace(config, mask_side=films.shape[1], size=2 * SMALL, grey="levels")
    views = [films, np.stack([plant_scanner(film) for film in films])]  # of the second scanner, as it is; of the first
    prepared = [np.stack([prepare_picture(film, small).picture for film in of]) for of in views]
    equal = [np.stack([equalise(of) for of in pictures]) for pictures in prepared]
    features = {kind: [describe_pictures(of) for of in pair] for kind, pair in zip(KINDS, (views, prepared, equal), strict=True)}
    found: dict[tuple[str, str], list[float]] = {}
    for draw in range(DRAWS):
        random = np.random.default_rng([config.split_seed, 41, draw])
        chance = random.random(len(labels))
        first = chance < np.where(labels == 1, BIAS, 1 - BIAS)
        for kind, (second_view, first_view) in features.items():
            of_train = np.where(first[:, None], first_view, second_view)[train]
            model = build_reader(of_train, len(train)).fit(of_train, labels[train])
            for bias, share in BIASES.items():
                scanned = (chance < np.where(labels == 1, share, 1 - share))[:, None]
                of_test = np.where(scanned, first_view, second_view)[test]
                found.setdefault((kind, bias), []).append(roc_auc_score(labels[test], model.predict_proba(of_test)[:, 1]))
        for bias, share in BIASES.items():
            scanned = chance < np.where(labels == 1, share, 1 - share)
            found.setdefault(("scanner alone", bias), []).append(roc_auc_score(labels[test], scanned[test]))
    return [Planted(kind, bias, float(np.mean(values))) for (kind, bias), values in found.items()]


def plant_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """The table of planted scanners on the films of the run: measures.json.

    settings: those of `tasks.open_task`, and whole_sha256, of the whole films.
    """
    cv2.setNumThreads(threads)
    task = open_task(settings, folder, report)
    films, labels, sides = gather_films(task)
    train, test = (np.flatnonzero(sides == side) for side in ("train", "test"))
    planted = measure_planted(films, labels, train, test, task.config)
    lines = [[one.kind, one.bias, one.auc] for one in planted]
    (folder / MEASURES).write_text(json.dumps({"planted": lines, "train": len(train), "test": len(test)}))
    return describe_training(PACKAGE, NO_NETWORK)


def gather_films(task: Task) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whole films uint8 (n, side, side), labels and sides ("train", "test") of at most MOST cases of a task's fold."""
    whole = load_dataset(task.home / WHOLE)
    if whole.sha256 != task.settings["whole_sha256"]:
        raise UsageError(f"{task.home / WHOLE}: not the films that this was planned for; run the same command again")
    place_of = {name: place for place, name in enumerate(whole.cases["case_id"])}
    ids = task.dataset.cases["case_id"].to_numpy(str)
    places, sides = [], []
    for side, positions in (("train", task.fold.train), ("test", task.fold.test)):
        few = np.random.default_rng([task.config.split_seed, 43]).permutation(positions)[: MOST // 2]
        places += few.tolist()
        sides += [side] * len(few)
    films = np.stack([np.asarray(whole.images[place_of[ids[place]]])[..., 0] for place in places])
    return films, task.labels[places], np.array(sides)


def read_planted(folders: Sequence[Path]) -> list[Planted]:
    """Means over finished `plant_cell`s."""
    lines = [tuple(line) for folder in folders for line in json.loads((folder / MEASURES).read_text())["planted"]]
    table = pd.DataFrame(lines, columns=["kind", "bias", "auc"])
    means = table.groupby(["kind", "bias"], sort=False)["auc"].mean()
    return [Planted(str(kind), str(bias), float(auc)) for (kind, bias), auc in zip(means.index, means, strict=True)]
