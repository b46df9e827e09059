"""What a package tells the contract tests, which hold every package to the same promises (tests/contract)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Contract:
    """Flags of `run`, behind `--preset smoke` or `demo`."""

    small: tuple[str, ...]  # a short smoke run that passes through every kind of training
    learns: tuple[str, ...]  # a demo run after which `row` has learnt the phantoms: leak-free AUC above 0.9
    row: str
    seeds: tuple[int, ...] = (0,)  # of that run; the AUC is their mean
    absent: tuple[str, ...] = ()  # rows of paper.toml that no run has
