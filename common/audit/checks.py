"""Checks that a paper.toml declares: [[check]] with a kind, the place in the paper, and what the kind needs.

    row          values = { accuracy = "97.3", sensitivity = "80.7", specificity = "64.17" }, unit = "percent",
                 row = "method [10]", optional classes = { ill = 40, healthy = 60 }:
                 numbers outside the tables, checked like a row of a table
    equation     text = "0.0412 / 0.5160 * 100 = 8.1"; with table = "1" (and rows = [...]) names in it are the metrics of
                 that table's rows: text = "positive + negative = train + test"; derived = ["77"]: numbers in it that the paper
                 does not print, so that the finding ("derived equation") is about an inference as much as about the paper
    mean, sd, variance
                 table, metric, printed = "96.0", unit: of the metric's values in all rows of the table, or in rows = [...];
                 sd and variance with the denominator number of values - 1
    float32      table, metric, cases = [60, 420]: which fractions k/n, with n in these limits, give the printed 32-bit floats
    split_size   table, metric, cases as in float32; total = 1208, share = "0.1": can test sets of these sizes come from
                 drawing each of `total` images with this probability?
    macro        offsets = ["0", "0.01"], optional cases = 77: the rows of more than two classes are macro means
    pair         table, metric, rows = ["a", "b"]: smallest possible p of McNemar's test between two rows
    enlargement  originals = 100, enlarged = 1877, test = 376: images enlarged before the test set was drawn from them

Numbers as printed are given as text, so that their last digit is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from common.audit.outcomes import SAME_METRIC, Line
from common.audit.printed import SCALES, Printed
from common.errors import UsageError
from common.records.claims import UNLIMITED
from common.records.paper import Paper
from common.records.paper_entries import MOST_CASES, read_fields

LARGEST_CASES = 100_000  # largest number of cases that a check may ask to try
TABLE = {"table": str, "metric": str}
FIELDS: dict[str, tuple[dict[str, type], dict[str, type]]] = {  # kind -> required and optional fields, besides `where`
    "row": ({"row": str, "unit": str, "values": dict}, {"classes": dict}),
    "equation": ({"text": str}, {"table": str, "rows": list, "derived": list}),
    "mean": ({**TABLE, "printed": str, "unit": str}, {"rows": list}),
    "sd": ({**TABLE, "printed": str, "unit": str}, {"rows": list}),
    "variance": ({**TABLE, "printed": str, "unit": str}, {"rows": list}),
    "float32": ({**TABLE, "cases": list}, {"rows": list}),
    "split_size": ({**TABLE, "cases": list, "total": int, "share": str}, {"rows": list}),
    "macro": ({"offsets": list}, {"cases": int}),
    "pair": ({**TABLE, "rows": list}, {}),
    "enlargement": ({"originals": int, "enlarged": int, "test": int}, {}),
}


@dataclass(frozen=True)
class Check:
    """One [[check]]: its fields, and its place in the file for error messages."""

    kind: str
    where: str  # in the paper
    fields: dict[str, Any]  # see FIELDS
    place: str

    def fail(self, field: str, fault: str) -> UsageError:
        """The error to raise for a wrong field."""
        return UsageError(f"{self.place}: field {field!r}: {fault}")


def read_checks(paper: Paper) -> list[Check]:
    """The [[check]] entries, their fields and types checked. UsageError names file, line, entry and field.

    >>> from pathlib import Path
    >>> from common.audit.example import EXAMPLE
    >>> from common.records.paper import parse_paper
    >>> (check,) = read_checks(parse_paper(EXAMPLE, Path("mine/paper.toml")))
    >>> check.kind, check.where, check.fields
    ('equation', 'section 3', {'text': '40 + 60 = 110'})
    """
    checks = []
    for entry, place in paper.checks:
        kind = entry.get("kind") if isinstance(entry, dict) else None
        if not isinstance(kind, str) or kind not in FIELDS:
            raise UsageError(f"{place}: field 'kind' must be one of {', '.join(FIELDS)}, not {kind!r}")
        required, optional = FIELDS[kind]
        fields = read_fields(entry, f"{place} ({kind})", required={"kind": str, "where": str, **required}, optional=optional)
        if not all(isinstance(row, str) for row in fields.get("rows", ())):
            raise UsageError(f"{place} ({kind}): field 'rows' must be names of rows")
        checks.append(Check(fields.pop("kind"), fields.pop("where"), fields, f"{place} ({kind})"))
    return checks


def read_declared_lines(checks: Sequence[Check]) -> list[Line]:
    """The rows that stand outside the tables: checks of kind "row". Raises UsageError for a wrong value.

    >>> fields = {"row": "method [10]", "unit": "percent", "values": {"accuracy": "97.3", "recall": "80.7"}}
    >>> [line.show() for line in read_declared_lines([Check("row", "section 2", fields, "mine.toml: check 1")])]
    ['method [10] (section 2), accuracy 97.3, sensitivity 80.7']
    """
    lines = []
    for check in checks:
        if check.kind == "row":
            classes = check.fields.get("classes", {})
            if not check.fields["values"]:
                raise check.fail("values", "must give the printed metrics")
            if not all(type(cases) is int and 0 <= cases <= MOST_CASES for cases in classes.values()):
                raise check.fail("classes", f"must give a whole number of cases, at most {MOST_CASES}, for each class")
            metrics = {
                SAME_METRIC.get(name, name): read_printed(check, "values", text, check.fields["unit"])
                for name, text in check.fields["values"].items()
            }
            if above := [name for name, number in metrics.items() if number.value > 1 and name not in UNLIMITED]:
                raise check.fail("values", f"{above[0]} is above 100 %")
            lines.append(Line(f"{check.fields['row']} ({check.where})", (), classes, metrics))
    return lines


def read_printed(check: Check, field: str, text: object, unit: str) -> Printed:
    """The number that a field gives as printed. Raises UsageError for other values and units.

    >>> read_printed(Check("mean", "section 2", {}, "mine.toml: check 1"), "printed", "96.0", "percent")
    Printed(text='96.0', unit='percent')
    """
    if unit not in SCALES:
        raise check.fail("unit", f"must be one of {', '.join(SCALES)}, not {unit!r}")
    try:
        return Printed(str(text) if isinstance(text, str) else "", unit)
    except ValueError:
        raise check.fail(field, f'must be a number as printed, in quotes, such as "96.0", not {text!r}') from None


def read_fraction(check: Check, field: str, text: object) -> Fraction:
    """The value of a number that a field gives as printed, exactly. Raises UsageError as `read_printed` does.

    >>> read_fraction(Check("split_size", "section 2", {}, "mine.toml: check 1"), "share", "0.1")
    Fraction(1, 10)
    """
    return read_printed(check, field, text, "fraction").value


def read_cases(check: Check) -> tuple[int, int]:
    """The smallest and the largest number of cases of a check's field `cases`; UsageError unless 2 <= smallest <= largest.

    >>> read_cases(Check("float32", "Table 2", {"cases": [60, 420]}, "mine.toml: check 1"))
    (60, 420)
    """
    cases = check.fields["cases"]
    if not (len(cases) == 2 and all(type(n) is int for n in cases) and 1 < cases[0] <= cases[1] <= LARGEST_CASES):
        raise check.fail("cases", f"must be the smallest and the largest number of cases, 2 to {LARGEST_CASES}, not {cases}")
    return cases[0], cases[1]


def select_numbers(check: Check, lines: Sequence[Line]) -> dict[str, Printed]:
    """{row: printed value} of a check's table and metric, in all rows or those that it names.

    lines: the printed ratios of the paper. Raises UsageError for a table, metric or row that is not among them.

    >>> lines = [Line(row, ("2",), {}, {"accuracy": Printed("96.0", "percent")}) for row in ("run 1", "run 2")]
    >>> check = Check("mean", "Table 2", {"table": "2", "metric": "accuracy", "rows": ["run 2"]}, "mine.toml: check 1")
    >>> select_numbers(check, lines)
    {'run 2': Printed(text='96.0', unit='percent')}
    """
    metric = SAME_METRIC.get(check.fields["metric"], check.fields["metric"])
    table = [line for line in lines if check.fields["table"] in line.tables]
    if not table:
        raise check.fail("table", f"no printed ratio stands in table {check.fields['table']!r}")
    numbers = {line.row: line.metrics[metric] for line in table if metric in line.metrics}
    if not numbers:
        raise check.fail("metric", f"table {check.fields['table']!r} prints no {check.fields['metric']!r}")
    rows = check.fields.get("rows", list(numbers))
    if foreign := [row for row in rows if row not in numbers]:
        raise check.fail("rows", f"table {check.fields['table']!r} has no row {foreign[0]!r} with a printed {metric}")
    return {row: numbers[row] for row in rows}
