"""The numbers that a paper printed, judged by ours: verdicts from the interval of the difference, or the reason for none.

docs/verdicts.md explains the words; the arithmetic is in `common.evaluation.differences`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import scipy

from common.errors import UsageError
from common.evaluation.differences import (
    AGREES,
    CANNOT_TELL,
    HIGHER,
    LEAST_SEEDS,
    LOWER,
    MARGIN,
    Evidence,
    count_patients_needed,
    expect_gain,
    explain_impossible,
    is_spread_by_chance,
    measure_interval,
    name_verdict,
    vary_auc,
    vary_proportion,
)
from common.evaluation.metrics import METRICS
from common.evaluation.samples import TestSet
from common.records.paper import Claim
from common.records.results import DatasetEntry, JudgedClaim, Metric, RowResult

# Instead of a verdict, where none is due
PHANTOMS = "phantoms"  # synthetic data say nothing about the paper
OTHER_DATA = "other data"  # a public substitute or a user's own data: a difference may be the data's
OFF_PROTOCOL = "off protocol"  # trained with other settings than the paper's
NOT_RUN = "not run"
EQUAL = "equal"  # of counts
IMPOSSIBLE_AS_PRINTED = "impossible as printed"  # what is said of a claim that the audit found impossible

LEAST_GAIN = 0.1  # points: the best of several choices that gains less by chance is not mentioned

# Row -> (why no verdict is due on it: one of the words above, or ""; what is to be said about it).
Withheld = Callable[[str], tuple[str, Sequence[str]]]


def name_standing(dataset: DatasetEntry | None, preset: str) -> str:
    """Why numbers from a data set get no verdict: PHANTOMS, OTHER_DATA, OFF_PROTOCOL (a preset with other settings than the
    paper's); "" if a verdict is due, or if there is no data set to speak of.

    >>> counts = {"cases": 2, "patients": 2, "classes": {"ill": 1, "well": 1}, "files_sha256": None, "unreadable": []}
    >>> hips = DatasetEntry(dataset="hips", name="mine", note="", synthetic=False, substitute=True, splits={}, **counts)
    >>> name_standing(hips, "paper"), name_standing(hips.model_copy(update={"substitute": False}), "demo")
    ('other data', 'off protocol')
    """
    if dataset is None:
        return ""
    if dataset.synthetic:
        return PHANTOMS
    if dataset.substitute:
        return OTHER_DATA
    return "" if preset == "paper" else OFF_PROTOCOL


def judge_claims(
    claims: Sequence[Claim],
    rows: Sequence[RowResult],
    not_run: Mapping[str, str],
    protocol: str = "paper",
    *,
    positive_class: str | None = None,
    extra: Mapping[tuple[str, str, str], float] | None = None,
    impossible: Collection[tuple[str, str, str]] = (),
    design_effects: Mapping[str, Mapping[str, float]] | None = None,
    test_sets: Mapping[str, TestSet] | None = None,
    withheld: Withheld = lambda _row: ("", ()),
    choices_repeated: bool = False,
    apart: Collection[str] = (),
    exchanged: Mapping[tuple[str, str, str], str] | None = None,
) -> list[JudgedClaim]:
    """Set each claim beside our result.

    rows: from `evaluate`; not_run: row -> reason; extra: (table, row, metric) -> number, for claims of unit "count" and of the
    metrics `apart`, which predictions do not give (fractions); exchanged: `printed_key` -> the metric that a number
    is that stands under the head of another; impossible: `printed_key`s that the audit found impossible; design_effects: row ->
    metric -> that of one training (see
    `measure_design_effects`), 1 where it is not given; test_sets: row -> what `samples.describe_test_sets` says of its folds and
    patients of a class, else taken for one fold and for as many patients as cases; withheld: see `Withheld`; choices_repeated:
    whether our trainings make the choices anew of which the paper reports the best (`Claim.best_of`). All numbers are in the
    claim's own unit.

    Verdicts: those of `differences.name_verdict` for accuracy, sensitivity, specificity and AUC; CANNOT_TELL, with the reason
    in the note, where the sampling error of the paper's number or of ours is not known; counts are EQUAL, LOWER or HIGHER;
    NOT_RUN; what `withheld` says; "n/a" for a claim without a value. Raises UsageError for a metric that is not one of METRICS,
    and where a claim of two classes does not have the positive class.

    90 of 100 in the paper, our 85 % of 100 patients with five trainings that hardly vary:

    >>> claim = Claim("2", "CNN", "accuracy", 90.0, 1, "percent", "Table 2", {"healthy": 60, "ill": 40})
    >>> accuracy = Metric(mean=0.85, sd=0.005, low=0.77, high=0.91, by_seed=[0.85] * 5, error=0.036, error_patients=0.0357)
    >>> counts = {"n": 100, "patients": 100, "positives": 40, "seeds": [0, 1, 2, 3, 4], "below_majority": False}
    >>> ours = RowResult(row="CNN", protocol="paper", metrics={"accuracy": accuracy}, **counts)
    >>> (judged,) = judge_claims([claim], [ours], not_run={})
    >>> print(f"{judged.verdict}: {judged.difference:.1f}, from {judged.difference_low:.1f} to {judged.difference_high:.1f}")
    cannot tell: -5.0, from -14.4 to 4.4
    >>> judged.note
    "no number of test patients of ours would tell: the paper's own test set is too small"
    """
    measured = {entry.row: entry for entry in rows if entry.protocol == protocol}
    judged = []
    for claim in claims:
        row, reason, (word, said) = measured.get(claim.row), not_run.get(claim.row), withheld(claim.row)
        metric, ours, low, high, held = None, None, None, None, claim
        if claim.unit == "count" or claim.metric in apart:
            ours = (extra or {}).get((claim.table, claim.row, claim.metric))
            low, high = (ours, ours) if claim.unit == "count" else (None, None)
            missing = ours is None
        else:
            held = replace(claim, metric=(exchanged or {}).get(claim.printed_key, claim.metric))
            _check_claim(held, positive_class)
            metric = row.metrics.get(held.metric) if row else None
            missing = reason is not None or metric is None
            if metric is not None and not missing:
                ours, low, high = metric.mean, metric.low, metric.high
        if missing:
            found = _Found(NOT_RUN, reason or "we have no result for it")
        elif word:
            found = _Found(word, "; ".join(said))
        elif claim.value is None:
            found = _Found("n/a")
        elif claim.unit == "count":
            assert ours is not None
            difference = ours - claim.value
            found = _Found(EQUAL if difference == 0 else LOWER if difference < 0 else HIGHER, difference=difference)
        elif claim.metric in apart:
            assert ours is not None
            assert claim.fraction is not None
            found = _Found(CANNOT_TELL, "the sampling error of this measure is not known", ours - claim.fraction)
        else:
            assert row is not None
            assert metric is not None
            effect = (design_effects or {}).get(claim.row, {}).get(held.metric, 1.0)
            test_set = (test_sets or {}).get(claim.row) or _guess_test_set(row)
            found = _weigh(held, row, metric, effect, test_set, positive_class, choices_repeated)
        unit = 100 if claim.unit == "percent" else 1
        turned = held.metric if held.metric != claim.metric else ""
        notes = [claim.note, found.note, turned and f"columns exchanged in print: this is {turned}"]
        numbers = {"ours": ours, "low": low, "high": high, "tolerance": _measure_tolerance(held, positive_class)}
        numbers |= {name: getattr(found, name) for name in ("difference", "difference_low", "difference_high", "margin")}
        judged.append(
            JudgedClaim(
                table=claim.table,
                row=claim.row,
                metric=claim.metric,
                where=claim.where,
                paper=claim.value,
                **{name: None if value is None else value * unit for name, value in numbers.items()},
                patients_needed=found.patients_needed,
                verdict=found.verdict,
                note="; ".join(filter(None, notes)),
                impossible=claim.printed_key in impossible,
                held=turned,
            )
        )
    return judged


@dataclass(frozen=True)
class _Found:
    """What is said of a claim; numbers are fractions, or counts."""

    verdict: str
    note: str = ""
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    margin: float | None = None
    patients_needed: int | None = None


def _check_claim(claim: Claim, positive_class: str | None) -> None:
    if claim.metric not in METRICS:
        known = ", ".join(METRICS)
        raise UsageError(f"claim {claim.table}, {claim.row!r}: metric {claim.metric!r} is not one of {known}")
    if _is_of_class(claim) and claim.value is not None and positive_class not in claim.classes:
        known = ", ".join(claim.classes)
        raise UsageError(f"claim {claim.table}, {claim.row!r}: positive class {positive_class!r} is not one of {known}")


def _is_of_class(claim: Claim) -> bool:
    """Whether a claim is of a metric that is over one class of two."""
    return claim.metric in ("sensitivity", "specificity", "auc") and len(claim.classes) == 2


def _vary_printed(claim: Claim, positive_class: str | None, effect: float) -> float | str:
    """Sampling variance of a printed fraction, its rounding included, or why it is not known. effect: the design effect."""
    share = claim.fraction
    if share is None:
        return "the paper prints no number"
    if not claim.classes:
        return "the paper's case numbers are not known"
    if not (claim.metric == "accuracy" or _is_of_class(claim)) or claim.average in ("macro", "weighted", "micro"):
        return f"the case numbers do not give the sampling error of this {claim.metric}"
    positives = claim.classes.get(positive_class or "", 0)
    sizes = {"accuracy": claim.n, "sensitivity": positives, "specificity": claim.n - positives}
    if claim.metric == "auc":
        spread = vary_auc(share, positives, claim.n - positives, effect)
    else:
        spread = vary_proportion(share, sizes[claim.metric], effect)
    step = 10.0**-claim.digits / (100 if claim.unit == "percent" else 1)
    return float(spread) + step**2 / 12


def _measure_tolerance(claim: Claim, positive_class: str | None) -> float | None:
    """95 % half-width of a printed fraction, its cases taken as independent."""
    spread = "" if claim.unit == "count" else _vary_printed(claim, positive_class, 1.0)
    return None if isinstance(spread, str) else float(scipy.stats.norm.ppf(0.975)) * spread**0.5


def _vary_ours(metric: Metric) -> float | None:
    """Variance of our mean over test patients; None if it is not known."""
    error = metric.error if metric.error_patients is None else metric.error_patients
    if error is not None:
        return error**2
    if metric.low is None or metric.high is None:
        return None
    return ((metric.high - metric.low) / (2 * float(scipy.stats.norm.ppf(0.975)))) ** 2  # a record of intervals alone


def _weigh(
    claim: Claim,
    row: RowResult,
    metric: Metric,
    effect: float,
    test_set: TestSet,
    positive_class: str | None,
    choices_repeated: bool,
) -> _Found:
    """The verdict on a printed fraction that we have a result for."""
    paper, value = _vary_printed(claim, positive_class, effect), claim.fraction
    assert value is not None
    if metric.mean is None:
        return _Found(CANNOT_TELL, f"our {claim.metric} is undefined in at least one seed")
    difference = metric.mean - value
    ours, seeds = _vary_ours(metric), len(row.seeds)
    if isinstance(paper, str):
        return _Found(CANNOT_TELL, paper, difference)
    if ours is None:
        return _Found(CANNOT_TELL, f"our {claim.metric} has no interval", difference)
    if seeds < LEAST_SEEDS or metric.sd is None:
        trained = "one training" if seeds == 1 else f"{seeds} trainings"
        return _Found(CANNOT_TELL, f"{trained} of ours: only {LEAST_SEEDS} or more tell how much trainings vary", difference)
    of_class = {"sensitivity": test_set.positive, "specificity": test_set.negative}.get(claim.metric)
    patients = max(test_set.patients if of_class is None else of_class, 2)
    evidence = Evidence(
        ours=metric.mean,
        paper=value,
        ours_sampling=ours,
        patients=patients,
        paper_sampling=paper,
        between_seeds=metric.sd**2,
        seeds=seeds,
        # Where ours is a mean over folds in each seed, so is each run of theirs; where not, each of their folds is a training.
        runs=max(claim.runs, 1) * (max(claim.folds, 1) if test_set.folds == 1 else 1),
        trainings_alone=_vary_alone(metric, seeds),
    )
    (low, high), inner = (tuple(map(float, measure_interval(evidence, level))) for level in (0.95, 0.90))
    verdict, needed = str(name_verdict(evidence)), None
    notes = []
    if verdict == CANNOT_TELL:
        if needed := count_patients_needed(evidence):
            who = "test patients" if of_class is None else "test patients of the class"
            unchanged = "would tell if the difference stayed the same"
            notes.append(f"about {_round_up(needed):,} {who} {unchanged} (here {patients:,})")
        elif is_spread_by_chance(evidence) and count_patients_needed(replace(evidence, trainings_alone=0.0)):
            notes.append(
                f"whether more test patients would tell is open: {seeds} trainings do not show whether they differ by more than "
                "chance of the test patients; more seeds would"
            )
        else:
            notes.append(f"no number of test patients of ours would tell: {explain_impossible(evidence)}")
    elif verdict != AGREES and max(map(abs, inner)) < MARGIN:
        notes.append(f"by less than {100 * MARGIN:g} points")
    if claim.best_of > 1:
        gain = 100 * expect_gain(claim.best_of, paper**0.5)
        alike = "; our trainings choose alike" if choices_repeated else ', which alone favours "lower"'
        if gain >= LEAST_GAIN:
            notes.append(
                f"printed is the best of {claim.best_of} choices on the test cases: about {gain:.1f} points by chance{alike}"
            )
    return _Found(verdict, "; ".join(notes), difference, max(low, -1.0), min(high, 1.0), MARGIN, needed)


def _vary_alone(metric: Metric, seeds: int) -> float | None:
    """Variance between single trainings without what the test patients add to it; None where a record does not give it."""
    if metric.error is None or metric.error_patients is None:
        return None
    return seeds * max(metric.error**2 - metric.error_patients**2, 0.0)


def _guess_test_set(row: RowResult) -> TestSet:
    """Of a record without predictions: as many patients of a class as cases, if there are so many."""
    known = row.n if row.patients is None else row.patients
    return TestSet(folds=1, patients=known, positive=min(known, row.positives), negative=min(known, row.n - row.positives))


def _round_up(count: int) -> int:
    """To two digits: a number of patients that rests on an estimated spread has no more."""
    step = 10 ** max(len(str(count)) - 2, 0)
    return -(-count // step) * step


def check_pairs(pairs: Sequence[tuple[str, str]], measured: Mapping[str, float]) -> tuple[str, str]:
    """Check a finding that the paper words, put as pairs of rows of which the first should be the higher: (verdict, detail).

    measured: row -> mean accuracy (fraction). "holds" if all pairs agree, "partly run" if all that were run do, "does not
    hold", "not run".

    >>> check_pairs([("VGG16", "CNN"), ("VGG19", "CNN")], {"VGG16": 0.91, "CNN": 0.89})
    ('partly run', '1 of 1 comparisons agree (2 in all); the weakest: VGG16 minus CNN, +2.0 points')
    """
    known = [(a, b, measured[a] - measured[b]) for a, b in pairs if a in measured and b in measured]
    if not known:
        return NOT_RUN, "none of its rows was run as published"
    agree = sum(difference > 0 for *_, difference in known)
    verdict = "does not hold" if agree < len(known) else "holds" if len(known) == len(pairs) else "partly run"
    first, second, worst = min(known, key=lambda pair: pair[2])
    return verdict, (
        f"{agree} of {len(known)} comparisons agree ({len(pairs)} in all); the weakest: {first} minus {second}, "
        f"{100 * worst:+.1f} points"
    )
