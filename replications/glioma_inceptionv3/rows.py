"""The names of rows: mode, backbone and view of a head; the printed rows; the baselines."""

from replications.glioma_inceptionv3.config import BACKBONES, MODES, VIEWS

AS_RUN, ONCE, REPORT, CLEAN, LEAKFREE = MODES
INCEPTION, RANDOM, MOBILENET = BACKBONES
CROP, WHOLE = VIEWS
SHUFFLED = "grades shuffled"
MEAN = "mean of ten runs"  # text
COUNTED = ("subjects with grade", "all slices", "lesion slices", "slices after the area filter")  # Tables 1 to 5
PER_SUBJECT = "per subject"
FIXED = "rate as run"  # leak-free, at the script's constant learning rate instead of a chosen one
LINEAR = "last layer"  # the report's classifier on the bottlenecks
PRINTED = (AS_RUN, INCEPTION, CROP)  # what the printed numbers came out of
RADIOMICS = ("radiomics + SVM", "radiomics + random forest")
AREA = "area alone"  # of the lesion, as the only feature; ours
CLASSIFIERS = ("logistic regression", "SVM", "random forest", "k-NN", "hidden layer")  # sec. 5.2
BASELINE_MODES = (AS_RUN, REPORT, LEAKFREE)


def name_protocol(mode: str) -> str:
    """The protocol that a mode belongs to."""
    return "leakfree" if mode == LEAKFREE else "paper"


def name_row(mode: str, backbone: str, view: str, *, shuffled: bool = False) -> str:
    """The report's last layer on the bottlenecks of a backbone.

    >>> name_row(AS_RUN, INCEPTION, CROP, shuffled=True)
    'paper-as-run / InceptionV3 / crop / grades shuffled'
    """
    return f"{mode} / {backbone} / {view}" + f" / {SHUFFLED}" * shuffled


def name_subjects(row: str) -> str:
    """The row's mean probability of each subject."""
    return f"{row} / {PER_SUBJECT}"


def name_fixed(row: str) -> str:
    """The leak-free row's head at the script's rate.

    >>> name_fixed(name_row(LEAKFREE, INCEPTION, CROP))
    'leakfree / InceptionV3 / crop / rate as run'
    """
    return f"{row} / {FIXED}"


def name_run(number: int) -> str:
    """A line of Table 6."""
    return f"run {number}"


def name_baseline(mode: str, method: str) -> str:
    """A method that needs no backbone: radiomics, area.

    >>> name_baseline(LEAKFREE, AREA)
    'leakfree / area alone'
    """
    return f"{mode} / {method}"


def name_classifier(mode: str, backbone: str, view: str, method: str) -> str:
    """Another classifier on the bottlenecks.

    >>> name_classifier(LEAKFREE, INCEPTION, CROP, "k-NN")
    'leakfree / InceptionV3 / crop + k-NN'
    """
    return f"{name_row(mode, backbone, view)} + {method}"


def list_modes() -> tuple[str, ...]:
    """The modes in the order of the decomposition: least apart first."""
    return MODES
