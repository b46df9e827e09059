"""What the paper reports: the rows of its tables, its counts, its findings in words; and what departs from it.

The trainings behind the rows stand in plans.py, the judgement of generated pictures in judging.py. Nothing here imports
TensorFlow.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import precision_score, recall_score

from common.cases.folds import Fold
from common.evaluation.outcome import Check, list_changes
from common.evaluation.verdicts import NOT_RUN, check_pairs
from common.records.predictions import extract_scores
from common.records.rows import Row
from replications.bone_acgan.config import BRANCHES, CLASSES, NETWORKS, Config
from replications.bone_acgan.measures import Judged
from replications.bone_acgan.plans import list_classifiers, list_gans
from replications.bone_acgan.rows import FINAL, MU, MULTI, PLAIN, RESNET34, SETS, SHORT, name_gan, name_patients, name_row

# Rows whose differences are tested: does MU-ACGAN help (5 against 4), which network.
COMPARED = (
    FINAL,
    name_row(MULTI, 4),
    *(name_row(network, 4) for network in NETWORKS),
    *(name_row(RESNET34, n) for n in (1, 2, 3, 5)),
)
APART = ("share", *(f"ssim_{short}" for short in SHORT))  # metrics of claims that predictions do not give
MEANS = ("precision", "sensitivity", "f1")  # that statements on "all metrics" are checked by, besides accuracy
HEALTHY = 0.9  # text: "more than 90 %"


# ------------------------------------------------------------------------------------------------- rows of the tables


def count_table_1(cases: pd.DataFrame, folds: Sequence[Fold]) -> dict[tuple[str, str, str], float]:
    """Views of each class in training and test."""
    labels = cases["label"].to_numpy()
    counts: dict[tuple[str, str, str], float] = {}
    for label, name in enumerate(CLASSES):
        train, test = (int((labels[index] == label).sum()) for index in (folds[0].train, folds[0].test))
        counts |= {("1", name, "train"): train, ("1", name, "test"): test, ("1", name, "total"): train + test}
        counts["1", name, "share"] = (train + test) / len(labels)
    return counts


def count_table_2(cases: pd.DataFrame, folds: Sequence[Fold], config: Config) -> dict[tuple[str, str, str], float]:
    """Training views after traditional augmentation."""
    counts = count_table_1(cases, folds)
    return {("2", name, "augmented"): counts["1", name, "train"] * config.enlargement for name in CLASSES}


def count_text(cases: pd.DataFrame) -> dict[tuple[str, str, str], float]:
    """Cases (patients) and images, each of one view."""
    return {
        ("text", "all", "cases"): int(cases["patient_id"].nunique()),
        ("text", "all", "images"): len(cases),
    }


def count_tables(cases: pd.DataFrame, folds: Sequence[Fold], config: Config) -> dict[tuple[str, str, str], float]:
    """All counts under the paper's protocol."""
    return count_table_1(cases, folds) | count_table_2(cases, folds, config) | count_text(cases)


def list_table_3(_config: Config) -> list[str]:
    """The two GANs; their accuracies are those of a classifier that learned from their pictures alone."""
    return [name_gan(PLAIN), name_gan(MU)]


def list_table_4(_config: Config) -> list[str]:
    """ResNet34 on the five data sets."""
    return [name_row(RESNET34, number) for number in SETS]


def list_table_5(_config: Config) -> list[str]:
    """With and without transfer."""
    return [name_row(RESNET34, 5), name_row(RESNET34, 5, transfer=False), name_row(RESNET34, 1, transfer=False)]


def list_table_6(_config: Config) -> list[str]:
    """The multi-scale CNN and its branches."""
    return [*(name_row(network, 4) for network in BRANCHES), name_row(MULTI, 4)]


def list_table_7(_config: Config) -> list[str]:
    """Other networks."""
    others = [network for network in NETWORKS if network not in BRANCHES]
    return [*(name_row(network, 4) for network in others), name_row(MULTI, 4)]


def list_table_8(_config: Config) -> list[str]:
    """The final model on data sets 4 and 5."""
    return [name_row(MULTI, 4), FINAL]


TABLES: dict[str, Callable[[Config], list[str]]] = {
    "3": list_table_3,
    "4": list_table_4,
    "5": list_table_5,
    "6": list_table_6,
    "7": list_table_7,
    "8": list_table_8,
    "Fig. 9": lambda _config: [name_gan(MU), name_gan(MU, transfer=False)],
    "patients": lambda _config: [name_patients(FINAL), name_patients(name_row(MULTI, 4))],
}


def list_rows(config: Config) -> list[Row]:
    """Every row, in the order of the tables."""
    lists = {table: names(config) for table, names in TABLES.items()}
    trained = [*(one.row for one in list_classifiers()), *(one.row for one in list_gans())]
    own = {row: frozenset([row]) for row in trained}
    needs = own | {name_patients(row): own[row] for row in (FINAL, name_row(MULTI, 4))}
    names = dict.fromkeys(name for of_table in lists.values() for name in of_table)
    return [Row(name, tuple(table for table, of in lists.items() if name in of), needs[name]) for name in names]


def average_patients(predictions: pd.DataFrame) -> pd.DataFrame:
    """The predictions with the rows per patient, leak-free: the mean of both views.

    Under the paper's protocol most patients have one view among the test images.
    """
    tables = [predictions]
    for row in (FINAL, name_row(MULTI, 4)):
        part = predictions[(predictions["row"] == row) & (predictions["protocol"] == "leakfree")]
        scores = [name for name in part.columns if name.startswith("y_score_")]
        keys = ["protocol", "seed", "fold", "patient_id", "y_true"]
        averaged = part.groupby(keys, as_index=False)[scores].mean().assign(row=name_patients(row))
        tables.append(averaged.assign(case_id=averaged["patient_id"]).reindex(columns=predictions.columns))
    return pd.concat([table for table in tables if len(table)], ignore_index=True)


# ------------------------------------------------------------------------------------------------------------- departures

OF_PICTURES = ("clip_", "crop_", "picture_", "test_share")
OF_GANS = (
    "height", "width", "noise", "embedding", "channels", "seed_channels", "discriminator_", "attention_", "norm_", "plain_",
    "gan_", "source_epochs", "source_steps",
)  # fmt: skip
OF_VARIANTS = ("enlargement", "rotation", "shift", "mirror", "poisson_")
OF_CLASSIFIERS = (
    "trained", "shortened", "attention", "batch_size", "classifier_", "branch_", "head_",
)  # fmt: skip
# Settings that shape no row of the paper's own protocol: of ours, of the phantoms, of what is shown.
FREE_SETTINGS = (
    "source", "phantom_", "shown_epochs", "evaluated_pictures", "least_", "patience", "checks", "leakfree_", "validation_",
    "split_seed", "seeds",
)  # fmt: skip


def list_departures(row: Row, config: Config, published: Config, weights: str) -> list[str]:
    """What differs from the published settings of a row: "gan_steps = 400 instead of 0"; weights: as `weights.choose_weights`
    says."""
    classifier = next((one for one in list_classifiers() if one.row in row.needs), None)
    settings = [*OF_PICTURES]
    if classifier is None or classifier.gan:
        settings += OF_GANS
    if classifier is not None:
        settings += [*OF_CLASSIFIERS, *(OF_VARIANTS if SETS[classifier.number][1] else ())]
    random = classifier is not None and classifier.transfer and weights == "random"
    return list_changes(config, published, settings) + ["random initial weights instead of ImageNet's"] * random


# ------------------------------------------------------------------------------------------------------- findings in words


def measure_means(predictions: pd.DataFrame, protocol: str, rows: Iterable[str]) -> dict[str, dict[str, float]]:
    """Metric of MEANS -> row -> its mean over the seeds, a class that is never predicted counting as precision 0."""
    found: dict[str, dict[str, float]] = {metric: {} for metric in MEANS}
    part = predictions[predictions["protocol"] == protocol]
    for row in rows:
        of_row = part[part["row"] == row]
        values: dict[str, list[float]] = {metric: [] for metric in MEANS}
        for _, of_seed in of_row.groupby("seed"):
            truth, answers = of_seed["y_true"].to_numpy(), extract_scores(of_seed).argmax(axis=1)
            values["precision"].append(float(precision_score(truth, answers, average="macro", zero_division=0)))
            values["sensitivity"].append(float(recall_score(truth, answers, average="macro", zero_division=0)))
            p, r = values["precision"][-1], values["sensitivity"][-1]
            values["f1"].append(2 * p * r / (p + r) if p + r else 0.0)
        for metric, of in values.items():
            if of:
                found[metric][row] = float(np.mean(of))
    return found


def build_checks(predictions: pd.DataFrame) -> dict[str, Check]:
    """How each statement of paper.toml is checked: id -> function of protocol and mean accuracies."""
    fours = [name_row(network, 4) for network in NETWORKS]
    both = [(name_row(RESNET34, number), name_row(RESNET34, number, transfer=False)) for number in (5, 1)]
    pairs = {
        "mu_acgan_best": ([(name_row(RESNET34, 5), name_row(RESNET34, number)) for number in (1, 2, 3, 4)], ("accuracy", *MEANS)),
        "mu_acgan_over_acgan": ([(name_row(RESNET34, 3), name_row(RESNET34, 2))], ("accuracy", *MEANS)),
        "transfer_helps": (both, ("accuracy", "sensitivity")),
        "multi_scale_best": ([(name_row(MULTI, 4), row) for row in fours], ("accuracy",)),
    }

    def check(known: Sequence[tuple[str, str]], metrics: Sequence[str]) -> Check:
        def compare(protocol: str, accuracy: Mapping[str, float]) -> tuple[str, str]:
            means = measure_means(predictions, protocol, accuracy) if len(metrics) > 1 else {}
            found = {metric: check_pairs(known, accuracy if metric == "accuracy" else means[metric]) for metric in metrics}
            for verdict in ("does not hold", NOT_RUN, "partly run", "holds"):
                if any(word == verdict for word, _ in found.values()):
                    return verdict, "; ".join(f"{metric}: {text}" for metric, (_, text) in found.items())
            raise AssertionError(found)

        return compare

    checks = {name: check(*about) for name, about in pairs.items()}

    def check_health(protocol: str, accuracy: Mapping[str, float]) -> tuple[str, str]:
        matrix = _count_final(predictions, protocol, accuracy)
        if matrix is None or not matrix[0].sum():
            return NOT_RUN, "the final model is missing"
        share = matrix[0, 0] / matrix[0].sum()
        return ("holds" if share > HEALTHY else "does not hold"), f"{100 * share:.1f} % of {int(matrix[0].sum())} over all seeds"

    def check_metastases(protocol: str, accuracy: Mapping[str, float]) -> tuple[str, str]:
        matrix = _count_final(predictions, protocol, accuracy)
        if matrix is None:
            return NOT_RUN, "the final model is missing"
        wrong = matrix[1].sum() - matrix[1, 1]
        if not wrong:
            return NOT_RUN, "no metastasis is misread"
        text = f"{int(matrix[1, 0])} of {int(wrong)} misread metastases are called health, over all seeds"
        return ("holds" if matrix[1, 0] == wrong else "does not hold"), text

    return checks | {"health_above_90": check_health, "metastases_called_health": check_metastases}


def _count_final(predictions: pd.DataFrame, protocol: str, accuracy: Mapping[str, float]) -> np.ndarray | None:
    part = predictions[(predictions["row"] == FINAL) & (predictions["protocol"] == protocol)]
    if FINAL not in accuracy or part.empty:
        return None
    matrix = np.zeros((len(CLASSES), len(CLASSES)))
    np.add.at(matrix, (part["y_true"].to_numpy(), extract_scores(part).argmax(axis=1)), 1)
    return matrix


def list_ssim(found: Sequence[Judged]) -> dict[tuple[str, str, str], float]:
    """Table 3: mean SSIM of generated and training pictures over the seeds, under `paper`."""
    known: dict[tuple[str, str, str], list[float]] = {}
    for one in found:
        for name, short in zip(CLASSES, SHORT, strict=True):
            if one.protocol == "paper" and name in one.measures["classes"]:
                known.setdefault(("3", one.row, f"ssim_{short}"), []).append(one.measures["classes"][name]["ssim"]["generated"])
    return {key: float(np.mean(values)) for key, values in known.items()}
