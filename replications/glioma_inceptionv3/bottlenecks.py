"""Bottlenecks (report, sec. 3): the pooled features of every picture, computed once for all modes and runs; attention maps."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from common.cases.prepared import Dataset, load_dataset
from common.cli import restore_config
from common.errors import UsageError
from common.files import hash_file
from common.runs import cells
from common.runs.products import describe_training
from common.training import fit
from common.training.feature_cache import cache_features
from replications.glioma_inceptionv3 import models
from replications.glioma_inceptionv3.config import Config
from replications.glioma_inceptionv3.models import HEAD, TABLE
from replications.glioma_inceptionv3.plans import FEATURES_FILE

PACKAGE = Path(__file__).parent
CACHE = "cache"  # folder of the run that holds cached features


def extract_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """The bottlenecks of all pictures of a view by one backbone: bottlenecks.npy, float32 (n, features).

    settings: config, data_sha256, backbone, view, weights (file in the run folder or None: random), weights_sha256.
    """
    environment = fit.start_backend(threads)
    config = restore_config(Config, settings["config"])
    dataset = open_pictures(settings, folder)
    network = open_backbone(settings, folder, config)
    cache, limit = folder.parents[1] / CACHE, config.cache_gigabytes * 1e9
    features = cache_features(network, dataset.images, cache, batch_size=config.feature_batch, limit_bytes=limit)
    np.save(folder / FEATURES_FILE, np.asarray(features.arrays[0]), allow_pickle=False)
    report("bottlenecks", 1, 1, {})
    return describe_training(PACKAGE, environment, pictures=len(dataset.cases))


def open_pictures(settings: dict, folder: Path) -> Dataset:
    """The prepared pictures of the view. Raises UsageError if they are not those that the cell was planned for."""
    dataset = load_dataset(folder.parents[1] / settings["view"])
    if dataset.sha256 != settings["data_sha256"]:
        raise UsageError("the prepared data are not those that this training was planned for; run the same command again")
    return dataset


def open_backbone(settings: dict, folder: Path, config: Config) -> keras.Model:
    """The backbone with the weights that the cell was planned with. Raises UsageError if the file is another one."""
    weights = None
    if settings["weights"] is not None:
        weights = folder.parents[1] / settings["weights"]
        if hash_file(weights) != settings["weights_sha256"]:
            raise UsageError(f"{weights}: not the file that this training was planned with; run the same command again")
    return models.build_backbone(settings["backbone"], config, weights)


def keep_network_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """One network for new pictures, model.keras: grey 0..255 (side, side, 1) -> probabilities (classes,), the mean of the heads;
    and what it looks at in some slices, cams.npy (`map_attention`).

    settings: those of `extract_cell`, heads (keys of finished trainings of one backbone and view), cases (positions of the
    slices) and labels (their grades).
    """
    environment = fit.start_backend(threads)
    config = restore_config(Config, settings["config"])
    pictures = np.asarray(open_pictures(settings, folder).images[np.asarray(settings["cases"])], np.float32)
    backbone = open_backbone(settings, folder, config)
    trained = [_read_head(folder.parent / key) for key in settings["heads"]]
    kernel = np.mean([kernel for kernel, _ in trained], axis=0)
    np.save(folder / "cams.npy", map_attention(backbone, kernel, pictures, settings["labels"]), allow_pickle=False)
    given = [keras.layers.Dense(kernel.shape[1], "softmax", name=f"{HEAD}_{i}") for i in range(len(trained))]
    outputs = [layer(backbone.output) for layer in given]
    for layer, weights in zip(given, trained, strict=True):
        layer.set_weights(list(weights))
    mean = keras.layers.Average(name="probabilities")(outputs) if len(outputs) > 1 else outputs[0]
    keras.Model(backbone.input, mean).save(folder / "model.keras")
    report("network", 1, 1, {})
    return describe_training(PACKAGE, environment)


def map_attention(backbone: keras.Model, kernel: np.ndarray, pictures: np.ndarray, labels: Sequence[int]) -> np.ndarray:
    """Class activation maps of pictures (n, side, side, 1) for their own grades: float32 (n, side, side) in [0, 1].

    kernel: (features, classes) of a last layer. With average pooling below a linear layer, the last feature maps times its
    weights add up to the logit (Zhou B et al. CVPR 2016); shown is what speaks for the grade more than for the others.
    """
    maps_of = keras.Model(backbone.input, backbone.get_layer(TABLE).input)
    maps = np.asarray(maps_of.predict(pictures, verbose=0), np.float64)  # (n, h, w, features)
    weights = (kernel - kernel.mean(axis=1, keepdims=True))[:, labels].T
    cams = np.maximum(np.einsum("nhwf,nf->nhw", maps, weights), 0)
    cams /= np.maximum(cams.max(axis=(1, 2), keepdims=True), 1e-12)
    large = keras.ops.image.resize(cams[..., None].astype(np.float32), pictures.shape[1:3])
    return np.clip(np.asarray(large)[..., 0], 0, 1).astype(np.float32)


def _read_head(training: Path) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (features, classes) and bias (classes,) float32 of a finished training."""
    with np.load(training / "head.npz", allow_pickle=False) as stored:
        return stored["kernel"], stored["bias"]
