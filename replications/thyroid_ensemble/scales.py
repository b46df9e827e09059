"""Multi-scale patches (sec. 1.3, Fig. 3): centre crops of the ROI, enlarged to what a network takes."""

import cv2
import numpy as np

from replications.thyroid_ensemble.config import Config


def choose_input_side(network: str, scale: int, config: Config) -> int:
    """Side in pixels of what the network takes at a scale of Fig. 3: its own (`input_mode` resize), or the patch's (native).

    AlexNet and InceptionV3 always take their own: the smaller patches vanish in their strides.
    """
    if config.input_mode not in ("resize", "native"):
        raise ValueError(f"input_mode {config.input_mode!r}: choose one of resize, native")
    if config.input_mode == "native" and network in ("VGG16", "ResNet50"):
        return config.scale_sides[scale - 1]
    return getattr(config, f"{network.lower()}_side")


def crop_scale(rois: np.ndarray, scale: int, config: Config) -> np.ndarray:
    """Centre of ROIs uint8 (n, h, w, 1): Scale 1 = 128, Scale 2 = 64, Scale 3 = 32 pixels of 128. A view."""
    side = config.scale_sides[scale - 1]
    top, left = (rois.shape[1] - side) // 2, (rois.shape[2] - side) // 2
    return rois[:, top : top + side, left : left + side]


def cut_patches(rois: np.ndarray, network: str, scale: int, config: Config) -> np.ndarray:
    """What a network takes of ROIs uint8 (n, 128, 128, 1): uint8 (n, side, side, 1).

    Bilinear; pixels are averaged first where a patch shrinks (small trial runs), so that speckle does not alias.
    """
    side, crops = choose_input_side(network, scale, config), crop_scale(rois, scale, config)
    if crops.shape[1] == side:
        return np.ascontiguousarray(crops)
    method = cv2.INTER_LINEAR if crops.shape[1] < side else cv2.INTER_AREA
    patches = np.empty((len(crops), side, side, 1), np.uint8)
    for patch, crop in zip(patches, crops, strict=True):
        patch[..., 0] = cv2.resize(np.ascontiguousarray(crop[..., 0]), (side, side), interpolation=method)
    return patches
