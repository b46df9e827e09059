"""What is picture and what is frame: the box of the content, and the mask of a thumbnail's background.

Copies are padded to a square, framed or rotated into black corners; radiographs and ultrasound have a black surround of their
own. Both are taken away the same way, so that a copy with another surround has the same content.
"""

import cv2
import numpy as np

SIDE = 128  # longer side at which the content is looked for, pixels
LEVEL = 8  # grey levels about the border's that count as border
CONSTANT = 0.95  # share of an outermost row or column within LEVEL of its median: a frame of that level
SMOOTH = 12  # largest step between neighbours within a border; JPEG rings at its inner edge
KERNEL = np.ones((3, 3), np.uint8)


def find_content(image: np.ndarray) -> tuple[int, int, int, int]:
    """Box x0, y0, x1, y1 (x1, y1 exclusive) of the largest connected part of an image that is no border.

    image: (h, w) uint8. Border is what hangs together with the image's edge and is black, white, or of the level of an outermost
    row or column that is constant. Returns the whole image where nothing is to be cut off or hardly anything would be left.

    >>> picture = np.random.default_rng(0).integers(60, 220, (40, 40)).astype(np.uint8)
    >>> find_content(cv2.copyMakeBorder(picture, 20, 20, 0, 0, cv2.BORDER_CONSTANT, value=0))
    (0, 19, 40, 61)
    >>> find_content(picture)
    (0, 0, 40, 40)
    """
    height, width = image.shape
    shrunk = min(1.0, SIDE / max(image.shape))
    size = (max(8, round(width * shrunk)), max(8, round(height * shrunk)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if shrunk < 1 else image
    levels = {0, 255}
    for edge in (small[0], small[-1], small[:, 0], small[:, -1]):
        in_order = np.sort(edge)
        median = (int(in_order[(len(edge) - 1) // 2]) + int(in_order[len(edge) // 2])) // 2
        if (np.abs(edge.astype(int) - median) <= LEVEL).mean() >= CONSTANT:
            levels.add(median)
    grey = small.astype(int)
    border = np.logical_or.reduce([np.abs(grey - level) <= LEVEL for level in sorted(levels)])
    border &= _measure_steps(small) <= SMOOTH
    border = cv2.dilate(_keep_at_edge(border), KERNEL)  # the last pixels of a border mix it with the picture
    if not border.any():
        return 0, 0, width, height
    content = cv2.morphologyEx(1 - border, cv2.MORPH_OPEN, KERNEL)
    count, _, parts, _ = cv2.connectedComponentsWithStats(content, connectivity=4)
    left, top, wide, high, _ = parts[1 + parts[1:, cv2.CC_STAT_AREA].argmax()].tolist() if count > 1 else (0, 0, 0, 0, 0)
    nothing_left = min(wide, high) < 8 or wide * high < 0.05 * content.size
    if nothing_left or (wide >= 0.97 * size[0] - 2 and high >= 0.97 * size[1] - 2):
        return 0, 0, width, height
    # Back to the pixels that dilating took.
    x0, y0, x1, y1 = max(left - 1, 0), max(top - 1, 0), left + wide + 1, top + high + 1
    scale_x, scale_y = width / size[0], height / size[1]
    return int(x0 * scale_x), int(y0 * scale_y), min(width, round(x1 * scale_x)), min(height, round(y1 * scale_y))


def mask_background(thumbnail: np.ndarray) -> np.ndarray:
    """Mask (h, w) float32 of a thumbnail (h, w) uint8: 0 on flat black or white that hangs together with its edge, else 1.

    All 1 where that would leave less than 30 %: dark pictures, not pictures on a dark ground.

    >>> picture = np.full((64, 64), 100, np.uint8)
    >>> picture[:8] = 0
    >>> mask = mask_background(picture)
    >>> int(mask[:8].sum()), int(mask[8:].sum())
    (0, 3584)
    """
    extreme = ((thumbnail <= 3) | (thumbnail >= 252)) & (_measure_steps(thumbnail) <= 2)
    if not extreme.any():
        return np.ones(thumbnail.shape, np.float32)
    background = cv2.dilate(_keep_at_edge(extreme), KERNEL)
    return np.ones(thumbnail.shape, np.float32) if background.mean() > 0.7 else 1 - background.astype(np.float32)


def _measure_steps(image: np.ndarray) -> np.ndarray:
    """Largest difference within 3x3 pixels."""
    return cv2.dilate(image, KERNEL).astype(int) - cv2.erode(image, KERNEL)


def _keep_at_edge(mask: np.ndarray) -> np.ndarray:
    """The connected parts of a mask that touch the image's edge, uint8 0 or 1."""
    count, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    touching = np.zeros(count, np.uint8)
    for edge in (parts[0], parts[-1], parts[:, 0], parts[:, -1]):
        touching[edge] = 1
    touching[0] = 0  # what is not masked
    return touching[parts]
