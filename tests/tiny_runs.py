"""A run folder of each package with one small random network and no seed beside it, and pictures that the package takes."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from sample_results import make_content, make_dataset

from common.files import hash_file

PACKAGES = ("lung_hip_compare", "thyroid_ensemble", "glioma_inceptionv3", "ddsm_inceptionv4", "bone_acgan")
THYROID = "Scale 1 / AlexNet"


@dataclass(frozen=True)
class Tiny:
    """A package with its tiny run."""

    name: str
    run: Path

    @property
    def predict(self) -> Any:
        """Its module."""
        return import_module(f"replications.{self.name}.predict")

    def ask(self, out: Path, *argv) -> int:
        """Exit code."""
        return self.predict.main([*map(str, argv), "--run", str(self.run), "--out", str(out)])

    def refuse(self, capsys, out: Path, *argv) -> str:
        """The one line that it ends with, nothing written."""
        capsys.readouterr()
        assert self.ask(out, *argv) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert not out.exists()
        return line


def write_cell(run: Path, cell: str, network, settings: dict) -> None:
    folder = run / "cells" / cell
    folder.mkdir(parents=True)
    network.save(folder / "model.keras")
    record = {"files": {"model.keras": hash_file(folder / "model.keras")}, "settings": settings}
    (folder / "cell.json").write_text(json.dumps(record))


def build_network(height: int, width: int, classes: int, seed: int = 0):
    """A few random filters on grey levels, pooled; answers differ from picture to picture."""
    import keras

    keras.utils.set_random_seed(seed)
    given = keras.Input((height, width, 1))
    scaled = keras.layers.Rescaling(1 / 255)(given)
    maps = keras.layers.Conv2D(4, 3, strides=2, activation="relu", name="conv")(scaled)
    pooled = keras.layers.GlobalAveragePooling2D(name="bottlenecks")(maps)
    return keras.Model(given, keras.layers.Dense(classes, "softmax", name="last_layer_0")(pooled))


def write_tiny_run(name: str, run: Path, rows: Sequence[tuple[str, str]] = (("LUNA16 / CNN", "LUNA16"),)) -> Tiny:
    """rows: of lung_hip_compare, name and data set."""
    settings = import_module(f"replications.{name}.config")
    config = settings.SMOKE
    classes = {"glioma_inceptionv3": {"II": 5, "III": 5, "IV": 5}}.get(name, {"a": 6, "b": 4})
    if name == "lung_hip_compare":
        for number, (row, dataset) in enumerate(rows):
            side = config.luna_side if dataset == "LUNA16" else config.hip_sides[0]
            known = {"row": row, "dataset": dataset, "protocol": "leakfree", "config": asdict(config)}
            write_cell(run, f"cell-{number}", build_network(side, side, 2), known)
    elif name == "thyroid_ensemble":
        side = config.alexnet_side
        write_cell(run, "cell", build_network(side, side, 2), {"network": "AlexNet", "scale": 1, "protocol": "paper"})
        entry = {"members": [THYROID], "weights": [1.0], "cells": ["cell"], "member_of_cell": [THYROID]}
        (run / "ensembles.json").write_text(json.dumps({"paper": entry}))
    elif name == "glioma_inceptionv3":
        write_cell(run, "cell", build_network(config.side, config.side, 3), {})
        entry = {"backbone": "InceptionV3", "cell": "cell", "protocol": "leakfree", "view": "crop"}
        (run / "networks.json").write_text(json.dumps([entry, entry | {"view": "whole"}]))
    elif name == "ddsm_inceptionv4":
        write_cell(run, "cell", build_network(60, 60, 2), {})
        (run / "networks.json").write_text(json.dumps([{"row": "a row", "cell": "cell", "protocol": "leakfree"}]))
    else:
        write_cell(run, "cell", build_network(config.picture_height, config.picture_width, 3), {})
        (run / "networks.json").write_text(json.dumps([{"cell": "cell", "protocol": "leakfree"}]))
    dataset = make_dataset(synthetic=True, classes=classes)
    (run / "results.json").write_text(json.dumps(make_content(paper=name, config=asdict(config), datasets=[dataset])))
    return Tiny(name, run)


def draw_picture(name: str, seed: int = 0) -> np.ndarray:
    """A picture uint8 that the package takes."""
    random = np.random.default_rng(seed)
    if name == "lung_hip_compare":
        return random.integers(0, 256, (50, 50), dtype=np.uint8)
    if name == "ddsm_inceptionv4":  # a breast at the left border
        y, x = np.mgrid[:400, :300]
        breast = ((y - 200) / 150) ** 2 + (x / 200) ** 2 < 1
        return np.where(breast, random.integers(90, 200, breast.shape), 4).astype(np.uint8)
    if name == "bone_acgan":  # a body: head, trunk, legs
        body = np.zeros((300, 120), np.uint8)
        cv2.ellipse(body, (60, 30), (16, 22), 0, 0, 360, 150, -1)
        cv2.rectangle(body, (30, 55), (90, 170), 130, -1)
        cv2.rectangle(body, (35, 170), (52, 290), 110, -1)
        cv2.rectangle(body, (68, 170), (85, 290), 110, -1)
        return np.where(body > 0, body - random.integers(0, 60, body.shape), 0).astype(np.uint8)
    coarse = random.integers(0, 256, (7, 9), dtype=np.uint8)
    return cv2.resize(coarse, (90, 70), interpolation=cv2.INTER_CUBIC)


def save_picture(path: Path, picture: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path
