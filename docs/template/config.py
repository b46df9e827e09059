"""Every setting of the replication: one frozen dataclass, one literal a setting, each with its place in the paper.

"unstated" marks what the paper leaves open; the reason of each choice stands in paper.toml.
"""

from dataclasses import dataclass, replace

from common.records.contract import Contract

CLASSES = ("healthy", "ill")
NETWORKS = ("CNN", "small CNN")  # Table 2


@dataclass(frozen=True)
class Config:
    # Data (sec. 2)
    side: int = 64  # pixels
    test_share: float = 0.2  # Table 1
    phantom_patients: int = 60  # phantoms only
    phantom_images: int = 3  # phantoms only: pictures of a patient

    # Networks (sec. 3)
    filters: tuple[int, ...] = (16, 32, 64)
    small_filters: tuple[int, ...] = (8,)

    # Training (sec. 3)
    learning_rate: float = 1e-3  # Adam; unstated
    batch_size: int = 20
    epochs: int = 50
    patience: int = 10  # leakfree only: early stopping on validation loss
    validation_share: float = 0.15  # leakfree only

    # Splits and seeds; unstated in the paper's sec. 2
    split_seed: int = 0
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)


PAPER = Config()
DEMO = replace(PAPER, side=32, filters=(8, 16), small_filters=(4,), epochs=15, seeds=(0, 1, 2))
SMOKE = replace(DEMO, phantom_patients=24, phantom_images=2, epochs=2, seeds=(0,))
PRESETS = {"paper": PAPER, "demo": DEMO, "smoke": SMOKE}

CONTRACT = Contract(
    small=("--rows", "CNN"),
    learns=("--rows", "small CNN", "--set", "epochs=25", "--set", "learning_rate=0.01"),
    row="small CNN",
)
