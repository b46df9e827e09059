"""Both GANs of bone_acgan on phantoms of bone scans for the same time: which comes nearer to real pictures, and how fast.

`python -m benchmarks.bone_gans [--seconds 60] [--patients 60] [--seed 0] [--out FILE.json]`

The settings of the demo (pictures of 48x16, batches of two), direct training, one thread. Training time is counted without
tracing. After every quarter of the time 60 pictures are made and judged: KID to the real pictures by shrunken pixels, mean SSIM
with them, and how many real pictures a classifier has right that learned from the generated ones alone (macro recall; chance is
1/3). Beside them stands the KID of one half of the patients against the other.
"""

import argparse
import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from sklearn.metrics import recall_score

from common.cases.prepared import load_dataset
from common.evaluation.generated import measure_kid
from common.training import fit
from replications.bone_acgan import acgan, data, gan_training, judging, quality
from replications.bone_acgan.config import CLASSES, DEMO, GANS, Config
from replications.bone_acgan.sources import phantoms

EACH = 20  # generated pictures of a class
PIECE = 100  # steps between two looks at the clock
LOOKS = 4


def prepare(config: Config, folder: Path, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures uint8 (n, height, width) of the GAN's size, labels and patients of phantoms."""
    phantoms.write_phantoms(folder / "data", config, seed)
    source = data.find_source(folder / "data", config)
    assert source is not None
    data.prepare_dataset(source, config, folder / "scans")
    dataset = load_dataset(folder / "scans")
    pictures = data.shrink_pictures(np.asarray(dataset.images)[..., 0], config)
    return pictures, dataset.cases["label"].to_numpy(), dataset.cases["patient_id"].to_numpy(str)


def judge(model: acgan.ACGAN, pictures: np.ndarray, labels: np.ndarray, config: Config) -> dict[str, float]:
    """KID, SSIM and what a classifier has right that learned from generated pictures."""
    classes = np.repeat(np.arange(len(CLASSES)), EACH)
    made = gan_training.generate(model.generator, classes, config, seed=7)
    features, real = judging.describe_pictures(made, None), judging.describe_pictures(pictures, None)
    kid, _ = measure_kid(features, real, np.random.default_rng(0), size=min(50, len(real)))
    answers = judging.learn_from_generated(features, classes, real, config).argmax(axis=1)
    return {
        "KID": round(kid, 4),
        "SSIM": round(float(quality.compare_sets(made[::4] / 255, pictures[::8] / 255).mean()), 3),
        "recall": round(float(recall_score(labels, answers, average="macro")), 3),
    }


def train(gan: str, pictures: np.ndarray, labels: np.ndarray, config: Config, seconds: float, seed: int) -> list[dict]:
    """The judgements after each share of the time; the first before any training."""
    model = gan_training.build(gan, config, len(CLASSES), seed)

    def arrays_of_epoch(epoch: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng([seed, epoch, 13])
        order = gan_training.draw_batches(labels, PIECE * config.gan_batch_size, random, balanced=True)
        return pictures[order][..., None], labels[order].astype(np.int32)

    looks = [{"seconds": 0.0, "steps": 0, **judge(model, pictures, labels, config)}]
    start = fit.read_state(model)
    with tempfile.TemporaryDirectory() as name:
        about = {"stage": "gan", "batch_size": config.gan_batch_size, "report": lambda *_: None}
        fit.fit(model, arrays_of_epoch, epochs=1, folder=Path(name), **about)  # traced
    fit.write_state(model, start)
    spent, pieces = 0.0, 0
    with tempfile.TemporaryDirectory() as name:
        while spent < seconds:
            started = time.perf_counter()
            fit.fit(model, arrays_of_epoch, epochs=pieces + 1, folder=Path(name), **about)
            spent, pieces = spent + time.perf_counter() - started, pieces + 1
            if spent >= seconds * len(looks) / LOOKS:
                looks.append({"seconds": round(spent, 1), "steps": pieces * PIECE, **judge(model, pictures, labels, config)})
    return looks


def main(arguments: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    fit.start_backend(1)
    config = replace(DEMO, phantom_patients=given.patients, phantom_chests=4)
    with tempfile.TemporaryDirectory() as name:
        pictures, labels, patients = prepare(config, Path(name), given.seed)
    features = judging.describe_pictures(pictures, None)
    half = np.isin(patients, np.unique(patients)[::2])
    size = min(50, int(half.sum()), int((~half).sum()))
    real, _ = measure_kid(features[half], features[~half], np.random.default_rng(0), size=size)
    result: dict = {"load": round(os.getloadavg()[0], 1), "real KID": round(real, 4)}
    for gan in GANS:
        result[gan] = train(gan, pictures, labels, config, given.seconds, given.seed)
        print(gan, json.dumps(result[gan]), flush=True)
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    return result


if __name__ == "__main__":
    main()
