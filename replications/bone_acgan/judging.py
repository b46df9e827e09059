"""How good the pictures of one GAN are (sec. 5.1.2, Table 3, Fig. 12), and what they teach by themselves: `judge_cell`.

Beside the paper's SSIM stands what it gives for real pictures and for the mean picture of a class; KID, FID, the nearest training
picture and diversity are distances of features, of a network or of pixels, which the record names.
"""

import json
from dataclasses import asdict
from pathlib import Path

import cv2
import keras
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from common.errors import UsageError
from common.evaluation.generated import measure_fid, measure_kid
from common.files import hash_file
from common.runs import cells
from common.runs.products import Scored, describe_training, write_products
from common.training import fit, pretrained
from replications.bone_acgan import data, quality
from replications.bone_acgan.config import CLASSES, Config
from replications.bone_acgan.rows import CURVES, MEASURES
from replications.bone_acgan.tasks import MOST_COMPARED, Task, open_task, read_generated

PACKAGE = Path(__file__).parent
PIXELS, NETWORK = "pixels at a quarter of the side", "MobileNetV2 0.35 of ImageNet"
SIDE = 224  # pixels that the feature network sees
FEW = 8  # held-out patients: with fewer nothing is compared with them


def describe_pictures(pictures: np.ndarray, weights: Path | None) -> np.ndarray:
    """Features float64 (n, f) of pictures uint8 (n, height, width): pooled maps of MobileNetV2, or shrunken pixels 0..1."""
    if weights is None:
        height, width = pictures.shape[1:]
        small = [cv2.resize(p, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA) for p in pictures]
        return np.stack(small).reshape(len(pictures), -1).astype(np.float64) / 255
    network = keras.applications.MobileNetV2((SIDE, SIDE, 3), alpha=0.35, include_top=False, weights=None, pooling="avg")
    pretrained.load_keras_file(network, weights)
    found = []
    for start in range(0, len(pictures), 32):
        grey = np.stack([cv2.resize(p, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) for p in pictures[start : start + 32]])
        found.append(network.predict(np.repeat(grey[..., None].astype(np.float32), 3, axis=-1) / 127.5 - 1, verbose=0))
    return np.concatenate(found).astype(np.float64)


def compare_structure(made: np.ndarray, real: np.ndarray, patients: np.ndarray) -> dict[str, float]:
    """Mean SSIM with the training pictures of a class (Table 3): of generated ones, of real ones of other patients, of the mean
    picture.

    made (n, h, w), real (m, h, w): 0..1; patients (m,).
    """
    of_real = quality.compare_sets(real, real, same=True)
    others = patients[:, None] != patients
    mean_picture = quality.compare_sets(real.mean(axis=0)[None], real)
    return {
        "generated": float(quality.compare_sets(made, real).mean()),
        "real": float(np.nanmean(of_real[others])) if others.any() else float("nan"),
        "mean picture": float(mean_picture.mean()),
    }


def choose_views(patients: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Positions of one view of each patient, drawn: views differ as much as patients do."""
    order = random.permutation(len(patients))
    return np.sort(order[np.unique(patients[order], return_index=True)[1]])


def mix_classes(classes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Positions of generated pictures of `classes` in the shares that the classes have among `labels`, as many as there are."""
    known, counts = np.unique(labels, return_counts=True)
    there = np.array([(classes == label).sum() for label in known])
    scale = (there / counts).min()
    return np.concatenate([np.flatnonzero(classes == k)[: max(1, int(scale * n))] for k, n in zip(known, counts, strict=True)])


def learn_from_generated(features: np.ndarray, labels: np.ndarray, real: np.ndarray, config: Config) -> np.ndarray:
    """Probabilities of real pictures by a logistic regression that has seen generated pictures alone: float64 (n, classes)."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000, random_state=config.split_seed))
    found = np.zeros((len(real), len(CLASSES)))
    found[:, np.unique(labels)] = model.fit(features, labels).predict_proba(real)
    return found


def judge_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """Measures of one GAN: measures.json, curves.npz (Fig. 12) and, as a row of its own, predictions.csv.gz of the real test
    pictures by a classifier that learned from its pictures alone.

    settings: those of `tasks.open_task`, and row, generated, generated_sha256, features (weight file in the run folder, or None:
    pixels) and features_sha256.
    """
    environment = fit.start_backend(threads)
    task = open_task(settings, folder, report)
    weights = None
    if settings["features"]:
        weights = task.home / settings["features"]
        if hash_file(weights) != settings["features_sha256"]:
            raise UsageError(f"{weights}: not the file that this was planned with; run the same command again")
    measures, curves, scores = judge(task, weights)
    (folder / MEASURES).write_text(json.dumps(measures, indent=1, sort_keys=True))
    np.savez(folder / CURVES, **curves)  # type: ignore[arg-type]  # its types take every array for the option allow_pickle
    write_products(settings, task.dataset, task.fold, [Scored(settings["row"], scores)], folder)
    return describe_training(PACKAGE, environment, features=NETWORK if weights else PIXELS)


def judge(task: Task, weights: Path | None) -> tuple[dict, dict[str, np.ndarray], np.ndarray]:
    """(measures, curves, scores of all cases) of the pictures of a task's GAN."""
    config, fold, settings = task.config, task.fold, task.settings
    made = read_generated(task.home / settings["generated"], settings["generated_sha256"])
    chosen = made.choose([config.evaluated_pictures] * len(CLASSES))
    generated, classes = made.pictures[chosen], made.labels[chosen]
    real = data.shrink_pictures(np.asarray(task.dataset.images)[..., 0], config)
    patients = task.dataset.cases["patient_id"].to_numpy(str)
    features = {"generated": describe_pictures(generated, weights), "real": describe_pictures(real, weights)}
    train, test = fold.train, fold.test
    measures: dict = {"features": NETWORK if weights else PIXELS, "classes": {}}
    curves: dict[str, np.ndarray] = {}
    random = np.random.default_rng([config.split_seed, task.seed, 23])
    for label, name in enumerate(CLASSES):
        of_train, of_test = train[task.labels[train] == label], test[task.labels[test] == label]
        own = classes == label
        if not len(of_train):
            continue
        few = np.sort(random.choice(of_train, min(MOST_COMPARED, len(of_train)), replace=False))
        found: dict = {"ssim": compare_structure(generated[own] / 255, real[few] / 255, patients[few])}
        found["diversity"] = quality.measure_diversity(features["generated"][own])
        found["real diversity"] = quality.measure_diversity(features["real"][of_train])
        measures["classes"][name] = found
        if settings["protocol"] == "paper" and len(of_test):  # Fig. 12 looks at test pictures
            one = generated[own][random.integers(own.sum())]
            curves[f"generated {label}"] = quality.compare_sets(one[None] / 255, real[of_test] / 255)[0]
            of_class = quality.compare_sets(real[of_test] / 255, real[of_test] / 255, same=True)
            curves[f"real {label}"] = np.nanmean(of_class, axis=0) if len(of_test) > 1 else np.array([np.nan])
    apart = test[~np.isin(patients[test], patients[train])]  # under the paper's protocol most have their other view in training
    held_out = apart[choose_views(patients[apart], random)]
    mixed = features["generated"][mix_classes(classes, task.labels[train])]
    known = features["real"][train]
    size = min(len(mixed), len(train), 50, *([len(held_out)] if len(held_out) >= FEW else []))
    measures["kid"] = measure_kid(mixed, known, random, size=size)
    measures["fid"] = measure_fid(mixed, known)
    if len(held_out) >= FEW:
        measures["kid of held-out pictures"] = measure_kid(features["real"][held_out], known, random, size=size)
        measures["copies"] = asdict(quality.find_copies(features["generated"], known, features["real"][held_out]))
    scores = learn_from_generated(features["generated"], classes, features["real"], config)
    return measures, curves, scores
