"""The numbers that a paper printed, judged by ours: within the sampling tolerance, outside it, or unclear."""

from collections.abc import Callable, Collection, Mapping, Sequence

from common.errors import UsageError
from common.evaluation import statistics
from common.evaluation.metrics import METRICS
from common.records.paper import Claim
from common.records.results import JudgedClaim, RowResult

OFF_PROTOCOL = "off protocol"  # verdict of a row that was trained with other settings than the paper's
IMPOSSIBLE_AS_PRINTED = "impossible as printed"  # what is said of a claim that the audit found impossible


def judge_claims(
    claims: Sequence[Claim],
    rows: Sequence[RowResult],
    not_run: Mapping[str, str],
    protocol: str = "paper",
    *,
    positive_class: str | None = None,
    extra: Mapping[tuple[str, str, str], float] | None = None,
    impossible: Collection[tuple[str, str, str]] = (),
) -> list[JudgedClaim]:
    """Set each claim beside our result.

    rows: from `evaluate`; not_run: row -> reason; extra: (table, row, metric) -> number, for claims of
    unit "count"; impossible: `printed_key`s that the audit found impossible. All numbers are in the claim's own unit.
    tolerance: the printed value's 95 % sampling half-width, from the claim's case numbers (Wilson for accuracy,
    sensitivity and specificity, Hanley-McNeil for AUC; positive_class says which class is meant); 0 for counts.
    Verdict: "within" the tolerance; "outside, lower" or "outside, higher" if our interval misses the tolerance band;
    else "unclear", also without a tolerance; "not run"; "n/a" for a claim without a value. Raises UsageError for a metric that
    is not one of METRICS, and where a claim of two classes does not have the positive class.

    90 % of 100 cases has the Wilson interval 82.56 to 94.48, so 85 % is no contradiction:

    >>> from common.records.results import Metric
    >>> claim = Claim("2", "CNN", "accuracy", 90.0, 1, "percent", "Table 2", {"healthy": 60, "ill": 40})
    >>> accuracy = Metric(mean=0.85, sd=None, low=0.77, high=0.91, by_seed=[0.85])
    >>> counts = {"n": 100, "patients": 100, "positives": 40, "seeds": [0], "below_majority": False}
    >>> ours = RowResult(row="CNN", protocol="paper", metrics={"accuracy": accuracy}, **counts)
    >>> (judged,) = judge_claims([claim], [ours], not_run={})
    >>> judged.ours, round(judged.tolerance, 2), judged.verdict
    (85.0, 5.96, 'within')
    """
    measured = {entry.row: entry.metrics for entry in rows if entry.protocol == protocol}
    judged = []
    for claim in claims:
        reason = not_run.get(claim.row)
        tolerance: float | None
        if claim.unit == "count":
            count = (extra or {}).get((claim.table, claim.row, claim.metric))
            known, tolerance, gap, missing = (count, count, count), 0.0, "", count is None
        else:
            _check_metric(claim)
            result = measured.get(claim.row, {}).get(claim.metric)
            tolerance, gap = _sampling_halfwidth(claim, positive_class)
            missing = reason is not None or result is None
            known = (None, None, None) if missing or result is None else (result.mean, result.low, result.high)
        unit = 100 if claim.unit == "percent" else 1
        ours, low, high = (None if value is None else value * unit for value in known)
        tolerance = None if tolerance is None else tolerance * unit
        notes = [
            claim.note,
            gap,
            (reason or "we have no result for it") if missing else "",
            f"our {claim.metric} is undefined in at least one seed" if not missing and ours is None else "",
        ]
        judged.append(
            JudgedClaim(
                table=claim.table,
                row=claim.row,
                metric=claim.metric,
                where=claim.where,
                paper=claim.value,
                tolerance=tolerance,
                ours=ours,
                low=low,
                high=high,
                verdict="not run" if missing else _give_verdict(claim.value, tolerance, ours, low, high),
                note="; ".join(note for note in notes if note),
                impossible=claim.printed_key in impossible,
            )
        )
    return judged


def mark_departures(claims: Sequence[JudgedClaim], list_departures: Callable[[str], Sequence[str]]) -> list[JudgedClaim]:
    """Judged claims whose row was trained otherwise than published get the verdict "off protocol", the reasons in the note.

    list_departures: row -> what differs, such as "epochs = 6 instead of 100"; the first three are named. Claims without a result
    of ours stay as they are.

    >>> about = {"table": "2", "metric": "accuracy", "where": "Table 2", "paper": 90.0, "tolerance": 5.96}
    >>> claim = JudgedClaim(**about, row="CNN", ours=70.0, low=60.0, high=78.0, verdict="outside, lower", note="")
    >>> (marked,) = mark_departures([claim], lambda row: ["epochs = 6 instead of 100"])
    >>> marked.verdict, marked.note
    ('off protocol', 'epochs = 6 instead of 100')
    """
    marked = []
    for claim in claims:
        departures = list_departures(claim.row)
        if departures and claim.ours is not None:
            more = [f"{len(departures) - 3} more settings"] if len(departures) > 3 else []
            notes = [claim.note, *departures[:3], *more]
            claim = claim.model_copy(update={"verdict": OFF_PROTOCOL, "note": "; ".join(note for note in notes if note)})
        marked.append(claim)
    return marked


def check_pairs(pairs: Sequence[tuple[str, str]], measured: Mapping[str, float]) -> tuple[str, str]:
    """Check a finding that the paper words, put as pairs of rows of which the first should be the higher: (verdict, detail).

    measured: row -> mean accuracy (fraction). "holds" if all pairs agree, "partly run" if all that were run do, "does not
    hold", "not run".

    >>> check_pairs([("VGG16", "CNN"), ("VGG19", "CNN")], {"VGG16": 0.91, "CNN": 0.89})
    ('partly run', '1 of 1 comparisons agree (2 in all); the weakest: VGG16 minus CNN, +2.0 points')
    """
    known = [(a, b, measured[a] - measured[b]) for a, b in pairs if a in measured and b in measured]
    if not known:
        return "not run", "none of its rows was run as published"
    agree = sum(difference > 0 for *_, difference in known)
    verdict = "does not hold" if agree < len(known) else "holds" if len(known) == len(pairs) else "partly run"
    first, second, worst = min(known, key=lambda pair: pair[2])
    return verdict, (
        f"{agree} of {len(known)} comparisons agree ({len(pairs)} in all); the weakest: {first} minus {second}, "
        f"{100 * worst:+.1f} points"
    )


def _check_metric(claim: Claim) -> None:
    if claim.metric not in METRICS:
        known = ", ".join(METRICS)
        raise UsageError(f"claim {claim.table}, {claim.row!r}: metric {claim.metric!r} is not one of {known}")


def _give_verdict(paper: float | None, tolerance: float | None, ours: float | None, low: float | None, high: float | None) -> str:
    if paper is None:
        return "n/a"
    if tolerance is None or ours is None:
        return "unclear"
    if abs(ours - paper) <= tolerance + 1e-9:
        return "within"
    if high is not None and high < paper - tolerance:
        return "outside, lower"
    if low is not None and low > paper + tolerance:
        return "outside, higher"
    return "unclear"


def _sampling_halfwidth(claim: Claim, positive_class: str | None) -> tuple[float | None, str]:
    """(95 % half-width as a fraction, or None and the reason) of a printed proportion or AUC, from its case numbers."""
    if claim.value is None:
        return None, ""
    share = claim.value / 100 if claim.unit == "percent" else claim.value
    if not claim.classes:
        return None, "no tolerance: the paper's case numbers are not known"
    if claim.metric == "accuracy":
        return _wilson_halfwidth(share, claim.n), ""
    if claim.metric not in ("sensitivity", "specificity", "auc") or len(claim.classes) != 2:
        return None, f"no tolerance: the case numbers do not give the sampling error of this {claim.metric}"
    if positive_class not in claim.classes:
        known = ", ".join(claim.classes)
        raise UsageError(f"claim {claim.table}, {claim.row!r}: positive class {positive_class!r} is not one of {known}")
    positives = claim.classes[positive_class]
    if claim.metric == "auc":
        return statistics.hanley_mcneil_halfwidth(share, positives, claim.n - positives), ""
    return _wilson_halfwidth(share, positives if claim.metric == "sensitivity" else claim.n - positives), ""


def _wilson_halfwidth(share: float, n: int) -> float:
    low, high = statistics.wilson_interval(share * n, n)
    return (high - low) / 2
