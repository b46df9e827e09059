"""Grad-CAM and saliency on networks whose answer is known."""

import keras
import numpy as np
import pytest
from keras import layers

from common.errors import UsageError
from common.figures import grids
from common.training import gradcam

pytestmark = pytest.mark.usefixtures("backend")


def build_quadrant_network(activation: str = "softmax", units: int = 2) -> keras.Model:
    """Map 0 holds the means of 2x2 blocks, map 1 is one less map 0; class 1 counts map 0, class 0 counts map 1."""
    images = keras.Input((8, 8, 1))
    x = layers.AveragePooling2D(4, name="blocks")(images)
    x = layers.Conv2D(2, 1, name="maps")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    model = keras.Model(images, layers.Dense(units, activation=activation, name="head")(x))
    model.get_layer("maps").set_weights([np.array([[[[1.0, -1.0]]]]), np.array([0.0, 1.0])])
    kernel = np.array([[0.0, 1.0], [1.0, 0.0]]) if units == 2 else np.array([[1.0], [-1.0]])
    model.get_layer("head").set_weights([kernel, np.zeros(units)])
    return model


def draw_bright_corner() -> np.ndarray:
    images = np.zeros((3, 8, 8, 1), np.uint8)
    images[0, :4, :4] = 1
    images[1, 4:, 4:] = 1
    return images


def test_cam_shows_the_bright_corner_and_nothing_opposite():
    cams = gradcam.grad_cam(build_quadrant_network(), draw_bright_corner(), class_index=1)
    assert cams.shape == (3, 8, 8)
    assert cams.dtype == np.float32
    assert cams[0, 0, 0] == pytest.approx(1)
    assert cams[0, 7, 7] == pytest.approx(0)
    np.testing.assert_allclose(cams[1], cams[0, ::-1, ::-1], atol=1e-6)
    assert not cams[2].any(), "no evidence for the class gives zeros, not NaN"


def test_layers_that_bear_the_names_of_keras():
    """As in a stored network that is opened in a fresh process: there Keras would give the same names again."""
    images = keras.Input((8, 8, 1))
    x = layers.Flatten()(layers.Conv2D(2, 3, name="maps")(images))
    x = layers.Dense(2, name="dense")(x)
    keras.utils.clear_session()  # Keras counts from the start: "dense" is the next name it gives
    model = keras.Model(images, layers.Dense(2, activation="softmax", name="head")(x))
    assert gradcam.grad_cam(model, draw_bright_corner()).shape == (3, 8, 8)
    assert gradcam.saliency(model, draw_bright_corner()).shape == (3, 8, 8)


def test_cam_equals_the_formula_before_enlargement():
    images = np.random.default_rng(0).random((2, 8, 8, 1), dtype=np.float32)
    blocks = images.reshape(2, 2, 4, 2, 4).mean(axis=(2, 4))
    # the gradient of class 0 is 0 at map 0 and 1/4 at each of the four pixels of map 1 = 1 - blocks
    expected = (1 - blocks) / (1 - blocks).max(axis=(1, 2), keepdims=True)
    cams = gradcam.grad_cam(build_quadrant_network(), images, class_index=0)
    corners = cams[:, [0, 0, 7, 7], [0, 7, 0, 7]].reshape(2, 2, 2)
    np.testing.assert_allclose(corners / corners.max(axis=(1, 2), keepdims=True), expected, atol=1e-5)


def test_evidence_against_the_class_is_cut_at_zero():
    model = build_quadrant_network()
    model.get_layer("head").set_weights([np.array([[-1.0, 1.0], [1.0, -1.0]]), np.zeros(2)])
    cam = gradcam.grad_cam(model, draw_bright_corner(), class_index=1)[0]  # map 0 - map 1: 1 in the corner, else -1
    assert cam[0, 0] == pytest.approx(1)
    assert (cam[6:, 6:] == 0).all()


def test_cam_is_not_lost_when_the_softmax_saturates():
    model = build_quadrant_network()
    model.get_layer("head").set_weights([np.array([[0.0, 1e4], [1e4, 0.0]]), np.zeros(2)])
    assert gradcam.grad_cam(model, draw_bright_corner() * 200, class_index=1)[0, 0, 0] == pytest.approx(1)


def test_default_class_is_the_predicted_one():
    model, images = build_quadrant_network(), draw_bright_corner()
    predicted = model.predict(images, verbose=0).argmax(axis=1)
    cams = gradcam.grad_cam(model, images)
    for i, index in enumerate(predicted):
        np.testing.assert_array_equal(cams[i], gradcam.grad_cam(model, images[i : i + 1], class_index=int(index))[0])


def test_one_sigmoid_output_counts_as_two_classes():
    two, one = build_quadrant_network(), build_quadrant_network("sigmoid", 1)
    two.get_layer("head").set_weights([np.array([[-1.0, 1.0], [1.0, -1.0]]), np.zeros(2)])
    for index in (0, 1):
        np.testing.assert_allclose(
            gradcam.grad_cam(one, draw_bright_corner(), class_index=index),
            gradcam.grad_cam(two, draw_bright_corner(), class_index=index),
            atol=1e-6,
        )


def test_default_map_is_the_last_with_places_and_not_pooled():
    images = keras.Input((16, 16, 1))
    x = layers.Rescaling(1 / 255, name="rescale")(images)
    x = layers.Conv2D(2, 3, padding="same", name="wide")(x)
    x = layers.ReLU(name="wide_relu")(x)
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.Conv2D(2, 8, name="one_pixel")(x)
    model = keras.Model(images, layers.Softmax()(layers.Flatten()(x)))
    assert gradcam.find_feature_map(model) == "wide_relu"
    assert gradcam.find_feature_map(model, "pool") == "pool"
    with pytest.raises(UsageError, match=r"'rescale' is no feature map; choose one of wide, "):
        gradcam.find_feature_map(model, "rescale")
    blank = gradcam.grad_cam(model, np.zeros((33, 16, 16, 1), np.uint8), layer="wide")  # more than one block
    assert blank.shape == (33, 16, 16)


def test_residual_branch_is_refused_and_its_sum_accepted():
    images = keras.Input((8, 8, 1))
    x = layers.Conv2D(2, 3, padding="same", name="stem")(images)
    x = layers.Add(name="sum")([x, layers.Conv2D(2, 3, padding="same", name="branch")(x)])
    model = keras.Model(images, layers.Dense(2, activation="softmax")(layers.GlobalAveragePooling2D()(x)))
    pictures = draw_bright_corner()
    assert gradcam.find_feature_map(model) == "sum"
    assert gradcam.grad_cam(model, pictures).shape == (3, 8, 8)
    with pytest.raises(UsageError, match="bypasses 'branch'"):
        gradcam.grad_cam(model, pictures, layer="branch")


def test_map_of_a_model_inside_the_model():
    whole, pictures = build_quadrant_network(), draw_bright_corner()
    inner = keras.Model(whole.inputs, whole.get_layer("maps").output, name="inner")
    images = keras.Input((8, 8, 1))
    outer = keras.Model(images, whole.get_layer("head")(layers.GlobalAveragePooling2D()(inner(images))))
    assert gradcam.find_feature_map(outer) == "inner"
    np.testing.assert_allclose(gradcam.grad_cam(outer, pictures), gradcam.grad_cam(whole, pictures), atol=1e-6)
    np.testing.assert_allclose(gradcam.saliency(outer, pictures), gradcam.saliency(whole, pictures), atol=1e-6)


def test_network_without_maps_has_saliency_only():
    images = keras.Input((4, 4, 1))
    x = layers.Flatten()(layers.Rescaling(1 / 255)(images))
    model = keras.Model(images, layers.Dense(2, activation="softmax", name="head")(x))
    kernel = np.random.default_rng(0).normal(size=(16, 2)).astype(np.float32)
    model.get_layer("head").set_weights([kernel, np.zeros(2)])
    pictures = np.full((2, 4, 4, 1), 100, np.uint8)
    with pytest.raises(UsageError, match="no convolutional feature map, which Grad-CAM needs"):
        gradcam.grad_cam(model, pictures)
    expected = np.abs(kernel[:, 1]).reshape(4, 4) / np.abs(kernel[:, 1]).max()
    np.testing.assert_allclose(gradcam.saliency(model, pictures, class_index=1), [expected] * 2, atol=1e-6)


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 3)])
def test_overlay_keeps_the_image_where_the_cam_is_zero(shape: tuple):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    cam = np.zeros((6, 5), np.float32)
    cam[0, 0] = 1
    picture = grids.blend_map(image, cam, strength=1.0)
    assert picture.shape == (6, 5, 3)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[1:], np.broadcast_to(image.reshape(6, 5, -1), (6, 5, 3))[1:])
    np.testing.assert_allclose(picture[0, 0], (252, 255, 164), atol=1)  # the brightest colour of the map, undiluted
