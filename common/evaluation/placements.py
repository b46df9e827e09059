"""DeLong's structural components of an area under the ROC curve: of the pairs of each case, those that the score ranks rightly.

DeLong ER, DeLong DM, Clarke-Pearson DL. Biometrics 1988;44:837-845.
"""

import numpy as np


def count_wins(
    positive: np.ndarray, negative: np.ndarray, score: np.ndarray, group: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """For each case the pairs that it is in and those that the score ranks rightly (ties one half), within its group.

    positive, negative: bool, which cases are of which class (neither: padding); score: float; group: int, such as the fold; all
    broadcast to (..., n). Returns (wins, pairs), (..., n) float64, 0 for padding. One sort, whatever the number of groups.

    The positive case of score 3 is above the negative one of 2; the one of 2 ties with it:

    >>> wins, pairs = count_wins(np.array([True, True, False]), np.array([False, False, True]), np.array([3.0, 2.0, 2.0]))
    >>> wins.tolist(), pairs.tolist()
    ([1.0, 0.5, 1.5], [1.0, 1.0, 2.0])
    """
    shape = score.shape
    group_ = np.zeros(1, np.int64) if group is None else group
    order = np.argsort(score, axis=-1, kind="stable") if group is None else np.lexsort((score, np.broadcast_to(group_, shape)))
    s = np.take_along_axis(score, order, -1)
    p, n = (np.take_along_axis(np.broadcast_to(of, shape), order, -1).astype(np.float64) for of in (positive, negative))
    new_tie = np.ones(shape, bool)
    new_group = np.zeros(shape, bool)
    new_group[..., 0] = True
    if group is not None:
        g = np.take_along_axis(np.broadcast_to(group_, shape), order, -1)
        new_group[..., 1:] = g[..., 1:] != g[..., :-1]
    new_tie[..., 1:] = (s[..., 1:] != s[..., :-1]) | new_group[..., 1:]
    below_p, below_n = np.cumsum(p, -1) - p, np.cumsum(n, -1) - n  # cases before this one
    total_p, total_n = p.sum(-1, keepdims=True), n.sum(-1, keepdims=True)

    def at_start(before: np.ndarray, new: np.ndarray) -> np.ndarray:
        return np.maximum.accumulate(np.where(new, before, 0), axis=-1)

    def at_end(before: np.ndarray, new: np.ndarray, total: np.ndarray) -> np.ndarray:
        after = np.concatenate([np.where(new, before, np.inf)[..., 1:], total], axis=-1)
        return np.minimum.accumulate(after[..., ::-1], axis=-1)[..., ::-1]

    first_n, last_n = at_start(below_n, new_group), at_end(below_n, new_group, total_n)
    first_p, last_p = at_start(below_p, new_group), at_end(below_p, new_group, total_p)
    ranked_n = (at_start(below_n, new_tie) + at_end(below_n, new_tie, total_n)) / 2
    ranked_p = (at_start(below_p, new_tie) + at_end(below_p, new_tie, total_p)) / 2
    sorted_wins = p * (ranked_n - first_n) + n * (last_p - ranked_p)
    sorted_pairs = p * (last_n - first_n) + n * (last_p - first_p)
    wins, pairs = np.empty(shape), np.empty(shape)
    np.put_along_axis(wins, order, sorted_wins, -1)
    np.put_along_axis(pairs, order, sorted_pairs, -1)
    return wins, pairs


def place_cases(y_true: np.ndarray, score: np.ndarray) -> np.ndarray:
    """For each case the share of the other class that it is ranked rightly against, ties one half, (n,) float64.

    y_true: (n,) of 0 and 1, both present; score: (n,), higher means class 1.

    The positive case of score 2 is above one of two negative ones:

    >>> place_cases(np.array([0, 0, 1, 1]), np.array([1, 3, 2, 4])).tolist()
    [1.0, 0.5, 0.5, 1.0]
    """
    wins, pairs = count_wins(y_true == 1, y_true == 0, score)
    return wins / pairs
