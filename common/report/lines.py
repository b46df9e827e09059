"""The lines of the tables: each printed ratio and each row of ours, with all that stands beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from common.audit.papers import find_contradicting_claims
from common.audit.summary import TOGETHER
from common.cli import PROTOCOLS
from common.evaluation.metrics import METRICS
from common.evaluation.outcome import shorten_departures
from common.evaluation.verdicts import IMPOSSIBLE_AS_PRINTED, NOT_RUN, OFF_PROTOCOL
from common.records.paper import Claim, Paper
from common.records.results import JudgedClaim, Metric, Results, RowResult
from common.report.wording import PROTOCOL_NAMES, choose_unit

ROUNDING = 1e-13  # of the spread of numbers that are equal
HARDLY_TRAINED = "leak-free: stopped in its first epochs, so no difference is given"
OWN_NOTES = (
    HARDLY_TRAINED,
    "ours at or below",
    "leak-free at or below",
    *(f"{name}: one class" for name in PROTOCOL_NAMES.values()),
)


@dataclass(frozen=True)
class Line:
    """One printed ratio, or one row that is ours alone, with all that stands beside it. Ratios are fractions; what does not
    exist is None."""

    table: str
    row: str
    metric: str
    unit: str
    digits: int
    claimed: bool  # printed in the paper
    departs: bool  # trained with other settings than the paper's
    printed_key: tuple[str, str, str]  # by which the paper prints it, whatever the reading
    n: int | None  # test cases
    paper: float | None
    tolerance: float | None  # 95 % sampling half-width of the printed value
    ours: float | None
    low: float | None
    high: float | None
    sd: float | None
    seeds: int | None  # their number
    gap: float | None  # ours minus the paper's, with its 95 % interval
    gap_low: float | None
    gap_high: float | None
    verdict: str
    leakfree: float | None
    leakfree_low: float | None
    leakfree_high: float | None
    leakfree_seeds: int | None
    difference: float | None  # leak-free minus paper's protocol
    paper_majority: float | None  # rates of always giving the most frequent class of the test set
    majority: float | None
    leakfree_majority: float | None
    no_better: tuple[str, ...]  # of "paper", "ours", "leak-free": whose accuracy is at or below that rate
    note: str
    reason: str  # why it was not run
    alike: frozenset[str] = frozenset()  # protocols of which every seed gave the same numbers

    @property
    def key(self) -> tuple[str, str, str]:
        return self.table, self.row, self.metric


def is_no_better(accuracy: float | None, majority: float | None) -> bool:
    """Whether an accuracy is at or below that of always giving the most frequent class; both fractions, None: not known."""
    # A mean of equal rates may differ from them in the last bit.
    return accuracy is not None and majority is not None and accuracy <= majority + 1e-12


def is_one_fit(row: RowResult) -> bool:
    """Whether no metric varies between several seeds: a fit in which nothing is drawn, repeated.

    >>> def make_row(sd, seeds):
    ...     auc = Metric(mean=0.4, sd=sd, low=None, high=None, by_seed=[0.4] * len(seeds))
    ...     about = {"table": "2", "row": "SVM", "protocol": "paper", "below_majority": False}
    ...     return RowResult(**about, n=9, patients=9, positives=4, seeds=seeds, metrics={"auc": auc})
    >>> [is_one_fit(make_row(sd, seeds)) for sd, seeds in ((1e-17, [0, 1]), (0.01, [0, 1]), (None, [0]))]
    [True, False, False]
    """
    spreads = [metric.sd for metric in row.metrics.values() if metric.sd is not None]
    return len(row.seeds) > 1 and bool(spreads) and max(spreads) <= ROUNDING


def count_seeds(seeds: int, *, one_fit: bool) -> str:
    """The number of seeds, and whether they are one training.

    >>> count_seeds(5, one_fit=True), count_seeds(5, one_fit=False)
    ('5, one deterministic fit', '5')
    """
    return f"{seeds}, one deterministic fit" if one_fit else str(seeds)


def is_own(results: Results) -> bool:
    """Whether the run is of a user's own data alone: then tables and findings are about these, not about the paper's numbers."""
    return bool(results.datasets) and all(dataset.further.get("own") is True for dataset in results.datasets)


def collect_lines(results: Results, paper: Paper, table: str | None = None) -> list[Line]:
    """One line per printed ratio, in the order of paper.toml, then per row that is ours alone. Of own data: what was run, each
    row and metric once."""
    found = {(row.table, row.row, row.protocol): row for row in results.rows}
    judged = {claim.key: claim for claim in results.claims}
    reasons = {(item.table, item.row): item.reason for item in results.extra.not_run}
    lines = [
        _build_line(
            claim.key,
            claim,
            judged.get(claim.key),
            found,
            reasons.get((claim.table, claim.row), ""),
            _name_fault(paper, judged.get(claim.key), claim),
        )
        for claim in paper.claims
        if claim.unit != "count"
    ]
    claimed = {(claim.table, claim.row) for claim in paper.claims}
    lines += [
        _build_line((*name, paper.headline.metric), None, None, found, "", "")
        for name in dict.fromkeys((row.table, row.row) for row in results.rows)
        if name not in claimed
    ]
    for constant in results.extra.collapsed:
        seeds = ", ".join(map(str, constant.seeds))
        note = f"{PROTOCOL_NAMES[constant.protocol]}: one class for all cases (seed {seeds})"
        lines = [
            replace(line, note="; ".join(filter(None, [line.note, note]))) if line.row == constant.row else line for line in lines
        ]
    lines = [_withhold_difference(line) if line.row in results.extra.hardly_trained else line for line in lines]
    if is_own(results):
        lines = _keep_run(lines)
    return [line for line in lines if table is None or line.table == table]


def _withhold_difference(line: Line) -> Line:
    """Networks that were stopped in their first epochs differ from those of the paper's protocol by that, not by the split."""
    return replace(line, difference=None, note="; ".join(filter(None, [line.note, HARDLY_TRAINED])))


def _keep_run(lines: Sequence[Line]) -> list[Line]:
    """The lines with numbers of ours, without what they say of the paper's; what stands under several readings once."""
    first: dict[tuple[str, str], Line] = {}
    for line in lines:
        if line.ours is not None or line.leakfree is not None:
            note = "; ".join(part for part in line.note.split("; ") if part.startswith(OWN_NOTES))
            own = replace(line, verdict="", paper=None, paper_majority=None, tolerance=None, gap=None, note=note)
            first.setdefault((line.row, line.metric), own)
    return list(first.values())


def _build_line(
    key: tuple[str, str, str],
    claim: Claim | None,
    judged: JudgedClaim | None,
    found: Mapping[tuple[str, str, str], RowResult],
    reason: str,
    fault: str,
) -> Line:
    table, row, metric = key
    run = {protocol: found.get((table, row, protocol)) for protocol in PROTOCOLS}
    held = (judged.held if judged else "") or metric
    ours, leakfree = (_find_metric(run[protocol], held) for protocol in PROTOCOLS)
    majority = {
        "paper": max(claim.classes.values()) / claim.n if claim and claim.n else None,
        "ours": _find_metric(run["paper"], "majority_rate").mean,
        "leak-free": _find_metric(run["leakfree"], "majority_rate").mean,
    }
    printed = claim.fraction if claim else None
    means = {"paper": printed, "ours": ours.mean, "leak-free": leakfree.mean} if metric == "accuracy" else {}
    no_better = tuple(who for who, mean in means.items() if is_no_better(mean, majority[who]))
    any_run = run["paper"] or run["leakfree"]
    # The reason stands in a table of its own, once for all the rows that share it.
    said = judged.note if judged else claim.note if claim else ""
    if any_run and any_run.departures and not (judged and judged.verdict == OFF_PROTOCOL):  # there its note says so
        said = "; ".join(filter(None, [said, f"other settings: {'; '.join(shorten_departures(any_run.departures))}"]))
    notes = [said.replace(reason, "").strip("; "), fault]
    notes += [f"{who} at or below the majority rate" for who in no_better]
    scale = 100 if claim and claim.unit == "percent" else 1  # verdicts are in the unit of the claim
    if judged and judged.ours is not None and metric not in METRICS:  # of a metric that predictions do not give
        ours = ours.model_copy(update={"mean": judged.ours / scale})
    gaps = (judged.tolerance, judged.difference, judged.difference_low, judged.difference_high) if judged else (None,) * 4
    tolerance, gap, gap_low, gap_high = (None if value is None else value / scale for value in gaps)
    unit, digits = (claim.unit, max(claim.digits, 1)) if claim else choose_unit(metric)
    return Line(
        table=table,
        row=row,
        metric=metric,
        unit=unit,
        digits=digits,
        claimed=claim is not None,
        departs=any(row.departures for row in run.values() if row),
        printed_key=claim.printed_key if claim else key,
        n=any_run.n if any_run else claim.n if claim else None,
        paper=printed,
        tolerance=tolerance,
        ours=ours.mean,
        low=ours.low,
        high=ours.high,
        sd=ours.sd,
        seeds=len(run["paper"].seeds) if run["paper"] else None,
        gap=gap,
        gap_low=gap_low,
        gap_high=gap_high,
        verdict=judged.verdict if judged else NOT_RUN if claim else OFF_PROTOCOL if any_run and any_run.departures else "",
        leakfree=leakfree.mean,
        leakfree_low=leakfree.low,
        leakfree_high=leakfree.high,
        leakfree_seeds=len(run["leakfree"].seeds) if run["leakfree"] else None,
        difference=None if ours.mean is None or leakfree.mean is None else leakfree.mean - ours.mean,
        paper_majority=majority["paper"],
        majority=majority["ours"],
        leakfree_majority=majority["leak-free"],
        no_better=no_better,
        note="; ".join(note for note in notes if note),
        reason=reason,
        alike=frozenset(protocol for protocol, of in run.items() if of and is_one_fit(of)),
    )


def _name_fault(paper: Paper, judged: JudgedClaim | None, claim: Claim) -> str:
    """What the audit found of a printed number; "" where it found nothing."""
    if judged is None or not judged.impossible:
        return ""
    return TOGETHER if claim.printed_key in find_contradicting_claims(paper) else IMPOSSIBLE_AS_PRINTED


def _find_metric(row: RowResult | None, metric: str) -> Metric:
    none = Metric(mean=None, sd=None, low=None, high=None, by_seed=[])
    return row.metrics.get(metric, none) if row else none
