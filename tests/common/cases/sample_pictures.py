"""Made-up pictures, and copies of them as collections hold them."""

import cv2
import numpy as np


def make_images(count: int, side: int = 50, seed: int = 0) -> np.ndarray:
    """Lung-like textures: filtered noise of several scales, a bright blob, another contrast for every image."""
    rng = np.random.default_rng(seed)
    images = np.empty((count, side, side), np.uint8)
    grid = np.mgrid[:side, :side] / side - 0.5
    for row in range(count):
        texture = sum(
            weight * cv2.GaussianBlur(rng.normal(size=(side, side)), (0, 0), sigma) * sigma
            for sigma, weight in ((1, 0.3), (2, 0.7), (5, 1.0))
        )
        middle = rng.uniform(-0.1, 0.1, 2)
        blob = np.exp(-np.square(grid - middle[:, None, None]).sum(axis=0) / rng.uniform(0.005, 0.02))
        images[row] = np.clip(90 + rng.uniform(25, 50) * texture + 80 * blob, 0, 255).astype(np.uint8)
    return images


def encode(image: np.ndarray, quality: int = 60) -> np.ndarray:
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)


def shift(image: np.ndarray, share: float, border: int = cv2.BORDER_REPLICATE) -> np.ndarray:
    move = np.float32([[1, 0, share * image.shape[1]], [0, 1, -share * image.shape[0]]])
    return cv2.warpAffine(image, move, image.shape[::-1], borderMode=border)


def crop(image: np.ndarray, share: float) -> np.ndarray:
    cut = round(image.shape[0] * share)
    return cv2.resize(image[cut:, : image.shape[1] - cut], image.shape[::-1])


def rotate(image: np.ndarray) -> np.ndarray:
    middle = ((image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2)
    return cv2.warpAffine(image, cv2.getRotationMatrix2D(middle, 5, 1), image.shape[::-1])


def draw_label(image: np.ndarray) -> np.ndarray:
    drawn = image.copy()
    cv2.putText(drawn, "D1 12.4", (2, 10), cv2.FONT_HERSHEY_SIMPLEX, 0.25, 255)
    cv2.line(drawn, (15, 25), (32, 33), 255)
    return drawn


COPIES = {
    "same": lambda image: image,
    "jpeg": encode,
    "cropped 10 %": lambda image: crop(image, 0.1),
    "shifted 10 %": lambda image: shift(image, 0.1),
    "shifted 7 %, black border": lambda image: shift(image, 0.07, cv2.BORDER_CONSTANT),
    "left-right": lambda image: image[:, ::-1],
    "up-down": lambda image: image[::-1],
    "half turn": lambda image: image[::-1, ::-1],
    "quarter turn": np.rot90,
    "darker": lambda image: (image * 0.7).astype(np.uint8),
    "brighter": lambda image: np.clip(image * 1.1 + 15.0, 0, 255).astype(np.uint8),
    "mirrored, shifted, jpeg": lambda image: encode(shift(np.ascontiguousarray(image[:, ::-1]), 0.05)),
    "enlarged": lambda image: cv2.resize(image, (128, 128)),
    "half turn, inverted": lambda image: 255 - image[::-1, ::-1],
    "letterboxed": lambda image: cv2.copyMakeBorder(image, 9, 9, 0, 0, cv2.BORDER_CONSTANT, value=0),
    "grey frame": lambda image: cv2.copyMakeBorder(image, 7, 7, 7, 7, cv2.BORDER_CONSTANT, value=90),
    "gamma 2": lambda image: (255 * (image / 255) ** 2).astype(np.uint8),
    "equalised": lambda image: cv2.createCLAHE(4, (8, 8)).apply(image),
    "one side cut": lambda image: image[:, round(0.15 * image.shape[1]) :],
    "cropped 20 %": lambda image: crop(image, 0.2),
    "rotated": rotate,
    "labelled": draw_label,
}
