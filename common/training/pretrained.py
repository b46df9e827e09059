"""Weight files for Keras models: Keras' .h5 and .weights.h5, and tensors of PyTorch (`torch_files`) copied by name.

A weight file comes from elsewhere and is only data: nothing that it names is imported or called, sizes that it claims are
checked before arrays are made, and a model is changed only after everything was found to fit.
"""

import hashlib
import math
from collections.abc import Collection, Mapping
from pathlib import Path

import keras
import numpy as np
from keras import layers as kinds

from common.errors import UsageError
from common.files import check_file
from common.training.formats import HOLDS_WEIGHTS, name_format
from common.training.keras_files import check_finite, read_layers
from common.training.torch_files import shorten_error
from common.training.weights import locate_cache


def find_weight_file(folder: Path | None, filename: str, address: str, checksum: str) -> Path:
    """Return folder/filename after checking its checksum. folder None: Keras' cache, downloaded there on first use.

    checksum: hexadecimal MD5 (32 digits), sha256 (64 digits), or the first digits of a sha256, as in the names of PyTorch's
    files; "" where the publishers state none: then the file must be of a kind that holds weights. Raises UsageError that says
    which file, where from, which checksum, where to put it.
    """
    path = (folder or locate_cache()) / filename
    kind = "md5" if len(checksum) == 32 else "sha256"
    begins = "" if len(checksum) in (32, 64) else "begins with "
    known = f" (its {kind} {begins}{checksum})" if checksum else ""
    advice = f"get {filename} from {address}{known} and put it into {path.parent}"
    try:
        if folder is None and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)  # Keras would fall back to a folder that all users share
            keras.utils.get_file(filename, address, cache_dir=path.parents[1], cache_subdir="models")
        check_file(path)
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, kind).hexdigest()
    except Exception as error:  # get_file raises plain Exception on every failure of the network
        why = "" if isinstance(error, FileNotFoundError) else f": {getattr(error, 'strerror', None) or shorten_error(error)}"
        raise UsageError(f"{path}: not here{why}; {advice}") from None
    what = name_format(path)
    if not found.startswith(checksum.lower()):
        raise UsageError(f"{path}: damaged or another file{f' ({what})' if what else ''}, its {kind} is {found}; {advice}")
    if not checksum and not what.startswith(HOLDS_WEIGHTS):
        raise UsageError(f"{path}: no weight file: it is {what or 'of no known kind'}; {advice}")
    return path


def load_keras_file(
    model: keras.Model, path: Path, *, names: Mapping[str, str] | None = None, skip: Collection[str] = ()
) -> None:
    """Copy the weights of an HDF5 file into the layers of a model, matched by layer name; layers of nested models too.

    Takes weight files of keras.applications (with or without top), whole models saved as .h5 or .keras, and Keras 3's
    .weights.h5; layers of models that are nested in the file's, too.
    names: layer of the model -> its name in the file, where they differ. skip: layers that keep the values they have.
    Layers of the file that the model lacks are left out: the model may be a part of the network. Raises UsageError where a
    layer is missing in the file, a shape differs, values are not finite, the file is damaged or refers to other files; the
    model then stays as it was.
    """
    targets = {name: layer for name, layer in _collect_layers(model).items() if name not in set(skip)}
    sources = {name: (names or {}).get(name, name) for name in targets}
    wanted = {sources[name]: [tuple(weight.shape) for weight in layer.weights] for name, layer in targets.items()}
    shown = {source: f", for {name}" for name, source in sources.items() if source != name}
    values = read_layers(path, wanted, shown)
    for name, layer in targets.items():
        layer.set_weights(values[sources[name]])


def _collect_layers(model: keras.Model) -> dict[str, keras.Layer]:
    """Layers that own weights by name, those of nested models in their place."""
    if not model.built:
        raise ValueError(f"{model.name} has no weights yet: build it first")
    found: dict[str, keras.Layer] = {}
    for layer in model.layers:
        inner = _collect_layers(layer) if isinstance(layer, keras.Model) else {layer.name: layer} if layer.weights else {}
        if double := found.keys() & inner.keys():
            raise ValueError(f"two layers are called {min(double)}: weights cannot be matched by name")
        found |= inner
    return found


def copy_torch_weights(
    model: keras.Model, tensors: Mapping[str, np.ndarray], names: Mapping[str, str], path: Path, *, epsilon: float = 1e-5,
    unused: Collection[str] = (), flattened: Mapping[str, tuple[int, int, int]] | None = None,
) -> None:  # fmt: skip
    """Copy tensors into every layer of a model that owns weights.

    tensors: from `read_torch_file`; path: the file, for messages. names: layer -> prefix ("conv1" -> "features.0" takes
    features.0.weight and features.0.bias). Kinds: Conv2D with groups, DepthwiseConv2D, Dense, BatchNormalization.
    unused: tensors, or prefixes of them, that the model has no place for. flattened: Dense layer -> (channels, height,
    width) of the map that was flattened before it: PyTorch flattens channels first, Keras channels last.
    epsilon: what the network's BatchNorm adds to the variance (PyTorch's default); layers must have the same.
    A strided convolution must be "valid" behind a ZeroPadding2D: PyTorch pads both sides alike, Keras' "same" does not.
    Raises UsageError unless every layer gets its tensors, every tensor has one layer, shapes and epsilon agree and values are
    finite; the model then stays as it was.
    """
    targets = _collect_layers(model)
    for name in sorted(targets.keys() ^ names.keys()):
        raise UsageError(f"{path}: layer {name} is in the {'model' if name in targets else 'map'} of weights only")
    values: dict[str, list[np.ndarray]] = {}
    taken: set[str] = set()
    for name, layer in targets.items():
        values[name] = []
        for part, weight in zip(_name_parts(layer, epsilon), layer.weights, strict=True):
            tensor = f"{names[name]}.{part}"
            where = f"{path}: tensor {tensor}, for layer {name}"
            if tensor not in tensors or tensor in taken:
                longer = next((name for name in tensors if name.endswith(f".{tensor}")), "")
                wrapped = f"; it is called {longer[:100]!r} there: save the state_dict() of the network itself" if longer else ""
                fault = "another layer has it already" if tensor in taken else f"missing in the file{wrapped}"
                raise UsageError(f"{where}: {fault}")
            taken.add(tensor)
            shape, split, axes = _plan_layout(layer, part, tuple(weight.shape), (flattened or {}).get(name))
            if tensors[tensor].shape != shape:
                raise UsageError(f"{where}: shape {tensors[tensor].shape} in the file, {shape} needed")
            array = check_finite(tensors[tensor], where).reshape(split).transpose(axes)
            values[name].append(array.reshape(weight.shape).astype(np.float32))
    taken |= {name for name in tensors if name.endswith("num_batches_tracked")}
    if spare := [name for name in tensors.keys() - taken if not f"{name}.".startswith(tuple(f"{entry}." for entry in unused))]:
        raise UsageError(f"{path}: {len(spare)} tensors have no layer in this network: {', '.join(sorted(spare)[:5])[:300]!r}")
    for name, layer in targets.items():
        layer.set_weights(values[name])


def _name_parts(layer: keras.Layer, epsilon: float) -> list[str]:
    """PyTorch's names for layer.weights, in their order."""
    if isinstance(layer, kinds.BatchNormalization):
        if not math.isclose(layer.epsilon, epsilon, rel_tol=1e-6):
            raise UsageError(f"layer {layer.name}: epsilon is {layer.epsilon}, the network's in PyTorch {epsilon}")
        parts = {"weight": layer.scale, "bias": layer.center, "running_mean": True, "running_var": True}
        return [part for part, present in parts.items() if present]
    if not isinstance(layer, (kinds.Conv2D, kinds.DepthwiseConv2D, kinds.Dense)):
        raise UsageError(f"layer {layer.name}: no rule how PyTorch keeps the weights of a {type(layer).__name__}")
    if not isinstance(layer, kinds.Dense) and layer.padding == "same" and max(layer.strides) > 1 < max(layer.kernel_size):
        raise UsageError(f"layer {layer.name}: strided with padding 'same', which PyTorch pads otherwise")
    return ["weight", "bias"][: len(layer.weights)]


def _plan_layout(
    layer: keras.Layer, part: str, shape: tuple[int, ...], flattened: tuple[int, int, int] | None
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Shape of the tensor that belongs into a weight of `shape`; shape to split it into; order of the axes after that."""
    if part != "weight" or isinstance(layer, kinds.BatchNormalization):
        return shape, shape, (0,)
    if isinstance(layer, kinds.Conv2D):  # with groups, `inputs` are those of one group on both sides
        height, width, inputs, outputs = shape
        return (outputs, inputs, height, width), (outputs, inputs, height, width), (2, 3, 1, 0)
    if isinstance(layer, kinds.DepthwiseConv2D):
        height, width, inputs, times = shape
        return (inputs * times, 1, height, width), (inputs, times, height, width), (2, 3, 0, 1)
    inputs, outputs = shape
    if flattened is None:
        return (outputs, inputs), (outputs, inputs), (1, 0)
    if math.prod(flattened) != inputs:
        raise UsageError(f"layer {layer.name}: {inputs} inputs are no flattened map of {flattened}")
    return (outputs, inputs), (outputs, *flattened), (2, 3, 1, 0)
