"""Several cuts of one network in one cache: what fits is planned before, the limit holds, training stays the same."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from small_networks import IMAGES, build_chain, build_residual

from common.training import cuts, feature_cache, frozen

pytestmark = pytest.mark.usefixtures("backend")
PLANS = {  # plan -> what is trained
    2: ["conv2", "conv3", "dense", "output"],
    1: ["conv3", "dense", "output"],
    0: ["dense", "output"],
    "all": ["conv1", "conv2", "conv3", "dense", "output"],
}
COUNT = len(IMAGES)


def find(network: keras.Model, plan) -> cuts.Cut:
    cuts.freeze_except(network, PLANS[plan])
    return cuts.split_network(network)


def open_all(network: keras.Model, folder, limit: float, plans=tuple(PLANS)) -> dict:
    finders = {plan: lambda plan=plan: find(network, plan) for plan in plans}
    return frozen.open_uppers(network, IMAGES, finders, folder, batch_size=8, limit_bytes=limit)


def measure(folder) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    return build_chain()


def sizes(network: keras.Model) -> dict:
    found = {plan: find(network, plan) for plan in (2, 1, 0)}
    return {plan: feature_cache.measure_activations(cut.lower, COUNT) + frozen.ENTRY_BYTES for plan, cut in found.items()}


@pytest.mark.parametrize("kept", [(2, 1, 0), (1, 0), (2, 0), (0,), ()])
def test_whatever_fits_the_outputs_are_the_network_s_and_the_limit_holds(network, tmp_path, kept):
    expected = network.predict(IMAGES, verbose=0)
    room = sum(sizes(network)[plan] for plan in kept)
    uppers = open_all(network, tmp_path, room)
    assert list(uppers) == list(PLANS)
    assert measure(tmp_path) <= room
    for upper in uppers.values():
        np.testing.assert_allclose(upper.model.predict(np.asarray(upper.inputs), verbose=0), expected, atol=1e-6)
    assert uppers["all"].note == frozen.NOTHING
    if kept == (2, 1, 0):
        assert all(uppers[plan].note.startswith("cached at ") for plan in kept)
    if not kept:
        assert all(uppers[plan].features is None and "GB" in uppers[plan].note for plan in (2, 1, 0))


def test_what_does_not_fit_is_never_tried(network, tmp_path, monkeypatch):
    """Neither in the first training nor in the next one, which finds all that fits."""
    size = sizes(network)
    computed, fill = [], feature_cache._fill
    monkeypatch.setattr(feature_cache, "_fill", lambda *args: (computed.append(1), fill(*args)))
    room = size[1] + size[0]
    assert size[2] > room
    for _ in range(3):
        uppers = open_all(network, tmp_path, room)
        assert [uppers[plan].features is not None for plan in (2, 1, 0)] == [False, True, True]
        del uppers
    assert len(computed) == 2


def test_a_plan_without_a_cut_of_its_own_starts_from_the_nearest_deeper_one(network):
    found = {plan: find(network, plan) for plan in (2, 1, 0)}
    size = sizes(network)
    assert frozen.plan_cuts(found, COUNT, sum(size.values())) == {2: 2, 1: 1, 0: 0}
    assert frozen.plan_cuts(found, COUNT, 0) == {2: None, 1: None, 0: None}
    assert frozen.plan_cuts(found, COUNT, size[1] + size[0]) == {2: None, 1: 1, 0: 0}
    # Dearer to keep than all the rest, the deepest cut would save least.
    assert frozen.plan_cuts(found, COUNT, size[1]) == {2: None, 1: 1, 0: 1}


def test_plans_with_the_same_cut_share_it(tmp_path):
    model = build_residual()
    trained = {"a": ["conv4", "conv5", "dense", "output"], "b": ["conv5", "dense", "output"]}  # within one block

    def find_of(name: str) -> cuts.Cut:
        cuts.freeze_except(model, trained[name])
        return cuts.split_network(model)

    found = {name: find_of(name) for name in trained}
    assert found["a"].names == found["b"].names
    size = feature_cache.measure_activations(found["a"].lower, COUNT) + frozen.ENTRY_BYTES
    assert frozen.plan_cuts(found, COUNT, size) == {"a": "a", "b": "a"}


def test_what_is_open_does_not_give_way_and_counts(network, tmp_path):
    """Removed while it is mapped, it would go on taking its room beyond the limit."""
    cut = find(network, 0)
    needed = feature_cache.measure_activations(cut.lower, COUNT)

    def cache(batch_size: int) -> feature_cache.Features:
        return feature_cache.cache_features(cut.lower, IMAGES, tmp_path, batch_size=batch_size, limit_bytes=1.5 * needed + 400)

    first = cache(8)
    with pytest.raises(feature_cache.NoRoomError, match="GB"):
        cache(4)
    assert len(list(tmp_path.glob(f"*/{feature_cache.RECORD}"))) == 1
    del first
    assert len(cache(4).arrays[0]) == COUNT
    assert len(list(tmp_path.glob(f"*/{feature_cache.RECORD}"))) == 1


def test_what_another_process_has_open_does_not_give_way(network, tmp_path):
    cut = find(network, 0)
    needed = feature_cache.measure_activations(cut.lower, COUNT)
    limit = 1.5 * needed + 400
    feature_cache.cache_features(cut.lower, IMAGES, tmp_path, batch_size=8, limit_bytes=limit)
    (record,) = tmp_path.glob(f"*/{feature_cache.RECORD}")
    hold = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_SH); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", hold, record], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(feature_cache.NoRoomError):
            feature_cache.cache_features(cut.lower, IMAGES, tmp_path, batch_size=4, limit_bytes=limit)
        other.stdin.close()
        other.wait()
    feature_cache.cache_features(cut.lower, IMAGES, tmp_path, batch_size=4, limit_bytes=limit)
    assert not record.exists()
