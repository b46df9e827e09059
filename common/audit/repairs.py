"""What would mend a table: other heads over its columns, or one number less in a row."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import permutations
from math import prod

from common.audit.confusions import TWO_CLASSES
from common.audit.matrices import explain_binary, find_binary_orders, is_binary
from common.audit.outcomes import AVERAGED, IMPOSSIBLE, NEAR, SWAPPED, UNEVEN, UNLIKELY, Line, Outcome, join_keys
from common.audit.prevalence import CELLS, bound_prevalence
from common.audit.printed import WAYS, format_chance

HEADS = ("sensitivity", "specificity", "precision", "npv")  # what columns are taken for each other
FEWEST_ROWS = 3  # that other heads must explain and the printed ones do not
UNLIKELY_P = 1e-3  # chance below which other heads are believed


def check_heads(lines: Sequence[Line], positive_class: str, accused: frozenset[tuple[str, str]]) -> list[Outcome]:
    """Are two columns of a table headed by each other's name? One outcome for each table where other heads explain more rows.

    lines: of any test sets; those of two classes and one matrix count. accused: (table, row) of the rows that are impossible as
    printed. The heads of HEADS are exchanged among all columns at once; an exchange must explain three rows more than the
    printed heads. "swapped" if the lines say that they are of one test set or their rows are accused, else "unlikely", with the
    chance that random numbers of as many digits would be explained so.

    Precision and recall of 20 ill and 20 healthy cases: 17/19 and 17/20, 19/21 and 19/20, 16/18 and 16/20.

    >>> from common.audit.printed import Printed
    >>> rows = [("0.875", "0.895", "0.85"), ("0.925", "0.905", "0.95"), ("0.850", "0.889", "0.80")]
    >>> names = ("accuracy", "sensitivity", "specificity")
    >>> metrics = [{name: Printed(text, "fraction") for name, text in zip(names, row)} for row in rows]
    >>> lines = [Line(f"row {i}", ("4",), {"ill": 20, "healthy": 20}, row) for i, row in enumerate(metrics)]
    >>> [(outcome.verdict, outcome.arithmetic.split(" (")[0]) for outcome in check_heads(lines, "ill", frozenset())]
    [('unlikely', 'as headed 0 rows have a confusion matrix; if sensitivity is precision, specificity is sensitivity, 3 of 3')]
    """
    outcomes = []
    for table in dict.fromkeys(table for line in lines for table in line.tables):
        group = [line for line in lines if table in line.tables and is_binary(line)]
        columns = [name for name in HEADS if any(name in line.metrics for line in group)]
        if len(group) < FEWEST_ROWS or not columns:
            continue
        orders = [find_binary_orders(line, positive_class) for line in group]
        printed = _count_explained(group, orders)
        found = {}
        for heads in permutations(HEADS, len(columns)):
            if heads != tuple(columns):
                renamed = [_rename(line, dict(zip(columns, heads, strict=True))) for line in group]
                found[heads] = _count_explained(renamed, [order[:1] for order in orders])
        heads = max(found, key=lambda key: len(found[key]))
        gained = [i for i in found[heads] if i not in printed]
        if len(found[heads]) < len(printed) + FEWEST_ROWS:
            continue
        chance = len(found) * prod((_guess(group[i]) for i in gained), start=Fraction(1))
        sure = all(line.averaging.is_single or set(line.keys) & accused for line in group)
        if not sure and chance >= UNLIKELY_P:
            continue
        pairs = ", ".join(f"{old} is {new}" for old, new in zip(columns, heads, strict=True) if old != new)
        outcomes.append(
            Outcome(
                "heads",
                f"Table {table}: {len(group)} rows headed {', '.join(columns)}",
                SWAPPED if sure else UNLIKELY,
                f"as headed {len(printed)} rows have a confusion matrix; if {pairs}, {len(found[heads])} of {len(group)} "
                f"(by chance {format_chance(min(Fraction(1), chance))})",
                join_keys(group),
                len(found[heads]),
                len(group),
                min(Fraction(1), chance),
            )
        )
    return outcomes


def _count_explained(lines: Sequence[Line], orders: Sequence[Sequence[tuple[str, str]]]) -> list[int]:
    """Positions of the rows that one matrix gives, rounded or cut off."""
    return [
        i
        for i, (line, options) in enumerate(zip(lines, orders, strict=True))
        if any(explain_binary(line, order)[0] in WAYS[:2] for order in options)
    ]


def _rename(line: Line, heads: Mapping[str, str]) -> Line:
    return replace(line, metrics={heads.get(name, name): number for name, number in line.metrics.items()})


def _guess(line: Line) -> Fraction:
    """Expected number of matrices that give a row of random numbers of these digits, at most 1."""
    positives, negatives = line.classes.values()
    steps = prod((number.step for name, number in line.metrics.items() if name in TWO_CLASSES), start=Fraction(1))
    return min(Fraction(1), (positives + 1) * (negatives + 1) * steps)


def check_left_out(lines: Sequence[Line], positive_class: str, verdicts: Mapping[tuple[str, str], str]) -> list[Outcome]:
    """Rows that no single test set gives: is there one number without which the others have a matrix, or a share of positives?

    lines: of any test sets, with at least four metrics of one positive class. verdicts: of the rows, (table, row): what was found
    of the row as a whole; those that are possible are passed over. One outcome for each row where one number or one of a few
    frees the rest, with the row's verdict; `metrics` holds the number if it is one alone.

    PMC7415126, Table 3: 92 of 101 and 1831 of 1921 give everything but the accuracy, which would be 95.1.

    >>> from common.audit.printed import Printed
    >>> printed = {"accuracy": "90.5", "precision": "50.5", "npv": "99.5", "specificity": "95.3", "sensitivity": "91.1"}
    >>> printed = {name: Printed(text, "percent") for name, text in printed.items()}
    >>> line = Line("AI", ("3",), {"infected": 101, "clean": 1921}, printed)
    >>> (outcome,) = check_left_out([line], "infected", {("3", "AI"): "impossible"})
    >>> outcome.arithmetic
    'without accuracy 90.5 the other 4 fit: 92/101 and 1831/1921 right, accuracy 95.10'
    """
    outcomes = []
    for line in lines:
        verdict = next((verdicts[key] for key in line.keys if key in verdicts), None)
        if verdict not in (IMPOSSIBLE, UNEVEN, AVERAGED, NEAR) or not (
            line.averaging.may_be_single and line.averaging.may_be_binary
        ):
            continue
        texts = {name: text for name in line.metrics if (text := _free(line, name, positive_class))}
        known = [name for name in line.metrics if name in (TWO_CLASSES if line.n else CELLS)]
        if not 0 < len(texts) <= len(known) // 2:
            continue
        parts = [f"without {name} {line.metrics[name].text} {text}" for name, text in texts.items()]
        metrics = tuple(texts) if len(texts) == 1 else ()
        outcomes.append(
            Outcome("left out", line.show(), verdict, "; or ".join(parts), line.keys, len(texts), len(known), metrics=metrics)
        )
    return outcomes


def _free(line: Line, name: str, positive_class: str) -> str:
    """What the other metrics fit; "" if they do not."""
    if name not in (TWO_CLASSES if line.n else CELLS):
        return ""
    rest = replace(line, metrics={other: number for other, number in line.metrics.items() if other != name})
    if not line.n:
        known = [other for other in rest.metrics if other in CELLS]
        ends = bound_prevalence(rest.metrics, "rounded") if len(known) > 2 else None
        return f"the other {len(known)} fit a share of positives of {100 * ends[0]:.1f} to {100 * ends[1]:.1f} %" if ends else ""
    known = [other for other in rest.metrics if other in TWO_CLASSES]
    if len(known) < 3 or not is_binary(rest):
        return ""
    for order in find_binary_orders(line, positive_class):
        way, found = explain_binary(rest, order)
        if way in WAYS[:2]:
            (tp, tn), (positives, negatives) = found[0], (line.classes[part] for part in order)
            top, bottom = TWO_CLASSES[name](tp, positives - tp, negatives - tn, tn)
            value = line.metrics[name].show(Fraction(top / bottom) if bottom else Fraction(0))
            return f"the other {len(known)} fit: {tp}/{positives} and {tn}/{negatives} right, {name} {value}"
    return ""


def judge_rows(outcomes: Sequence[Outcome]) -> dict[tuple[str, str], str]:
    """{(table, row): verdict} of the outcomes on whole rows.

    >>> checks = {"CNN": "one matrix", "SVM": "F1"}
    >>> judge_rows([Outcome(check, row, IMPOSSIBLE, "", (("2", row),)) for row, check in checks.items()])
    {('2', 'CNN'): 'impossible'}
    """
    return {key: outcome.verdict for outcome in outcomes if outcome.check in ("one matrix", "prevalence") for key in outcome.rows}
