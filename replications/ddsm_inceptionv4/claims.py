"""The four findings that the paper puts into words (sec. 6.3), held against our numbers, with their uncertainty.

A claim holds where the 95 % interval lies on its side, does not hold where it lies on the other, and cannot be told in between.
The speed alone is one measured ratio without an interval, and counts as two to three times within FASTER and its LEEWAY.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from common.evaluation.clustered import Difference, compare_shares
from common.evaluation.differences import CANNOT_TELL
from common.evaluation.outcome import Check
from common.evaluation.verdicts import NOT_RUN
from common.records.predictions import extract_scores
from common.records.results import RowResult
from replications.ddsm_inceptionv4.config import Config
from replications.ddsm_inceptionv4.experiments import VANILLA, list_table_2
from replications.ddsm_inceptionv4.gaps import Gap

IMAGE_RECOGNITION = 0.952  # sec. 6.3; sec. 4.1 calls it a top-5 accuracy
FASTER = (2.0, 3.0)  # sec. 6.3: times
# Of these limits, so 1.7 to 3.45 times: a ratio of eight steps each has noise either way, and above three is what the last layer
# alone allows (exactly three by operations). Ours, not the paper's.
LEEWAY = 0.15
HOLDS, NOT, PARTLY = "holds", "does not hold", "partly run"


def weigh(words: Sequence[str], wanted: int) -> str:
    """The verdict on a claim from those on its parts, of which `wanted` are needed.

    >>> weigh([HOLDS, HOLDS], 2), weigh([HOLDS], 2), weigh([HOLDS, CANNOT_TELL], 2), weigh([NOT, HOLDS], 2), weigh([], 2)
    ('holds', 'partly run', 'cannot tell', 'does not hold', 'not run')
    """
    if not words:
        return NOT_RUN
    if NOT in words:
        return NOT
    if CANNOT_TELL in words:
        return CANNOT_TELL
    return HOLDS if len(words) == wanted else PARTLY


def place(low: float, high: float, limit: float = 0.0) -> str:
    """Whether an interval lies above a limit.

    >>> place(0.1, 0.3), place(-0.1, 0.3), place(-0.3, -0.1)
    ('holds', 'cannot tell', 'does not hold')
    """
    return HOLDS if low > limit else NOT if high < limit else CANNOT_TELL


def compare_right(predictions: pd.DataFrame, protocol: str, a: str, b: str, *, ill: bool) -> Difference | None:
    """Accuracy of row a minus that of row b on their common cases and seeds, or with `ill` sensitivity; None without any."""
    part = predictions[(predictions["protocol"] == protocol) & predictions["row"].isin([a, b])]
    part = part[part["y_true"] == 1] if ill else part
    right = (extract_scores(part).argmax(axis=1) == part["y_true"]).astype(float)
    table = part.assign(right=right).pivot_table(index=["seed", "patient_id", "case_id"], columns="row", values="right")
    if a not in table or b not in table:
        return None
    gain = (table[a] - table[b]).dropna()
    by_seed = gain.groupby(["seed", "patient_id"]).agg(["sum", "count"]).unstack("seed").dropna()
    if len(by_seed) < 2:
        return None
    return compare_shares(by_seed["sum"].to_numpy().T, by_seed["count"].to_numpy().T)


def build_checks(
    config: Config,
    predictions: pd.DataFrame,
    rows: Sequence[RowResult],
    gaps: Mapping[tuple[str, str], Gap],
    costs: Mapping[str, float],
) -> dict[str, Check]:
    """How each statement of paper.toml is checked: id -> function of protocol and mean accuracies.

    rows: of `evaluate`; gaps: (row, protocol) -> accuracy on training minus validation pictures with its interval; costs: row ->
    how many times faster a step is than from scratch, with all layers computed in every step.
    """
    table = list_table_2(config)
    transfers = table[1:]

    def check_recognition(protocol: str, accuracy: Mapping[str, float]) -> tuple[str, str]:
        words, texts = [], []
        for row in rows:
            found = row.metrics["accuracy"]
            if (
                row.row in accuracy
                and row.row in table
                and row.protocol == protocol
                and found.low is not None
                and found.high is not None
            ):
                words.append(place(-found.high, -found.low, -IMAGE_RECOGNITION))
                texts.append(f"{row.row}: {100 * found.low:.1f} to {100 * found.high:.1f} %")
        return weigh(words, len(table)), "; ".join(texts) or "no row of Table 2"

    def check_overfitting(protocol: str, accuracy: Mapping[str, float]) -> tuple[str, str]:
        known = {
            row: gaps[row, protocol] for row in table[:2] if row in accuracy and (row, protocol) in gaps
        }  # those of sec. 6.3
        words = [place(gap.low, gap.high) for gap in known.values()]
        text = "; ".join(f"{row}: {gap.text}" for row, gap in known.items())
        return weigh(words, 2), text or "neither training from scratch nor the softmax alone"

    def check_higher(protocol: str, accuracy: Mapping[str, float]) -> tuple[str, str]:
        words, texts = [], []
        for row in transfers:
            for name, ill in (("accuracy", False), ("sensitivity", True)):
                known = row in accuracy and VANILLA in accuracy
                found = compare_right(predictions, protocol, row, VANILLA, ill=ill) if known else None
                if found is not None and np.isfinite([found.low, found.high]).all():
                    low, high = 100 * float(found.low), 100 * float(found.high)
                    words.append(place(low, high))
                    difference = f"{100 * float(found.difference):+.1f} points [{low:.1f}, {high:.1f}]".replace("-", "−")
                    texts.append(f"{row}, {name}: {difference}")
        return weigh(words, 2 * len(transfers)), "; ".join(texts) or "no training from scratch and by transfer on the same cases"

    def check_faster(protocol: str, accuracy: Mapping[str, float]) -> tuple[str, str]:
        known = {row: costs[row] for row in transfers if row in costs and row in accuracy and VANILLA in accuracy}
        low, high = FASTER[0] * (1 - LEEWAY), FASTER[1] * (1 + LEEWAY)
        words = [HOLDS if low <= times <= high else NOT for times in known.values()]
        text = "; ".join(f"{row}: {times:.1f} times faster a step" for row, times in known.items())
        text += f"; without an interval, {low:g} to {high:g} times count" * bool(text)
        return weigh(words, len(transfers)), text or "no training from scratch and by transfer on one machine"

    return {
        "below_image_recognition": check_recognition,
        "overfitting": check_overfitting,
        "transfer_higher": check_higher,
        "transfer_faster": check_faster,
    }
