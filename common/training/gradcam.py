"""Where a functional Keras model looks: Grad-CAM (Selvaraju et al., ICCV 2017) and the plain input gradient."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from common.errors import UsageError

BLOCK = 32  # images per pass: bounds the memory for feature maps
Tensor = Any  # with values, of the backend: TensorFlow's or JAX's own class


def grad_cam(model: keras.Model, images: np.ndarray, layer: str | None = None, class_index: int | None = None) -> np.ndarray:
    """Grad-CAM of images (n, h, w, channels), scaled as the model takes them: float32 (n, h, w) in [0, 1].

    Channel weights are the mean gradients of the class score before the softmax; the weighted sum is cut at zero,
    enlarged bilinearly and divided by its maximum, image by image. An image without positive evidence gives zeros.
    layer: name of a feature map through which every path of the network goes, by default `find_feature_map`.
    class_index: by default the predicted class of each image; one sigmoid output counts as the classes 0 and 1.
    Raises UsageError for a network without feature maps (`saliency` works there) or an unsuitable layer. Backends:
    TensorFlow and JAX.
    """
    layer = find_feature_map(model, layer)
    inputs, outputs, score = _trace(model)
    lower = keras.Model(inputs, outputs[layer])
    try:
        upper = keras.Model(outputs[layer], score)
    except ValueError as error:  # Keras finds an input that the feature map does not determine
        raise UsageError(f"{model.name}: a path of the network bypasses {layer!r}; choose a later layer") from error
    cams = []
    for block in _split_blocks(images):
        features = lower(block, training=False)
        weights = ops.mean(_find_gradient(upper, features, class_index), axis=(1, 2), keepdims=True)
        cam = ops.relu(ops.sum(weights * features, axis=-1, keepdims=True))
        cams.append(ops.convert_to_numpy(ops.image.resize(cam, images.shape[1:3]))[..., 0])
    return _scale_each(np.concatenate(cams))


def saliency(model: keras.Model, images: np.ndarray, class_index: int | None = None) -> np.ndarray:
    """Magnitude of the class score's gradient at every pixel, the largest over channels (Simonyan et al. 2014).

    For networks without feature maps. Arguments, result and scaling as in `grad_cam`.
    """
    inputs, _, score = _trace(model)
    scored = keras.Model(inputs, score)
    gradients = [_find_gradient(scored, block, class_index) for block in _split_blocks(images)]
    return _scale_each(np.abs(np.concatenate([ops.convert_to_numpy(g) for g in gradients])).max(axis=-1))


def find_feature_map(model: keras.Model, layer: str | None = None) -> str:
    """Name of the layer that Grad-CAM looks at: `layer`, or by default the last suitable one.

    Suitable: its feature map (n, h, w, channels) rests on a convolution, has more than one pixel (one pixel shows no place) and
    is not merely pooled. Raises UsageError where `layer` gives no feature map, or no layer does.
    """
    maps, convolved = [], False
    for candidate in model.layers:
        convolved = convolved or any(len(w.shape) == 4 for w in candidate.weights)
        if convolved and not isinstance(candidate.output, list) and len(candidate.output.shape) == 4:
            maps.append(candidate)
    if not maps:
        raise UsageError(f"{model.name}: no convolutional feature map, which Grad-CAM needs")
    if layer is not None:
        if layer not in [m.name for m in maps]:
            known = ", ".join(m.name for m in maps)
            raise UsageError(f"{model.name}: {layer!r} is no feature map; choose one of {known}")
        return layer
    pooling = (layers.MaxPooling2D, layers.AveragePooling2D)
    placed = [m for m in maps if tuple(m.output.shape[1:3]) != (1, 1) and not isinstance(m, pooling)]
    return (placed or maps)[-1].name


def _trace(model: keras.Model) -> tuple[list[keras.KerasTensor], dict[str, keras.KerasTensor], keras.KerasTensor]:
    """The model's graph run once more over the same layers: its inputs, the output of every layer by name, the score.

    Score: (n, classes) before the last softmax or sigmoid; probabilities saturate and lose the gradient. `layer.output`
    would not do instead: that of a model inside the model belongs to the inner graph.
    """
    outputs: dict[str, keras.KerasTensor] = {}
    calls: list[tuple[keras.Layer, tuple]] = []

    def call(layer: keras.Layer, *arguments: Any, **keywords: Any) -> keras.KerasTensor:
        outputs[layer.name] = layer(*arguments, **keywords)
        calls.append((layer, arguments))
        return outputs[layer.name]

    traced = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
    score = traced.outputs[0]
    layer, arguments = calls[-1]
    squashing = (keras.activations.softmax, keras.activations.sigmoid)
    if isinstance(layer, layers.Softmax) or (isinstance(layer, layers.Activation) and layer.activation in squashing):
        score = arguments[0]
    elif isinstance(layer, layers.Dense) and layer.activation in squashing:
        # Named, as Keras' own name for it could be that of another layer.
        linear = layers.Dense(layer.units, use_bias=layer.use_bias, name=f"{layer.name}_linear")
        score = linear(arguments[0])
        linear.set_weights(layer.get_weights())
    if score.shape[-1] == 1:
        score = ops.concatenate([-score, score], axis=-1)
    return traced.inputs, outputs, score


def _find_gradient(scored: keras.Model, values: Tensor, class_index: int | None) -> Tensor:
    """Gradient of the chosen (or each image's largest) score of scored(values), same shape as values."""

    def sum_chosen(x: Tensor) -> Tensor:
        scores = scored(x, training=False)
        chosen = ops.argmax(scores, axis=-1) if class_index is None else ops.full((len(values),), class_index, "int32")
        return ops.sum(scores * ops.one_hot(chosen, scores.shape[-1], dtype=scores.dtype))

    if keras.backend.backend() == "jax":
        import jax

        return jax.grad(sum_chosen)(values)
    if keras.backend.backend() != "tensorflow":
        raise UsageError(f"no gradients on {keras.backend.backend()}: set KERAS_BACKEND to tensorflow or jax")
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(values)
        total = sum_chosen(values)
    return tape.gradient(total, values)


def _split_blocks(images: np.ndarray) -> Iterator[Tensor]:
    for start in range(0, len(images), BLOCK):
        yield ops.convert_to_tensor(images[start : start + BLOCK], "float32")


def _scale_each(maps: np.ndarray) -> np.ndarray:
    """Every map divided by its maximum; all-zero maps stay zero. float32."""
    top = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, top, out=np.zeros_like(maps, np.float32), where=top > 0)
