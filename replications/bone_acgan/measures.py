"""Tables of ours: how good generated pictures are, and how their GANs trained."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

from common.records.results import OwnColumn, OwnTable, Pair
from common.runs.cells import Cell, read_record
from replications.bone_acgan.config import CLASSES
from replications.bone_acgan.quality import COPY_RATIO, LEAST_COPIES
from replications.bone_acgan.rows import CURVES, FINAL, MEASURES, MULTI, RESNET34, name_row
from replications.bone_acgan.stages import Trained

# Rows with generated pictures, and those without.
GAINS = (
    (FINAL, name_row(MULTI, 4)),
    *((name_row(RESNET34, more), name_row(RESNET34, less)) for more, less in ((5, 4), (3, 1), (3, 2), (2, 1))),
)
POWER = (norm.isf(0.025) + norm.isf(0.2)) / norm.isf(0.025)  # half-widths of a 95 % interval that 80 % of studies would find


@dataclass(frozen=True)
class Judged:
    """The judgement of one GAN at one place."""

    row: str
    protocol: str
    seed: int
    fold: int
    measures: Mapping[str, Any]  # as `judging.judge` gives them
    curves: Mapping[str, np.ndarray]  # Fig. 12: SSIM with the test pictures of a class


def read_measures(judged: Sequence[Cell], folder: Path) -> list[Judged]:
    """Of all finished judgements."""
    found = []
    for cell in judged:
        home = folder / "cells" / cell.key
        if (home / MEASURES).is_file():
            with np.load(home / CURVES, allow_pickle=False) as stored:
                curves = {name: stored[name] for name in stored.files}
            s = cell.settings
            found.append(Judged(s["row"], s["protocol"], s["seed"], s["fold"], json.loads((home / MEASURES).read_text()), curves))
    return found


def tabulate_quality(found: Sequence[Judged]) -> OwnTable:
    """Every measure of a GAN's pictures, mean over seeds and folds, with what real pictures give beside it."""
    names = ["SSIM with training pictures", "the same of real pictures of other patients", "the same of the mean picture"]
    names += [
        "diversity, of that of real pictures",
        "KID",
        "KID of held-out pictures",
        "FID",
        "distance to the nearest training picture",
    ]
    names += ["the same of held-out pictures", "copies (%)", "memorised (of judgements)"]
    lines = []
    for row, protocol in dict.fromkeys((one.row, one.protocol) for one in found):
        of = [one.measures for one in found if (one.row, one.protocol) == (row, protocol)]
        for name in CLASSES:
            known = [m["classes"][name] for m in of if name in m["classes"]]
            ssim = [_average(known, lambda k, part=part: k["ssim"][part]) for part in ("generated", "real", "mean picture")]
            share = _average(known, lambda k: k["diversity"] / k["real diversity"])
            lines.append([row, protocol, name, *ssim, share, "–", "–", "–", "–", "–", "–", "–"])
        kid, real = (
            _average(of, lambda m, k=key: m[k][0] if k in m else float("nan")) for key in ("kid", "kid of held-out pictures")
        )
        fid = _average(of, lambda m: m["fid"])
        judged = [m for m in of if "copies" in m]
        near = [_average(judged, lambda m, part=part: m["copies"][part]) for part in ("generated", "held_out")]
        copies = f"{sum(m['copies']['memorised'] for m in judged)} of {len(judged)}"
        share = _average(judged, lambda m: 100 * m["copies"]["share"])
        lines.append([row, protocol, "all", "–", "–", "–", "–", kid, real, fid, *near, share, copies])
    columns = [OwnColumn(name=name, kind="text", group="") for name in ("GAN", "protocol", "class")]
    columns += [OwnColumn(name=name, kind="number", group="") for name in names]
    features = ", ".join(dict.fromkeys(one.measures["features"] for one in found)) or "none"
    note = (
        "Means over seeds and folds. SSIM rewards blur: see the mean picture of a class. KID, "
        f"FID and distances: of features ({features}); KID is unbiased and may be negative, FID grows as sets shrink. A copy "
        "lies nearer to a training picture than any picture of a patient who is not in training, and at most "
        f"{COPY_RATIO} times as far as from these; memorised: {LEAST_COPIES:.0%} copies or more. A GAN's accuracy in the "
        "tables is that of a classifier that learned from its pictures alone."
    )
    return OwnTable(title="Quality of the generated pictures", columns=columns, rows=lines, note=note)


def _average(entries: Sequence[Any], read: Any) -> str:
    values = np.array([read(entry) for entry in entries], float)
    values = values[np.isfinite(values)]
    return f"{values.mean():.3f}" if len(values) else "–"


def tabulate_gain(pairs: Sequence[Pair]) -> OwnTable:
    """What generated pictures add: the data set with them against the one without, paired by patient, and what could be seen."""
    lines = []
    for pair in pairs:
        if (pair.row_a, pair.row_b) not in GAINS and (pair.row_b, pair.row_a) not in GAINS:
            continue
        turned = (pair.row_a, pair.row_b) not in GAINS
        sign, (more, less) = (-1, (pair.row_b, pair.row_a)) if turned else (1, (pair.row_a, pair.row_b))
        difference, limits = f"{100 * sign * pair.accuracy_difference + 0.0:+.1f}", "–"
        least = "–"
        if pair.low is not None and pair.high is not None:
            low, high = sorted((100 * sign * pair.low, 100 * sign * pair.high))
            limits, least = f"[{low:.1f}, {high:.1f}]".replace("-", "−"), f"{POWER * (high - low) / 2:.1f}"
        p = "–" if pair.mcnemar_p is None else f"{pair.mcnemar_p:.3f}"
        lines.append([more, less, pair.protocol, str(pair.n), str(pair.patients), difference.replace("-", "−"), limits, least, p])
    kinds = {"with": "text", "without": "text", "protocol": "text", "n": "number", "patients": "number",
             "difference (points)": "number", "95 % interval": "number", "smallest that 80 % of studies would show": "number",
             "p": "number"}  # fmt: skip
    columns = [OwnColumn(name=name, kind=kind, group="") for name, kind in kinds.items()]
    note = (
        "Accuracy on the same images, patients kept together. The smallest difference is that of a test at 5 % in a study of "
        f"this size: about {POWER:.2f} times the half-width of the interval, which with one seed lacks the spread of trainings. "
        "p: by the test that the paired comparisons name, not corrected for their number."
    )
    return OwnTable(title="What generated pictures add", columns=columns, rows=lines, note=note)


def tabulate_gans(trained: Trained, folder: Path, least: float) -> OwnTable:
    """How the GANs trained: what they learned from, and which classes collapsed."""
    lines = []
    for (one, place), cell in trained.cells.items():
        protocol, fold, seed = place
        where = [one.row, protocol, str(seed), "–" if fold < 0 else str(fold)]
        if cell.key in trained.failed:
            lines.append([*where, "–", f"failed: {trained.failed[cell.key]}"])
            continue
        outcome = read_record(cell, folder / "cells")["outcome"]
        lines.append([*where, str(outcome["train"]), ", ".join(outcome["collapsed_classes"]) or "none"])
    kinds = {"GAN": "text", "protocol": "text", "seed": "number", "fold": "number", "training pictures": "number",
             "collapsed classes": "text"}  # fmt: skip
    note = f"Collapsed: two generated pictures of the class differ, by pixels, by less than {least:.0%} of what two real ones do."
    columns = [OwnColumn(name=name, kind=kind, group="") for name, kind in kinds.items()]
    return OwnTable(title="The GANs", columns=columns, rows=lines, note=note)
