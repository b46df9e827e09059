"""How far generated pictures are from real ones, by features of a network: kernel and Frechet inception distance."""

import numpy as np


def measure_kid(
    a: np.ndarray, b: np.ndarray, random: np.random.Generator, *, size: int, subsets: int = 100
) -> tuple[float, float]:
    """Kernel Inception distance: mean and standard deviation over `subsets` draws of `size` of each set, without replacement.

    The unbiased estimate of the squared maximum mean discrepancy with the kernel (x.y / f + 1)^3 (Binkowski et al. 2018): may be
    negative. a, b: features (n, f), (m, f). ValueError where a set is smaller than `size`.

    >>> random = np.random.default_rng(0)
    >>> a, b = random.normal(size=(200, 8)), random.normal(1, 1, size=(200, 8))
    >>> abs(measure_kid(a[:100], a[100:], random, size=50)[0]) < 0.05 * measure_kid(a, b, random, size=50)[0]
    True
    """
    if min(len(a), len(b)) < size:
        raise ValueError(f"sets of {len(a)} and {len(b)} pictures; {size} of each are drawn")
    found = []
    for _ in range(subsets):
        x, y = (of[random.choice(len(of), size, replace=False)] for of in (a, b))
        own = [_kernel(of, of) for of in (x, y)]
        within = [(of.sum() - np.trace(of)) / (size * (size - 1)) for of in own]
        found.append(within[0] + within[1] - 2 * _kernel(x, y).mean())
    return float(np.mean(found)), float(np.std(found))


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def measure_fid(a: np.ndarray, b: np.ndarray) -> float:
    """Frechet inception distance of two sets of features (n, f), (m, f): Heusel et al. 2017. Biased upwards in small sets.

    The trace of the root of the product of the covariances is the sum of the singular values of the product of the centred
    features, which needs no root of a matrix of f x f.

    >>> x = np.random.default_rng(0).normal(size=(500, 3))
    >>> round(measure_fid(x, x + [1, 0, 0]), 6)  # the same spread, one mean moved by 1
    1.0
    """
    centred = [(of - of.mean(axis=0)) / np.sqrt(len(of) - 1) for of in (a, b)]
    between = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    apart = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum()
    return float(apart + sum((of**2).sum() for of in centred) - 2 * between)
