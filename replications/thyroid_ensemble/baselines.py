"""The methods that the paper is compared with: classic features (sec. 2.5, Table 6), those of other papers (sec. 2.6, Table 7).

[10], the fine-tuned first residual block of ResNet50, is a freezing plan of train.py.
"""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from common import cells, training
from common.images import Rows
from common.products import Scored
from replications.thyroid_ensemble import features
from replications.thyroid_ensemble.tasks import Task, open_task
from replications.thyroid_ensemble.train import Upper, open_upper, train_head, tune, write_task

DESCRIPTORS = {"ULBP": features.describe_ulbp, "GLCM": features.describe_glcm, "Gabor": features.describe_gabor}


def train_classic_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """Table 6: one classic descriptor and an SVM. Settings as in train.train_transfer_cell; `network` names the descriptor."""
    task = open_task(settings, folder, report)
    described = DESCRIPTORS[task.network](np.array(task.dataset.images[..., 0]), task.config)
    scored = Scored(settings["rows"]["svm"], _score_by_svm(task, described))
    environment = {"backend": None, "device": "CPU", "threads": threads, "deterministic": True}
    return write_task(task, environment, [scored])


def train_fused_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """[26] of Table 7: features of the frozen VGG16 beside LBP and HOG, and an SVM."""
    environment = training.start_backend(threads)
    task = open_task(settings, folder, report)
    deep = _pool_features(task, open_upper(task, 0))
    described = features.describe_lbp_hog(np.array(task.dataset.images[..., 0]), task.config)
    scored = Scored(settings["rows"]["svm"], _score_by_svm(task, np.concatenate([deep, described], axis=1)))
    return write_task(task, environment, [scored])


def train_forest_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """[11] of Table 7: InceptionV3 with all layers fine-tuned, then a cost-sensitive random forest on its pooled features."""
    environment = training.start_backend(threads)
    task = open_task(settings, folder, report)
    head, history = train_head(task, open_upper(task, 0))
    upper = open_upper(task, "all")
    model, entries = tune(task, upper, "all", head)
    described = _pool_features(task, replace(upper, model=model))
    train, labels = task.fold.train, task.dataset.cases["label"].to_numpy()
    forest = features.fit_forest(described[train], labels[train], task.config, task.seed)
    scored = Scored(settings["rows"]["all"], forest.predict_proba(described), entries, upper.note)
    return write_task(task, environment, [scored], history)


def _pool_features(task: Task, upper: Upper) -> np.ndarray:
    """Pooled feature maps below the head of all cases, float32 (n, channels)."""
    rows = np.arange(len(task.dataset.cases))
    if upper.cut is not None and upper.cut.names == ("pooled",):
        return np.asarray(upper.inputs[rows])
    pooled = keras.Model(upper.model.inputs, upper.model.get_layer("pooled").output)
    return training.predict_values(pooled, Rows(upper.inputs, rows), task.config.batch_size)


def _score_by_svm(task: Task, described: np.ndarray) -> np.ndarray:
    """Probabilities (n, 2) of all cases from an SVM fitted on the training cases, without their variants."""
    train, cases = task.fold.train, task.dataset.cases
    groups = cases["patient_id"].to_numpy()[train] if task.settings["protocol"] == "leakfree" else None
    svm = features.fit_svm(described[train], cases["label"].to_numpy()[train], groups, task.config, task.seed)
    return svm.predict_proba(described)
