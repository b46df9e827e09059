"""The samples judged (sec. 4.1, Fig. 2): by a deep discriminator obtained by transfer, by distances, by what they are good for.

A frozen network of ImageNet describes pictures; on its features a logistic regression learns to tell real from drawn ones. It
tells nearly every fake, so its accuracy alone says nothing: beside it stands what the same judge makes of real pictures that are
merely blurred. What samples are good for: a small labelled set is enlarged by them, labelled by its own classifier.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from common.errors import UsageError
from common.evaluation.generated import measure_kid
from common.files import hash_file
from common.runs import cells
from common.runs.products import Scored, describe_training, write_products
from common.training import fit
from replications.ddsm_inceptionv4.config import CLASSES
from replications.ddsm_inceptionv4.rows import MEASURES, UNLABELLED, name_few
from replications.ddsm_inceptionv4.tasks import Task, open_task
from replications.ddsm_inceptionv4.train import describe_features
from replications.ddsm_inceptionv4.variants import resize_pictures

PACKAGE = Path(__file__).parent
BLURS = (0.5, 1.0, 2.0)  # pixels of the samples
FOLDS, SUBSET = 4, 50  # of the judge; pictures of a subset of KID


def build_judge() -> Pipeline:
    """Real or not, on the features of the frozen network; and the classifier of the small labelled set."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=3000, class_weight="balanced", random_state=0))


def measure_judge(
    real: np.ndarray, patients: np.ndarray, other: np.ndarray, of_other: np.ndarray | None, seed: int
) -> tuple[float, float]:
    """(AUC, accuracy) of the judge between two sets of features (n, f), (m, f), as many of each, by cross-validation that keeps
    the pictures of a patient together. patients, of_other: of each picture; None: drawn ones, each by itself. NaN for too few."""
    random, size = np.random.default_rng([seed, 67]), min(len(real), len(other))
    places = [np.sort(random.choice(len(of), size, replace=False)) for of in (real, other)]
    features = np.vstack([real[places[0]], other[places[1]]])
    labels = np.repeat([1, 0], size)
    others = np.arange(size).astype(str) if of_other is None else of_other[places[1]]
    groups = np.concatenate([np.char.add("r", patients[places[0]].astype(str)), np.char.add("o", others.astype(str))])
    count = min(FOLDS, *(len(np.unique(groups[labels == label])) for label in (0, 1)))
    if count < 2:
        return float("nan"), float("nan")
    folds = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    scores = cross_val_predict(build_judge(), features, labels, cv=folds, groups=groups, method="predict_proba")[:, 1]
    return float(roc_auc_score(labels, scores)), float(((scores > 0.5) == labels).mean())


def judge_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """Judgement of all samplers of a place: measures.json, and predictions.csv.gz of the rows of few labels.

    settings: those of `tasks.open_task`, and network, weights, samples {sampler: [samples.npz, sha256]}.
    """
    environment = fit.start_backend(threads)
    task = open_task(settings, folder, report)
    samples = {name: read_samples(task.home, *drawn) for name, drawn in settings["samples"].items()}
    small = resize_pictures(task.pictures, task.config.sample_size)

    def describe(pictures: np.ndarray) -> np.ndarray:
        sized = resize_pictures(pictures, task.config.size)
        return describe_features(sized, settings["network"], task.weights, task.config)

    real = describe(small)
    features = {name: describe(drawn) for name, (drawn, _) in samples.items()}
    (folder / MEASURES).write_text(json.dumps(measure_samples(task, small, real, samples, features, describe), sort_keys=True))
    scored = [Scored(name_few(added), scores) for added, scores in learn_few(task, real, features).items()]
    write_products(settings, task.dataset, task.fold, scored, folder)
    return describe_training(PACKAGE, environment, labelled=len(choose_labelled(task)))


def read_samples(home: Path, file: str, sha256: str) -> tuple[np.ndarray, np.ndarray]:
    """(drawn, decoded) of a sampler. UsageError where the file is not that one."""
    if hash_file(home / file) != sha256:
        raise UsageError(f"{home / file}: not the samples that this was planned with; run the same command again")
    with np.load(home / file, allow_pickle=False) as stored:
        return stored["drawn"], stored["decoded"]


def measure_samples(
    task: Task,
    small: np.ndarray,
    real: np.ndarray,
    samples: Mapping[str, tuple[np.ndarray, np.ndarray]],
    features: Mapping[str, np.ndarray],
    describe,
) -> dict:
    """Set -> {"kid", "auc", "accuracy", "rmse"}: of each sampler's draws against the training pictures; of test pictures, blurred
    test pictures and the mean picture beside them."""
    train, test = task.fold.train, task.fold.test
    random = np.random.default_rng([task.seed, 59])
    blurred = {f"real, blurred by {sigma:g} px": gaussian_filter(small[test], (0, sigma, sigma)) for sigma in BLURS}
    sets = {"real, other women": real[test], **{name: describe(of) for name, of in blurred.items()}, **features}
    patients = task.dataset.cases["patient_id"].to_numpy(str)
    found = {}
    for name, of in sets.items():
        size = min(SUBSET, len(of), len(train))
        of_other = None if name in features else patients[test]
        auc, accuracy = measure_judge(real[train], patients[train], of, of_other, task.seed)
        kid, spread = measure_kid(of, real[train], random, size=size)
        found[name] = {"kid": kid, "kid_sd": spread, "auc": auc, "accuracy": accuracy, "pictures": len(of)}
    mean_picture = small[train].mean(axis=0)
    found["mean picture"] = {"rmse": measure_error(small[test], np.broadcast_to(mean_picture, small[test].shape))}
    for name, (_, decoded) in samples.items():
        if len(decoded):
            found[name]["rmse"] = measure_error(small[test], decoded)
    return found


def measure_error(pictures: np.ndarray, others: np.ndarray) -> float:
    """Root of the mean squared difference, of a range of 1.

    >>> measure_error(np.zeros((1, 2, 2), np.uint8), np.full((1, 2, 2), 51, np.uint8))
    0.2
    """
    return float(np.sqrt(np.mean(np.square((pictures.astype(np.float64) - others) / 255))))


def choose_labelled(task: Task) -> np.ndarray:
    """Positions of the few training cases whose labels are used: all films of labelled_share of the women with a lesion, and of
    the others, at least two of each."""
    random, train = np.random.default_rng([task.seed, 61]), task.fold.train
    patients = task.dataset.cases["patient_id"].to_numpy(str)[train]
    ill = np.unique(patients[task.labels[train] == 1])
    chosen: list[str] = []
    for group in (ill, np.setdiff1d(patients, ill)):
        count = min(len(group), max(2, round(task.config.labelled_share * len(group))))
        chosen += random.choice(group, count, replace=False).tolist()
    return train[np.isin(patients, chosen)]


def learn_few(task: Task, real: np.ndarray, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is added ("", a sampler, real pictures without labels) -> scores (n, classes) of the test cases.

    The classifier of the few labels labels what is added, and learns again from both; added cases count together as much as the
    labelled ones.
    """
    labelled = choose_labelled(task)
    first = build_judge().fit(real[labelled], task.labels[labelled])
    others = np.setdiff1d(task.fold.train, labelled)
    added = {"": None, **features, UNLABELLED: real[others]}
    found = {}
    for name, of in added.items():
        model = first
        if of is not None and len(of):
            together = np.vstack([real[labelled], of])
            answers = np.concatenate([task.labels[labelled], first.predict(of)])
            weights = np.concatenate([np.ones(len(labelled)), np.full(len(of), len(labelled) / len(of))])
            model = build_judge().fit(together, answers, logisticregression__sample_weight=weights)
        scores = np.full((len(real), len(CLASSES)), np.nan)
        scores[task.fold.test] = model.predict_proba(real[task.fold.test])
        found[name] = scores
    return found
