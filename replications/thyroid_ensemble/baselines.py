"""The methods that the paper is compared with: classic features (sec. 2.5, Table 6), those of other papers (sec. 2.6, Table 7).

[10], the fine-tuned first residual block of ResNet50, is a freezing plan of train.py.
"""

import functools
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
from scipy import fft
from skimage.feature import graycomatrix, hog, local_binary_pattern
from skimage.filters import gabor_kernel
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from common.cases.prepared import load_dataset
from common.errors import UsageError
from common.runs import cells
from common.runs.products import Scored
from common.training import fit
from common.training.frozen import Upper
from replications.thyroid_ensemble.config import Config
from replications.thyroid_ensemble.tasks import DATA, Task, open_task
from replications.thyroid_ensemble.train import open_upper, train_head, tune_network, write_task

GLCM_NAMES = ("contrast", "dissimilarity", "homogeneity", "entropy", "correlation", "energy")  # sec. 2.5
LEVELS = 256  # grey levels of the co-occurrence matrix


def describe_ulbp(rois: np.ndarray, config: Config) -> np.ndarray:
    """Shares of the uniform local binary patterns (Ojala et al. 2002), not rotation-invariant: (n, 59) for 8 points.

    The last share is that of all other patterns. Pixels whose circle leaves the ROI do not count.
    """
    points, edge = config.lbp_points, int(np.ceil(config.lbp_radius))
    bins = points * (points - 1) + 3
    rows = np.empty((len(rois), bins), np.float32)
    for row, roi in zip(rows, rois, strict=True):
        codes = local_binary_pattern(roi, points, config.lbp_radius, method="nri_uniform")[edge:-edge, edge:-edge]
        row[:] = np.bincount(codes.astype(int).ravel(), minlength=bins) / codes.size
    return rows


def describe_glcm(rois: np.ndarray, config: Config) -> np.ndarray:
    """GLCM_NAMES of the symmetric grey-level co-occurrence matrix of 256 levels (Haralick et al. 1973), each the mean over
    glcm_distances and glcm_angles: (n, 6). Entropy in nats; energy is the root of the sum of squares; the correlation of a
    constant ROI is 1.
    """
    low, high = np.indices((LEVELS, LEVELS), dtype=np.float64)
    gap = np.abs(low - high)
    weights = np.stack([gap**2, gap, 1 / (1 + gap**2), low, low**2, low * high]).reshape(6, -1)
    rows = np.empty((len(rois), len(GLCM_NAMES)), np.float32)
    for row, roi in zip(rows, rois, strict=True):
        matrices = graycomatrix(
            roi, config.glcm_distances, np.radians(config.glcm_angles), levels=LEVELS, symmetric=True, normed=True
        ).reshape(LEVELS**2, -1)
        contrast, dissimilarity, homogeneity, mean, square, product = weights @ matrices
        variance = square - mean**2
        flat = variance < 1e-9
        correlation = np.where(flat, 1, (product - mean**2) / np.where(flat, 1, variance))
        entropy = -np.sum(matrices * np.log(np.where(matrices > 0, matrices, 1)), axis=0)
        energy = np.sqrt(np.sum(matrices**2, axis=0))
        row[:] = [np.mean(x) for x in (contrast, dissimilarity, homogeneity, entropy, correlation, energy)]
    return rows


def describe_gabor(rois: np.ndarray, config: Config) -> np.ndarray:
    """Mean and standard deviation over the ROI of each Gabor filter's magnitude: (n, frequencies * orientations * 2).

    Order: frequency, orientation (0 to 180 degrees; 0 answers to a wave along the columns), then mean, deviation. Filters of
    one octave (Manjunath & Ma 1996); the ROI without its mean, mirrored at its borders.
    """
    angles = np.arange(config.gabor_orientations) * np.pi / config.gabor_orientations
    kernels = [gabor_kernel(frequency, theta) for frequency in config.gabor_frequencies for theta in angles]
    height, width = rois.shape[1:]
    edge = max(max(kernel.shape) for kernel in kernels) // 2
    size = [fft.next_fast_len(side + 2 * edge) for side in (height, width)]
    filters = np.empty((len(kernels), *size), np.complex64)
    for i, kernel in enumerate(kernels):  # the middle of each at the origin, so that nothing is shifted
        padded = np.zeros(size, np.complex64)
        padded[: kernel.shape[0], : kernel.shape[1]] = kernel
        filters[i] = fft.fft2(np.roll(padded, [-(side // 2) for side in kernel.shape], axis=(0, 1)))
    rows = np.empty((len(rois), len(kernels) * 2), np.float32)
    for row, roi in zip(rows, rois, strict=True):
        mirrored = np.pad(roi.astype(np.float32) - roi.mean(dtype=np.float32), edge, mode="symmetric")
        answers = np.abs(fft.ifft2(filters * fft.fft2(mirrored, s=size)))[:, edge : edge + height, edge : edge + width]
        row[0::2], row[1::2] = answers.mean(axis=(1, 2)), answers.std(axis=(1, 2))
    return rows


def describe_lbp_hog(rois: np.ndarray, config: Config) -> np.ndarray:
    """Uniform local binary patterns beside histograms of oriented gradients (Dalal & Triggs 2005): what [26] joins to its
    network. (n, 59 + 1764) for ROIs of 128x128: blocks of 2x2 cells of hog_cell pixels.
    """
    cell = (config.hog_cell, config.hog_cell)
    gradients = [hog(roi, config.hog_orientations, cell, cells_per_block=(2, 2), block_norm="L2-Hys") for roi in rois]
    return np.hstack([describe_ulbp(rois, config), np.asarray(gradients, np.float32)])


@dataclass(frozen=True)
class SupportVectors:
    """A support vector machine with calibrated probabilities."""

    machine: Pipeline  # standardisation and SVC with the chosen C and gamma, fitted on all cases
    sigmoid: LogisticRegression  # from decision value to probability

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        """Probabilities (n, 2) of benign and malignant. They decide the class, not the sign of the machine's decision value:
        the two may disagree."""
        return self.sigmoid.predict_proba(self.machine.decision_function(features)[:, None])


def fit_svm(features: np.ndarray, labels: np.ndarray, groups: np.ndarray | None, config: Config, seed: int) -> SupportVectors:
    """Support vector machine with a Gaussian kernel on standardised features (n, m), labels 0 and 1 (n,).

    C (svm_c) and gamma (svm_gamma / m) are those of the highest accuracy in an inner cross-validation, the smoothest among
    equals. Its svm_folds folds keep the cases of a group (n,) together; with groups None they are drawn case by case. There
    are fewer folds where a class has fewer groups (or cases). Probabilities: a sigmoid on the decision values of the left-out
    cases (Platt 1999). Raises UsageError if a class has fewer than 2 groups (or cases), or all of them
    in one fold.
    """
    labels = np.asarray(labels)
    splits = _split_inner(labels, groups, config, seed)
    tried = []
    for c in sorted(config.svm_c):
        for gamma in sorted(config.svm_gamma):
            machine = make_pipeline(StandardScaler(), SVC(C=c, gamma=gamma / features.shape[1], random_state=0))
            left_out = cross_val_predict(machine, features, labels, cv=splits, method="decision_function", n_jobs=1)
            tried.append((np.mean((left_out > 0) == labels), machine, left_out))
    _, machine, decisions = max(tried, key=lambda one: one[0])  # of equals the first
    return SupportVectors(machine.fit(features, labels), _fit_sigmoid(decisions, labels))


def _split_inner(labels: np.ndarray, groups: np.ndarray | None, config: Config, seed: int) -> list:
    units = np.arange(len(labels)) if groups is None else np.asarray(groups)
    fewest = min(len(np.unique(units[labels == label])) for label in (0, 1))
    splits: list = []
    if fewest >= 2:
        splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
        folds = splitter(min(config.svm_folds, fewest), shuffle=True, random_state=seed)
        splits = list(folds.split(labels, labels, groups))
    # Groups with cases of both classes may fall so that one fold takes all of a class.
    if not splits or any(len(np.unique(labels[train])) < 2 for train, _ in splits):
        kind = "cases" if groups is None else "patients"
        raise UsageError(
            f"too few {kind} for the inner cross-validation of a support vector machine: each class needs 2 in different folds, "
            f"the rarer one has {fewest}"
        )
    return splits


def _fit_sigmoid(decisions: np.ndarray, labels: np.ndarray) -> LogisticRegression:
    """Platt's sigmoid: his targets (n1 + 1) / (n1 + 2) and 1 / (n0 + 2) keep separable cases from certainty. Each case goes
    in with both labels, weighted by its target."""
    positives = np.sum(labels == 1)
    target = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2))
    both = np.repeat([1, 0], len(labels))
    return LogisticRegression(C=1e6, random_state=0).fit(
        np.tile(decisions, 2)[:, None], both, np.concatenate([target, 1 - target])
    )


def fit_forest(features: np.ndarray, labels: np.ndarray, config: Config, seed: int) -> RandomForestClassifier:
    """Random forest (n, m) -> probabilities (n, 2), to which a missed malignant nodule costs forest_malignant_cost false
    alarms: the classifier of [11] on its network's features."""
    forest = RandomForestClassifier(
        config.forest_trees,
        min_samples_leaf=config.forest_leaf,
        class_weight={0: 1.0, 1: config.forest_malignant_cost},
        random_state=seed,
        n_jobs=1,
    )
    return forest.fit(features, labels)


DESCRIPTORS = {"ULBP": describe_ulbp, "GLCM": describe_glcm, "Gabor": describe_gabor}


def train_classic_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """Table 6: one classic descriptor and an SVM (rows: svm); ours: a random forest instead (rows: trees), an error of either
    kind at the same cost. Settings as in train.train_transfer_cell; `network` names the descriptor."""
    task = open_task(settings, folder, report)
    described = _describe(folder.parents[1] / DATA, settings["data_sha256"], task.network, replace(task.config, seeds=()))
    ((kind, row),) = settings["rows"].items()
    if kind == "svm":
        scores = _score_by_svm(task, described)
    else:
        train, labels = task.fold.train, task.dataset.cases["label"].to_numpy()
        even = replace(task.config, forest_malignant_cost=1.0)
        scores = fit_forest(described[train], labels[train], even, task.seed).predict_proba(described)
    environment = {"backend": None, "device": "CPU", "threads": threads, "deterministic": True}
    return write_task(task, environment, [Scored(row, scores)])


@functools.lru_cache(maxsize=2)
def _describe(prepared: Path, _data_sha256: str, descriptor: str, config: Config) -> np.ndarray:
    """A descriptor of all cases, once for all trainings of a process: it depends on no split."""
    return DESCRIPTORS[descriptor](np.array(load_dataset(prepared).images[..., 0]), config)


def train_fused_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """[26] of Table 7: features of the frozen VGG16 beside LBP and HOG, and an SVM."""
    environment = fit.start_backend(threads)
    task = open_task(settings, folder, report)
    deep = _pool_features(task, open_upper(task, 0))
    described = describe_lbp_hog(np.array(task.dataset.images[..., 0]), task.config)
    scored = Scored(settings["rows"]["svm"], _score_by_svm(task, np.concatenate([deep, described], axis=1)))
    return write_task(task, environment, [scored])


def train_forest_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """[11] of Table 7: InceptionV3 with all layers fine-tuned, then a cost-sensitive random forest on its pooled features."""
    environment = fit.start_backend(threads)
    task = open_task(settings, folder, report)
    head, history = train_head(task, open_upper(task, 0))
    upper = open_upper(task, "all")
    model, entries = tune_network(task, upper, "all", head)
    described = _pool_features(task, replace(upper, model=model))
    train, labels = task.fold.train, task.dataset.cases["label"].to_numpy()
    forest = fit_forest(described[train], labels[train], task.config, task.seed)
    scored = Scored(settings["rows"]["all"], forest.predict_proba(described), entries, upper.note)
    return write_task(task, environment, [scored], history)


def _pool_features(task: Task, upper: Upper) -> np.ndarray:
    """Pooled feature maps below the head of all cases, float32 (n, channels)."""
    rows = np.arange(len(task.dataset.cases))
    if upper.features is not None and upper.cut is not None and upper.cut.names == ("pooled",):
        return np.asarray(upper.features.arrays[0][rows])
    pooled = keras.Model(upper.model.inputs, upper.model.get_layer("pooled").output)
    return fit.predict_values(pooled, upper.index_inputs(rows), task.config.batch_size)


def _score_by_svm(task: Task, described: np.ndarray) -> np.ndarray:
    """Probabilities (n, 2) of all cases from an SVM fitted on the training cases, without their variants."""
    train, cases = task.fold.train, task.dataset.cases
    groups = cases["patient_id"].to_numpy()[train] if task.settings["protocol"] == "leakfree" else None
    svm = fit_svm(described[train], cases["label"].to_numpy()[train], groups, task.config, task.seed)
    return svm.predict_proba(described)
