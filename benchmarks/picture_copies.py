"""Copies of pictures as collections hold them: the same pixels, encoded again, framed, cropped, turned, labelled, enhanced."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np


def encode(image: np.ndarray) -> np.ndarray:
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)


def shift(image: np.ndarray, share: float, border: int) -> np.ndarray:
    move = np.array([[1, 0, share * image.shape[1]], [0, 1, -share * image.shape[0]]], np.float32)
    return cv2.warpAffine(image, move, image.shape[::-1], borderMode=border)


def turn(image: np.ndarray, degrees: float, border: int) -> np.ndarray:
    middle = ((image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2)
    return cv2.warpAffine(image, cv2.getRotationMatrix2D(middle, degrees, 1), image.shape[::-1], borderMode=border)


def crop(image: np.ndarray, top: float, right: float) -> np.ndarray:
    """Cut a share of the height off the top and of the width off the right."""
    return image[round(image.shape[0] * top) :, : image.shape[1] - round(image.shape[1] * right)]


def crop_all(image: np.ndarray, share: float) -> np.ndarray:
    """Cut half of a share of height and width off every side."""
    y, x = (round(side * share / 2) for side in image.shape)
    return image[y : image.shape[0] - y, x : image.shape[1] - x]


def frame(image: np.ndarray, share: float) -> np.ndarray:
    """Add a black frame, a share of the height and of the width wide."""
    y, x = (round(side * share) for side in image.shape)
    return cv2.copyMakeBorder(image, y, y, x, x, cv2.BORDER_CONSTANT, value=0)


def cover(image: np.ndarray, share: float) -> np.ndarray:
    """Paint a black frame over the picture."""
    y, x = (round(side * share) for side in image.shape)
    covered = np.zeros_like(image)
    covered[y:-y, x:-x] = image[y:-y, x:-x]
    return covered


def pad_square(image: np.ndarray) -> np.ndarray:
    """Add black to the shorter side; of a square image, bars of a sixth of it, which leave no square."""
    height, width = image.shape
    y, x = max(0, (width - height) // 2), max(0, (height - width) // 2)
    return cv2.copyMakeBorder(image, y or (height == width) * height // 6, y or (height == width) * height // 6, x, x,
                              cv2.BORDER_CONSTANT, value=0)  # fmt: skip


def brighten(image: np.ndarray, contrast: float, brightness: float) -> np.ndarray:
    return np.clip(contrast * image + brightness, 0, 255).astype(np.uint8)


def bend(image: np.ndarray, gamma: float) -> np.ndarray:
    return np.round(255 * (image / 255) ** gamma).astype(np.uint8)


def label(image: np.ndarray) -> np.ndarray:
    """Draw three labels and a calliper in white."""
    drawn = image.copy()
    height, width = image.shape
    size = min(height, width) / 256
    thick = max(1, round(2 * size))
    for x, y, text in ((0.03, 0.10, "US 12 MHz"), (0.03, 0.95, "D1 12.4 mm"), (0.6, 0.1, "LEFT 2")):
        cv2.putText(drawn, text, (int(x * width), int(y * height)), cv2.FONT_HERSHEY_SIMPLEX, 0.8 * size, 255, thick)
    ends, arm = [(int(0.35 * width), int(0.45 * height)), (int(0.65 * width), int(0.6 * height))], int(12 * size) + 1
    for x, y in ends:
        cv2.line(drawn, (x - arm, y), (x + arm, y), 255, thick)
        cv2.line(drawn, (x, y - arm), (x, y + arm), 255, thick)
    cv2.line(drawn, *ends, 255, max(1, thick // 2))
    return drawn


def equalise(image: np.ndarray) -> np.ndarray:
    return cv2.createCLAHE(4, (8, 8)).apply(image)


KINDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "the same pixels": lambda image: image,
    "JPEG quality 60": encode,
    "mirrored left-right": lambda image: image[:, ::-1],
    "mirrored up-down": lambda image: image[::-1],
    "turned by 90 degrees": np.rot90,
    "brightness 0.97": lambda image: brighten(image, 0.97, 0),
    "darker, contrast 0.7": lambda image: brighten(image, 0.7, -10),
    "brighter, contrast 1.15": lambda image: brighten(image, 1.15, 10),
    "brighter into saturation, contrast 1.3": lambda image: brighten(image, 1.3, 20),
    "cropped 5 %": lambda image: crop(image, 0.05, 0.05),
    "cropped 10 %": lambda image: crop(image, 0.10, 0.10),
    "shifted 10 % in x and y, edge continued": lambda image: shift(image, 0.1, cv2.BORDER_REPLICATE),
    "shifted 10 % in x and y, black border": lambda image: shift(image, 0.1, cv2.BORDER_CONSTANT),
    "cropped 10 %, brighter, JPEG": lambda image: encode(brighten(crop(image, 0.1, 0.1), 1.15, 10)),
    "mirrored, shifted 7 %, JPEG": lambda image: encode(shift(np.ascontiguousarray(image[:, ::-1]), 0.07, cv2.BORDER_REFLECT)),
    "padded with black to (or from) a square": pad_square,
    "black frame of 12.5 % around": lambda image: frame(image, 0.125),
    "black frame of 12.5 % over the picture": lambda image: cover(image, 0.125),
    "inverted grey": lambda image: 255 - image,
    "gamma 2": lambda image: bend(image, 2),
    "gamma 0.5": lambda image: bend(image, 0.5),
    "labels and callipers drawn in": label,
    "CLAHE, clip limit 4": equalise,
    "right side cut by 15 %": lambda image: crop(image, 0, 0.15),
    "top cut by 15 %": lambda image: crop(image, 0.15, 0),
    "cropped 20 %, at a corner": lambda image: crop(image, 0.2, 0.2),
    "cropped 20 %, all sides": lambda image: crop_all(image, 0.2),
    "rotated 5 degrees, black corners": lambda image: turn(image, 5, cv2.BORDER_CONSTANT),
    "rotated 5 degrees, edge continued": lambda image: turn(image, -5, cv2.BORDER_REPLICATE),
}


# Copies beyond what the search is made for, to know where it ends.
BEYOND: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "cropped 30 %, at a corner": lambda image: crop(image, 0.3, 0.3),
    "cropped to half of height and width": lambda image: crop(image, 0.5, 0.5),
    "right side cut by 25 %": lambda image: crop(image, 0, 0.25),
    "rotated 10 degrees, black corners": lambda image: turn(image, 10, cv2.BORDER_CONSTANT),
    "rotated 15 degrees, black corners": lambda image: turn(image, 15, cv2.BORDER_CONSTANT),
    "shrunk to 24 pixels": lambda image: cv2.resize(image, (24, 24), interpolation=cv2.INTER_AREA),
    "beside another picture, as one of two": lambda image: np.concatenate([image, np.rot90(image, 2)], axis=1),
}


def copy_images(images: Sequence[np.ndarray], kind: str) -> list[np.ndarray]:
    return [np.ascontiguousarray((KINDS | BEYOND)[kind](image)) for image in images]
