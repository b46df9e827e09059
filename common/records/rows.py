"""A line of a paper's tables: what every package calls a row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common.cli import Options
from common.errors import UsageError
from common.ranges import cut_end

SHOWN = 5  # rows that a message names


@dataclass(frozen=True)
class Row:
    """One line of a table or figure, printed in the paper or added by us."""

    name: str  # as in the predictions table; unique
    tables: tuple[str, ...]  # tables and figures that it stands in; (): in none, but other rows are computed from it
    needs: frozenset[str]  # names of the trainings that it is computed from


def select_rows(rows: Sequence[Row], options: Options, unavailable: dict[str, str]) -> tuple[list[Row], dict[str, str]]:
    """Rows that --tables and --rows ask for, and for each other row why it is not run.

    unavailable: row -> why it cannot be run here, whatever is asked for. Raises UsageError for an unknown table, a text of
    --rows that no row contains, and if no row is left.
    """
    tables = sorted({table for row in rows for table in row.tables}, key=lambda table: (not table[0].isdigit(), table))
    if unknown := [table for table in options.tables or () if table not in tables]:
        raise UsageError(f"--tables {unknown[0]}: no such table; known: {', '.join(tables)}")
    wanted, reasons = [], dict(unavailable)
    for row in rows:
        if row.name in unavailable:
            continue
        if options.tables and not set(row.tables) & set(options.tables):
            reasons[row.name] = "not asked for (--tables)"
        elif options.rows and not any(part in row.name for part in options.rows):
            reasons[row.name] = "not asked for (--rows)"
        else:
            wanted.append(row)
    if not wanted:
        named = [why for row, why in unavailable.items() if options.rows and any(part in row for part in options.rows)]
        why = f" ({named[0]})" if named else ""
        raise UsageError(f"no row is left{why}: check --tables and --rows against {show_rows(rows)}")
    if unmet := [part for part in options.rows or () if not any(part in row.name for row in rows)]:
        raise UsageError(f"--rows {cut_end(unmet[0])}: no row contains this text; check it against {show_rows(rows)}")
    return wanted, reasons


def show_rows(rows: Sequence[Row]) -> str:
    """The rows of paper.toml for messages: the first of them, and how many there are."""
    names = [row.name for row in rows]
    first = "; ".join(names[:SHOWN])
    return f"the {len(names)} rows of paper.toml, such as {first}" if len(names) > SHOWN else f"the rows of paper.toml: {first}"


def explain_rows(rows: Sequence[Row], broken: Mapping[str, str]) -> dict[str, str]:
    """Row -> why it cannot be computed, of those that need a training that is broken (training -> why); of several reasons one.

    >>> explain_rows([Row("CNN", ("2",), frozenset(["a", "b"])), Row("SVM", ("2",), frozenset(["c"]))], {"b": "no weights"})
    {'CNN': 'no weights'}
    """
    found = {row.name: [broken[name] for name in row.needs if name in broken] for row in rows}
    return {row: min(reasons) for row, reasons in found.items() if reasons}
