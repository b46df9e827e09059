"""One training of the paper (sec. 3): Adam, batches of 20.

`paper`: all epochs; `leakfree`: early stopping on validation patients.
"""

from pathlib import Path

import keras
import numpy as np

from common.cases.folds import confirm_split
from common.cases.prepared import load_dataset
from common.cli import restore_config
from common.runs.cells import Report
from common.runs.products import Scored, describe_training, write_products
from common.training import fit
from common.training.batches import shuffle_order
from replications.new_paper import data, models
from replications.new_paper.config import Config


def train_cell(settings: dict, folder: Path, threads: int, report: Report) -> dict:
    """Train one network on the split of a protocol with one seed; leaves predictions, history and model.keras in `folder`.

    settings: config, network, row, protocol, seed, fold; data_sha256 and split_sha256, so that other data or another split are
    another training.
    """
    environment = fit.start_backend(threads)
    config, seed = restore_config(Config, settings["config"]), settings["seed"]
    dataset = load_dataset(folder.parents[1] / "data")
    (fold,) = folds = data.split_dataset(dataset, settings["protocol"], config)
    confirm_split(dataset, dataset, folds, settings["data_sha256"], settings["split_sha256"])
    images, labels = np.asarray(dataset.images), dataset.cases["label"].to_numpy()
    filters = config.filters if settings["network"] == "CNN" else config.small_filters

    def build() -> keras.Model:
        model = models.build_cnn(images.shape[1], config, filters)
        optimizer = keras.optimizers.Adam(config.learning_rate)
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=[fit.build_accuracy()], jit_compile=fit.use_xla())
        return model

    def arrays_of_epoch(epoch: int) -> tuple[np.ndarray, np.ndarray]:
        order = fold.train[shuffle_order(len(fold.train), seed, epoch)]
        return images[order], labels[order]

    model = fit.build_compiled(f"{settings['network']} {config}", "classifier", build, seed, config.batch_size)
    leakfree = settings["protocol"] == "leakfree"
    history = fit.fit(
        model,
        arrays_of_epoch,
        stage="training",
        epochs=config.epochs,
        batch_size=config.batch_size,
        folder=folder,
        report=report,
        validation=(images[fold.validation], labels[fold.validation]) if leakfree else None,
        patience=config.patience if leakfree else None,
    )
    scores = fit.predict(model, images)
    write_products(settings, dataset, fold, [Scored(settings["row"], scores, history)], folder)
    model.save(folder / "model.keras")
    return describe_training(Path(__file__).parent, environment, train=len(fold.train), test=len(fold.test))
