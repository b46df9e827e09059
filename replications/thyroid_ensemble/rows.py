"""The names of rows and trainings: what the tables, the choices and the plans call them."""

from collections.abc import Sequence

from replications.thyroid_ensemble.config import NETWORKS, SCALES, SMALL_NETWORKS, SUBSETS

DESCRIPTORS = ("ULBP", "GLCM", "Gabor")  # Table 6
BLOCK = "[10] ResNet50, first residual block"  # Table 7
FOREST = "[11] InceptionV3 + random forest"
FUSED = "[26] VGG16 + LBP + HOG"
ENSEMBLE = "ensemble"
FUSIONS = ("class voting", "mean probability")  # Table 5
PATIENTS = "ensemble, per patient"
QUOTED = tuple(f"[{number}] as quoted" for number in (3, 8, 9, 10, 11))  # introduction: results of others
PUBLISHED = ("E", "B", "C"), (0.2, 0.3, 0.5)  # Table 3


def name_model(network: str, scale: int) -> str:
    return f"Scale {scale} / {network}"


NINE = tuple(name_model(network, scale) for network in NETWORKS for scale in SCALES)
SINGLES = tuple(name_model(network, 1) for network in NETWORKS)


def name_plan(network: str, scale: int, depth: int) -> str:
    """A network with its last `depth` convolutions fine-tuned, before a depth is chosen."""
    return f"{name_model(network, scale)}, k = {depth}"


def name_step_1(network: str, scale: int) -> str:
    """The new head of a network, which all its depths share."""
    return f"{name_model(network, scale)}, step 1"


def name_depth(network: str, depth: int | str) -> str:
    """Fig. 9's point of a network at scale 1; depth "all": all layers."""
    return f"{network}, all layers" if depth == "all" else f"{network}, k = {depth}"


def name_transferred(network: str) -> str:
    """Fig. 8's transfer: no convolution is fine-tuned, the new head alone is trained."""
    return name_depth(network, 0)


def name_scratch(network: str) -> str:
    return f"{network}, no transfer"


def name_classic(descriptor: str) -> str:
    return f"{descriptor} + SVM"


CLASSICS = tuple(map(name_classic, DESCRIPTORS))


def name_subset(letters: Sequence[str]) -> str:
    return f"{{{', '.join(letters)}}}"


def name_fixed_weights() -> str:
    """The published weights as they are, without any choice of ours."""
    letters, weights = PUBLISHED
    return f"{{{', '.join(f'{w} {letter}' for letter, w in zip(letters, weights, strict=True))}}} as published"


# ------------------------------------------------------------------------------------------- beyond the paper, rows of ours


def name_head(network: str, scale: int) -> str:
    """A small network at one scale: its convolutions as transferred, the new head alone trained."""
    return f"{network}, head alone, scale {scale}"


def name_scratch_scale(network: str, scale: int) -> str:
    """Without transfer; at scale 1 it is Fig. 8's."""
    return name_scratch(network) if scale == 1 else f"{name_scratch(network)}, scale {scale}"


def name_forest(descriptor: str) -> str:
    return f"{descriptor} + random forest"


HEADS = tuple(name_head(network, scale) for network in SMALL_NETWORKS for scale in SCALES)
SCRATCHES = tuple(name_scratch_scale("AlexNet", scale) for scale in SCALES)
FORESTS = tuple(map(name_forest, DESCRIPTORS))
# Fusion over the three scales of one network -> its members.
SCALES_FUSED = {f"{n}, head alone, three scales fused": tuple(name_head(n, s) for s in SCALES) for n in SMALL_NETWORKS}
SCALES_FUSED["AlexNet, no transfer, three scales fused"] = SCRATCHES
SMALL_ENSEMBLE = "ensemble of small networks"  # three of HEADS, chosen as the paper chooses three of nine
# ---------------------------------------------------------------------------------------------------------------------------

SUBSET_ROWS = (*map(name_subset, SUBSETS), name_fixed_weights())  # Table 3, and ours beside it


def name_training(kind: str, network: str, scale: int) -> str:
    return f"{kind} {network} {scale}"
