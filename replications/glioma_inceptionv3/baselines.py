"""What the report compares itself with, or proposes: pyradiomics' features with a support vector machine or a random forest
(sec. 3.1), other classifiers on the bottlenecks (sec. 5.2), the lesion's area alone (ours).

Everything that is learnt, the scaling of the features included, is learnt from the training slices; nothing is chosen on others.
All settings stand in config.py; the report gives none.
"""

import warnings
from pathlib import Path

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.class_weight import compute_sample_weight

from common.errors import UsageError
from common.runs import cells
from common.runs.products import Scored, describe_training, write_products
from replications.glioma_inceptionv3.config import Config
from replications.glioma_inceptionv3.rows import CLASSIFIERS, LEAKFREE
from replications.glioma_inceptionv3.texture import FEATURES
from replications.glioma_inceptionv3.train import PACKAGE, Task, open_task


def fit_scores(
    name: str,
    features: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    seed: int,
    config: Config,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Probabilities of all cases by a classifier fitted on the training cases: float64 (n, classes).

    name: of CLASSIFIERS; features (n, f), finite; labels (n,) from 0; train: positions, of which one may stand more than once;
    groups (n,): patients, which the calibration of the support vector machine then keeps together, or None: it draws its
    folds case by case, as the split at hand does. As in the report's training, every class weighs the same (k-NN has no
    weights). Raises UsageError if a class is missing among the training cases, or too rare for the calibration.
    """
    features, labels = np.asarray(features, np.float64), np.asarray(labels)
    classes, of_train = np.unique(labels), labels[train]
    if missing := sorted(set(classes.tolist()) - set(of_train.tolist())):
        raise UsageError(f"{name}: class {missing[0]} has no training case, of {len(train)}: use more patients or fewer folds")
    scaler = StandardScaler().fit(features[train])
    scaled = scaler.transform(features)
    weights = compute_sample_weight("balanced", of_train)
    if name == "SVM":
        return _score_by_svm(features, labels, train, seed, config, groups)
    if name == "k-NN":
        neighbours = min(config.neighbours, len(train))
        model = KNeighborsClassifier(neighbours, weights="distance").fit(scaled[train], of_train)
    elif name == "random forest":
        forest = RandomForestClassifier(config.forest_trees, random_state=seed, n_jobs=1)
        model = forest.fit(scaled[train], of_train, sample_weight=weights)
    elif name == "logistic regression":
        linear = LogisticRegression(C=config.logistic_c, max_iter=5000, random_state=0)
        model = linear.fit(scaled[train], of_train, sample_weight=weights)
    elif name == "hidden layer":
        epochs, batch = config.hidden_epochs, min(config.hidden_batch, len(train))
        network = MLPClassifier(
            (config.hidden_units,), batch_size=batch, max_iter=epochs, n_iter_no_change=epochs, random_state=seed
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is fixed
            model = network.fit(scaled[train], of_train, sample_weight=weights)
    else:
        raise ValueError(f"{name!r}: choose one of {', '.join(CLASSIFIERS)}")
    return model.predict_proba(scaled)


def _score_by_svm(
    features: np.ndarray, labels: np.ndarray, train: np.ndarray, seed: int, config: Config, groups: np.ndarray | None
) -> np.ndarray:
    """Gaussian kernel, one machine; its decision values become probabilities by sigmoids (Platt 1999) that are fitted on the
    values of left-out training cases."""
    of_train = labels[train]
    units = train if groups is None else np.asarray(groups)[train]
    fewest = min(len(np.unique(units[of_train == label])) for label in np.unique(of_train))
    folds = min(config.svm_folds, fewest)
    splits: list = []
    if folds >= 2:
        splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
        splits = list(
            splitter(folds, shuffle=True, random_state=seed).split(of_train, of_train, None if groups is None else units)
        )
    if not splits or any(len(np.unique(of_train[fitted])) < len(np.unique(of_train)) for fitted, _ in splits):
        kind = "slices" if groups is None else "patients"
        raise UsageError(
            f"too few {kind} to calibrate a support vector machine: each class needs 2 in different folds, "
            f"the rarest has {fewest}"
        )
    machine = make_pipeline(StandardScaler(), SVC(C=config.svm_c, class_weight="balanced", random_state=0))
    calibrated = CalibratedClassifierCV(machine, cv=splits, ensemble=False)
    return calibrated.fit(features[train], of_train).predict_proba(features)


def describe_entries(task: Task) -> np.ndarray:
    """What the classifiers of a task see of each entry: float64 (entries, features); of the settings: description, radiomics,
    area or bottlenecks.

    The area is that of the lesion in pixels, as a logarithm. Raises UsageError where the prepared table lacks a feature.
    """
    cases, description = task.pool.cases, task.settings["description"]
    if description == "bottlenecks":
        return np.asarray(task.features, np.float64)[task.source]
    names = ["area"] if description == "area" else [f"radiomics_{name}" for name in FEATURES]
    if missing := [name for name in names if name not in cases]:
        raise UsageError(f"the prepared data lack the column {missing[0]}: prepare them again")
    values = cases[names].to_numpy(np.float64)
    return np.log(values) if description == "area" else values


def train_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """Some classifiers on one description of the entries of a fold: predictions.csv.gz.

    settings: those of `train.open_task` (features: None unless the description is of bottlenecks), protocol, description, and
    rows {classifier: row}.
    """
    task = open_task(settings, folder, report)
    features, scored = describe_entries(task), []
    groups = task.pool.cases["patient_id"].to_numpy() if settings["mode"] == LEAKFREE else None
    seed = 1000 * settings["seed"] + settings["fold"]
    for done, (name, row) in enumerate(settings["rows"].items(), start=1):
        scored.append(Scored(row, fit_scores(name, features, task.labels, task.fold.train, seed, task.config, groups)))
        report(settings["description"], done, len(settings["rows"]), {})
    write_products(settings, task.pool, task.fold, scored, folder)
    environment = {"backend": None, "device": "CPU", "threads": threads, "deterministic": True}
    return describe_training(PACKAGE, environment, train=len(task.fold.train), test=len(task.fold.test))
