"""The lines of the paper's tables and figures: their names, where they stand, the trainings that they follow from."""

import re
from collections.abc import Sequence

from replications.thyroid_ensemble.config import LETTERS, NETWORKS, SCALES, SUBSETS, Config

TABLES = ("2", "3", "4", "5", "6", "7", "Fig. 8", "Fig. 9", "Fig. 10", "fixed weights", "patients")
DESCRIPTORS = ("ULBP", "GLCM", "Gabor")  # Table 6
BLOCK = "[10] ResNet50, first residual block"  # Table 7
FOREST = "[11] InceptionV3 + random forest"
FUSED = "[26] VGG16 + LBP + HOG"
PUBLISHED = ("E", "B", "C"), (0.2, 0.3, 0.5)  # Table 3


def name_model(network: str, scale: int) -> str:
    return f"Scale {scale} / {network}"


NINE = tuple(name_model(network, scale) for network in NETWORKS for scale in SCALES)
ENSEMBLES = ("ensemble", "class voting", "mean probability")


def name_subset(letters: Sequence[str]) -> str:
    return f"{{{', '.join(letters)}}}"


def list_tables(row: str) -> tuple[str, ...]:
    """The tables and figures that a row stands in; () for rows that only lead to others."""
    if row in NINE:
        return ("2", "4", "Fig. 8") if row.startswith("Scale 1 ") else ("2",)
    fixed = {
        "ensemble": ("4", "5", "6", "7", "Fig. 10"), "class voting": ("5",), "mean probability": ("5",),
        BLOCK: ("7",), FOREST: ("7",), FUSED: ("7",), name_fixed_weights(): ("fixed weights",),
        "ensemble, per patient": ("patients",),
    }  # fmt: skip
    fixed |= {name_subset(letters): ("3",) for letters in SUBSETS} | {f"{name} + SVM": ("6",) for name in DESCRIPTORS}
    fixed |= {f"{network}, no transfer": ("Fig. 8",) for network in NETWORKS}
    if row in fixed:
        return fixed[row]
    return ("Fig. 9",) if re.fullmatch(rf"({'|'.join(NETWORKS)}), (k = \d+|all layers)", row) else ()


def list_rows(config: Config) -> list[str]:
    """Every row, in the order of the tables."""
    sweep = [f"{network}, k = {k}" for network in NETWORKS for k in config.depths]
    return [
        *NINE,
        *map(name_subset, SUBSETS),
        *ENSEMBLES,
        *(f"{name} + SVM" for name in DESCRIPTORS),
        BLOCK, FOREST, FUSED,
        *(f"{network}, no transfer" for network in NETWORKS),
        *sweep,
        *(f"{network}, all layers" for network in NETWORKS),
        name_fixed_weights(),
        "ensemble, per patient",
    ]  # fmt: skip


def name_fixed_weights() -> str:
    """The published weights as they are, without any choice of ours."""
    letters, weights = PUBLISHED
    return f"{{{', '.join(f'{w} {letter}' for letter, w in zip(letters, weights, strict=True))}}} as published"


def list_needs(row: str) -> set[str]:
    """Keys (kind network scale) of the trainings that a row follows from."""
    if row in NINE:
        scale, network = int(row[6]), row[10:]
        return {f"transfer {network} {scale}", f"transfer {network} 1"}  # k is chosen at scale 1
    if row in ENSEMBLES or row.startswith("ensemble"):
        return {f"transfer {network} {scale}" for network in NETWORKS for scale in SCALES}
    if row.startswith("{"):
        letters = re.findall(r"\b[A-E]\b", row)
        return set().union(*(list_needs(name_model(*LETTERS[letter])) for letter in letters))
    other = {BLOCK: "transfer ResNet50 1", FOREST: "forest InceptionV3 1", FUSED: "fused VGG16 1"}
    if row in other:
        return {other[row]}
    if row.endswith("+ SVM"):
        return {f"classic {row.partition(' ')[0]} 1"}
    network, _, rest = row.partition(", ")
    return {f"{'scratch' if rest == 'no transfer' else 'transfer'} {network} 1"}
