"""What several tests of the thyroid ensemble share: the paper's records, real data, a small run, pictures."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from thyroid_runs import CONFIG, FOLDS, MEMBERS, SIZE, write_record, write_results

from common.records.paper import load_paper
from replications.thyroid_ensemble.config import LETTERS, SUBSETS


@pytest.fixture(scope="session")
def real_thyroid() -> Path:
    """$REPLICATIONS_DATA/thyroid_ensemble, or skip."""
    root = os.environ.get("REPLICATIONS_DATA")
    if not root or not (Path(root) / "thyroid_ensemble" / "ddti").is_dir():
        pytest.skip("needs the real images: set REPLICATIONS_DATA to the folder that holds thyroid_ensemble/ddti/")
    return Path(root) / "thyroid_ensemble"


@pytest.fixture(scope="session")
def paper(root):
    return load_paper(root / "replications" / "thyroid_ensemble" / "paper.toml")


@pytest.fixture(scope="session")
def sizes(paper) -> dict[str, int]:
    """Test images of each class and in all."""
    return {claim.metric: int(claim.value) for claim in paper.claims if (claim.table, claim.row) == ("1", "test")}


@pytest.fixture(scope="session")
def accuracies(paper) -> list[float]:
    """Printed accuracies of E, B and C, the published ensemble's members."""
    rows = [f"Scale {LETTERS[x][1]} / {LETTERS[x][0]}" for x in SUBSETS[-1]]
    fractions = {claim.row: claim.fraction for claim in paper.claims if claim.table == "2"}
    return [fractions[row] for row in rows]


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, backend) -> Path:
    """A run folder with what matters here: two random networks, each with other weights a fold and protocol."""
    import keras

    from replications.thyroid_ensemble import models

    run = tmp_path_factory.mktemp("run")
    random = np.random.default_rng(0)
    stored = {
        protocol: {
            "members": list(MEMBERS),
            "weights": list(MEMBERS.values()),
            "cells": [f"member {name[10:]} {protocol} {fold}" for name in MEMBERS for fold in range(folds)],
            "member_of_cell": [name for name in MEMBERS for _ in range(folds)],
        }
        for protocol, folds in FOLDS.items()
    }
    for name, side in (("AlexNet", CONFIG.alexnet_side), ("VGG16", CONFIG.vgg16_side)):
        network = models.build_network(name, side, CONFIG)
        last = network.layers[-1]
        noise = random.integers(0, 256, (1, side, side, 1)).astype(np.float32)
        for cell in [cell for entry in stored.values() for cell in entry["cells"] if f" {name} " in cell]:
            for layer in network.layers:
                if layer.weights:
                    kernel, bias = layer.get_weights()
                    kernel = random.normal(0.05, 1, kernel.shape) * np.sqrt(2 / kernel[..., 0].size)
                    layer.set_weights([kernel, np.zeros_like(bias)])
            last.activation = keras.activations.linear
            last.kernel.assign(last.kernel / np.abs(network(noise)).max())  # keeps scores off 0 and 1
            last.activation = keras.activations.softmax
            (run / "cells" / cell).mkdir(parents=True)
            network.save(run / "cells" / cell / "model.keras")
            write_record(run / "cells" / cell)
    (run / "ensembles.json").write_text(json.dumps(stored))
    write_results(run)
    return run


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """a.png (grey), b.jpg (colour), c.bmp, d.tif: smooth random pictures of 90x70."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(1)
    for name, channels in (("a.png", 1), ("b.jpg", 3), ("c.bmp", 1), ("d.tif", 1)):
        coarse = random.integers(0, 256, (7, 9, channels), dtype=np.uint8)
        Image.fromarray(cv2.resize(coarse, SIZE, interpolation=cv2.INTER_CUBIC)).save(folder / name)
    return folder
