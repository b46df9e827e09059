"""Numbers, names and verdicts as text, the same in tables, reports and captions."""

from common.evaluation.differences import AGREES, CANNOT_TELL, HIGHER, LOWER, MARGIN
from common.evaluation.outcome import HARDLY_TRAINED
from common.evaluation.verdicts import EQUAL, NOT_RUN, OFF_PROTOCOL, OTHER_DATA, PHANTOMS
from common.records.results import StatementCheck

PROTOCOL_NAMES = {"paper": "the paper's protocol", "leakfree": "leak-free"}
NONE = "–"  # no such number
MOST_DIGITS = 4  # behind the point, of a number of ours
PERCENT_METRICS = ("accuracy", "sensitivity", "specificity", "precision", "majority_rate")
METRIC_NAMES = {"f1": "F1", "mcc": "MCC", "auc": "AUC", "ece": "ECE", "brier": "Brier score"}
SYNTHETIC = "Synthetic data: these numbers say nothing about the paper."


def format_value(value: float | None, unit: str, digits: int = 1, *, signed: bool = False) -> str:
    """A number as the paper prints it: fractions times 100 for unit percent, fixed digits; None as a dash."""
    if value is None:
        return NONE
    if unit == "count":
        return f"{value:.0f}"
    text = f"{value * 100 if unit == 'percent' else value:{'+' if signed else ''}.{digits}f}"
    return text.replace("-", "−")


def limit_digits(digits: int) -> int:
    """Digits of a number of ours beside one that was printed with `digits`: not more than four mean anything.

    >>> limit_digits(1), limit_digits(16)
    (1, 4)
    """
    return min(digits, MOST_DIGITS)


def format_interval(low: float | None, high: float | None, unit: str, digits: int = 1, *, signed: bool = False) -> str:
    if low is None or high is None:
        return NONE
    return f"[{format_value(low, unit, digits, signed=signed)}, {format_value(high, unit, digits, signed=signed)}]"


def format_duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def name_metric(metric: str, unit: str | None = None) -> str:
    """A metric as a heading, with its unit."""
    percent = metric in PERCENT_METRICS if unit is None else unit == "percent"
    return METRIC_NAMES.get(metric, metric.replace("_", " ")) + (" (%)" if percent else "")


def choose_unit(metric: str) -> tuple[str, int]:
    """(unit, digits) for a metric that the paper does not print."""
    return ("percent", 1) if metric in PERCENT_METRICS else ("fraction", 3)


PLAIN_VERDICTS = {
    AGREES: f"agrees: not more than {100 * MARGIN:g} points apart",
    LOWER: "differs: ours is lower",
    HIGHER: "differs: ours is higher",
    CANNOT_TELL: "cannot tell: the numbers are too uncertain",
    PHANTOMS: "not comparable: synthetic data",
    OTHER_DATA: "not comparable: other data than the paper's",
    OFF_PROTOCOL: "not comparable: other settings than the paper's",
    NOT_RUN: "not run",
}
SHOWN_VERDICTS = {OFF_PROTOCOL: "other settings", PHANTOMS: "synthetic data"}  # in a table, where records keep their words


def show_verdict(verdict: str) -> str:
    """A verdict as the column of a table has it.

    >>> show_verdict("off protocol"), show_verdict("cannot tell")
    ('other settings', 'cannot tell')
    """
    return SHOWN_VERDICTS.get(verdict, verdict)


def show_check(check: StatementCheck) -> str:
    """The verdict on a statement; its rows may have been run and yet not be judged.

    >>> show_check(StatementCheck(id="best", protocol="leakfree", verdict="not run", detail=HARDLY_TRAINED))
    'not judged'
    """
    return "not judged" if check.detail == HARDLY_TRAINED else show_verdict(check.verdict)


def explain_verdict(verdict: str) -> str:
    """A verdict in words that need no explanation; one of an older version as it is.

    >>> explain_verdict("differs, lower"), explain_verdict("unclear")
    ('differs: ours is lower', 'unclear')
    """
    return PLAIN_VERDICTS.get(verdict, verdict)


def choose_tone(verdict: str) -> str:
    """How a page shows a verdict: "good", "lower", "higher", "bad" (what contradicts the paper otherwise) or "open".

    >>> [choose_tone(verdict) for verdict in ("equal", "differs, lower", "does not hold", "cannot tell")]
    ['good', 'lower', 'bad', 'open']
    """
    if verdict in (LOWER, HIGHER):
        return "lower" if verdict == LOWER else "higher"
    if verdict.startswith(("differs", "does not", "impossible", "swapped", "leaks", "below")):
        return "bad"
    return "good" if verdict in (AGREES, EQUAL, "holds", "possible") else "open"
