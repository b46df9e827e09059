"""Rows that follow from others: the printed runs, slice-clean where it is paper-report, subjects as the mean of their slices."""

from collections.abc import Collection

import pandas as pd

from replications.glioma_inceptionv3.config import Config
from replications.glioma_inceptionv3.rows import (
    CLEAN,
    LEAKFREE,
    MEAN,
    PRINTED,
    REPORT,
    name_row,
    name_run,
    name_subjects,
)


def derive_rows(predictions: pd.DataFrame, config: Config, alike: Collection[str]) -> pd.DataFrame:
    """The predictions with those of the rows that follow from them. alike: views in which slice-clean is paper-report."""
    tables = [predictions]
    for backbone in config.backbones:
        for view in config.views:
            for shuffled in (False, True):
                if view in alike:
                    tables.append(
                        copy_row(predictions, *(name_row(m, backbone, view, shuffled=shuffled) for m in (REPORT, CLEAN)))
                    )
                tables.append(average_subjects(predictions, name_row(LEAKFREE, backbone, view, shuffled=shuffled)))
    tables += list_printed(predictions)
    return pd.concat([table for table in tables if len(table)], ignore_index=True)


def copy_row(predictions: pd.DataFrame, row: str, name: str) -> pd.DataFrame:
    """The predictions of a row under another name."""
    return predictions[predictions["row"] == row].assign(row=name)


def list_printed(predictions: pd.DataFrame) -> list[pd.DataFrame]:
    """The lines of Table 6, each a run of what the printed numbers came out of, and their mean."""
    of_all = predictions[predictions["row"] == name_row(*PRINTED)]
    runs = [of_all[of_all["seed"] == run].assign(row=name_run(run)) for run in sorted(of_all["seed"].unique())]
    return [*runs, of_all.assign(row=MEAN)]


def average_subjects(predictions: pd.DataFrame, row: str) -> pd.DataFrame:
    """The same row with one line a subject, the mean probability of its slices (specification: subject level).

    A subject whose slices bear two grades, joined from two that share a picture, takes the more frequent one.
    """
    part = predictions[predictions["row"] == row]
    scores = [name for name in part.columns if name.startswith("y_score_")]
    grade = part.groupby("patient_id")["y_true"].agg(lambda grades: int(grades.mode().iloc[0]))
    averaged = part.groupby(["protocol", "seed", "fold", "patient_id"], as_index=False)[scores].mean()
    averaged = averaged.assign(row=name_subjects(row), case_id=averaged["patient_id"], y_true=averaged["patient_id"].map(grade))
    return averaged.reindex(columns=predictions.columns)
