"""What is trained above a cut, with the cache or without; and weight files linked into the run folder."""

import keras
import numpy as np
import pytest

from common.errors import UsageError
from common.training import cuts
from common.training.frozen import open_upper
from common.training.weights import link_weights, provide_weights

pytestmark = pytest.mark.usefixtures("backend")


def build_network() -> keras.Model:
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(3, 3, activation="relu", name="first")(inputs)
    x = keras.layers.Conv2D(4, 3, activation="relu", name="second")(x)
    return keras.Model(inputs, keras.layers.Dense(2, name="head")(keras.layers.Flatten()(x)))


def open_with(network: keras.Model, images: np.ndarray, folder, trained, limit: float = 1e9, deeper=None):
    def find_cut() -> cuts.Cut:
        cuts.freeze_except(network, trained)
        return cuts.split_network(network)

    return open_upper(network, images, find_cut, folder, batch_size=4, limit_bytes=limit, deeper=deeper)


def test_the_upper_part_on_cached_activations_is_the_network(tmp_path):
    network, images = build_network(), np.random.default_rng(0).random((6, 8, 8, 1), np.float32)
    expected = network.predict(images, verbose=0)
    upper = open_with(network, images, tmp_path, ["head"])
    assert upper.note.startswith("cached at ")
    assert upper.features is not None
    np.testing.assert_allclose(upper.model.predict(upper.inputs, verbose=0), expected, atol=1e-6)
    deep = open_with(network, images, tmp_path, ["second", "head"])
    derived = open_with(network, images, tmp_path, ["head"], deeper=deep)
    np.testing.assert_allclose(derived.model.predict(derived.inputs, verbose=0), expected, atol=1e-6)


def test_without_room_or_anything_frozen_the_whole_network_is_trained(tmp_path):
    network, images = build_network(), np.zeros((6, 8, 8, 1), np.float32)
    cramped = open_with(network, images, tmp_path, ["head"], limit=1)
    assert cramped.model is network
    assert cramped.inputs is images
    assert "GB" in cramped.note
    assert cramped.features is None
    whole = open_with(network, images, tmp_path, ["first", "second", "head"])
    assert (whole.model, whole.note) == (network, "computed in every epoch: nothing is frozen at the inputs")


def test_weight_files_are_linked_and_missing_ones_explained(tmp_path):
    file = tmp_path / "given" / "a.h5"
    file.parent.mkdir()
    file.write_bytes(b"weights")
    run = tmp_path / "run"
    run.mkdir()

    def find(network: str):
        if network == "B":
            raise UsageError("b.h5: not here; get it there")
        return file

    for _ in range(2):  # also where the link stands already
        found, missing = link_weights(["A", "B"], find, run)
    assert missing == {"B": "b.h5: not here; get it there"}
    assert (run / found["A"].file).read_bytes() == b"weights"
    assert len(found["A"].sha256) == 64


def test_a_folder_may_lack_files_but_the_download_may_not(tmp_path):
    """What a folder lacks is told, whatever it has; imagenet is refused where nothing, or where not all could be had."""
    given, run = tmp_path / "given", tmp_path / "run"
    given.mkdir()
    run.mkdir()

    def find(network: str):
        if not (given / f"{network}.h5").is_file():
            raise UsageError(f"{network}.h5: not here; get it there")
        return given / f"{network}.h5"

    assert provide_weights(str(given), ["a", "b"], find, run, whole=True) == (
        {},
        {n: f"{n}.h5: not here; get it there" for n in "ab"},
    )
    with pytest.raises(UsageError, match=r"no initial weights: a\.h5: .*; b\.h5: .*; or start with --weights random"):
        provide_weights("imagenet", ["a", "b"], find, run)
    (given / "a.h5").write_bytes(b"weights")
    for chosen in (str(given), "imagenet"):
        found, missing = provide_weights(chosen, ["a", "b"], find, run)
        assert (list(found), list(missing)) == (["a"], ["b"])
    with pytest.raises(UsageError, match=r"no initial weights: b\.h5"):
        provide_weights("imagenet", ["a", "b"], find, run, whole=True)
    with pytest.raises(UsageError, match="--weights .*elsewhere: no such folder"):
        provide_weights(str(tmp_path / "elsewhere"), ["a"], find, run)


@pytest.mark.parametrize("linked", [False, True])
def test_weights_given_from_the_run_s_own_folder_stay(tmp_path, linked):
    place = tmp_path / "weights" / "a.h5"
    place.parent.mkdir()
    if linked:
        (tmp_path / "a.h5").write_bytes(b"weights")
        place.symlink_to(tmp_path / "a.h5")
    else:
        place.write_bytes(b"weights")
    found, _ = link_weights(["A"], lambda _: place, tmp_path)
    assert (tmp_path / found["A"].file).read_bytes() == b"weights"
    assert place.is_symlink() is linked


def test_another_file_in_the_place_of_a_link_is_not_removed(tmp_path):
    for folder in ("weights", "given"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.h5").write_text(folder)
    with pytest.raises(UsageError, match="move it away"):
        link_weights(["A"], lambda _: tmp_path / "given" / "a.h5", tmp_path)
    assert (tmp_path / "weights" / "a.h5").read_text() == "weights"
