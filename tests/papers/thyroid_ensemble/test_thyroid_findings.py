"""What the thyroid paper says in words, checked on the rows that it speaks of."""

from dataclasses import replace

import pytest

from replications.thyroid_ensemble import experiments, plans
from replications.thyroid_ensemble.config import NETWORKS, PAPER

TRANSFERRED = {f"{network}, k = 0": 0.8 for network in NETWORKS}  # sec. 2.1: convolutions frozen
SCRATCH = {"AlexNet, no transfer": 0.75, "VGG16, no transfer": 0.7, "ResNet50, no transfer": 0.6}
TUNED = {f"Scale 1 / {network}": 0.9 for network in NETWORKS}  # Table 2: fine-tuned


def check(statement: str, accuracy: dict[str, float]) -> tuple[str, str]:
    return experiments.build_checks([])[statement]("paper", accuracy)


@pytest.mark.parametrize("statement", ["transfer_helps", "gap_grows_with_depth"])
def test_transfer_is_the_new_head_on_frozen_convolutions(statement):
    """Fig. 8 and sec. 2.1: the fine-tuned networks of Table 2 have no part in it."""
    assert check(statement, TRANSFERRED | SCRATCH)[0] == "holds"
    assert check(statement, TRANSFERRED | SCRATCH | dict.fromkeys(TUNED, 0.1))[0] == "holds"
    assert check(statement, TUNED | SCRATCH)[0] == "not run"
    assert set(experiments.list_figure_8(PAPER)) == {*TRANSFERRED, *SCRATCH}


def test_figure_8_is_trained_whatever_depths_are_tried():
    config = replace(PAPER, depths=(1, 2))
    by_name = {row.name: row for row in experiments.list_rows(config)}
    trained = {t.name: t for t in plans.list_trainings(config)}
    for row in TRANSFERRED:
        (need,) = by_name[row].needs
        assert trained[need].rows["0"] == row
    first = next(t for t in plans.list_trainings(PAPER) if t.name == "transfer VGG16 1")
    assert first.rows["0"] == "Scale 1 / VGG16, k = 0"


def test_fine_tuning_shapes_no_row_without_it():
    """A row that step 1 ends is as published whatever step 2 is."""
    rows = {row.name: row for row in experiments.list_rows(PAPER)}

    def depart(row: str, **changes) -> list[str]:
        return experiments.list_departures(rows[row], replace(PAPER, **changes), PAPER, "imagenet")

    for row in TRANSFERRED:
        assert depart(row, tune_epochs=8, depths=(0, 1)) == []
        assert depart(row, transfer_epochs=8) == ["transfer_epochs = 8 instead of 50"]
    assert depart("VGG16, k = 3", tune_epochs=8) == ["tune_epochs = 8 instead of 100"]
    assert depart("Scale 1 / VGG16", depths=(0, 1)) != []
