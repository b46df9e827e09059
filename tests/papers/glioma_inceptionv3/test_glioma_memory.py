"""Phantoms of a known share of subject and grade, through pictures, backbone and training: what each mode makes of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from glioma_bottlenecks import run_modes

from common.cases.prepared import Dataset
from common.evaluation.metrics import evaluate
from common.training import fit
from replications.glioma_inceptionv3 import data, decomposition, models
from replications.glioma_inceptionv3.config import DEMO
from replications.glioma_inceptionv3.rows import AS_RUN, CROP, INCEPTION, LEAKFREE, ONCE, name_row

GRADES = ["II", "III", "IV"]
CONFIG = replace(DEMO, views=(CROP,), runs=(1, 2), leakfree_repeats=1)
MODES = (AS_RUN, ONCE, LEAKFREE)


def run_phantoms(folder: Path, texture: float, signal: float) -> pd.DataFrame:
    config = replace(CONFIG, phantom_texture=texture, phantom_signal=signal)
    data.write_phantoms(folder, config, seed=0)
    source = data.find_source(folder, config)
    assert source is not None
    images, cases, _ = data.read_source(source, config, CROP)
    backbone = models.build_backbone(INCEPTION, config)
    features = fit.predict_values(backbone, images[..., None], 16)
    info = {"name": "phantoms", "classes": dict.fromkeys(GRADES, 1), "near_duplicates": []}
    return run_modes(Dataset(images[..., None], cases, info), features, config, MODES)


def measure(predictions: pd.DataFrame) -> dict[tuple[str, bool], float]:
    found = {row.row: row.metrics["accuracy"].mean for row in evaluate(predictions)}
    return {
        (mode, shuffled): found[name_row(mode, INCEPTION, CROP, shuffled=shuffled)]
        for mode in MODES
        for shuffled in (False, True)
    }


def test_subjects_alone(backend, tmp_path):
    """The list named twice >= 95 %, slices far above chance, subjects at chance, and the sentence says so."""
    predictions = run_phantoms(tmp_path, texture=1.0, signal=0.0)
    accuracy = measure(predictions)
    for shuffled in (False, True):
        assert accuracy[AS_RUN, shuffled] >= 0.95
        assert accuracy[ONCE, shuffled] > 1 / 3 + 0.3
    said = decomposition.tabulate_decomposition(decomposition.decompose(predictions, CONFIG, {CROP}), {CROP}, GRADES).note
    assert "not distinguishable from the 33.3 % of chance" in said
    assert abs(accuracy[LEAKFREE, False] - 1 / 3) < 0.15


def test_grades_alone(backend, tmp_path):
    """All modes agree, and shuffled grades leave nothing where subjects are apart."""
    accuracy = measure(run_phantoms(tmp_path, texture=0.0, signal=1.0))
    true = [accuracy[mode, False] for mode in MODES]
    assert min(true) > 0.9
    assert np.ptp(true) < 0.06
    assert accuracy[LEAKFREE, True] < 0.55
