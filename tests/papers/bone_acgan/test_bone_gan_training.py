"""Both stages of the GANs: what stage 2 takes over, exact resume, what a GAN may see, collapse and copies that are noticed."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from bone_networks import TINY, draw_pictures
from bone_runs import RUN, describe, ignore, prepare

from common.cases.table import LeakError
from common.files import hash_file
from common.training import fit
from replications.bone_acgan import acgan, data, gan_networks, gan_training, judging, tasks, train
from replications.bone_acgan.config import CLASSES

pytestmark = pytest.mark.usefixtures("backend")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(folder of a run, its data set) with both domains prepared."""
    folder = tmp_path_factory.mktemp("run")
    return folder, prepare(folder)


def start_cell(folder, name: str):
    cell = folder / "cells" / name
    cell.mkdir(parents=True, exist_ok=True)
    return cell


@pytest.fixture(scope="module")
def made(run, backend):
    """(settings, cell folder, outcome) of a plain GAN of the first leak-free fold."""
    folder, dataset = run
    settings = describe(dataset, RUN, "leakfree", 0, gan="ACGAN", row="ACGAN", source=None, source_sha256=None)
    cell = start_cell(folder, "gan-acgan")
    return settings, cell, gan_training.train_gan_cell(settings, cell, 1, ignore)


@pytest.mark.parametrize("gan", ["ACGAN", "MU-ACGAN"])
def test_stage_2_takes_over_all_but_the_classes(gan, tmp_path):
    """Generator and discriminator of the plain GAN have layers of one name: each gets its own weights back."""
    source, target = (acgan.build_acgan(gan, TINY, classes, 0, jit_compile=False) for classes in (4, 3))
    gan_training.write_weights(tmp_path / "gan.npz", source)
    stored = gan_training.read_weights(tmp_path / "gan.npz")
    taken = 0
    for network, origin in ((target.generator, source.generator), (target.discriminator, source.discriminator)):
        before = {layer.name: layer.get_weights() for layer in network.layers}
        gan_training.copy_weights(network, stored, gan_networks.OF_CLASSES)
        for layer in network.layers:
            wanted = before[layer.name] if layer.name in gan_networks.OF_CLASSES else origin.get_layer(layer.name).get_weights()
            for weight, expected in zip(layer.get_weights(), wanted, strict=True):
                np.testing.assert_array_equal(weight, expected)
            taken += layer.name in gan_networks.OF_CLASSES
    assert taken == 2  # the embedding and the class head


def test_a_training_that_was_stopped_ends_like_one_that_was_not(tmp_path):
    """Also where the pictures of a mark that it had passed were damaged meanwhile."""
    pictures, labels = draw_pictures(12)[..., 0], np.arange(12) % 3
    states, histories = [], []
    for name, stop in (("whole", None), ("stopped", 7), ("damaged", 7)):
        folder = tmp_path / name
        folder.mkdir()

        def report(_stage, done, _of, _logs, stop=stop):
            if done == stop:
                raise KeyboardInterrupt

        plan = (10, 2)
        if stop:
            model = gan_training.build("ACGAN", TINY, 3, seed=5)
            with pytest.raises(KeyboardInterrupt):
                gan_training.train_gan(model, pictures, labels, plan, TINY, 5, folder, report, (5, 10))
        if name == "damaged":
            kept = folder / "checkpoint-shown-5.npz"
            kept.write_bytes(kept.read_bytes()[:-9])
        model = gan_training.build("ACGAN", TINY, 3, seed=5)
        histories.append(gan_training.train_gan(model, pictures, labels, plan, TINY, 5, folder, ignore, (5, 10)))
        states.append(fit.read_state(model))
    assert histories[0] == histories[1] == histories[2]
    assert [entry["epoch"] for entry in histories[0]] == list(range(1, 11))
    for first, second, third in zip(*states, strict=True):
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(first, third)
    shots = [np.load(tmp_path / name / gan_training.SNAPSHOTS) for name in ("whole", "stopped", "damaged")]
    assert shots[0].shape == (2, 6, TINY.height, TINY.width)
    np.testing.assert_array_equal(shots[0], shots[1])
    np.testing.assert_array_equal(shots[0], shots[2])


def test_batches_are_balanced_by_class_or_pass_over_all():
    labels = np.repeat([0, 1, 2], [80, 15, 5])
    random = np.random.default_rng(0)
    drawn = np.bincount(labels[gan_training.draw_batches(labels, 3000, random, balanced=True)])
    assert drawn.min() > 900
    once = gan_training.draw_batches(labels, 200, random, balanced=False)
    assert np.bincount(once).tolist() == [2] * 100


def test_generated_pictures_follow_seed_and_class():
    model = gan_training.build("ACGAN", TINY, 3, seed=1)
    classes = np.arange(40) % 3
    first, again, other = (gan_training.generate(model.generator, classes, TINY, seed) for seed in (1, 1, 2))
    assert first.dtype == np.uint8
    assert first.shape == (40, TINY.height, TINY.width)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_gan_learns_from_its_own_fold_alone_and_says_from_what(run, made):
    _, dataset = run
    _, cell, outcome = made
    fold = data.split_dataset(dataset, "leakfree", RUN)[0]
    ids = dataset.cases["case_id"]
    assert json.loads((cell / "sources.json").read_text()) == sorted(ids.iloc[fold.train])
    assert outcome["train"] == len(fold.train)
    stored = tasks.read_generated(cell / "generated.npz", hash_file(cell / "generated.npz"))
    missing = tasks.count_missing(dataset.cases["label"].to_numpy()[fold.train])
    assert [int((stored.labels == label).sum()) for label in range(3)] == [max(8, count) for count in missing]
    assert (cell / "history.csv").read_text().count("\n") == 21


def test_a_collapse_is_recorded_by_class():
    random = np.random.default_rng(0)
    real, labels = random.integers(0, 256, (30, 8, 8), np.uint8), np.arange(30) % 3
    made = real.copy()
    made[labels == 2] = real[2]  # one picture, again and again
    found = gan_training.compare_diversity(made, labels, real, labels)
    assert [made == pytest.approx(wanted) for made, wanted in found.values()] == [True, True, False]
    assert gan_training.quality.find_collapse(*zip(*found.values(), strict=True), 0.3) == [2]


def judge(run, made, pictures: np.ndarray, labels: np.ndarray, name: str) -> tuple[dict, np.ndarray]:
    folder, dataset = run
    settings, *_ = made
    cell = start_cell(folder, f"given-{name}")
    np.savez_compressed(cell / "generated.npz", pictures=pictures, labels=labels)
    about = {"generated": f"cells/{cell.name}/generated.npz", "generated_sha256": hash_file(cell / "generated.npz")}
    config = replace(RUN, evaluated_pictures=len(pictures))
    given = {**settings, **about, "config": asdict(replace(config, seeds=()))}
    task = tasks.open_task(given, cell, ignore)
    measures, _, scores = judging.judge(task, None)
    return measures, scores


def test_copies_of_training_pictures_are_found_and_strangers_are_not(run, made):
    """What a GAN gives that has learnt eight pictures by heart, against phantoms of other patients."""
    _, dataset = run
    fold = data.split_dataset(dataset, "leakfree", RUN)[0]
    small = data.shrink_pictures(np.asarray(dataset.images)[..., 0], RUN)
    labels = dataset.cases["label"].to_numpy()
    random = np.random.default_rng(0)
    eight = np.concatenate([fold.train[labels[fold.train] == label][:3] for label in range(3)])[:8]
    chosen = random.choice(eight, 45)
    noisy = np.clip(small[chosen] + random.normal(0, 4, (45, *small.shape[1:])), 0, 255).astype(np.uint8)
    copied, scores = judge(run, made, noisy, labels[chosen], "copies")
    assert copied["copies"]["memorised"]
    assert scores.shape == (len(labels), 3)
    np.testing.assert_allclose(scores.sum(axis=1), 1)
    others = np.concatenate([fold.test, fold.validation])
    strangers, _ = judge(run, made, small[others], labels[others], "strangers")
    assert not strangers["copies"]["memorised"]
    assert strangers["kid"][0] < 0.5 * copied["kid"][0]
    ssim = strangers["classes"][CLASSES[0]]["ssim"]
    assert ssim["mean picture"] > ssim["real"]


def settle_classifier(run, made, number: int) -> tasks.Task:
    folder, dataset = run
    settings, gan, _ = made
    about = {"generated": None, "generated_sha256": None}
    if number in (2, 3, 5):
        about = {"generated": f"cells/{gan.name}/generated.npz", "generated_sha256": hash_file(gan / "generated.npz")}
    given = describe(dataset, RUN, "leakfree", 0, network="ResNet34", number=number, row="row", weights={}, **about)
    return tasks.open_task(given, start_cell(folder, f"set-{number}"), ignore)


def test_the_five_data_sets(run, made):
    """Sec. 5.1.3: original; balanced; balanced; enlarged; balanced and enlarged. Generated pictures are in training alone."""
    _, dataset = run
    fold = data.split_dataset(dataset, "leakfree", RUN)[0]
    labels = dataset.cases["label"].to_numpy()[fold.train]
    largest = np.bincount(labels).max()
    found = {number: train.gather_material(settle_classifier(run, made, number)) for number in (1, 3, 4, 5)}
    assert np.bincount(found[1].labels).tolist() == np.bincount(labels).tolist()
    assert np.bincount(found[3].labels).tolist() == [largest] * 3
    assert np.bincount(found[4].labels).tolist() == (2 * np.bincount(labels)).tolist()
    assert np.bincount(found[5].labels).tolist() == [2 * largest] * 3
    assert (found[1].generated, found[4].generated) == (0, 0)
    assert found[3].generated == found[5].generated == 3 * largest - len(labels)
    for material in found.values():
        assert len(material.inputs) == len(material.labels)
    np.testing.assert_array_equal(found[3].inputs[: len(labels)], found[1].inputs)
    np.testing.assert_array_equal(found[4].inputs[::2], found[1].inputs)  # the original stands first among its variants


def test_a_gan_that_has_seen_a_tested_patient_is_refused(run, made):
    _, dataset = run
    _, gan, _ = made
    path = gan / "sources.json"
    before = path.read_text()
    fold = data.split_dataset(dataset, "leakfree", RUN)[0]
    path.write_text(json.dumps([*json.loads(before), dataset.cases["case_id"].iloc[fold.test[0]]]))
    try:
        with pytest.raises(LeakError, match="1 pictures outside of the training part"):
            train.gather_material(settle_classifier(run, made, 3))
    finally:
        path.write_text(before)
