"""What secs. 5.1.1 and 5.1.2 say of the GANs in words: their pictures' SSIM, and what the first stage does for the training.

Of Fig. 8 the discriminator's accuracy is judged: the mean of how often it is right on real and on generated pictures. When a loss
is "stable" or "converged" the paper does not say, so that is left to the eye.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from common.evaluation.outcome import Check
from common.evaluation.verdicts import NOT_RUN, check_pairs
from replications.bone_acgan.config import CLASSES
from replications.bone_acgan.measures import Judged
from replications.bone_acgan.rows import MU, PLAIN, name_gan

HIGH, AT = 0.9, 150  # sec. 5.1.1: accuracy of the discriminator, epoch
DIRECT, TRANSFERRED = name_gan(MU, transfer=False), name_gan(MU)
HOLDS, NOT = "holds", "does not hold"


def build_gan_checks(found: Sequence[Judged], history: pd.DataFrame) -> dict[str, Check]:
    """How the statements on the GANs are checked: id -> function of protocol and mean accuracies, whose rows may be judged.

    found: judgements of the GANs; history: of all trainings, a line an epoch.
    """

    def check_ssim(protocol: str, accuracy: Mapping[str, float]) -> tuple[str, str]:
        words, texts = [], []
        for name in CLASSES:
            values: dict[str, list[float]] = {}
            for one in found:
                if one.protocol == protocol and one.row in accuracy and name in one.measures["classes"]:
                    values.setdefault(one.row, []).append(one.measures["classes"][name]["ssim"]["generated"])
            means = {row: float(np.mean(of)) for row, of in values.items()}
            words.append(check_pairs([(name_gan(MU), name_gan(PLAIN))], means)[0])
            texts += [f"{name}: {means[name_gan(MU)]:.4f} and {means[name_gan(PLAIN)]:.4f}"] if words[-1] != NOT_RUN else []
        verdict = next(word for word in (NOT, NOT_RUN, HOLDS) if word in words)
        return verdict, "; ".join(texts) or "not both GANs were run"

    def pick(protocol: str, row: str, accuracy: Mapping[str, float]) -> dict[str, np.ndarray]:
        """Seed and fold -> the discriminator's accuracy in every epoch."""
        if row not in accuracy or history.empty:
            return {}
        part = history[(history["row"] == row) & (history["protocol"] == protocol)].sort_values("epoch")
        part = part.assign(place=part["seed"].astype(str) + " " + part["fold"].astype(str))
        return {str(place): of[["real_found", "fake_found"]].mean(axis=1).to_numpy() for place, of in part.groupby("place")}

    def check_accuracy(protocol: str, accuracy: Mapping[str, float]) -> tuple[str, str]:
        reached = [curve[AT - 1] for curve in pick(protocol, TRANSFERRED, accuracy).values() if len(curve) >= AT]
        if not reached:
            return NOT_RUN, f"no training with the first stage of {AT} epochs"
        mean = float(np.mean(reached))
        return (HOLDS if mean > HIGH else NOT), f"{100 * mean:.1f} % at epoch {AT}, mean of {len(reached)}"

    def check_end(protocol: str, accuracy: Mapping[str, float]) -> tuple[str, str]:
        ends = {row: [_end(curve) for curve in pick(protocol, row, accuracy).values()] for row in (TRANSFERRED, DIRECT)}
        return check_pairs([(TRANSFERRED, DIRECT)], {row: float(np.mean(of)) for row, of in ends.items() if of})

    def check_speed(protocol: str, accuracy: Mapping[str, float]) -> tuple[str, str]:
        after, direct = (pick(protocol, row, accuracy) for row in (TRANSFERRED, DIRECT))
        common = sorted(after.keys() & direct.keys())
        if not common:
            return NOT_RUN, "not both trainings of one split were run"
        epochs = [[find_epoch(curves[key], _end(direct[key])) for curves in (after, direct)] for key in common]
        faster = sum(first < second for first, second in epochs)
        shown = "; ".join(f"{first:g} and {second:g}" for first, second in epochs).replace("inf", "never")
        text = f"sooner in {faster} of {len(epochs)} trainings; epochs with and without the first stage: {shown}"
        return (HOLDS if faster == len(epochs) else NOT), text

    return {
        "ssim_higher": check_ssim,
        "gan_accuracy_at_150": check_accuracy,
        "gan_accuracy_higher": check_end,
        "gan_faster": check_speed,
    }


def find_epoch(curve: np.ndarray, level: float) -> float:
    """The first epoch at which the mean over a tenth of all epochs, up to this one, has reached a level; infinity if none.

    curve: (epochs,).

    >>> find_epoch(np.array([0.5, 0.7, 0.9]), 0.7), find_epoch(np.array([0.5, 0.7, 0.9]), 1.0)
    (2.0, inf)
    """
    window = _count_tenth(curve)
    means = np.convolve(curve, np.ones(window) / window, mode="valid")
    reached = np.flatnonzero(means >= level - 1e-12)
    return float(reached[0] + window) if len(reached) else float("inf")


def _end(curve: np.ndarray) -> float:
    return float(curve[-_count_tenth(curve) :].mean())


def _count_tenth(curve: np.ndarray) -> int:
    return max(1, len(curve) // 10)
