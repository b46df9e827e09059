"""The trainings of the paper (sec. 1.5): step 1, the new head on frozen convolutions; step 2, fine-tuning of the last k.

Frozen activations are computed once for all images, variants, seeds, folds and protocols that share a network (see
common.training.cuts). Each function that ends in _cell is one training of a run; `write_task` says what it leaves.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from keras import layers

from common.cli import restore_config
from common.data.source_task import SOURCE_CLASSES, draw_source_task
from common.runs import cells
from common.runs.products import Scored, describe_training, write_products
from common.training import cuts, fit, frozen
from common.training.augmentation import augment_epoch
from common.training.batches import Arrays, Indexed, shuffle_order
from common.training.frozen import Upper
from common.training.gradcam import grad_cam
from common.training.random_networks import seed_layers, take_statistics
from replications.thyroid_ensemble import models
from replications.thyroid_ensemble.config import Config
from replications.thyroid_ensemble.rois import choose_input_side
from replications.thyroid_ensemble.rows import name_step_1
from replications.thyroid_ensemble.tasks import Task, augment_patches, describe_augmentation, open_task

PACKAGE = Path(__file__).parent
STATISTICS = 256  # pictures of the source task that batch normalisation takes its means and variances from
CACHE = "cache"  # folder of the run that holds frozen activations


# -------------------------------------------------------------------------------------- networks, one for each process


@functools.lru_cache(maxsize=1)
def _build_template(
    network: str, side: int, config: Config, weights: Path | None, _weights_sha256: str | None, mean: float | None
) -> keras.Model:
    """The network with its initial weights; it is never trained itself, trainings get copies of its layers."""
    with seed_layers(config.split_seed):  # what no file gives is the same in every training
        return models.build_network(network, side, config, weights, mean)


@functools.lru_cache(maxsize=16)
def _cut_template(template: keras.Model, plan: int | str, config: Config) -> cuts.Cut:
    cuts.freeze_except(template, models.list_trained(template, plan, config))
    return cuts.split_network(template)


def _get_template(task: Task) -> keras.Model:
    config = replace(task.config, seeds=())
    weights = (task.weights, task.settings["weights_sha256"])
    return _build_template(task.network, task.patches.shape[1], config, *weights, _measure_mean(task))


def _measure_mean(task: Task) -> float | None:
    """Mean grey value of the training images, where the network subtracts it."""
    return float(task.dataset.images[task.fold.train].mean()) if task.config.mean == "dataset" else None


def _build_part(
    task: Task, part: keras.Model, plan: int | str, step: str, optimizer: Callable[[], keras.optimizers.Optimizer]
) -> keras.Model:
    """Compiled copy of a part of the template in its initial state for this seed; layers below the head start as there."""
    template = _get_template(task)

    def build() -> keras.Model:
        cuts.freeze_except(template, models.list_trained(template, plan, task.config))
        model = keras.models.clone_model(part)
        model.compile(optimizer(), "sparse_categorical_crossentropy", metrics=[fit.build_accuracy()], jit_compile=fit.use_xla())
        return model

    graph = f"{template.name} {template.input_shape} {task.weights} {_measure_mean(task)} {task.config}"
    model = fit.open_compiled(graph, f"{step} {plan} {part.name}", build, task.seed, task.config.batch_size)
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(template.get_layer(layer.name).get_weights())
    models.draw_head(model, task.config, task.seed)
    return model


def _copy_head(source: keras.Model, target: keras.Model, config: Config) -> None:
    for name in models.list_head(config):
        target.get_layer(name).set_weights(source.get_layer(name).get_weights())


def open_uppers(task: Task, plans: Sequence[int | str]) -> dict[int | str, Upper]:
    """Part to train and its inputs for each freezing plan, from the cache, which is planned for all of them together.

    Without a cache (nothing is frozen at the inputs, fresh variants in every epoch, no room) the whole network is trained,
    frozen layers included: slower, the same result; the note says why.
    """
    template, config = _get_template(task), task.config
    if config.augmentation == "realtime":
        return dict.fromkeys(plans, Upper(template, task.patches, "computed in every epoch: fresh variants"))
    uppers = frozen.open_uppers(
        template,
        task.patches,
        {plan: functools.partial(_cut_template, template, plan, replace(config, seeds=())) for plan in plans},
        task.folder.parents[1] / CACHE,
        batch_size=config.batch_size,
        limit_bytes=config.cache_gigabytes * 1e9,
    )
    for plan, upper in uppers.items():
        if upper.cut is not None and "in every epoch" in upper.note:
            missing = "no feature cache, " * (upper.features is None)
            print(f"{task.network}, {plan}: {missing}frozen layers are {upper.note}")
    return uppers


def open_upper(task: Task, plan: int | str) -> Upper:
    """`open_uppers` for one plan."""
    return open_uppers(task, [plan])[plan]


def _fit(task: Task, model: keras.Model, upper: Upper, stage: str, epochs: int, patience: int) -> list[dict]:
    """Train on the training rows in a new order every epoch; early stopping on the monitored ones, if there are any."""
    labels, train, monitored = task.labels, task.train, task.monitored

    def arrays_of_epoch(epoch: int) -> tuple[Arrays, ...]:
        if task.config.augmentation == "realtime":
            rois, passes = np.asarray(task.dataset.images[task.fold.train]), task.config.enlargement

            def augment(images: np.ndarray) -> np.ndarray:
                return augment_epoch(images, describe_augmentation(task.config), task.config.split_seed, epoch, passes)[0]

            patches = augment_patches(rois, task.network, task.settings["scale"], task.config, augment)
            order = shuffle_order(len(patches), task.seed, epoch)
            return Indexed(patches, order), np.tile(labels[task.fold.train], passes)[order]
        order = train[shuffle_order(len(train), task.seed, epoch)]
        return upper.index_inputs(order), labels[order]

    return fit.fit(
        model,
        arrays_of_epoch,
        stage=stage,
        epochs=epochs,
        batch_size=task.config.batch_size,
        folder=task.folder,
        report=task.report,
        validation=None if monitored is None else (upper.index_inputs(monitored), labels[monitored]),
        patience=None if monitored is None else patience,
    )


# ----------------------------------------------------------------------------------------------------- steps 1 and 2


def train_head(task: Task, upper: Upper) -> tuple[keras.Model, list[dict]]:
    """Step 1: Adam on the head."""
    config = task.config
    model = _build_part(task, upper.model, 0, "step 1", lambda: keras.optimizers.Adam(config.transfer_learning_rate))
    return model, _fit(task, model, upper, "step1", config.transfer_epochs, config.transfer_patience)


def tune_network(task: Task, upper: Upper, plan: int | str, head: keras.Model) -> tuple[keras.Model, list[dict]]:
    """Step 2: SGD 1e-4, momentum 0.9, decay 1e-6 on the head of step 1 and what the plan leaves unfrozen."""
    config = task.config

    def build_optimizer() -> keras.optimizers.Optimizer:
        rate = keras.optimizers.schedules.InverseTimeDecay(config.tune_learning_rate, 1, config.tune_decay)
        return keras.optimizers.SGD(rate, momentum=config.tune_momentum)

    model = _build_part(task, upper.model, plan, "step 2", build_optimizer)
    _copy_head(head, model, config)
    stage = f"step2-{plan}".replace(" ", "-")
    return model, _fit(task, model, upper, stage, config.tune_epochs, config.tune_patience)


def train_transfer_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """One network at one scale: step 1, then step 2 for every plan of `rows` (0: step 1 alone) from the same head.

    settings: config, data_sha256, split_sha256, weights (file in the run folder or None), network, scale, protocol, seed, fold,
    rows {plan: row}, keep_weights. The plans are depths k, "all", "first block".
    """
    environment = fit.start_backend(threads)
    task = open_task(settings, folder, report)
    plans = [int(name) if name.isdecimal() else name for name in settings["rows"]]
    uppers = open_uppers(task, list(dict.fromkeys([*plans, 0])))
    head, history = train_head(task, uppers[0])
    scored = []
    for name, row in settings["rows"].items():
        plan = int(name) if name.isdecimal() else name
        upper = uppers[plan]
        model, entries = (head, []) if plan == 0 else tune_network(task, upper, plan, head)
        scored.append(score_cases(task, row, upper, model, entries))
        if settings["keep_weights"]:
            _write_layers(folder / f"plan-{name.replace(' ', '-')}.npz", model)
    return write_task(task, environment, scored, history)


def train_scratch_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """No transfer (sec. 2.1): random weights, all layers trained. Settings as in `train_transfer_cell`."""
    environment = fit.start_backend(threads)
    task = open_task(settings, folder, report)
    config = task.config
    whole = Upper(_get_template(task), task.patches, "all layers are trained")
    model = _build_part(task, whole.model, "all", "scratch", lambda: keras.optimizers.Adam(config.scratch_learning_rate))
    models.draw_scratch(model, config, task.seed)
    history = _fit(task, model, whole, "scratch", config.scratch_epochs, config.scratch_patience)
    return write_task(task, environment, [score_cases(task, settings["rows"]["all"], whole, model, history)])


def train_source_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """Initial weights for trial runs without ImageNet: a backbone trained on the synthetic source task."""
    environment = fit.start_backend(threads)
    config, network = restore_config(Config, settings["config"]), settings["network"]
    side = choose_input_side(network, 1, config)
    images, labels = draw_source_task(config.source_task_images, side, config.split_seed)
    kept: list[keras.Model] = []

    def build() -> keras.Model:
        backbone = models.build_backbone(network, side, config)
        kept.append(backbone)
        inputs = keras.Input((side, side, 1))
        pooled = layers.GlobalAveragePooling2D()(backbone(models.standardise(inputs, network, replace(config, mean="image"))))
        model = keras.Model(inputs, layers.Dense(len(SOURCE_CLASSES), activation="softmax")(pooled))
        model.compile("adam", "sparse_categorical_crossentropy", metrics=[fit.build_accuracy()], jit_compile=fit.use_xla())
        return model

    model = fit.build_compiled(f"source {network} {config}", "source", build, 0, config.batch_size)

    def arrays_of_epoch(epoch: int) -> tuple[np.ndarray, np.ndarray]:
        order = shuffle_order(len(images), 0, epoch)
        return images[order], labels[order]

    epochs, size = config.source_task_epochs, config.batch_size
    fit.fit(model, arrays_of_epoch, stage="source", epochs=epochs, batch_size=size, folder=folder, report=report)
    take_statistics(kept[0], lambda: model(images[:STATISTICS], training=True))
    kept[0].save_weights(folder / "backbone.weights.h5")
    return describe_training(PACKAGE, environment)


def keep_network_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """The whole network of a finished `train_transfer_cell` at one plan, as model.keras, for new images.

    settings: those of the training, and source (its key), plan.
    """
    environment = fit.start_backend(threads)
    network = load_network(open_task(settings, folder, report), settings["source"], settings["plan"])
    network.save(folder / "model.keras")
    return describe_training(PACKAGE, environment)


def map_attention_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """Fig. 4: Grad-CAM of one network for the class malignant: cams.npy, float32 (cases, side, side) in [0, 1].

    settings: those of a finished training with its key as source, plan, and cases (positions).
    """
    environment = fit.start_backend(threads)
    task = open_task(settings, folder, report)
    network = load_network(task, settings["source"], settings["plan"])
    patches = task.patches[np.asarray(settings["cases"])]
    np.save(folder / "cams.npy", grad_cam(network, patches, class_index=1), allow_pickle=False)
    return describe_training(PACKAGE, environment)


def load_network(task: Task, source: str, plan: str) -> keras.Model:
    """The whole network as a finished training left it: the layers that it trained, the others as they started."""
    template = _get_template(task)
    with seed_layers(task.seed):  # of dropout, which the stored network keeps
        network = keras.models.clone_model(template)
    with np.load(task.folder.parent / source / f"plan-{plan}.npz", allow_pickle=False) as trained:
        for layer in network.layers:
            if layer.weights:
                kept = [f"{layer.name}/{i}" for i in range(len(layer.weights))]
                initial = template.get_layer(layer.name).get_weights()
                layer.set_weights([trained[name] for name in kept] if kept[0] in trained else initial)
    return network


def _write_layers(path: Path, model: keras.Model) -> None:
    arrays = {f"{layer.name}/{i}": w for layer in model.layers for i, w in enumerate(layer.get_weights())}
    np.savez(path, **arrays)


# ------------------------------------------------------------------------------------------------------- the products


def score_cases(task: Task, row: str, upper: Upper, model: keras.Model, history: Sequence[dict]) -> Scored:
    """Probabilities of the test and validation cases by a trained network."""
    scores = np.full((len(task.dataset.cases), 2), np.nan, np.float32)
    for rows in (task.fold.test, task.fold.validation):
        if len(rows):
            scores[rows] = fit.predict_values(model, upper.index_inputs(rows), task.config.batch_size)
    return Scored(row, scores, history, upper.note)


def write_task(task: Task, environment: dict, scored: Sequence[Scored], history: Sequence[dict] = ()) -> dict:
    """Write the products of a training (test and validation cases); returns what the record keeps.

    history: of what the rows have in common (step 1).
    """
    first = name_step_1(task.network, task.settings["scale"])
    shared = [Scored(first, np.empty((0, 2)), history)] if history else []
    write_products(task.settings, task.dataset, task.fold, [*scored, *shared], task.folder, validation=True)
    notes = {one.row: one.note for one in scored if one.note}
    counts = {"train": len(task.fold.train), "test": len(task.fold.test)}
    return describe_training(PACKAGE, environment, frozen=notes, **counts)
