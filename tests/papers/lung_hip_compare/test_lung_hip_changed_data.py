"""Data that change between two commands, of the lung and hip comparison: new labels, patients, lists, pixels are trained anew."""

from pathlib import Path

from changed_data import Example, change_pixels, check_changes, check_results, swap
from lung_hip_faults import write_hips
from lung_hip_samples import write_patches

from replications.lung_hip_compare import run

HIPS, PATCHES = "hips/cases.csv", "luna16_patches"
TRAIN, TEST = f"{PATCHES}/traindatalabels.txt", f"{PATCHES}/testdatalabels.txt"


def write(data: Path) -> None:
    write_patches(data)
    write_hips(data)


def move_to_test(data: Path) -> None:
    """One patch of the published training list into the test list."""
    swap(TRAIN, "train/image_100.jpg 0\n", "")(data)
    (data / TEST).write_text((data / TEST).read_text() + "test/image_100.jpg 0\n")
    (data / PATCHES / "train/image_100.jpg").rename(data / PATCHES / "test/image_100.jpg")


EXAMPLE = Example(
    run.main,
    ["LUNA16 / CNN", "128x128 resized / CNN"],
    ["--tables", "2", "--set", "cnn_epochs=1", "--set", "cnn_filters=4,4,4,4", "--set", "cnn_dense=8"],
    write,
    {
        "label": swap(HIPS, "p4.jpg,0", "p4.jpg,1"),
        "patient": swap(HIPS, "patient 14", "patient 15"),
        "split entry": move_to_test,
        "pixel": change_pixels("hips/p7.jpg"),
    },
    "batch_size=9",
)


def test_every_change_is_trained_again_and_no_change_is_not(tmp_path):
    check_changes(EXAMPLE, tmp_path)


def test_results_are_those_of_the_data_as_they_are_now(tmp_path):
    check_results(EXAMPLE, tmp_path)
