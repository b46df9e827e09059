"""A small run folder of the thyroid ensemble: what its tests of new pictures share."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

from sample_results import make_content, make_dataset

from common.files import hash_file
from replications.thyroid_ensemble.config import SMOKE

CONFIG = replace(SMOKE, alexnet_variant="original", vgg16_end="block2_pool")  # the variant with a layer of its own
MEMBERS = {"Scale 2 / VGG16": 0.3, "Scale 1 / AlexNet": 0.7}
FOLDS = {"leakfree": 2, "paper": 1}
SIZE = (90, 70)  # width and height of the pictures


def write_record(cell: Path) -> None:
    """cell.json, with the checksum of what lies there; the folder is called "member NETWORK PROTOCOL fold"."""
    _, network, protocol, _ = cell.name.split()
    settings = {"network": network, "scale": 2 if network == "VGG16" else 1, "protocol": protocol}
    files = {"model.keras": hash_file(cell / "model.keras")}
    (cell / "cell.json").write_text(json.dumps({"files": files, "settings": settings}))


def write_results(run: Path, **changes) -> None:
    known = {"paper": "thyroid_ensemble", "config": asdict(CONFIG), "datasets": [make_dataset(synthetic=True)]}
    content = make_content(**{**known, **changes})
    (run / "results.json").write_text(json.dumps(content))


def copy_run(run: Path, folder: Path) -> Path:
    return Path(shutil.copytree(run, folder / "copy"))
