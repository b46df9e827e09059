"""Data that change between two commands, of the thyroid ensemble: new labels, patients, lists, pixels are trained anew."""

from pathlib import Path

from changed_data import Example, change_pixels, check_changes, check_results, swap
from thyroid_samples import write_own

from replications.thyroid_ensemble import run

TABLE = "thyroid/cases.csv"


def write(data: Path) -> None:
    """A user's pictures with a listed split: the first eight patients for training."""
    write_own(data)
    header, *lines = (data / TABLE).read_text().splitlines()
    listed = [f"{line},{'train' if int(line[1:].partition('_')[0]) < 8 else 'test'}" for line in lines]
    (data / TABLE).write_text("\n".join([f"{header},split", *listed]) + "\n")


EXAMPLE = Example(
    run.main,
    ["ULBP + SVM"],
    [],
    write,
    {
        "label": swap(TABLE, "p4_0.png,benign", "p4_0.png,malignant"),
        "patient": swap(TABLE, "patient 10,", "patient 11,"),
        "split entry": swap(TABLE, "patient 5,20,15,60,45,train", "patient 5,20,15,60,45,test"),
        "pixel": change_pixels("thyroid/p6_0.png"),
    },
    "svm_folds=2",
)


def test_every_change_is_trained_again_and_no_change_is_not(tmp_path):
    check_changes(EXAMPLE, tmp_path)


def test_results_are_those_of_the_data_as_they_are_now(tmp_path):
    check_results(EXAMPLE, tmp_path)
