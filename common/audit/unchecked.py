"""The printed numbers of which no check says anything, and why."""

from collections.abc import Sequence

from common.audit.confusions import TWO_CLASSES
from common.audit.outcomes import SAME_METRIC, UNCHECKED, Outcome
from common.audit.spreads import SPREADS
from common.records.paper import Claim, Paper, name_row

REGRESSION = ("mae", "mse", "rmse", "mape", "r2")


def list_unchecked(paper: Paper, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """One outcome "not checked" for each reason and metric, with the rows concerned.

    outcomes: everything that was found of the paper. Claims without a value are passed over.

    >>> from pathlib import Path
    >>> from common.audit.example import EXAMPLE
    >>> from common.records.paper import parse_paper
    >>> [(outcome.subject, outcome.arithmetic) for outcome in list_unchecked(parse_paper(EXAMPLE, Path("mine/paper.toml")), [])]
    [('accuracy 91.5; Table 2: ours', 'because the row prints nothing that it could be checked against')]
    """
    touched = {(*row, metric) for outcome in outcomes for row in outcome.rows for metric in outcome.metrics}
    groups: dict[tuple[str, str], list[Claim]] = {}
    for claim in paper.printed:
        metric = SAME_METRIC.get(claim.metric, claim.metric)
        if claim.value is not None and (claim.table, claim.row, metric) not in touched:
            groups.setdefault((metric, explain_unchecked(claim, metric)), []).append(claim)
    found = []
    for (metric, reason), claims in groups.items():
        first = claims[0]
        more = f"; {len(claims) - 1} more" if claims[1:] else ""
        subject = f"{metric} {first.value:.{first.digits}f}; {name_row(first.row, [first.table])}{more}"
        rows = tuple(dict.fromkeys((claim.table, claim.row) for claim in claims))
        found.append(Outcome("not checked", subject, UNCHECKED, f"because {reason}", rows, metrics=(metric,)))
    return found


def explain_unchecked(claim: Claim, metric: str) -> str:
    """Why nothing is said of a claim; metric: its name among ours.

    >>> explain_unchecked(Claim("2", "CNN", "mae", 0.3, 1, "fraction", "Table 2", {}), "mae")
    'regression scores are left out'
    """
    if metric in REGRESSION:
        return "regression scores are left out"
    if claim.unit == "count":
        return "a count is checked only where a [[check]] of kind equation names it"
    if metric == "auc":
        return "an area is checked against sensitivity and specificity of its row, of one positive class"
    if metric.endswith(SPREADS):
        return "a spread is checked against the mean of its row"
    if metric not in TWO_CLASSES:
        return "no check knows this metric"
    if not claim.classes:
        return "the cases of the test set are not given, and the row prints too little beside it"
    return "the row prints nothing that it could be checked against"
