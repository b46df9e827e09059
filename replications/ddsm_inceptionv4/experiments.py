"""What the paper reports: the rows of its table, its counts, its findings in words; and what departs from it.

The trainings behind the rows stand in plans.py. Nothing here imports TensorFlow.
"""

from collections.abc import Callable

import pandas as pd

from common.evaluation.outcome import list_changes
from common.records.rows import Row
from replications.ddsm_inceptionv4.config import Config
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


def list_own_networks(config: Config) -> list[str]:
    """Networks of ours on the labels of images, which a CPU can train."""
    return [model.row for model in list_models(config) if model.network in (SMALL, MOBILE) and model.level == "image"]


def list_own(config: Config) -> list[str]:
    """Rows of ours on the labels of images: what a CPU can train, and what needs no picture."""
    return [*list_own_networks(config), *([name_metadata("image")] if "image" in config.label_levels else [])]


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
    return [*reversed(list_table_2(config)), *list_own_networks(config)]


def list_summed_up(config: Config) -> list[str]:
    """Rows of networks, the first that there is stands in the sentence on the leak: the transferred before those from scratch."""
    return [*reversed(list_table_2(config)), *reversed(list_own_networks(config))]


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


def average_views(predictions: pd.DataFrame, config: Config, cases: pd.DataFrame) -> pd.DataFrame:
    """The predictions with the rows per breast and per patient, leak-free: the mean over the views of a breast, and the higher of
    both breasts, with the highest label.

    cases: the case table, whose column `listed` is the patient before patients with a common picture were joined. Films of an
    unknown side are left out. Under the paper's protocol most patients have a part of their films among the test images. The
    higher of two scores lies above the score of a breast: of the rows per patient the AUC says more than what 0.5 parts.
    """
    tables = [predictions]
    scores = [name for name in predictions.columns if name.startswith("y_score_")]
    keys = ["protocol", "seed", "fold", "patient_id", "listed"]
    known = cases.set_index("case_id")[["breast", "listed"]]
    for row in list_averaged(config):
        part = predictions[(predictions["row"] == row) & (predictions["protocol"] == "leakfree")].join(known, on="case_id")
        part = part[part["breast"] != ""]
        of_breast = part.groupby([*keys, "breast"], as_index=False).agg({"y_true": "max", **dict.fromkeys(scores, "mean")})
        names = of_breast["listed"] + " " + of_breast["breast"]
        tables.append(of_breast.assign(row=f"{row} / {PER_BREAST}", case_id=names).reindex(columns=predictions.columns))
        worst = of_breast.sort_values("y_score_1").groupby(keys, as_index=False).tail(1)
        label = of_breast.groupby(keys)["y_true"].max()
        worst = worst.assign(y_true=label.loc[list(worst[keys].itertuples(index=False, name=None))].to_numpy())
        tables.append(worst.assign(row=f"{row} / {PER_PATIENT}", case_id=worst["listed"]).reindex(columns=predictions.columns))
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
