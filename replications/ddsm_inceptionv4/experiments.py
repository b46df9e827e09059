"""What the paper reports: the rows of its table, its counts, its findings in words; and what departs from it.

The trainings behind the rows stand in plans.py. Nothing here imports TensorFlow.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import pandas as pd

from common.evaluation.outcome import Check, list_changes
from common.evaluation.verdicts import NOT_RUN, check_pairs
from common.records.predictions import extract_scores
from common.records.results import RowResult
from common.records.rows import Row
from replications.ddsm_inceptionv4.config import Config
from replications.ddsm_inceptionv4.gaps import Gap
from replications.ddsm_inceptionv4.rows import (
    INCEPTION,
    MOBILE,
    PER_BREAST,
    PER_PATIENT,
    SAMPLERS,
    SMALL,
    SOFTMAX,
    UNLABELLED,
    find_last_block,
    list_models,
    list_starts,
    name_few,
    name_metadata,
    name_start,
)

VANILLA = f"{INCEPTION} vanilla"
IMAGE_RECOGNITION = 0.952  # sec. 4.1: top-5 accuracy, which the paper compares with
FASTER = (2.0, 3.0)  # sec. 6.3: times


# ------------------------------------------------------------------------------------------------- rows of the tables


def list_table_2(config: Config) -> list[str]:
    """The paper's three: from scratch, retrained from the softmax, retrained from the last inception block."""
    return [VANILLA, name_start(SOFTMAX, config), name_start(find_last_block(config), config)]


def count_text(cases: pd.DataFrame) -> dict[tuple[str, str, str], float]:
    """Images, and images of a patient."""
    images = cases.groupby("patient_id").size()
    return {
        ("text", "DDSM", "images"): len(cases),
        ("text", "DDSM", "images_per_patient"): float(images.median()),
    }


def list_own(config: Config) -> list[str]:
    """Rows of ours on the labels of images: what a CPU can train, and what needs no picture."""
    small = [model.row for model in list_models(config) if model.network in (SMALL, MOBILE) and model.level == "image"]
    return [*small, *([name_metadata("image")] if "image" in config.label_levels else [])]


def list_levels(config: Config) -> list[str]:
    """The same trainings on the labels of breasts and patients, and on dense tissue as a control."""
    others = [level for level in config.label_levels if level != "image"]
    rows = [model.row for model in list_models(config) if model.level != "image"]
    return [*rows, *(name_metadata(level) for level in others)]


def list_layers(config: Config) -> list[str]:
    """Layer-wise fine-tuning (sec. 6.3: "further research")."""
    return [name_start(start, config) for start in list_starts(config)]


def list_planned(config: Config) -> list[str]:
    """What a small labelled set gains by samples of the planned models, and by real pictures without labels."""
    return [name_few(added) for added in ("", *SAMPLERS, UNLABELLED)]


def list_averaged(config: Config) -> list[str]:
    """Rows whose images are averaged per breast and per patient."""
    return [
        model.row
        for model in list_models(config)
        if model.level == "image" and model.row in {*list_table_2(config), *list_own(config)}
    ]


def list_kept(config: Config) -> list[str]:
    """Rows whose network is kept for new pictures, the first that there is answers."""
    return [*reversed(list_table_2(config)), *(model.row for model in list_models(config) if model.row in list_own(config))]


def list_patients(config: Config) -> list[str]:
    """The mean of the views of a breast, and the higher of both breasts."""
    return [f"{row} / {per}" for row in list_averaged(config) for per in (PER_BREAST, PER_PATIENT)]


TABLES: dict[str, Callable[[Config], list[str]]] = {
    "2": list_table_2,
    "ours": list_own,
    "labels": list_levels,
    "layers": list_layers,
    "patients": list_patients,
    "planned": list_planned,
}


def list_rows(config: Config) -> list[Row]:
    """Every row, in the order of the tables."""
    lists = {table: names(config) for table, names in TABLES.items()}
    names = dict.fromkeys(name for of_table in lists.values() for name in of_table)
    needs = {name: name for name in names} | {
        f"{row} / {per}": row for row in list_averaged(config) for per in (PER_BREAST, PER_PATIENT)
    }
    return [Row(name, tuple(table for table, of in lists.items() if name in of), frozenset([needs[name]])) for name in names]


def average_views(predictions: pd.DataFrame, config: Config, breasts: Mapping[str, str]) -> pd.DataFrame:
    """The predictions with the rows per breast and per patient, leak-free: the mean over the views of a breast, and the higher of
    both breasts, with the highest label.

    breasts: case id -> left or right. Under the paper's protocol most patients have a part of their films among the test images.
    """
    tables = [predictions]
    scores = [name for name in predictions.columns if name.startswith("y_score_")]
    keys = ["protocol", "seed", "fold", "patient_id"]
    for row in list_averaged(config):
        part = predictions[(predictions["row"] == row) & (predictions["protocol"] == "leakfree")]
        part = part.assign(breast=part["case_id"].map(breasts))
        of_breast = part.groupby([*keys, "breast"], as_index=False).agg({"y_true": "max", **dict.fromkeys(scores, "mean")})
        names = of_breast["patient_id"] + " " + of_breast["breast"]
        tables.append(of_breast.assign(row=f"{row} / {PER_BREAST}", case_id=names).reindex(columns=predictions.columns))
        worst = of_breast.sort_values("y_score_1").groupby(keys, as_index=False).tail(1)
        label = of_breast.groupby(keys)["y_true"].max()
        worst = worst.assign(y_true=label.loc[list(worst[keys].itertuples(index=False, name=None))].to_numpy())
        tables.append(
            worst.assign(row=f"{row} / {PER_PATIENT}", case_id=worst["patient_id"]).reindex(columns=predictions.columns)
        )
    return pd.concat([table for table in tables if len(table)], ignore_index=True)


def list_compared(config: Config) -> list[list[str]]:
    """Groups of rows on the same cases whose differences are tested: transfer against vanilla; samples against none."""
    return [[*reversed(list_table_2(config)), *list_own(config)], list(reversed(list_planned(config)))]


# ------------------------------------------------------------------------------------------------------------- departures

OF_PICTURES = ("grey", "percentiles", "mask_", "opening", "flip", "size")
OF_TRAINING = (
    "variants", "vertical_", "horizontal_", "contrast", "saturation", "crop_", "dropout", "optimizer", "rate_", "decay_", "rho",
    "momentum", "epsilon", "weight_", "batch_", "epochs", "patience", "class_", "test_share", "validation_share",
)  # fmt: skip
OF_NETWORK = {
    INCEPTION: ("blocks", "width", "norm_", "vanilla_", "head_", "block_"),
    SMALL: ("small_", "vanilla_"),
    MOBILE: ("mobile_", "head_"),
}
# Settings that shape no row of the paper's own protocol: of ours, of the phantoms, of how the cases are divided.
FREE_SETTINGS = (
    "source",
    "label_levels",
    "phantom_",
    "source_task_",
    "sample",
    "latent",
    "labelled_",
    "layer_",
    "folds",
    "split_seed",
    "seeds",
)


def list_departures(row: Row, config: Config, published: Config, weights: str) -> list[str]:
    """What differs from the published settings of a row: "epochs = 30 instead of 100"; weights: as `weights.choose_weights`
    says."""
    model = next((one for one in list_models(config) if one.row in row.needs), None)
    settings = [*OF_PICTURES]
    if model is not None:
        settings += [*OF_TRAINING, *OF_NETWORK[model.network]]
    changed = list_changes(config, published, settings)
    other = {"random": "random initial weights", "phantom": "initial weights of a synthetic task"}.get(weights, "")
    return changed + ([f"{other} instead of ImageNet's"] if model is not None and model.transfer and other else [])


# ------------------------------------------------------------------------------------------------------- findings in words


def measure_sensitivity(predictions: pd.DataFrame, protocol: str, rows: Iterable[str]) -> dict[str, float]:
    """Row -> its sensitivity, mean over the seeds."""
    found = {}
    for row in rows:
        part = predictions[(predictions["row"] == row) & (predictions["protocol"] == protocol)]
        ill = part[part["y_true"] == 1]
        if len(ill):
            right = pd.Series(extract_scores(ill).argmax(axis=1) == 1, index=ill.index)
            found[row] = float(right.groupby(ill["seed"]).mean().mean())
    return found


def build_checks(
    config: Config,
    predictions: pd.DataFrame,
    rows: Sequence[RowResult],
    gaps: Mapping[tuple[str, str], Gap],
    costs: Mapping[str, float],
) -> dict[str, Check]:
    """How each statement of paper.toml is checked: id -> function of protocol and mean accuracies.

    rows: of `evaluate`; gaps: (row, protocol) -> accuracy on training minus validation pictures with its interval; costs: row ->
    how many times faster a step is than from scratch, as the paper retrains.
    """
    table = list_table_2(config)
    transfers = table[1:]

    def check_recognition(protocol: str, accuracy: Mapping[str, float]) -> tuple[str, str]:
        known = [row for row in rows if row.row in accuracy and row.row in table and row.protocol == protocol]
        if not known:
            return NOT_RUN, "no row of Table 2"
        upper = {row.row: row.metrics["accuracy"].high for row in known}
        below = [row for row, high in upper.items() if high is not None and high < IMAGE_RECOGNITION]
        text = "; ".join(f"{row}: at most {100 * high:.1f} %" for row, high in upper.items() if high is not None)
        word = "holds" if len(below) == len(upper) else "does not hold"
        return ("partly run" if word == "holds" and len(known) < len(table) else word), text

    def check_overfitting(protocol: str, accuracy: Mapping[str, float]) -> tuple[str, str]:
        wanted = [VANILLA, name_start(SOFTMAX, config)]  # sec. 6.3 names these two
        known = {row: gaps[row, protocol] for row in wanted if row in accuracy and (row, protocol) in gaps}
        if not known:
            return NOT_RUN, "neither training from scratch nor the softmax alone"
        text = "; ".join(f"{row}: {gap.text}" for row, gap in known.items())
        if not all(gap.low > 0 for gap in known.values()):
            return "does not hold", text
        return ("holds" if len(known) == len(wanted) else "partly run"), text

    def check_higher(protocol: str, accuracy: Mapping[str, float]) -> tuple[str, str]:
        pairs = [(row, VANILLA) for row in transfers]
        sensitivity = measure_sensitivity(predictions, protocol, accuracy)
        found = {"accuracy": check_pairs(pairs, accuracy), "sensitivity": check_pairs(pairs, sensitivity)}
        for verdict in ("does not hold", NOT_RUN, "partly run", "holds"):
            if any(word == verdict for word, _ in found.values()):
                return verdict, "; ".join(f"{metric}: {text}" for metric, (_, text) in found.items())
        raise AssertionError(found)

    def check_faster(protocol: str, accuracy: Mapping[str, float]) -> tuple[str, str]:
        known = {row: costs[row] for row in transfers if row in costs and row in accuracy}
        if not known or VANILLA not in accuracy:
            return NOT_RUN, "no training from scratch and by transfer on one machine"
        text = "; ".join(f"{row}: {times:.1f} times faster a step" for row, times in known.items())
        return ("holds" if all(FASTER[0] <= times <= FASTER[1] for times in known.values()) else "does not hold"), text

    return {
        "below_image_recognition": check_recognition,
        "overfitting": check_overfitting,
        "transfer_higher": check_higher,
        "transfer_faster": check_faster,
    }
