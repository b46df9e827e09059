"""The fast augmentation against Keras' ImageDataGenerator itself: the same draws, the same pixels within a stated tolerance."""

import subprocess
import sys
import tracemalloc
from dataclasses import replace

import cv2
import numpy as np
import pytest

from common.data.phantoms import speckle, to_uint8
from common.errors import UsageError
from common.training.augmentation import (
    Augmentation,
    augment_epoch,
    build_generator,
    build_matrix,
    draw_transforms,
    enlarge_images,
    transform_images,
)

pytestmark = pytest.mark.usefixtures("backend")


def move_images(images: np.ndarray, drawings, augmentation: Augmentation, *, reference: bool = False) -> np.ndarray:
    result = np.empty(images.shape, images.dtype)
    transform_images(result, images, drawings, augmentation, reference)
    return result


EXACT = int(cv2.__version__.split(".")[0]) >= 5  # OpenCV 4 rounds positions to 1/32 pixel
ALL = Augmentation(30, 0.2, 0.15, 0.2, 12, horizontal_flip=True, vertical_flip=True)
PAPERLIKE = Augmentation(rotation=30, width_shift=0.2, height_shift=0.2, zoom=0.2, horizontal_flip=True)
SINGLE = [
    Augmentation(rotation=40),
    Augmentation(width_shift=0.3),
    Augmentation(height_shift=0.3),
    Augmentation(zoom=0.3),
    Augmentation(shear=20),
    Augmentation(horizontal_flip=True),
    Augmentation(vertical_flip=True),
    Augmentation(width_shift=0.3, horizontal_flip=True, vertical_flip=True),
]
STILL = {"theta": 0, "tx": 0, "ty": 0, "shear": 0, "zx": 1, "zy": 1, "flip_horizontal": False, "flip_vertical": False}


def draw_noise(count=6, height=40, width=40, channels=1, dtype=np.uint8) -> np.ndarray:
    """White noise: the steepest edges there can be."""
    return np.random.default_rng(0).integers(0, 256, (count, height, width, channels)).astype(dtype)


def draw_speckle(count=20, side=96) -> np.ndarray:
    random = np.random.default_rng(1)
    return np.stack([to_uint8(80 * speckle((side, side), 4, random))[..., None] for _ in range(count)])


def assert_like_keras(fast: np.ndarray, keras: np.ndarray):
    """Within the tolerance of the module's docstring."""
    assert fast.dtype == keras.dtype
    difference = np.abs(fast.astype(float) - keras)
    if not EXACT:
        assert difference.max() <= 9
    elif fast.dtype == np.float32:
        assert difference.max() <= 0.02
    else:
        assert difference.max() <= 1
        assert np.count_nonzero(difference) <= max(2, 1e-3 * difference.size)


@pytest.mark.parametrize("augmentation", [*SINGLE, ALL, PAPERLIKE, Augmentation()])
def test_draws_are_those_of_keras(augmentation):
    generator = build_generator(augmentation)
    shape = (40, 56, 3)
    seeds = [*range(300), 2**31, 2**32 - 1]
    for seed, drawing in zip(seeds, draw_transforms(augmentation, shape, seeds), strict=True):
        expected = generator.get_random_transform(shape, seed)
        assert expected.pop("channel_shift_intensity") is None
        assert expected.pop("brightness") is None
        assert drawing == expected


def test_draws_fill_their_ranges():
    drawings = draw_transforms(ALL, (100, 200, 1), range(2000))
    spans = {"theta": 30, "tx": 15, "ty": 40, "shear": 12}
    for name, span in spans.items():
        values = np.array([drawing[name] for drawing in drawings])
        assert -span <= values.min() < -0.99 * span
        assert 0.99 * span < values.max() <= span
    assert np.mean([drawing["flip_horizontal"] for drawing in drawings]) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("fill", ["nearest", "constant"])
@pytest.mark.parametrize("augmentation", [*SINGLE, ALL])
def test_pixels_are_those_of_keras(augmentation, fill, dtype):
    augmentation = replace(augmentation, fill=fill, fill_value=17)
    for height, width, channels in [(40, 40, 1), (41, 41, 3), (33, 64, 3), (64, 33, 1), (7, 5, 1)]:
        images = draw_noise(6, height, width, channels, dtype)
        drawings = draw_transforms(augmentation, images.shape[1:], range(6))
        fast = move_images(images, drawings, augmentation)
        assert fast.shape == images.shape
        assert_like_keras(fast, move_images(images, drawings, augmentation, reference=True))


def test_reference_is_the_class_of_keras():
    images = draw_noise(3, channels=3, dtype=np.float32)
    generator = build_generator(ALL)
    expected = [generator.random_transform(image, seed) for image, seed in zip(images, (5, 6, 7), strict=True)]
    drawings = draw_transforms(ALL, images.shape[1:], (5, 6, 7))
    np.testing.assert_array_equal(move_images(images, drawings, ALL, reference=True), expected)
    assert not np.array_equal(images, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_speckle_deviates_little_with_any_opencv(dtype):
    images = draw_speckle().astype(dtype)
    drawings = draw_transforms(PAPERLIKE, images.shape[1:], range(len(images)))
    fast = move_images(images, drawings, PAPERLIKE).astype(float)
    difference = np.abs(fast - move_images(images, drawings, PAPERLIKE, reference=True))
    assert difference.mean() < (1e-3 if EXACT else 0.3)
    assert np.quantile(difference, 0.999) <= (0.01 if EXACT else 2)


def test_exact_moves():
    """Moves by whole pixels and flips copy pixels; Keras' ty moves rows, tx columns."""
    images = draw_noise(1, 8, 8, 3)
    for change, expected in [
        ({"ty": 2}, images[:, [2, 3, 4, 5, 6, 7, 7, 7]]),
        ({"tx": -2}, images[:, :, [0, 0, 0, 1, 2, 3, 4, 5]]),
        ({"flip_horizontal": True}, images[:, :, ::-1]),
        ({"flip_vertical": True}, images[:, ::-1]),
        ({"ty": 2, "flip_vertical": True}, images[:, [7, 7, 7, 6, 5, 4, 3, 2]]),
    ]:
        np.testing.assert_array_equal(move_images(images, [STILL | change], Augmentation()), expected)
    turned = move_images(images, [STILL | {"theta": 90}], Augmentation())
    assert_like_keras(turned, np.rot90(images, axes=(1, 2)))


def test_matrix_of_known_drawings():
    np.testing.assert_array_equal(build_matrix(STILL, (8, 6)), [[1, 0, 0], [0, 1, 0]])
    np.testing.assert_allclose(build_matrix(STILL | {"zx": 2}, (8, 8)), [[2, 0, -3.5], [0, 1, 0]])
    np.testing.assert_allclose(build_matrix(STILL | {"theta": 90}, (8, 8)), [[0, -1, 7], [1, 0, 0]], atol=1e-12)
    np.testing.assert_array_equal(build_matrix(STILL | {"flip_horizontal": True}, (8, 6)), [[-1, 0, 5], [0, 1, 0]])


def test_constant_fill_is_not_blended_with_the_edge():
    images = np.full((1, 8, 8, 1), 200, np.uint8)
    fill = Augmentation(fill="constant", fill_value=10)
    moved = move_images(images, [STILL | {"tx": 1.5}], fill)
    np.testing.assert_array_equal(moved[0, 0, :, 0], [200] * 6 + [10] * 2)
    assert (move_images(images, [STILL | {"tx": 1.5}], Augmentation()) == 200).all()


def test_enlarged_set_has_the_originals_first():
    images = draw_noise(5, channels=3)
    enlarged, source = enlarge_images(images, 4, PAPERLIKE, seed=3)
    assert enlarged.shape == (20, 40, 40, 3)
    assert enlarged.dtype == np.uint8
    assert source.dtype == np.int64
    np.testing.assert_array_equal(source, [0, 1, 2, 3, 4] * 4)
    np.testing.assert_array_equal(enlarged[:5], images)
    assert len(np.unique(enlarged.reshape(20, -1), axis=0)) == 20
    again, _ = enlarge_images(images, 4, PAPERLIKE, seed=3)
    np.testing.assert_array_equal(again, enlarged)
    other, _ = enlarge_images(images, 4, PAPERLIKE, seed=4)
    assert not np.array_equal(other[5:], enlarged[5:])
    np.testing.assert_array_equal(enlarge_images(images, 1, PAPERLIKE, seed=3)[0], images)
    assert_like_keras(enlarged, enlarge_images(images, 4, PAPERLIKE, seed=3, reference=True)[0])


def test_source_names_the_image_that_a_variant_came_from():
    images = np.repeat(np.arange(7, dtype=np.uint8) * 30, 16 * 16).reshape(7, 16, 16, 1)
    for variants, source in (enlarge_images(images, 3, ALL, seed=0), augment_epoch(images, ALL, 0, 1, 3)):
        np.testing.assert_array_equal(variants, images[source])


def test_variant_depends_on_seed_and_position_alone():
    images = draw_noise(6)
    whole, _ = enlarge_images(images, 3, PAPERLIKE, seed=1)
    part, _ = enlarge_images(images[:2], 2, PAPERLIKE, seed=1)
    np.testing.assert_array_equal(part[2:4], whole[6:8])
    epoch, _ = augment_epoch(images, PAPERLIKE, 1, 5, 2)
    part, _ = augment_epoch(images[:2], PAPERLIKE, 1, 5, 2)
    np.testing.assert_array_equal(part, epoch[[0, 1, 6, 7]])


def test_every_epoch_and_pass_is_fresh():
    images = draw_noise(2, dtype=np.float32)
    variants, source = augment_epoch(images, PAPERLIKE, 0, 0, 4)
    assert variants.shape == (8, 40, 40, 1)
    assert variants.dtype == np.float32
    np.testing.assert_array_equal(source, [0, 1] * 4)
    np.testing.assert_array_equal(augment_epoch(images, PAPERLIKE, 0, 0, 4)[0], variants)
    sets = [images, variants, enlarge_images(images, 4, PAPERLIKE, 0)[0][2:]]
    sets += [augment_epoch(images, PAPERLIKE, seed, epoch, 4)[0] for seed, epoch in ((0, 1), (1, 0), (1, 1))]
    together = np.concatenate(sets)
    assert len(np.unique(together.reshape(len(together), -1), axis=0)) == len(together)
    assert_like_keras(variants, augment_epoch(images, PAPERLIKE, 0, 0, 4, reference=True)[0])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_no_augmentation_returns_the_images(dtype):
    images = draw_noise(3, 21, 30, 3, dtype)
    for variants, source in (enlarge_images(images, 3, Augmentation(), 0), augment_epoch(images, Augmentation(), 0, 0, 2)):
        np.testing.assert_array_equal(variants, images[source])


def test_global_generator_and_the_images_stay_untouched():
    images = draw_noise(3)
    images.flags.writeable = False  # as a memory-mapped data set is
    before = np.random.get_state(legacy=False)  # noqa: NPY002
    enlarge_images(images, 2, ALL, 0)
    augment_epoch(images, ALL, 0, 0, 1)
    after = np.random.get_state(legacy=False)  # noqa: NPY002
    np.testing.assert_array_equal(before["state"]["key"], after["state"]["key"])
    assert before["state"]["pos"] == after["state"]["pos"]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_any_number_of_threads_gives_the_same(dtype):
    images = draw_noise(2, 301, 403, 3, dtype)
    threads = cv2.getNumThreads()
    try:
        results = []
        for count in (1, 2, 5):
            cv2.setNumThreads(count)
            results.append(augment_epoch(images, ALL, 0, 0, 2)[0])
    finally:
        cv2.setNumThreads(threads)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_views_give_what_copies_give():
    images = draw_noise(3, 30, 44, 3)
    for view in (images[:, ::-1], images[..., ::-1], images[:, 3:20, 5:30], np.broadcast_to(images[..., :1], images.shape)):
        expected = augment_epoch(view.copy(), ALL, 0, 0, 1)[0]
        np.testing.assert_array_equal(augment_epoch(view, ALL, 0, 0, 1)[0], expected)
    assert augment_epoch(images[:0], ALL, 0, 0, 2)[0].shape == (0, 30, 44, 3)


def test_memory_is_the_result_and_little_more():
    images = draw_noise(40, 100, 100, 3)
    tracemalloc.start()
    try:
        enlarged, _ = enlarge_images(images, 4, PAPERLIKE, seed=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert enlarged.nbytes < peak < 1.05 * enlarged.nbytes


def test_fast_way_needs_no_tensorflow(root):
    code = """
import sys
import numpy as np
from common.training.augmentation import Augmentation, enlarge_images
enlarge_images(np.zeros((2, 8, 8, 1), np.uint8), 2, Augmentation(rotation=5), 0)
print([m for m in ("tensorflow", "keras") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "wrong",
    [{"rotation": -1}, {"rotation": 360}, {"width_shift": 1}, {"height_shift": 5}, {"zoom": 1.0}, {"zoom": float("nan")},
     {"shear": 90}, {"fill": "reflect"}],
)  # fmt: skip
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Augmentation(**wrong)


def test_impossible_requests_are_refused():
    images = draw_noise(2)
    with pytest.raises(UsageError, match="fill_value"):
        augment_epoch(images, Augmentation(fill="constant", fill_value=-0.5), 0, 0, 1)
    with pytest.raises(UsageError, match="enlarge"):
        enlarge_images(images, 0, ALL, 0)
    with pytest.raises(UsageError, match="passes"):
        augment_epoch(images, ALL, 0, 0, 0)
    with pytest.raises(TypeError, match="float64"):
        augment_epoch(images / 255, ALL, 0, 0, 1)
    with pytest.raises(ValueError, match="height, width"):
        augment_epoch(images[..., 0], ALL, 0, 0, 1)
    with pytest.raises(ValueError, match="shorter"):
        move_images(images, [STILL], ALL)
