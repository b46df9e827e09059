"""Numbers and names as text, the same in tables, reports and captions."""

PROTOCOL_NAMES = {"paper": "the paper's protocol", "leakfree": "leak-free"}
NONE = "–"  # no such number
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


def format_interval(low: float | None, high: float | None, unit: str, digits: int = 1) -> str:
    if low is None or high is None:
        return NONE
    return f"[{format_value(low, unit, digits)}, {format_value(high, unit, digits)}]"


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
