"""Every setting of the replication: one frozen dataclass, one literal a setting, each with its place in the paper.

"unstated" marks what the paper leaves open; the reason of each choice stands in paper.toml.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

from common.ranges import DISK, MEMORY, SEED, SEEDS, TIME, Conflict, above, between, each, within
from common.records.contract import Contract

CLASSES = ("healthy", "ill")
NETWORKS = ("CNN", "small CNN")  # Table 2


@dataclass(frozen=True)
class Config:
    # Data (sec. 2)
    side: Annotated[int, within(16, 1_024, MEMORY)] = 64  # pixels
    test_share: Annotated[float, between(0, 1)] = 0.2  # Table 1
    phantom_patients: Annotated[int, within(4, 10_000, DISK)] = 60  # phantoms only
    phantom_images: Annotated[int, within(1, 100, DISK)] = 3  # phantoms only: pictures of a patient

    # Networks (sec. 3)
    filters: Annotated[tuple[int, ...], each(within(1, 4_096), most=8)] = (16, 32, 64)
    small_filters: Annotated[tuple[int, ...], each(within(1, 4_096), most=8)] = (8,)

    # Training (sec. 3)
    learning_rate: Annotated[float, above(0, 1)] = 1e-3  # Adam; unstated
    batch_size: Annotated[int, within(1, 4_096, MEMORY)] = 20
    epochs: Annotated[int, within(1, 100_000, TIME)] = 50
    patience: Annotated[int, within(1, 100_000)] = 10  # leakfree only: early stopping on validation loss
    validation_share: Annotated[float, between(0, 1)] = 0.15  # leakfree only

    # Splits and seeds; unstated in the paper's sec. 2
    split_seed: Annotated[int, SEED] = 0
    seeds: Annotated[tuple[int, ...], SEEDS] = (0, 1, 2, 3, 4)

    def find_conflicts(self) -> Iterator[Conflict]:
        """Settings that contradict one another, though each lies in its range."""
        if self.test_share + self.validation_share >= 1:
            yield ("test_share", "validation_share"), "nothing is left to train on"
        if self.side < 2 ** max(len(self.filters), len(self.small_filters)):
            yield ("side", "filters", "small_filters"), "every entry of filters halves the picture"


PAPER = Config()
DEMO = replace(PAPER, side=32, filters=(8, 16), small_filters=(4,), epochs=15, seeds=(0, 1, 2))
SMOKE = replace(DEMO, phantom_patients=24, phantom_images=2, epochs=2, seeds=(0,))
PRESETS = {"paper": PAPER, "demo": DEMO, "smoke": SMOKE}

CONTRACT = Contract(
    small=("--rows", "CNN"),
    learns=("--rows", "small CNN", "--set", "epochs=25", "--set", "learning_rate=0.01"),
    row="small CNN",
)
