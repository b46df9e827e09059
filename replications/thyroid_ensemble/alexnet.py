"""AlexNet without its dense layers (sec. 1.4), in the two forms whose ImageNet weights are to be had.

"torchvision": Krizhevsky 2014 ("one weird trick"), one tower, no response normalisation. Its weights expect RGB scaled to
0..1, less TORCHVISION_MEAN, divided by TORCHVISION_STD.
"original": Krizhevsky, Sutskever and Hinton 2012, as trained with Caffe (bvlc_alexnet): response normalisation, and two groups
in conv2, conv4 and conv5. Its weights expect blue, green, red in 0..255, less CAFFE_MEAN_BGR.
"""

from pathlib import Path

import keras
from keras import layers

from common.errors import UsageError
from common.training.pretrained import copy_torch_weights, find_weight_file
from common.training.torch_files import read_torch_file
from replications.thyroid_ensemble.weights import ADDRESSES

ALEXNET_ADDRESS, ALEXNET_SHA256 = ADDRESSES["AlexNet"]
ALEXNET_FILE = ALEXNET_ADDRESS.rpartition("/")[2]
TORCHVISION_MEAN, TORCHVISION_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CAFFE_MEAN_BGR = (104.0, 117.0, 123.0)

FILTERS = {"torchvision": (64, 192, 384, 256, 256), "original": (96, 256, 384, 384, 256)}
GROUPS = {"torchvision": (1, 1, 1, 1, 1), "original": (1, 2, 1, 2, 2)}
SMALLEST = {"torchvision": 63, "original": 67}  # pixels: below, nothing is left for pool5
# Names of the tensors in weight files, by layer.
TENSORS = {
    "torchvision": {"conv1": "features.0", "conv2": "features.3", "conv3": "features.6", "conv4": "features.8",
                    "conv5": "features.10"},
    "original": {f"conv{number}": f"conv{number}" for number in range(1, 6)},
}  # fmt: skip
UNUSED = {"torchvision": ("classifier",), "original": ("fc6", "fc7", "fc8")}


@keras.saving.register_keras_serializable(package="thyroid_ensemble")
class LocalResponseNormalization(keras.layers.Layer):
    """x / (k + alpha / size * s)^beta, s = sum of x^2 over `size` channels around each; any shape, channels last.

    Caffe's convention, for which bvlc_alexnet was trained: k = 1, and alpha is divided by size. The article of 2012 (its 3.3)
    prints k = 2 and alpha undivided: k = 2, alpha = size * 1e-4 here.
    """

    def __init__(self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def call(self, inputs):
        before = (self.size - 1) // 2
        padding = [(0, 0)] * (inputs.ndim - 1) + [(before, self.size - 1 - before)]
        squares = keras.ops.pad(keras.ops.square(inputs), padding)
        channels = inputs.shape[-1]
        total = sum(squares[..., shift : shift + channels] for shift in range(self.size))
        return inputs / keras.ops.power(self.k + self.alpha / self.size * total, self.beta)

    def get_config(self) -> dict:
        return {**super().get_config(), "size": self.size, "alpha": self.alpha, "beta": self.beta, "k": self.k}


def build_alexnet(side: int, variant: str, width: float = 1.0) -> keras.Model:
    """Convolutions and poolings of AlexNet; takes float32 (n, side, side, 3), standardised; ends with pool5.

    variant: "torchvision" (2,469,696 parameters) or "original" (2,334,080; native side 227). width: factor on all filters,
    at least 2 a layer. Raises UsageError for another variant or a side under 63 ("torchvision") or 67 ("original").
    Comments give shapes at side 227, width 1, of torchvision | original.
    """
    if variant not in FILTERS:
        raise UsageError(f"alexnet_variant = {variant!r}: choose one of {', '.join(FILTERS)}")
    if side < SMALLEST[variant]:
        raise UsageError(f"alexnet_side = {side}: this AlexNet ({variant}) takes {SMALLEST[variant]} pixels or more")
    filters = [2 * max(1, round(count * width / 2)) for count in FILTERS[variant]]  # even: two groups
    original = variant == "original"

    def convolve(x: keras.KerasTensor, number: int, size: int) -> keras.KerasTensor:
        # Odd sizes and stride 1: "same" pads both sides alike, as PyTorch and Caffe do.
        return layers.Conv2D(
            filters[number - 1], size, padding="same", groups=GROUPS[variant][number - 1], activation="relu", name=f"conv{number}"
        )(x)

    def pool(x: keras.KerasTensor, number: int) -> keras.KerasTensor:
        if original and number < 5:
            x = LocalResponseNormalization(name=f"norm{number}")(x)
        return layers.MaxPooling2D(3, strides=2, name=f"pool{number}")(x)

    images = keras.Input((side, side, 3), name="images")
    x = images if original else layers.ZeroPadding2D(2, name="conv1_pad")(images)  # 231 | -
    x = layers.Conv2D(filters[0], 11, strides=4, activation="relu", name="conv1")(x)  # 56 x 64 | 55 x 96
    x = pool(x, 1)  # 27 x 64 | 27 x 96
    x = convolve(x, 2, 5)  # 27 x 192 | 27 x 256
    x = pool(x, 2)  # 13 x 192 | 13 x 256
    x = convolve(x, 3, 3)  # 13 x 384
    x = convolve(x, 4, 3)  # 13 x 256 | 13 x 384
    x = convolve(x, 5, 3)  # 13 x 256
    return keras.Model(images, pool(x, 5), name="alexnet")  # 6 x 256


def load_alexnet(model: keras.Model, path: Path, variant: str) -> None:
    """Copy ImageNet weights into a model of `build_alexnet` of width 1.

    "torchvision": ALEXNET_FILE (its checksum is checked), or any .pth or .safetensors of the same state dict. "original": a
    .safetensors with the tensors conv1/weight (filters, channels of a group, rows, columns), conv1/bias, ..., conv5/bias of
    bvlc_alexnet, named as Caffe names layer and blob ("/" or "."); fc6 to fc8 may be in it. Caffe's own files are not read.
    Raises UsageError if the file is missing, damaged, or does not fit the model.
    """
    if path.name == ALEXNET_FILE:
        find_weight_file(path.parent, ALEXNET_FILE, ALEXNET_ADDRESS, ALEXNET_SHA256)
    tensors = {name.replace("/", "."): values for name, values in read_torch_file(path).items()}
    copy_torch_weights(model, tensors, TENSORS[variant], path, unused=UNUSED[variant])
