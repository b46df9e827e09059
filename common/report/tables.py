"""The tables that the report, table.md, the READMEs and the terminal show, built once from results.json and paper.toml."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from common.evaluation.verdicts import EQUAL, NOT_RUN
from common.records.paper import Paper
from common.records.results import Pair, Results, RowResult
from common.report.lines import Line, collect_lines, count_seeds, is_one_fit, is_own
from common.report.wording import (
    NONE,
    PERCENT_METRICS,
    PROTOCOL_NAMES,
    choose_unit,
    format_interval,
    format_value,
    limit_digits,
    name_metric,
    show_check,
    show_verdict,
)

METRIC_ORDER = (*PERCENT_METRICS, "auc", "f1", "mcc", "ece", "brier")


@dataclass(frozen=True)
class Column:
    name: str
    kind: str = "text"  # text, number, verdict, note (on a page no column: a line of its own below the row)
    group: str = ""  # heading over neighbouring columns
    printed: bool = False  # it holds numbers of the paper, or what follows from them


@dataclass(frozen=True)
class Table:
    title: str
    columns: tuple[Column, ...]
    rows: list[list[str]]
    note: str = ""

    def groups(self) -> list[tuple[str, int]]:
        """(group heading, number of columns) on a page, left to right; "" for a column without a group, one by one."""
        spans: list[tuple[str, int]] = []
        for column in self.page_columns():
            if spans and column.group and spans[-1][0] == column.group:
                spans[-1] = (column.group, spans[-1][1] + 1)
            else:
                spans.append((column.group, 1))
        return spans

    def page_columns(self) -> list[Column]:
        return [column for column in self.columns if column.kind != "note"]

    def page_rows(self) -> list[tuple[list[str], int, str]]:
        """Each row as a page shows it: its cells, the number of columns that one "not run" fills at its end, its note.

        The cells are those of `page_columns`, less the columns filled by "not run": there the row holds only dashes.
        """
        rows = []
        for row in self.rows:
            cells = [cell for cell, column in zip(row, self.columns, strict=True) if column.kind != "note"]
            note = "; ".join(cell for cell, column in zip(row, self.columns, strict=True) if column.kind == "note")
            empty = list(takewhile(lambda cell: cell in (NONE, NOT_RUN), reversed(cells)))
            filled = len(empty) if NOT_RUN in empty[1:] else 0  # a verdict in the last column stays there
            rows.append((cells[: len(cells) - filled], filled, note))
        return rows


def build_comparison_tables(results: Results, paper: Paper) -> list[Table]:
    """Paper, ours and leak-free side by side: one table per printed table of ratios, then our own tables."""
    lines, own = collect_lines(results, paper), is_own(results)
    return [
        _build_comparison_table([line for line in lines if line.table == name], title, own, paper.difference)
        for name, title in name_tables(lines, own).items()
    ]


def name_tables(lines: Sequence[Line], own: bool = False) -> dict[str, str]:
    """Table -> its title, in the order of the lines; own: of own data, which stand in no table of the paper."""
    titles = {}
    for name in dict.fromkeys(line.table for line in lines):
        inside = [line for line in lines if line.table == name]
        metrics = {(line.metric, line.unit) for line in inside}
        metric = f": {name_metric(*next(iter(metrics)))}" if len(metrics) == 1 else ""
        claimed = any(line.claimed for line in inside)
        if own:
            known = claimed or name.startswith("Fig.")
            title = f"{'as in ' if known else 'further, '}{'Table ' * name[0].isdigit()}{name}{metric}"
        elif name.startswith("Fig."):
            title = f"{name}{metric}" if claimed else f"{name}{metric} (the paper prints no numbers)"
        elif claimed:
            title = f"{'Table ' * name[0].isdigit()}{name}{metric}"
        else:
            title = f"Beyond the paper, {name}{metric}"
        titles[name] = title[0].upper() + title[1:]
    return titles


def _build_comparison_table(lines: Sequence[Line], title: str, own: bool, difference: str) -> Table:
    claimed = any(line.claimed for line in lines) and not own
    metrics = {(line.metric, line.unit) for line in lines}
    keys = ("ours", "sd", "gap", "leakfree", "difference")
    majorities = ("paper_majority", "majority", "leakfree_majority")
    rows = []
    for line in lines:
        unit, digits = line.unit, limit_digits(line.digits)
        show = {key: format_value(getattr(line, key), unit, digits, signed=key in ("gap", "difference")) for key in keys}
        for key in majorities:
            show[key] = format_value(getattr(line, key), unit, digits) if line.metric == "accuracy" else NONE
        show["seeds"] = NONE if line.seeds is None else count_seeds(line.seeds, one_fit="paper" in line.alike)
        show["interval"] = format_interval(line.low, line.high, unit, digits)
        show["gap_interval"] = format_interval(line.gap_low, line.gap_high, unit, digits, signed=True)
        show["leakfree_interval"] = format_interval(line.leakfree_low, line.leakfree_high, unit, digits)
        show["metric"] = name_metric(line.metric, unit)
        show["paper"] = "n/a" if line.paper is None else format_value(line.paper, unit, line.digits)
        rows.append({**show, "row": line.row, "verdict": show_verdict(line.verdict), "note": line.note})

    paper, ours, gap, leakfree = "Paper", "Ours, the paper's protocol", "Ours minus paper", "Ours, leak-free"
    columns = {
        "row": Column("row"),
        "metric": Column("metric"),
        "paper": Column("printed", "number", paper, printed=True),
        "paper_majority": Column("majority", "number", paper, printed=True),
        "ours": Column("mean", "number", ours),
        "sd": Column("sd", "number", ours),
        "seeds": Column("seeds", "number", ours),
        "interval": Column("95 % interval", "number", ours),
        "majority": Column("majority", "number", ours),
        "gap": Column("difference", "number", gap, printed=True),
        "gap_interval": Column("95 % interval", "number", gap, printed=True),
        "verdict": Column("verdict", "verdict", printed=True),
        "leakfree": Column("mean", "number", leakfree),
        "leakfree_interval": Column("95 % interval", "number", leakfree),
        "difference": Column("minus paper's protocol", "number", leakfree),
        "leakfree_majority": Column("majority", "number", leakfree),
        "note": Column("note", "note"),
    }
    gaps = {"gap", "gap_interval"}
    hidden = set() if claimed else {key for key, column in columns.items() if column.printed}
    hidden |= gaps if all(line.gap is None for line in lines) else set()  # where no verdict is due at all
    hidden |= {"metric"} if len(metrics) == 1 else set()
    hidden |= set() if any(line.metric == "accuracy" for line in lines) else set(majorities)
    hidden |= set() if any(row["note"] for row in rows) else {"note"}
    if claimed and all(row["majority"] in (NONE, row["paper_majority"]) for row in rows):
        hidden.add("majority")  # the same test composition as the paper's, so the column would only repeat its
    shown = [key for key in columns if key not in hidden]
    note = f"{difference}." if difference and any(line.difference is not None for line in lines) else ""
    return Table(title, tuple(columns[key] for key in shown), [[row[key] for key in shown] for row in rows], note)


def build_count_tables(results: Results, paper: Paper) -> list[Table]:
    """Printed counts against ours: one table per printed table, one line a row, paper and ours for each count."""
    judged = {claim.key: claim for claim in results.claims}
    counts = [claim for claim in paper.claims if claim.unit == "count"]
    tables = []
    for name in dict.fromkeys(claim.table for claim in counts):
        claims = {(claim.row, claim.metric): claim for claim in counts if claim.table == name}
        metrics = list(dict.fromkeys(metric for _, metric in claims))
        columns = [Column("row")]
        for metric in metrics:
            columns += [Column("paper", "number", metric, printed=True), Column("ours", "number", metric)]
        rows = []
        for row in dict.fromkeys(row for row, _ in claims):
            cells, verdicts = [row], []
            for metric in metrics:
                claim = claims.get((row, metric))
                found = judged.get((name, row, metric))
                value = claim.value if claim else None
                cells += [format_value(value, "count"), format_value(found.ours if found else None, "count")]
                if value is not None:
                    verdicts.append(found.verdict if found else NOT_RUN)
            equal = f"{verdicts.count(EQUAL)} of {len(verdicts)} equal"
            rows.append([*cells, show_verdict(verdicts[0]) if len(set(verdicts)) == 1 else equal])
        tables.append(Table(f"Table {name}: counts", (*columns, Column("verdict", "verdict")), rows))
    return tables


def build_metric_tables(results: Results) -> list[Table]:
    """All metrics with intervals, one table a protocol."""
    tables = []
    for protocol, title in PROTOCOL_NAMES.items():
        # A row that stands in several tables is the same everywhere.
        rows = list({row.row: row for row in results.rows if row.protocol == protocol}.values())
        present = {metric for row in rows for metric in row.metrics}
        metrics = [name for name in METRIC_ORDER if name in present] + sorted(present - set(METRIC_ORDER))
        lines = []
        for row in rows:
            line = [row.row, f"{row.n:,}", NONE if row.patients is None else f"{row.patients:,}"]
            line.append(count_seeds(len(row.seeds), one_fit=is_one_fit(row)))
            for metric in metrics:
                unit, digits = choose_unit(metric)
                value = row.metrics.get(metric)
                text = format_value(value.mean if value else None, unit, digits)
                limits = format_interval(value.low, value.high, unit, digits) if value else NONE
                constant = metric == "majority_rate"
                line.append(text if limits == NONE or constant else f"{text} {limits}")
            lines.append(line)
        columns = [Column("row"), *(Column(name, "number") for name in ("n", "patients", "seeds"))]
        columns += [Column(name_metric(metric), "number") for metric in metrics]
        if lines:
            note = "Mean over the seeds, with 95 % intervals over patients and trainings. A dash: not defined, or not computed."
            if any(len(row.seeds) == 1 for row in rows):
                note += " With one seed the interval leaves out how trainings vary."
            tables.append(Table(f"All metrics, {title}", tuple(columns), lines, " ".join([note, *_collect_notes(rows)])))
    return tables


def _collect_notes(rows: Sequence[RowResult]) -> list[str]:
    """What is to be said of single numbers: a sentence a note, with the rows and metrics that it is of."""
    of_note: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        for metric, value in row.metrics.items():
            if value.note:
                of_note.setdefault(value.note, {}).setdefault(row.row, []).append(name_metric(metric))
    sentences = []
    for note, of_row in of_note.items():
        places = "; ".join(f"{row} ({', '.join(metrics)})" for row, metrics in of_row.items())
        sentences.append(f"{note[0].upper()}{note[1:]}: {places}.")
    return sentences


def _format_p(value: float | None) -> str:
    if value is None:
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _name_tests(pair: Pair) -> str:
    """The tests whose p values are printed, and what is to be said of them; older files name none."""
    tests = "; ".join(dict.fromkeys(test for test in (pair.accuracy_test, pair.auc_test) if test))
    return "; ".join(part for part in (tests or "McNemar; DeLong", pair.note) if part)


def _count_seeds(pair: Pair) -> str:
    """Of both rows, "3", or of each where they differ, "5/1"."""
    numbers = [len(of or pair.seeds) for of in (pair.seeds_a, pair.seeds_b)]
    return str(numbers[0]) if numbers[0] == numbers[1] else f"{numbers[0]}/{numbers[1]}"


def build_pair_table(results: Results) -> Table:
    """Paired comparisons of rows on the same cases, with Holm's correction."""
    accuracy, auc = "Accuracy, first minus second (points)", "AUC, first minus second"
    columns = [Column("protocol"), Column("first"), Column("second"), Column("seeds", "number"), Column("n", "number")]
    columns += [Column(name, "number", accuracy) for name in ("difference", "95 % interval", "p", "p, Holm")]
    columns += [Column(name, "number", auc) for name in ("difference", "p", "p, Holm")]
    columns += [Column("tests")]
    rows = []
    for pair in results.extra.comparisons:
        rows.append(
            [
                PROTOCOL_NAMES[pair.protocol],
                pair.row_a,
                pair.row_b,
                _count_seeds(pair),
                f"{pair.n:,}",
                format_value(pair.accuracy_difference, "percent", signed=True),
                format_interval(pair.low, pair.high, "percent"),
                _format_p(pair.mcnemar_p),
                _format_p(pair.mcnemar_p_holm),
                format_value(pair.auc_difference, "fraction", 3, signed=True),
                _format_p(pair.delong_p),
                _format_p(pair.delong_p_holm),
                _name_tests(pair),
            ]
        )
    note = (
        "The same cases scored by both. Differences and tests: means over the seeds of each row. The cluster t test and the "
        "clustered DeLong test take the cases of a patient as belonging together, and add the variance between the seeds. With "
        "one seed each they are of these two trainings; with one seed of one row alone there is no test, and the interval leaves "
        "out how its trainings vary. McNemar's and DeLong's own stand where each patient has one case. A dash: no test."
    )
    return Table("Paired comparisons", tuple(columns), rows, note)


def build_statement_table(results: Results, paper: Paper) -> Table:
    """What the paper says in words, and whether our numbers agree."""
    rows = []
    for statement in paper.statements:
        checks = [check for check in results.extra.statements if check.id == statement.id]
        rows += [[statement.text, statement.where, PROTOCOL_NAMES[c.protocol], show_check(c), c.detail] for c in checks]
        if not checks:
            rows.append([statement.text, statement.where, NONE, NOT_RUN, "not computed in this run"])
    columns = tuple(Column(name) for name in ("statement", "where", "checked under"))
    columns += (Column("ours", "verdict"), Column("detail"))
    return Table("Statements of the paper", columns, rows)


def build_own_tables(results: Results) -> list[Table]:
    """Tables that a package hands over ready; of own data without what is the paper's."""
    tables = []
    for own in results.extra.tables:
        table = Table(own.title, tuple(Column(c.name, c.kind, c.group, c.printed) for c in own.columns), own.rows, own.note)
        if is_own(results):
            tables.append(drop_printed(table))
        else:
            tables.append(replace(table, note=" ".join(filter(None, [own.note, own.printed_note]))))
    return tables


def drop_printed(table: Table) -> Table:
    """The table without its columns of the paper's numbers, and without the rows that then hold no number of ours.

    >>> columns = (Column("row"), Column("recall", "number", "Paper", printed=True), Column("recall", "number", "Ours"))
    >>> drop_printed(Table("Recall", columns, [["old net", "90.0", "88.1"], ["new net", "95.0", "–"]])).rows
    [['old net', '88.1']]
    """
    if not any(column.printed for column in table.columns):
        return table
    kept = [place for place, column in enumerate(table.columns) if not column.printed]
    rows = [[row[place] for place in kept] for row in table.rows]
    return replace(
        table,
        columns=tuple(table.columns[place] for place in kept),
        rows=[row for row in rows if any(cell != NONE for cell in row[1:])],
    )


def build_missing_table(results: Results) -> Table:
    """Rows not run, with the reason; rows that share table and reason stand together."""
    groups: dict[tuple[str, str], list[str]] = {}
    for missing in results.extra.not_run:
        names = groups.setdefault((missing.table, missing.reason), [])
        if missing.row not in names:
            names.append(missing.row)
    rows = [[table, "; ".join(names), reason] for (table, reason), names in groups.items()]
    return Table("Not run", (Column("table"), Column("rows"), Column("reason")), rows)
