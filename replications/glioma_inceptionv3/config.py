"""Every setting of the replication: one frozen dataclass, one literal a setting, each with its place in the report.

"script" marks what the author's public training script says, "unstated" what both leave open; the reason of each choice stands
in paper.toml.
"""

from dataclasses import dataclass, replace

from common.records.contract import Contract

CLASSES = ("II", "III", "IV")  # WHO grade; a source without grade IV has the first two
VIEWS = ("crop", "whole")  # the lesion alone, the whole slice: the report does not settle which
MODES = ("paper-as-run", "as-run-once", "paper-report", "slice-clean", "leakfree")
BACKBONES = ("InceptionV3", "InceptionV3 random", "MobileNetV2")


@dataclass(frozen=True)
class Config:
    # Data
    source: str = "auto"  # which collection, where the data folder holds several: own, lgg, ucsf, brats
    sequence: str = "auto"  # "post" (T1 after contrast), "flair", "pre"; auto: post if all subjects have it, else FLAIR; unstated
    segment: str = ""  # name or number of the lesion's segment, "any" for all labels of a label map; "": the only one, or "tumor"

    # Slices (sec. 2.3) and pictures (sec. 2.4)
    area_share: float = 0.2  # of the subject's largest lesion area; chosen by hand for each subject in the report
    area_pixels: int = 100  # and at least so many; unstated
    crop_margin: float = 0.1  # of the longest side of the lesion's box; unstated
    percentiles: tuple[float, float] = (0.5, 99.5)  # of the volume (published slices: of those with a lesion); unstated
    side: int = 299  # pixels; 299x299x3, cubic spline

    # Phantoms only
    phantom_subjects: int = 80  # tables 1 to 5: 34, 24, 22
    phantom_slices: int = 15  # lesion slices of a subject; 1208 / 80
    phantom_signal: float = 1.0  # how much the grade shows in the tumour; 0: nothing
    phantom_texture: float = 1.0  # how much the subject shows in it; 0: nothing but the grade is the same in two slices

    # Bottlenecks (sec. 3)
    backbones: tuple[str, ...] = BACKBONES  # the report's is InceptionV3 of ImageNet; the others are rows of ours
    views: tuple[str, ...] = VIEWS
    inceptionv3_end: str = ""  # last layer before average pooling; "": mixed10, the whole network; another only for trial runs
    mobilenetv2_side: int = 224  # pixels that MobileNetV2 sees, as its weights were trained; ours
    statistics_pictures: int = 32  # synthetic pictures that give random weights the statistics of batch normalisation; ours
    feature_batch: int = 8  # images at a time; changes no number beyond rounding
    cache_gigabytes: float = 4.0  # most that the activations kept on disk may take; ours; changes no number

    # New last layer (sec. 4)
    steps: int = 10000
    batch_size: int = 100  # drawn with replacement: a random class, then a random image of it (script)
    learning_rate: float = 0.1
    learning_rate_end: float = 0.001  # of the formula, sec. 4; in the script the falling rate never reaches the optimiser
    initial_std: float = 0.001  # truncated normal; bias 0 (script)
    check_steps: int = 100  # validation accuracy every so many steps
    check_images: int = 100  # on so many drawn validation images, a random class each (script)
    leakfree_rates: tuple[float, ...] = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # constant; chosen on validation subjects

    # Splits and runs (sec. 4, 5)
    validation_percent: int = 10  # of the list's entries: randint(100) < 10 (script)
    test_percent: int = 10
    runs: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)  # Table 6
    leakfree_folds: int = 5
    leakfree_repeats: int = 2
    split_seed: int = 0  # unstated

    # Baselines that are run: how many runs of each slice mode (leakfree: the first repeat), on the bottlenecks of which backbones
    baseline_runs: int = 10  # as Table 6
    baseline_backbones: tuple[str, ...] = ("InceptionV3", "MobileNetV2")  # ours

    # Baselines (sec. 3.1; sec. 5.2)
    texture_bin_width: float = 8.0  # of a grey level, in intensities of the image; unstated
    svm_c: float = 1.0  # Gaussian kernel, gamma 1 / (features * variance); this and all that follows: unstated
    svm_folds: int = 5  # inner folds that calibrate its probabilities
    forest_trees: int = 200
    logistic_c: float = 1.0
    neighbours: int = 5  # weighted by 1 / distance
    hidden_units: int = 256
    hidden_epochs: int = 30  # Adam, rate 0.001
    hidden_batch: int = 32


PAPER = Config()

DEMO = replace(  # phantoms whose tumours show the subject and nothing of the grade; every table and figure
    PAPER,
    phantom_subjects=40,
    phantom_slices=10,
    phantom_signal=0.0,
    side=75,
    inceptionv3_end="mixed5",
    backbones=("InceptionV3",),
    steps=2000,
    baseline_runs=2,
    baseline_backbones=("InceptionV3",),
    forest_trees=50,
    hidden_units=64,
    hidden_epochs=10,
)

SMOKE = replace(  # the smallest run that passes through every line
    DEMO,
    phantom_subjects=24,
    phantom_slices=4,
    views=("crop",),
    steps=200,
    leakfree_folds=3,
    leakfree_repeats=1,
    leakfree_rates=(1e-3, 1e-2, 1e-1),
    baseline_runs=1,
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
