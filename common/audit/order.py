"""The order in which findings are read: what cannot be right first, and of that what one can check by hand; tallies last."""

from collections import Counter
from collections.abc import Iterable, Sequence

from common.audit.outcomes import STRONGEST_FIRST, Outcome

# Checks by what it takes to follow them: one division, one matrix, a formula or a bound; then searches; then counts over rows.
BY_HAND = (
    "attainable", "equation", "derived equation", "one matrix", "between", "F1", "ratio", "auc", "spread",
    "mean", "mean over seeds", "sd", "variance", "float32", "split size", "enlargement", "pair", "left out",
    "averages", "prevalence", "macro row",
    "majority", "orientation", "heads", "denominator", "macro",
)  # fmt: skip


def order_outcomes(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The outcomes, the strongest first; those of one verdict as in BY_HAND, and as they came.

    >>> found = [Outcome(*about, "") for about in (("macro", "", "impossible"), ("F1", "", "possible"), ("F1", "", "impossible"))]
    >>> [(outcome.check, outcome.verdict) for outcome in order_outcomes(found)]
    [('F1', 'impossible'), ('macro', 'impossible'), ('F1', 'possible')]
    """
    return sorted(outcomes, key=lambda outcome: (STRONGEST_FIRST.index(outcome.verdict), _place(outcome.check)))


def order_checks(outcomes: Sequence[Outcome]) -> list[str]:
    """The checks in the order of the strongest outcome of each.

    >>> order_checks([Outcome("attainable", "", "possible", ""), Outcome("macro", "", "impossible", "")])
    ['macro', 'attainable']
    """
    return list(dict.fromkeys(outcome.check for outcome in order_outcomes(outcomes)))


def tally_checks(outcomes: Sequence[Outcome]) -> list[str]:
    """How often each check came to each verdict, a line a check; in the order of BY_HAND.

    >>> tally_checks([Outcome("F1", "", verdict, "") for verdict in ("possible", "impossible", "possible")])
    ['F1: 1 impossible, 2 possible']
    """
    lines = []
    for check in sorted({outcome.check for outcome in outcomes}, key=_place):
        counts = Counter(outcome.verdict for outcome in outcomes if outcome.check == check)
        lines.append(f"{check}: " + ", ".join(f"{counts[verdict]} {verdict}" for verdict in STRONGEST_FIRST if verdict in counts))
    return lines


def _place(check: str) -> int:
    return BY_HAND.index(check) if check in BY_HAND else len(BY_HAND)
