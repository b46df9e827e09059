"""Which of the numbers that a paper prints can exist? Arithmetic alone tells, before anything is trained.

docs/audit.md explains each check.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from common.audit.checks import read_checks, read_declared_lines
from common.audit.confusions import BINARY
from common.audit.declared import run_checks
from common.audit.matrices import check_averages, check_matrix
from common.audit.operating import check_auc, check_likelihood
from common.audit.outcomes import IMPOSSIBLE, POSSIBLE, SAME_METRIC, Averaging, Line, Outcome, read_lines
from common.audit.prevalence import check_prevalence
from common.audit.printed import Printed
from common.audit.repairs import check_heads, check_left_out, judge_rows
from common.audit.rows import check_attainable, check_between, check_denominators, check_f1, check_majority
from common.audit.spreads import check_spreads
from common.audit.unchecked import list_unchecked
from common.records.paper import Paper
from common.records.results import Results

SIGNIFICANT = 6  # digits of the numbers in results.json (`files.write_json_atomic`)
# Checks of single numbers and rows: what they find impossible cannot be right as printed.
SINGLE = (
    "attainable", "one matrix", "averages", "prevalence", "between", "F1", "ratio", "auc", "spread", "equation", "macro row",
    "mean", "sd", "variance",
)  # fmt: skip


@lru_cache(maxsize=16)
def audit_paper(paper: Paper) -> tuple[Outcome, ...]:
    """Everything that arithmetic says about a paper's printed numbers, check by check. UsageError for a wrong [[check]].

    >>> from pathlib import Path
    >>> from common.audit.example import EXAMPLE
    >>> from common.records.paper import parse_paper
    >>> outcomes = audit_paper(parse_paper(EXAMPLE, Path("mine/paper.toml")))
    >>> [(outcome.check, outcome.verdict) for outcome in outcomes]
    [('attainable', 'impossible'), ('denominator', 'impossible'), ('majority', 'possible'), ('equation', 'impossible')]
    """
    checks = read_checks(paper)
    lines = read_lines(paper.numbers)
    every = [*lines, *read_declared_lines(checks)]
    whole = [*check_matrix(every, paper.positive_class), *check_averages(every), *check_prevalence(every)]
    accused = frozenset(key for outcome in whole if outcome.verdict == IMPOSSIBLE for key in outcome.rows)
    found = [
        *check_attainable(every),
        *check_denominators(every),
        *whole,
        *check_heads(every, paper.positive_class, accused),
        *check_left_out(every, paper.positive_class, judge_rows(whole)),
        *check_between(every),
        *check_f1(every),
        *check_likelihood(every),
        *check_auc(every),
        *check_spreads(every),
        *check_majority(every),
        *run_checks(checks, paper, lines),
    ]
    return (*found, *list_unchecked(paper, found))


@lru_cache(maxsize=16)
def find_impossible_claims(paper: Paper) -> frozenset[tuple[str, str, str]]:
    """`printed_key` of the claims that cannot be right as printed.

    Where numbers of one row exclude each other, those count that stand in one of the smallest sets that do, in each table that
    prints more than one of them; numbers that the contradiction does not need are left alone.

    >>> from pathlib import Path
    >>> from common.audit.example import EXAMPLE
    >>> from common.records.paper import parse_paper
    >>> find_impossible_claims(parse_paper(EXAMPLE, Path("mine/paper.toml")))
    frozenset({('2', 'ours', 'accuracy')})
    """
    claims: dict[tuple[str, str], dict[str, list[tuple[str, str, str]]]] = {}
    for claim in paper.numbers:
        if claim.value is not None:
            of_row = claims.setdefault((claim.table, claim.row), {})
            of_row.setdefault(SAME_METRIC.get(claim.metric, claim.metric), []).append(claim.key)
    accused: dict[tuple[str, str], set[frozenset[str]]] = {}
    for outcome in audit_paper(paper):
        for metrics in outcome.accused if outcome.check in SINGLE else ():
            for row in outcome.rows:
                accused.setdefault(row, set()).add(frozenset(metrics))
    impossible = set()
    for row, sets in accused.items():
        for needed in sets:
            keys = [key for name in needed for key in claims.get(row, {}).get(name, ())]
            # One check may need three numbers where another one needs but two of them.
            if len(keys) >= min(2, len(needed)) and not any(other < needed for other in sets):
                impossible.update(keys)
    return frozenset(impossible)


@lru_cache(maxsize=16)
def find_contradicting_claims(paper: Paper) -> frozenset[tuple[str, str, str]]:
    """Those of `find_impossible_claims` that can be right by themselves, but not beside others of their row.

    >>> from pathlib import Path
    >>> from common.audit.example import EXAMPLE
    >>> from common.records.paper import parse_paper
    >>> find_contradicting_claims(parse_paper(EXAMPLE, Path("mine/paper.toml")))
    frozenset()
    """
    alone = {
        (*row, metrics[0])
        for outcome in audit_paper(paper)
        for metrics in outcome.accused
        if len(metrics) == 1
        for row in outcome.rows
    }
    return frozenset(
        (table, row, metric)
        for table, row, metric in find_impossible_claims(paper)
        if (table, row, SAME_METRIC.get(metric, metric)) not in alone
    )


def audit_results(results: Results) -> list[Outcome]:
    """The same arithmetic over a run's own results.json: every row and seed, and the means over the seeds.

    91.5 % of 100 cases in one seed, 92 % in the other:

    >>> from types import SimpleNamespace
    >>> from common.records.results import Metric, RowResult
    >>> accuracy = Metric(mean=0.9175, sd=None, low=None, high=None, by_seed=[0.915, 0.92])
    >>> about = {"row": "CNN", "protocol": "paper", "table": "2", "patients": 100, "below_majority": False}
    >>> row = RowResult(**about, n=100, positives=40, seeds=[0, 1], metrics={"accuracy": accuracy})
    >>> results = SimpleNamespace(rows=[row], datasets=[SimpleNamespace(classes={"a": 40, "b": 30, "c": 30})])  # what is read
    >>> [(outcome.check, outcome.verdict) for outcome in audit_results(results)]
    [('attainable', 'impossible'), ('attainable', 'possible'), ('mean over seeds', 'possible')]
    """
    binary = all(len(dataset.classes) == 2 for dataset in results.datasets)
    lines, outcomes = [], []
    for row in results.rows:
        name = f"{row.row}, {row.protocol}"
        for i, seed in enumerate(row.seeds):
            n, positives = row.tested_by_seed[i] if row.tested_by_seed else (row.n, row.positives)
            classes = {"class 1": positives, "class 0": n - positives} if binary else {"all": n}
            values = {metric: row.metrics[metric].by_seed[i] for metric in BINARY if metric in row.metrics}
            numbers = {metric: print_significant(value) for metric, value in values.items() if value is not None}
            lines.append(Line(f"{name}, seed {seed}", (row.table,), classes, numbers, Averaging("binary", folds=1, runs=1)))
        for metric, summary in row.metrics.items():
            by_seed = [value for value in summary.by_seed if value is not None]
            if summary.mean is not None and len(by_seed) == len(summary.by_seed):
                subject, key = f"Table {row.table}: {name}, {metric}", (row.table, row.row)
                outcomes.append(_check_mean(subject, key, by_seed, summary.mean))
    return [*(check_matrix(lines, "class 1") if binary else check_attainable(lines)), *outcomes]


def print_significant(value: float) -> Printed:
    """A fraction of results.json as printed: with six significant digits, trailing zeros included, 15 decimals at most.

    >>> print_significant(0.85).text, print_significant(0.0123).text
    ('0.850000', '0.0123000')
    """
    number = Decimal(repr(value))
    digits = SIGNIFICANT - 1 - number.adjusted() if number else SIGNIFICANT
    return Printed(f"{number:.{min(max(digits, 0), 15)}f}", "fraction")


def _check_mean(subject: str, key: tuple[str, str], by_seed: Sequence[float], given: float) -> Outcome:
    values = [Fraction(repr(value)) for value in by_seed]
    mean = sum(values, Fraction(0)) / len(values)
    printed = Fraction(repr(given))
    # Half a unit of the sixth digit, once for the values and once for their mean.
    allowed = max(map(abs, [*values, printed])) * Fraction(1, 10 ** (SIGNIFICANT - 1))
    text = f"mean of {len(values)} seeds {float(mean):.6g}, written {given:.6g}"
    return Outcome("mean over seeds", subject, POSSIBLE if abs(mean - printed) <= allowed else IMPOSSIBLE, text, (key,))


def describe_scope(paper: Paper) -> str:
    """How many ratios the paper prints, how many are impossible, by themselves or beside others, and which are not checked.

    >>> from pathlib import Path
    >>> from common.audit.example import EXAMPLE
    >>> from common.records.paper import parse_paper
    >>> describe_scope(parse_paper(EXAMPLE, Path("mine/paper.toml")))
    'printed ratios: 1; impossible as printed: 1'
    """
    ratios = [claim for claim in paper.printed if claim.unit != "count"]
    missing = sum(claim.value is None for claim in ratios)
    contradicting = sum(claim.key in find_contradicting_claims(paper) for claim in ratios)
    impossible = sum(claim.key in find_impossible_claims(paper) for claim in ratios) - contradicting
    unknown = sorted({claim.metric for claim in ratios if SAME_METRIC.get(claim.metric, claim.metric) not in BINARY})
    parts = [f"printed ratios: {len(ratios) - missing}", f"impossible as printed: {impossible}"]
    parts += [f"in contradiction to others of their row: {contradicting}"] if contradicting else []
    parts += [f"not in the available text: {missing}"] if missing else []
    parts += [f"not checked: {', '.join(unknown)}"] if unknown else []
    return "; ".join(parts)
