"""Every setting of the replication: one frozen dataclass, one literal a setting, each with its place in the report.

"script" marks what the author's public training script says, "unstated" what both leave open; the reason of each choice stands
in paper.toml.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

from common.ranges import DISK, MEMORY, SEED, TIME, Conflict, above, each, one_of, within, words
from common.records.contract import Contract

CLASSES = ("II", "III", "IV")  # WHO grade; a source without grade IV has the first two
VIEWS = ("crop", "whole")  # the lesion alone, the whole slice: the report does not settle which
INCEPTIONV3_ENDS = tuple(f"mixed{number}" for number in range(11))  # layers that it may end with
MOST_DRAWN = 100_000_000  # pictures that a training draws at its beginning, for all its steps
MODES = ("paper-as-run", "as-run-once", "paper-report", "slice-clean", "leakfree")
BACKBONES = ("InceptionV3", "InceptionV3 random", "MobileNetV2")


@dataclass(frozen=True)
class Config:
    # Data
    # which collection, where the data folder holds several: own, lgg, ucsf, brats
    source: Annotated[str, one_of("auto", "own", "lgg", "ucsf", "brats")] = "auto"
    # "post" (T1 after contrast), "flair", "pre"; auto: post if all subjects have it, else FLAIR; unstated
    sequence: Annotated[str, one_of("auto", "post", "flair", "pre")] = "auto"
    # name or number of the lesion's segment, "any" for all labels of a label map; "": the only one, or "tumor"
    segment: Annotated[str, words(64)] = ""

    # Slices (sec. 2.3) and pictures (sec. 2.4)
    # of the subject's largest lesion area; chosen by hand for each subject in the report
    area_share: Annotated[float, within(0, 1)] = 0.2
    area_pixels: Annotated[int, within(0, 1_000_000)] = 100  # and at least so many; unstated
    crop_margin: Annotated[float, within(0, 10)] = 0.1  # of the longest side of the lesion's box; unstated
    # of the volume (published slices: of those with a lesion); unstated
    percentiles: Annotated[tuple[float, float], each(within(0, 100), order="rising")] = (0.5, 99.5)
    side: Annotated[int, within(75, 1_024, MEMORY)] = 299  # pixels; 299x299x3, cubic spline

    # Phantoms only
    phantom_subjects: Annotated[int, within(3, 1_000, DISK)] = 80  # tables 1 to 5: 34, 24, 22
    phantom_slices: Annotated[int, within(1, 100, DISK)] = 15  # lesion slices of a subject; 1208 / 80
    phantom_signal: Annotated[float, within(0, 100)] = 1.0  # how much the grade shows in the tumour; 0: nothing
    # how much the subject shows in it; 0: nothing but the grade is the same in two slices
    phantom_texture: Annotated[float, within(0, 100)] = 1.0

    # Bottlenecks (sec. 3)
    # the report's is InceptionV3 of ImageNet; the others are rows of ours
    backbones: Annotated[tuple[str, ...], each(one_of(*BACKBONES), order="different")] = BACKBONES
    views: Annotated[tuple[str, ...], each(one_of(*VIEWS), order="different")] = VIEWS
    # last layer before average pooling; "": mixed10, the whole network; another only for trial runs
    inceptionv3_end: Annotated[str, one_of("", *INCEPTIONV3_ENDS)] = ""
    # pixels that MobileNetV2 sees, as its weights were trained; ours
    mobilenetv2_side: Annotated[int, within(32, 1_024, MEMORY)] = 224
    # synthetic pictures that give random weights the statistics of batch normalisation; ours
    statistics_pictures: Annotated[int, within(1, 4_096, MEMORY)] = 32
    feature_batch: Annotated[int, within(1, 4_096, MEMORY)] = 8  # images at a time; changes no number beyond rounding
    # most that the activations kept on disk may take; ours; changes no number
    cache_gigabytes: Annotated[float, within(0, 100_000)] = 4.0

    # New last layer (sec. 4)
    steps: Annotated[int, within(1, 10_000_000, TIME)] = 10000
    # drawn with replacement: a random class, then a random image of it (script)
    batch_size: Annotated[int, within(1, 100_000)] = 100
    learning_rate: Annotated[float, above(0, 1)] = 0.1
    # of the formula, sec. 4; in the script the falling rate never reaches the optimiser
    learning_rate_end: Annotated[float, above(0, 1)] = 0.001
    initial_std: Annotated[float, within(0, 10)] = 0.001  # truncated normal; bias 0 (script)
    check_steps: Annotated[int, within(1, 10_000_000)] = 100  # validation accuracy every so many steps
    check_images: Annotated[int, within(1, 1_000_000)] = 100  # on so many drawn validation images, a random class each (script)
    # constant; chosen on validation subjects
    leakfree_rates: Annotated[tuple[float, ...], each(above(0, 1))] = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)

    # Splits and runs (sec. 4, 5)
    validation_percent: Annotated[int, within(1, 98)] = 10  # of the list's entries: randint(100) < 10 (script)
    test_percent: Annotated[int, within(1, 98)] = 10
    # Table 6
    runs: Annotated[tuple[int, ...], each(within(1, 1_000_000), most=100, order="different")] = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
    leakfree_folds: Annotated[int, within(3, 100)] = 5
    leakfree_repeats: Annotated[int, within(1, 100)] = 2
    split_seed: Annotated[int, SEED] = 0  # unstated

    # Baselines that are run: how many runs of each slice mode (leakfree: the first repeat), on the bottlenecks of which backbones
    baseline_runs: Annotated[int, within(1, 100)] = 10  # as Table 6
    # ours
    baseline_backbones: Annotated[tuple[str, ...], each(one_of(*BACKBONES), order="different")] = ("InceptionV3", "MobileNetV2")

    # Baselines (sec. 3.1; sec. 5.2)
    texture_bin_width: Annotated[float, above(0, 1_000_000)] = 8.0  # of a grey level, in intensities of the image; unstated
    # Gaussian kernel, gamma 1 / (features * variance); this and all that follows: unstated
    svm_c: Annotated[float, above(0, 1_000_000)] = 1.0
    svm_folds: Annotated[int, within(2, 100)] = 5  # inner folds that calibrate its probabilities
    forest_trees: Annotated[int, within(1, 100_000, MEMORY)] = 200
    logistic_c: Annotated[float, above(0, 1_000_000)] = 1.0
    neighbours: Annotated[int, within(1, 1_000)] = 5  # weighted by 1 / distance
    hidden_units: Annotated[int, within(1, 65_536, MEMORY)] = 256
    hidden_epochs: Annotated[int, within(1, 100_000, TIME)] = 30  # Adam, rate 0.001
    hidden_batch: Annotated[int, within(1, 100_000)] = 32

    def find_conflicts(self) -> Iterator[Conflict]:
        """Settings that contradict one another, though each lies in its range."""
        if self.validation_percent + self.test_percent >= 100:
            yield ("validation_percent", "test_percent"), "nothing is left to train on"
        if self.steps * self.batch_size > MOST_DRAWN:
            yield ("steps", "batch_size"), f"steps * batch_size must be at most {MOST_DRAWN:,} (more fills the memory)"
        if self.check_steps > self.steps:
            yield ("check_steps", "steps"), "the training ends before the first check"


PAPER = Config()

DEMO = replace(  # phantoms of which some show the subject and nothing of the grade; every table and figure
    PAPER,
    phantom_subjects=40,
    phantom_slices=10,
    side=75,
    inceptionv3_end="mixed5",
    backbones=("InceptionV3",),
    steps=2000,
    leakfree_repeats=1,  # two would tell little of how much repeats vary, and the intervals would be as wide
    baseline_runs=1,
    baseline_backbones=("InceptionV3",),
    forest_trees=50,
    hidden_units=64,
    hidden_epochs=10,
)

SMOKE = replace(  # the smallest run that passes through every line
    DEMO,
    phantom_subjects=24,
    phantom_slices=4,
    phantom_signal=0.0,
    views=("crop",),
    steps=200,
    leakfree_folds=3,
    leakfree_rates=(1e-3, 1e-2, 1e-1),
    svm_folds=2,
    forest_trees=20,
    hidden_epochs=3,
)

PRESETS = {"paper": PAPER, "demo": DEMO, "smoke": SMOKE}

CONTRACT = Contract(
    small=("--rows", "run 1,leakfree / InceptionV3 / crop / grades,leakfree / radiomics", "--seeds", "1,2"),
    learns=("--rows", "leakfree / InceptionV3 / crop / per subject"),
    row="leakfree / InceptionV3 / crop / per subject",
    seeds=(1,),
)
