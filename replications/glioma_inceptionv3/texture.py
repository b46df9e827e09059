"""What a lesion looks like in numbers: the features that the report names as its rival (pyradiomics: first order, shape, GLCM,
GLRLM, GLSZM; sec. 3.1), of one slice.

Definitions are those of pyradiomics 3.0.1 in two dimensions (van Griethuysen et al. 2017, after IBSI), with grey levels of a
fixed width. A co-occurrence matrix is never laid out: its features are means over the list of its pairs, and those of run
lengths and zones means over the list of runs or zones; so the range of an MR image costs no memory.
"""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import find_objects
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist
from skimage.measure import find_contours, label

from common.errors import UsageError
from replications.glioma_inceptionv3.config import Config

STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))  # to the neighbour, (rows, columns): 0, 90, 135 and 45 degrees
MOST_LEVELS = 2**20  # more grey levels than this are a bin width in the wrong unit

FIRST_ORDER = (
    "energy", "entropy", "minimum", "percentile_10", "percentile_90", "maximum", "mean", "median", "interquartile_range", "range",
    "mean_absolute_deviation", "robust_mean_absolute_deviation", "root_mean_square", "skewness", "kurtosis", "variance",
    "uniformity",
)  # fmt: skip
SHAPE = (
    "mesh_area", "pixel_area", "perimeter", "perimeter_to_area", "sphericity", "maximum_diameter", "major_axis", "minor_axis",
    "elongation",
)  # fmt: skip
GLCM = (
    "autocorrelation", "joint_average", "cluster_prominence", "cluster_shade", "cluster_tendency", "contrast", "correlation",
    "difference_average", "difference_entropy", "difference_variance", "joint_energy", "joint_entropy", "correlation_measure_1",
    "correlation_measure_2", "inverse_difference_moment", "inverse_difference", "inverse_variance", "maximum_probability",
    "sum_entropy", "sum_of_squares",
)  # fmt: skip
SIZES = (  # of runs or zones, which share their definitions
    "{short}_{item}_emphasis", "{long}_{item}_emphasis", "grey_level_non_uniformity", "grey_level_non_uniformity_normalised",
    "{item}_size_non_uniformity", "{item}_size_non_uniformity_normalised", "{item}_percentage", "grey_level_variance",
    "{item}_size_variance", "{item}_entropy", "low_grey_level_emphasis", "high_grey_level_emphasis",
    "{short}_{item}_low_grey_level_emphasis", "{short}_{item}_high_grey_level_emphasis",
    "{long}_{item}_low_grey_level_emphasis", "{long}_{item}_high_grey_level_emphasis",
)  # fmt: skip
FEATURES: tuple[str, ...] = (
    *(f"first_order_{name}" for name in FIRST_ORDER),
    *(f"shape_{name}" for name in SHAPE),
    *(f"glcm_{name}" for name in GLCM),
    *(f"glrlm_{name.format(short='short', long='long', item='run')}" for name in SIZES),
    *(f"glszm_{name.format(short='small', long='large', item='zone')}" for name in SIZES),
)


def describe_lesion(plane: np.ndarray, mask: np.ndarray, spacing_mm: Sequence[float], config: Config) -> np.ndarray:
    """FEATURES of the lesion of one slice: float64 (len(FEATURES),), all finite.

    plane: intensities (h, w) as in the file; mask: bool (h, w), the lesion; spacing_mm (2,): of rows and of columns. Lengths
    and areas in mm and mm2, entropies in bits, intensities in the plane's unit; a grey level is texture_bin_width wide, the
    lowest of the lesion is level 1. Texture looks at the nearest neighbours, whatever the spacing, in four directions, and is
    the mean over those directions that have pairs; zones join over corners. A flat lesion has skewness and kurtosis 0 and
    correlation 1. A lesion without any two neighbouring pixels counts as a flat one in GLCM.
    Raises UsageError: shapes that differ, an empty mask, values in it that are no finite numbers, more than 2**20 grey levels.
    """
    plane, mask, spacing = np.asarray(plane), np.asarray(mask, bool), np.asarray(spacing_mm, float)
    if plane.ndim != 2 or plane.shape != mask.shape:
        raise UsageError(f"a plane {plane.shape} with a lesion mask {mask.shape}: both must be (rows, columns) of one size")
    if spacing.shape != (2,) or not (np.isfinite(spacing) & (spacing > 0)).all():
        raise UsageError(f"pixel spacing {spacing_mm!r}: two lengths in mm above 0 are needed")
    if not mask.any():
        raise UsageError("the lesion mask of the slice is empty: nothing to describe")
    box = find_objects(mask.astype(np.uint8))[0]
    mask, plane = mask[box], plane[box].astype(np.float64)
    values = plane[mask]
    if not np.isfinite(values).all():
        raise UsageError(f"{np.sum(~np.isfinite(values))} pixels of the lesion are no finite numbers: correct the image file")
    levels = np.zeros(mask.shape, np.int64)
    levels[mask] = bin_levels(values, config.texture_bin_width)
    return np.concatenate(
        [
            describe_first_order(values, levels[mask]),
            describe_shape(mask, spacing),
            describe_glcm(levels),
            describe_glrlm(levels),
            describe_glszm(levels),
        ]
    )


def bin_levels(values: np.ndarray, width: float) -> np.ndarray:
    """Grey levels from 1, int64, of `values` (n,): edges are multiples of `width`."""
    low, high = np.floor(values.min() / width), np.floor(values.max() / width)
    if high - low >= MOST_LEVELS:
        raise UsageError(
            f"a lesion of intensities {values.min():g} to {values.max():g} has more than {MOST_LEVELS} grey levels of "
            f"width {width:g}: raise texture_bin_width"
        )
    return (np.floor(values / width) - low).astype(np.int64) + 1


def describe_first_order(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """FIRST_ORDER of intensities (n,) and their grey levels (n,); kurtosis of a normal distribution is 3."""
    low, ten, quarter, half, three, ninety, high = np.percentile(values, [0, 10, 25, 50, 75, 90, 100])
    mean = values.mean()
    apart = values - mean
    variance = np.mean(apart**2)
    core = values[(values >= ten) & (values <= ninety)]
    flat = variance == 0
    skewness = 0.0 if flat else np.mean(apart**3) / variance**1.5
    kurtosis = 0.0 if flat else np.mean(apart**4) / variance**2
    shares = _share(levels)
    return np.array(
        [np.sum(values**2), _entropy(shares), low, ten, ninety, high, mean, half, three - quarter, high - low]
        + [np.mean(np.abs(apart)), np.mean(np.abs(core - core.mean())), np.sqrt(np.mean(values**2)), skewness, kurtosis, variance]
        + [np.sum(shares**2)]
    )


def describe_shape(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """SHAPE of a mask bool (h, w): outlines run half-way between pixels (marching squares), holes count against the area."""
    outlines = [outline * spacing for outline in find_contours(np.pad(mask, 1).astype(float), 0.5)]
    steps = [np.diff(outline, axis=0) for outline in outlines]
    perimeter = sum(np.hypot(*step.T).sum() for step in steps)
    area = abs(sum(np.sum(o[:-1, 0] * s[:, 1] - o[:-1, 1] * s[:, 0]) for o, s in zip(outlines, steps, strict=True))) / 2
    corners = np.concatenate(outlines)
    places = np.argwhere(mask) * spacing
    minor, major = np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov(places.T, bias=True)), 0)) if len(places) > 1 else (0.0, 0.0)
    elongation = minor / major if major > 0 else 1.0
    sphericity = 2 * np.sqrt(np.pi * area) / perimeter
    pixels = len(places) * np.prod(spacing)
    return np.array(
        [area, pixels, perimeter, perimeter / area, sphericity, _span(corners), 4 * major, 4 * minor, elongation], dtype=float
    )


def _span(corners: np.ndarray) -> float:
    """Largest distance between two of the points (n, 2) of an outline: never all on a line."""
    return float(pdist(corners[ConvexHull(corners).vertices]).max())


def describe_glcm(levels: np.ndarray) -> np.ndarray:
    """GLCM: co-occurrence of neighbours, both ways round (Haralick et al. 1973), of levels int (h, w), 0 outside the lesion."""
    rows, columns = levels.shape
    described = []
    for down, right in STEPS:
        here = levels[: rows - down, max(-right, 0) : columns - max(right, 0)]
        there = levels[down:, max(right, 0) : columns - max(-right, 0)]
        pairs = (here > 0) & (there > 0)
        if pairs.any():
            described.append(_describe_pairs(here[pairs], there[pairs]))
    if not described:
        described = [_describe_pairs(levels[levels > 0], levels[levels > 0])]
    return np.mean(described, axis=0)


def _describe_pairs(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """GLCM in one direction from its pairs of levels (n,), (n,)."""
    i, j = np.concatenate([one, other]).astype(float), np.concatenate([other, one]).astype(float)
    gap, total = np.abs(i - j), i + j
    mean, variance = i.mean(), i.var()
    around = total - 2 * mean
    joint, single, gaps = _share(i, j), _share(i), _share(gap)
    h_joint, h_single = _entropy(joint), _entropy(single)
    correlation = np.mean((i - mean) * (j - mean)) / variance if variance > 0 else 1.0
    shared = 2 * h_single - h_joint  # information that neighbours share; the matrix is symmetric, so both margins are one
    unequal = gap[gap > 0]
    return np.array(
        [np.mean(i * j), mean, np.mean(around**4), np.mean(around**3), np.mean(around**2), np.mean(gap**2), correlation]
        + [np.mean(gap), _entropy(gaps), gap.var(), np.sum(joint**2), h_joint, -shared / h_single if h_single > 0 else 0.0]
        + [np.sqrt(max(1 - np.exp(-2 * shared), 0)), np.mean(1 / (1 + gap**2)), np.mean(1 / (1 + gap))]
        + [np.sum(1 / unequal**2) / len(gap), joint.max(), _entropy(_share(total)), variance]
    )


def describe_glrlm(levels: np.ndarray) -> np.ndarray:
    """SIZES of runs of one level (Galloway 1975) of levels int (h, w), 0 outside the lesion: the mean over four directions."""
    rows, columns = levels.shape
    turned = levels[:, ::-1]
    offsets = range(1 - rows, columns)
    directions = (
        list(levels),
        list(levels.T),
        [np.diagonal(levels, offset) for offset in offsets],
        [np.diagonal(turned, offset) for offset in offsets],
    )
    pixels = int(np.count_nonzero(levels))
    return np.mean([_describe_sizes(*_list_runs(lines), pixels) for lines in directions], axis=0)


def _list_runs(lines: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Levels and lengths of the runs in `lines`."""
    gap = np.zeros(1, np.int64)  # between two lines, so that no run goes on in the next
    flat = np.concatenate([part for line in lines for part in (line, gap)])
    starts = np.flatnonzero(np.diff(flat, prepend=-1))
    lengths = np.diff(starts, append=len(flat))
    inside = flat[starts] > 0
    return flat[starts][inside], lengths[inside]


def describe_glszm(levels: np.ndarray) -> np.ndarray:
    """SIZES of zones of one level (Thibault et al. 2009), joined over sides and corners, of levels int (h, w), 0 outside."""
    zones = label(levels, connectivity=2).ravel()
    _, first, areas = np.unique(zones, return_index=True, return_counts=True)
    inside = levels.ravel()[first] > 0
    return _describe_sizes(levels.ravel()[first][inside], areas[inside], int(np.count_nonzero(levels)))


def _describe_sizes(levels: np.ndarray, sizes: np.ndarray, pixels: int) -> np.ndarray:
    """SIZES of runs or zones from their levels (n,) and sizes (n,) in pixels; pixels: of the lesion."""
    i, s = levels.astype(float), sizes.astype(float)
    of_level, of_size = _share(i), _share(s)
    count = len(i)
    return np.array(
        [np.mean(s**-2), np.mean(s**2), count * np.sum(of_level**2), np.sum(of_level**2)]
        + [count * np.sum(of_size**2), np.sum(of_size**2), count / pixels, i.var(), s.var(), _entropy(_share(i, s))]
        + [np.mean(i**-2), np.mean(i**2), np.mean(s**-2 * i**-2), np.mean(s**-2 * i**2), np.mean(s**2 * i**-2)]
        + [np.mean(s**2 * i**2)]
    )


def _share(*values: np.ndarray) -> np.ndarray:
    """Share of each distinct value, or pair of values, in arrays of whole numbers (n,)."""
    key = values[0] if len(values) == 1 else values[0] * (values[1].max() + 1) + values[1]
    counts = np.unique(key, return_counts=True)[1]
    return counts / counts.sum()


def _entropy(shares: np.ndarray) -> float:
    """In bits."""
    return float(-np.sum(shares * np.log2(shares)))
