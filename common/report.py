"""table.md and the self-contained report.html of a run; the generated tables of the READMEs; the terminal's table.

All of them show the same tables, built once as `Table` from results.json and paper.toml.
Command line: `python -m common.report [--check] [--root FOLDER]` rewrites (or checks) the blocks of README.md and
replications/*/README.md between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

import argparse
import base64
import hashlib
import json
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from common.errors import UsageError
from common.figures import DPI
from common.paper import Claim, Paper, load_paper
from common.results import find_figures, is_synthetic, read_results, write_text_atomic

NONE = "–"  # no such number
PROTOCOLS = {"paper": "the paper's protocol", "leakfree": "leak-free"}
PERCENT_METRICS = ("accuracy", "sensitivity", "specificity", "precision", "majority_rate")
METRIC_NAMES = {"f1": "F1", "mcc": "MCC", "auc": "AUC", "ece": "ECE", "brier": "Brier score"}
METRIC_ORDER = (*PERCENT_METRICS, "auc", "f1", "mcc", "ece", "brier")
SYNTHETIC = "Synthetic data: these numbers say nothing about the paper."


@dataclass(frozen=True)
class Column:
    name: str
    kind: str = "text"  # text, number, verdict
    group: str = ""  # heading over neighbouring columns


@dataclass(frozen=True)
class Table:
    title: str
    columns: tuple[Column, ...]
    rows: list[list[str]]
    note: str = ""

    def groups(self) -> list[tuple[str, int]]:
        """(group heading, number of columns) from left to right; "" for a column without a group, one by one."""
        spans: list[tuple[str, int]] = []
        for column in self.columns:
            if spans and column.group and spans[-1][0] == column.group:
                spans[-1] = (column.group, spans[-1][1] + 1)
            else:
                spans.append((column.group, 1))
        return spans


# ---------------------------------------------------------------------------------------------------- numbers as text


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


def _choose_unit(metric: str) -> tuple[str, int]:
    """(unit, digits) for a metric that the paper does not print."""
    return ("percent", 1) if metric in PERCENT_METRICS else ("fraction", 3)


def _format_p(value: float | None) -> str:
    if value is None:
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


# ------------------------------------------------------------------------------------------------- lines of the tables


def collect_lines(results: Mapping[str, Any], paper: Paper, table: str | None = None) -> list[dict[str, Any]]:
    """One dict per printed ratio, in the order of paper.toml, then per row that is ours alone.

    Keys: table, row, metric, unit, digits, claimed (bool), n, paper, tolerance, ours, low, high, sd, seeds (their
    number), verdict, leakfree, leakfree_low, leakfree_high, leakfree_seeds, difference (leak-free minus paper's
    protocol), paper_majority, majority, leakfree_majority (rates of always giving the most frequent class of the
    test set), note, reason (why it was not run). Ratios are fractions; what does not exist is None.
    """
    found = {(row["table"], row["row"], row["protocol"]): row for row in results["rows"]}
    judged = {(claim["table"], claim["row"], claim["metric"]): claim for claim in results["claims"]}
    reasons = {(item["table"], item["row"]): item["reason"] for item in results["extra"].get("not_run", [])}
    lines = []
    for claim in paper.claims:
        if claim.unit != "count":
            verdict = judged.get(claim.key, {"verdict": "not run", "note": claim.note})
            reason = reasons.get((claim.table, claim.row), "")
            # The reason stands in a table of its own, once for all the rows that share it.
            verdict = {**verdict, "note": verdict["note"].replace(reason, "").strip("; ")}
            lines.append({**_build_line(claim.key, claim, verdict, found, paper), "reason": reason})
    claimed = {(claim.table, claim.row) for claim in paper.claims}
    for name in dict.fromkeys((row["table"], row["row"]) for row in results["rows"]):
        if name not in claimed:
            line = _build_line((*name, paper.headline.metric), None, {"note": ""}, found, paper)
            lines.append({**line, "reason": ""})
    for constant in results["extra"].get("collapsed", []):
        seeds = ", ".join(map(str, constant["seeds"]))
        for line in lines:
            if line["row"] == constant["row"]:
                note = f"{PROTOCOLS[constant['protocol']]}: one class for all cases (seed {seeds})"
                line["note"] = f"{line['note']}; {note}" if line["note"] else note
    return [line for line in lines if table is None or line["table"] == table]


def _build_line(
    key: tuple[str, str, str], claim: Claim | None, verdict: Mapping[str, Any], found: Mapping, paper: Paper
) -> dict[str, Any]:
    table, row, metric = key
    rows = {protocol: found.get((table, row, protocol)) for protocol in PROTOCOLS}
    none = {"mean": None, "sd": None, "low": None, "high": None}
    measured = {"ours": rows["paper"] or {"metrics": {}}, "leak-free": rows["leakfree"] or {"metrics": {}}}
    ours, leakfree = (item["metrics"].get(metric, none) for item in measured.values())
    majority = {
        "paper": max(claim.classes.values()) / claim.n if claim and claim.n else None,
        **{who: (item["metrics"].get("majority_rate") or none)["mean"] for who, item in measured.items()},
    }
    notes = [verdict["note"]]
    printed = claim.fraction if claim else None
    if claim and row in paper.impossible_rows() and "impossible" not in notes[0]:
        notes.append("impossible as printed")
    if metric == "accuracy":
        for who, value in {"paper": printed, "ours": ours["mean"], "leak-free": leakfree["mean"]}.items():
            # A mean of equal rates may differ from them in the last bit.
            if None not in (value, majority[who]) and value <= majority[who] + 1e-12:
                notes.append(f"{who} at or below the majority rate")
    tolerance = verdict.get("tolerance")
    if tolerance is not None and claim.unit == "percent":
        tolerance /= 100  # verdicts are in the unit of the claim
    both = None not in (ours["mean"], leakfree["mean"])
    run = rows["paper"] or rows["leakfree"]
    unit, digits = (claim.unit, max(claim.digits, 1)) if claim else _choose_unit(metric)
    return {
        "table": table,
        "row": row,
        "metric": metric,
        "unit": unit,
        "digits": digits,
        "claimed": claim is not None,
        "n": run["n"] if run else claim.n if claim else None,
        "paper": printed,
        "tolerance": tolerance,
        "ours": ours["mean"],
        "low": ours["low"],
        "high": ours["high"],
        "sd": ours["sd"],
        "seeds": len(rows["paper"]["seeds"]) if rows["paper"] else None,
        "verdict": verdict.get("verdict", ""),
        "leakfree": leakfree["mean"],
        "leakfree_low": leakfree["low"],
        "leakfree_high": leakfree["high"],
        "leakfree_seeds": len(rows["leakfree"]["seeds"]) if rows["leakfree"] else None,
        "difference": leakfree["mean"] - ours["mean"] if both else None,
        "paper_majority": majority["paper"],
        "majority": majority["ours"],
        "leakfree_majority": majority["leak-free"],
        "note": "; ".join(note for note in notes if note),
    }


# ------------------------------------------------------------------------------------------------------------- tables


def build_comparison_tables(results: Mapping[str, Any], paper: Paper) -> list[Table]:
    """Paper, ours and leak-free side by side: one table per printed table of ratios, then our own tables."""
    lines = collect_lines(results, paper)
    return [
        _build_comparison_table(name, [line for line in lines if line["table"] == name])
        for name in dict.fromkeys(line["table"] for line in lines)
    ]


def _build_comparison_table(name: str, lines: Sequence[Mapping[str, Any]]) -> Table:
    claimed = any(line["claimed"] for line in lines)
    metrics = {(line["metric"], line["unit"]) for line in lines}
    keys = ("paper", "tolerance", "ours", "sd", "leakfree", "difference")
    majorities = ("paper_majority", "majority", "leakfree_majority")
    rows = []
    for line in lines:
        unit, digits = line["unit"], line["digits"]
        show = {key: format_value(line[key], unit, digits, signed=key == "difference") for key in keys}
        for key in majorities:
            show[key] = format_value(line[key], unit, digits) if line["metric"] == "accuracy" else NONE
        show["seeds"] = NONE if line["seeds"] is None else str(line["seeds"])
        show["interval"] = format_interval(line["low"], line["high"], unit, digits)
        show["leakfree_interval"] = format_interval(line["leakfree_low"], line["leakfree_high"], unit, digits)
        show["metric"] = name_metric(line["metric"], unit)
        if line["paper"] is None:
            show["paper"] = "n/a"
        if line["tolerance"] is not None:
            show["tolerance"] = f"±{show['tolerance']}"
        rows.append({**show, "row": line["row"], "verdict": line["verdict"], "note": line["note"]})

    paper, ours, leakfree = "Paper", "Ours, the paper's protocol", "Ours, leak-free"
    columns = {
        "row": Column("row"),
        "metric": Column("metric"),
        "paper": Column("printed", "number", paper),
        "tolerance": Column("tolerance", "number", paper),
        "paper_majority": Column("majority", "number", paper),
        "ours": Column("mean", "number", ours),
        "sd": Column("sd", "number", ours),
        "seeds": Column("seeds", "number", ours),
        "interval": Column("95 % interval", "number", ours),
        "majority": Column("majority", "number", ours),
        "verdict": Column("verdict", "verdict"),
        "leakfree": Column("mean", "number", leakfree),
        "leakfree_interval": Column("95 % interval", "number", leakfree),
        "difference": Column("minus paper's protocol", "number", leakfree),
        "leakfree_majority": Column("majority", "number", leakfree),
        "note": Column("note"),
    }
    hidden = set() if claimed else {"paper", "tolerance", "paper_majority", "verdict"}
    hidden |= {"metric"} if len(metrics) == 1 else set()
    hidden |= set() if any(line["metric"] == "accuracy" for line in lines) else set(majorities)
    hidden |= set() if any(row["note"] for row in rows) else {"note"}
    if claimed and all(row["majority"] in (NONE, row["paper_majority"]) for row in rows):
        hidden.add("majority")  # the same test composition as the paper's, so the column would only repeat its
    shown = [key for key in columns if key not in hidden]
    metric = f": {name_metric(*next(iter(metrics)))}" if len(metrics) == 1 else ""
    title = f"Table {name}{metric}" if claimed else f"Beyond the paper, {name}{metric}"
    return Table(title, tuple(columns[key] for key in shown), [[row[key] for key in shown] for row in rows])


def build_count_tables(results: Mapping[str, Any], paper: Paper) -> list[Table]:
    """Printed counts against ours: one table per printed table, one line a row, paper and ours for each count."""
    judged = {(claim["table"], claim["row"], claim["metric"]): claim for claim in results["claims"]}
    counts = [claim for claim in paper.claims if claim.unit == "count"]
    tables = []
    for name in dict.fromkeys(claim.table for claim in counts):
        claims = {(claim.row, claim.metric): claim for claim in counts if claim.table == name}
        metrics = list(dict.fromkeys(metric for _, metric in claims))
        columns = [Column("row")]
        for metric in metrics:
            columns += [Column("paper", "number", metric), Column("ours", "number", metric)]
        rows = []
        for row in dict.fromkeys(row for row, _ in claims):
            cells, verdicts = [row], []
            for metric in metrics:
                claim = claims.get((row, metric))
                verdict = judged.get((name, row, metric), {})
                value = claim.value if claim else None
                cells += [format_value(value, "count"), format_value(verdict.get("ours"), "count")]
                if value is not None:
                    verdicts.append(verdict.get("verdict", "not run"))
            within = f"{verdicts.count('within')} of {len(verdicts)} within"
            rows.append([*cells, verdicts[0] if len(set(verdicts)) == 1 else within])
        tables.append(Table(f"Table {name}: counts", (*columns, Column("verdict", "verdict")), rows))
    return tables


def build_metric_tables(results: Mapping[str, Any]) -> list[Table]:
    """All metrics with intervals, one table a protocol."""
    tables = []
    for protocol, title in PROTOCOLS.items():
        rows = [row for row in results["rows"] if row["protocol"] == protocol]
        present = {metric for row in rows for metric in row["metrics"]}
        metrics = [name for name in METRIC_ORDER if name in present] + sorted(present - set(METRIC_ORDER))
        lines = []
        for row in rows:
            line = [row["row"], f"{row['n']:,}", NONE if row.get("patients") is None else f"{row['patients']:,}"]
            line.append(str(len(row["seeds"])))
            for metric in metrics:
                unit, digits = _choose_unit(metric)
                value = row["metrics"].get(metric) or {"mean": None, "low": None, "high": None}
                text = format_value(value["mean"], unit, digits)
                limits = format_interval(value["low"], value["high"], unit, digits)
                constant = metric == "majority_rate"
                line.append(text if limits == NONE or constant else f"{text} {limits}")
            lines.append(line)
        columns = [Column("row"), *(Column(name, "number") for name in ("n", "patients", "seeds"))]
        columns += [Column(name_metric(metric), "number") for metric in metrics]
        if lines:
            tables.append(
                Table(
                    f"All metrics, {title}",
                    tuple(columns),
                    lines,
                    "Mean over the seeds, with 95 % intervals. A dash: not defined, or not computed.",
                )
            )
    return tables


def build_pair_table(results: Mapping[str, Any]) -> Table:
    """Paired comparisons of rows on the same cases, with Holm's correction."""
    accuracy, auc = "Accuracy, first minus second (points)", "AUC, first minus second"
    columns = [Column("protocol"), Column("first"), Column("second"), Column("n", "number")]
    columns += [Column(name, "number", accuracy) for name in ("difference", "95 % interval", "p, McNemar", "p, Holm")]
    columns += [Column(name, "number", auc) for name in ("difference", "p, DeLong", "p, Holm")]
    rows = []
    for pair in results["extra"].get("comparisons", []):
        rows.append(
            [
                PROTOCOLS[pair["protocol"]],
                pair["row_a"],
                pair["row_b"],
                f"{pair['n']:,}",
                format_value(pair["accuracy_difference"], "percent", signed=True),
                format_interval(pair["low"], pair["high"], "percent"),
                _format_p(pair["mcnemar_p"]),
                _format_p(pair["mcnemar_p_holm"]),
                format_value(pair["auc_difference"], "fraction", 3, signed=True),
                _format_p(pair["delong_p"]),
                _format_p(pair.get("delong_p_holm")),
            ]
        )
    note = (
        "The same cases scored by both. Difference: mean over the seeds, with a patient-cluster bootstrap interval. "
        "The tests take each case's score averaged over the seeds and treat cases as independent."
    )
    return Table("Paired comparisons", tuple(columns), rows, note)


def build_statement_table(results: Mapping[str, Any], paper: Paper) -> Table:
    """What the paper says in words, and whether our numbers agree."""
    rows = []
    for statement in paper.statements:
        checks = [check for check in results["extra"].get("statements", []) if check["id"] == statement.id]
        for check in checks or [{"protocol": None, "verdict": "not run", "detail": "not computed in this run"}]:
            protocol = PROTOCOLS.get(check["protocol"], NONE)
            rows.append([statement.text, statement.where, protocol, check["verdict"], check["detail"]])
    columns = tuple(Column(name) for name in ("statement", "where", "checked under"))
    columns += (Column("ours", "verdict"), Column("detail"))
    return Table("Statements of the paper", columns, rows)


def build_dataset_table(results: Mapping[str, Any]) -> Table:
    columns = [Column("data set"), Column("source"), Column("kind"), Column("cases", "number")]
    columns += [Column("patients", "number"), Column("unreadable", "number"), Column("classes"), Column("files sha256")]
    rows = []
    for data in results["datasets"]:
        source = f"{data['name']}: {data['note']}" if data.get("note") else data["name"]
        classes = ", ".join(f"{name} {cases:,}" for name, cases in data["classes"].items())
        cells = [data["dataset"], source, "synthetic" if data["synthetic"] else "real", f"{data['cases']:,}"]
        cells += [NONE if data["patients"] is None else f"{data['patients']:,}", str(len(data.get("unreadable", [])))]
        rows.append([*cells, classes, (data["files_sha256"] or NONE)[:12]])
    return Table("Data", tuple(columns), rows)


def build_split_table(results: Mapping[str, Any]) -> Table:
    """How each data set was split under each protocol, and how many test cases have a relative in training."""
    leaks = {"same_patient": "same patient", "same_pixels": "same pixels", "near_duplicate": "near-duplicate"}
    group = "Test cases with a training case of"
    columns = [Column("data set"), Column("protocol"), Column("rule")]
    columns += [Column(name, "number") for name in ("folds", "train", "validation", "test", "left out")]
    columns += [*(Column(name, "number", group) for name in leaks.values()), Column("split sha256")]
    rows = []
    for data in results["datasets"]:
        for protocol, split in data["splits"].items():
            counts = [f"{split[name]:,}" for name in ("folds", "train", "validation", "test", "left_out")]
            found = [f"{split['leak'][name]:,}" for name in leaks]
            rows.append([data["dataset"], PROTOCOLS[protocol], split["rule"], *counts, *found, split["sha256"][:12]])
    note = "Counts of train, validation and test are those of the first fold; the leak is counted over all folds."
    return Table("Splits and what they leak", tuple(columns), rows, note)


def build_missing_table(results: Mapping[str, Any]) -> Table:
    """Rows not run, with the reason; rows that share table and reason stand together."""
    groups: dict[tuple[str, str], list[str]] = {}
    for missing in results["extra"].get("not_run", []):
        rows = groups.setdefault((missing["table"], missing["reason"]), [])
        if missing["row"] not in rows:
            rows.append(missing["row"])
    rows = [[table, "; ".join(names), reason] for (table, reason), names in groups.items()]
    return Table("Not run", (Column("table"), Column("rows"), Column("reason")), rows)


def build_audit_table(paper: Paper) -> Table:
    """Findings of the audit; a last column marks what is impossible as printed, if anything is."""
    columns = [Column("check"), Column("found"), Column("rows")]
    rows = [[audit.check, audit.found, "; ".join(audit.rows) or NONE] for audit in paper.audits]
    if paper.impossible_rows():
        columns.append(Column("verdict", "verdict"))
        for row, audit in zip(rows, paper.audits, strict=True):
            row.append("impossible as printed" if audit.impossible else NONE)
    return Table("Audit of the printed numbers", tuple(columns), rows)


def build_deviation_table(paper: Paper) -> Table:
    rows = [[item.paper, item.ours, item.effect] for item in paper.deviations]
    return Table("Deviations", (Column("paper"), Column("ours"), Column("effect")), rows)


def build_unstated_table(paper: Paper) -> Table:
    rows = [[item.item, item.chose, item.because] for item in paper.unstated]
    return Table("What the paper leaves open", (Column("item"), Column("chosen"), Column("because")), rows)


def build_provenance(results: Mapping[str, Any], folder: Path) -> list[tuple[str, str]]:
    """(name, value) pairs that say how the numbers came about."""
    git = results["git"]
    dirty = {True: " with uncommitted changes", False: "", None: ""}[git.get("dirty")]
    pairs = [
        ("command", results["command"]),
        ("commit", (git.get("commit") or "unknown") + dirty),
        ("started", results["started"]),
        ("duration", format_duration(results["seconds"])),
        ("seeds", ", ".join(map(str, results["seeds"]))),
        ("preset and protocol", f"{results['preset']}, {results['protocol']}"),
    ]
    for earlier in results["extra"].get("commands", [])[:-1]:
        changes = ", uncommitted changes" if earlier["dirty"] else ""
        pairs.append(("earlier command", f"{earlier['command']} ({earlier['started']}, {earlier['commit']}{changes})"))
    trained = sorted({str(cell["commit"]) for cell in results["extra"].get("cells", [])})
    if trained:
        pairs.append(("trainings", f"{len(results['extra']['cells'])}, at commit {', '.join(trained)}"))
    pairs += [(f"scored, {PROTOCOLS.get(name, name)}", rule) for name, rule in results["selection"].items()]
    pairs += [(name, str(value)) for name, value in results["environment"].items() if value is not None]
    pairs += [(f"weights {name}", str(value)) for name, value in results["weights"].items() if value is not None]
    predictions = folder / "predictions.csv.gz"
    if predictions.is_file():
        with predictions.open("rb") as stream:
            pairs.append(("predictions.csv.gz sha256", hashlib.file_digest(stream, "sha256").hexdigest()))
    return pairs


# ---------------------------------------------------------------------------------------------------- finding in words


def describe_finding(results: Mapping[str, Any], paper: Paper) -> list[str]:
    """Sentences for the head of the report, computed from the numbers; the headline claim first."""
    if is_synthetic(results):
        return [f"{SYNTHETIC} The run shows that the code works, from the raw files to this report."]
    lines = collect_lines(results, paper)
    sentences = [_describe_line(_find_headline(lines, paper))]
    verdicts = [line["verdict"] for line in lines if line["paper"] is not None]
    tally = "; ".join(f"{verdicts.count(word)} {word}" for word in dict.fromkeys(verdicts))
    sentences.append(f"Of {len(verdicts)} printed ratios: {tally}.")
    metric = paper.headline.metric
    both = [line["difference"] for line in lines if line["metric"] == metric and line["difference"] is not None]
    if both:
        unit, digits = _choose_unit(metric)
        mean, low, high = (
            format_value(value, unit, digits, signed=True) for value in (sum(both) / len(both), min(both), max(both))
        )
        points = " points" if unit == "percent" else ""
        sentences.append(
            f"Rows run under both protocols: {len(both)}. There the leak-free {name_metric(metric, '')} minus that of "
            f"the paper's protocol is {mean}{points} on average, from {low} to {high}."
        )
    where = {"paper": "In the paper", "ours": "Here, under the paper's protocol", "leak-free": "Here, leak-free"}
    for who, text in where.items():
        rows = [line["row"] for line in lines if f"{who} at or below the majority rate" in line["note"]]
        if rows:
            sentences.append(f"{text}: no better than always giving the most frequent class: {'; '.join(rows)}.")
    if impossible := sorted(paper.impossible_rows()):
        sentences.append(f"Impossible as printed: {'; '.join(impossible)}.")
    return sentences


def _find_headline(lines: Sequence[Mapping[str, Any]], paper: Paper) -> Mapping[str, Any]:
    key = (paper.headline.table, paper.headline.row, paper.headline.metric)
    return next(line for line in lines if (line["table"], line["row"], line["metric"]) == key)


def _describe_line(line: Mapping[str, Any]) -> str:
    sign = "\N{NO-BREAK SPACE}%" if line["unit"] == "percent" else ""

    def show(name: str) -> str:
        return format_value(line[name], line["unit"], line["digits"])

    def spread(low: str, high: str, seeds: str) -> str:
        limits = f"95 % interval {show(low)} to {show(high)}, " if None not in (line[low], line[high]) else ""
        return f"({limits}{'one seed' if line[seeds] == 1 else f'{line[seeds]} seeds'})"

    printed = "prints no number" if line["paper"] is None else f"printed {show('paper')}{sign}"
    parts = [f"{line['row']}, {name_metric(line['metric'], '')} (Table {line['table']}): the paper {printed}."]
    if line["ours"] is None:
        parts.append(f"Not run under its own protocol{': ' + line['reason'] if line['reason'] else ''}.")
    else:
        tolerance = "" if line["tolerance"] is None else f" (sampling tolerance ±{show('tolerance')})"
        measured = f"{show('ours')}{sign} {spread('low', 'high', 'seeds')}"
        parts.append(f"Under its own protocol we get {measured}: {line['verdict']}{tolerance}.")
    if line["leakfree"] is not None:
        parts.append(
            f"Leak-free: {show('leakfree')}{sign} {spread('leakfree_low', 'leakfree_high', 'leakfree_seeds')}."
        )
    return " ".join(parts)


def list_banners(results: Mapping[str, Any]) -> list[str]:
    """Warnings that stand above everything else."""
    banners = [SYNTHETIC] if is_synthetic(results) else []
    if results["overrides"]:
        changed = ", ".join(f"{name} = {value}" for name, value in sorted(results["overrides"].items()))
        banners.append(f"Off protocol: settings changed on the command line: {changed}.")
    elif not results["on_protocol"]:
        banners.append(f"Off protocol: preset {results['preset']}, not the paper's settings.")
    return banners


# -------------------------------------------------------------------------------------------------------------- output


def write_report(folder: Path, paper: Paper) -> None:
    """Write folder/table.md and folder/report.html from folder/results.json and folder/figures/.

    report.html needs no other file and no network. Raises UsageError if a file is missing or damaged.
    """
    folder = Path(folder)
    results = read_results(folder / "results.json")
    figures = []
    for entry, path in zip(results["extra"].get("figures", []), find_figures(folder, results), strict=True):
        if not path.is_file():
            raise UsageError(f"{path}: figure listed in results.json is missing; run the same command again to draw it")
        content = path.read_bytes()
        if content[:8] != b"\x89PNG\r\n\x1a\n" or len(content) < 33:
            raise UsageError(f"{path}: not a PNG file; run the same command again to draw it")
        # Printed size: pixels at 200 dpi, a little enlarged for the screen (96 pixels an inch).
        width = round(int.from_bytes(content[16:20], "big") / DPI * 96 * 1.2)
        figures.append({**entry, "width": width, "data": base64.b64encode(content).decode()})
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("common"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    html = environment.get_template("report.html").render(
        paper=paper,
        results=results,
        banners=list_banners(results),
        finding=describe_finding(results, paper),
        comparisons=build_comparison_tables(results, paper),
        counts=build_count_tables(results, paper),
        pairs=build_pair_table(results),
        statements=build_statement_table(results, paper),
        metrics=build_metric_tables(results),
        figures=figures,
        datasets=build_dataset_table(results),
        splits=build_split_table(results),
        missing=build_missing_table(results),
        audit=build_audit_table(paper),
        deviations=build_deviation_table(paper),
        unstated=build_unstated_table(paper),
        provenance=build_provenance(results, folder),
        config=json.dumps(results["config"], indent=1, sort_keys=True, ensure_ascii=False),
    )
    write_text_atomic(folder / "report.html", html)
    write_text_atomic(folder / "table.md", render_markdown(results, paper))


def render_markdown(results: Mapping[str, Any], paper: Paper) -> str:
    """The tables of the report as Markdown."""
    parts = [f"# {escape_markdown(paper.title)}", escape_markdown(f"{paper.authors}. {paper.venue}, {paper.year}.")]
    parts += [f"> **{escape_markdown(banner)}**" for banner in list_banners(results)]
    parts += [escape_markdown(sentence) for sentence in describe_finding(results, paper)]
    tables = [*_build_main_tables(results, paper), build_pair_table(results), *build_metric_tables(results)]
    for table in [*tables, build_dataset_table(results), build_split_table(results)]:
        if table.rows:
            parts += [f"## {escape_markdown(table.title)}", render_markdown_table(table)]
    return "\n\n".join(parts) + "\n"


def _build_main_tables(results: Mapping[str, Any], paper: Paper) -> list[Table]:
    tables = [*build_comparison_tables(results, paper), *build_count_tables(results, paper)]
    tables += [build_missing_table(results), build_statement_table(results, paper)]
    return [table for table in tables if table.rows]


def render_markdown_table(table: Table) -> str:
    names = [f"{column.group}: {column.name}" if column.group else column.name for column in table.columns]
    lines = ["| " + " | ".join(escape_markdown(name) for name in names) + " |"]
    lines.append("|" + "|".join("---:" if column.kind == "number" else "---" for column in table.columns) + "|")
    lines += ["| " + " | ".join(escape_markdown(cell) for cell in row) + " |" for row in table.rows]
    if table.note:
        lines += ["", escape_markdown(table.note)]
    return "\n".join(lines)


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is: no HTML, no links, no emphasis, no column breaks."""
    text = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*|]|\](?=\()|(?<!\w)_|_(?!\w))", r"\\\1", text)


def format_screen_table(results: Mapping[str, Any], paper: Paper) -> str:
    """The finding for a terminal, at most 120 columns: row, n, paper, ours, verdict, leak-free."""
    lines = collect_lines(results, paper)
    several = len({line["metric"] for line in lines}) > 1
    out = [f"{'row':<42} {'n':>6}  {'paper':>12}  {'ours':>20}  {'verdict':<16} {'leak-free':>13}"]
    out.append("-" * len(out[0]))
    for line in lines:
        unit, digits = line["unit"], line["digits"]
        name = f"{line['row']}, {name_metric(line['metric'], '')}" if several else line["row"]
        name = name if len(name) <= 42 else name[:39] + "..."
        printed = format_value(line["paper"], unit, digits) if line["paper"] is not None else NONE
        if line["tolerance"] is not None:
            printed += f" ±{format_value(line['tolerance'], unit, digits)}"
        ours = format_value(line["ours"], unit, digits)
        if line["low"] is not None:
            ours += f" {format_interval(line['low'], line['high'], unit, digits)}"
        leakfree = format_value(line["leakfree"], unit, digits)
        if line["difference"] is not None:
            leakfree += f" ({format_value(line['difference'], unit, digits, signed=True)})"
        out.append(
            f"{name:<42} {line['n'] if line['n'] is not None else '':>6}  {printed:>12}  {ours:>20}  "
            f"{line['verdict']:<16} {leakfree:>13}".rstrip()
        )
    missing = build_missing_table(results)
    out += [f"not run, table {table}: {rows}: {reason}" for table, rows, reason in missing.rows]
    return "\n".join(part for line in [*list_banners(results), *out] for part in textwrap.wrap(line, 120) or [""])


# ------------------------------------------------------------------------------------------------------------- READMEs


def render_blocks(root: Path) -> dict[Path, dict[str, str]]:
    """{README: {block name: content}} of all papers below `root`."""
    papers, lines = {}, []
    for path in sorted((root / "replications").glob("*/paper.toml")):
        paper = load_paper(path)
        accepted = root / "results" / paper.name / "results.json"
        results = read_results(accepted) if accepted.is_file() else None
        lines.append(_summarise_paper(paper, results))
        shown = ["Not run yet."]
        if results:
            shown = [escape_markdown(sentence) for sentence in describe_finding(results, paper)]
            for table in _build_main_tables(results, paper):
                shown += [f"**{escape_markdown(table.title)}**", render_markdown_table(table)]
        papers[path.parent / "README.md"] = {
            "results": "\n\n".join(shown),
            "deviations": render_markdown_table(build_deviation_table(paper)),
            "unstated": render_markdown_table(build_unstated_table(paper)),
            "audit": render_markdown_table(build_audit_table(paper)),
        }
    head = ["| paper | claim | ours | verdict | cost | command |", "|---|---|---|---|---|---|"]
    return {root / "README.md": {"papers": "\n".join(head + lines)}, **papers}


def _summarise_paper(paper: Paper, results: Mapping[str, Any] | None) -> str:
    key = (paper.headline.table, paper.headline.row, paper.headline.metric)
    claim = next(claim for claim in paper.claims if claim.key == key)
    sign = "\N{NO-BREAK SPACE}%" if claim.unit == "percent" else ""
    printed = "n/a" if claim.value is None else f"{claim.value:.{claim.digits}f}{sign}"
    ours, verdict, cost = "not run yet", "", ""
    if results:
        line = _find_headline(collect_lines(results, paper), paper)
        shown = {name: format_value(line[name], line["unit"], line["digits"]) + sign for name in ("ours", "leakfree")}
        ours = "not run" if line["ours"] is None else shown["ours"]
        if line["leakfree"] is not None:
            ours += f"; leak-free {shown['leakfree']}"
        verdict = line["verdict"]
        cost = f"{format_duration(results['seconds'])}, {results['environment']['device']}"
    cells = [f"{claim.row}, {name_metric(claim.metric, '')}: {printed}", ours, verdict, cost]
    title = f"[{escape_markdown(paper.title)}](replications/{paper.name}/README.md)"
    command = f"`python -m replications.{paper.name}.run`"
    return "| " + " | ".join([title, *map(escape_markdown, cells), command]) + " |"


def update_readmes(root: Path, *, check: bool = False) -> list[Path]:
    """Rewrite the generated blocks of every README below `root`; with `check` change nothing. Returns the stale ones.

    Raises UsageError for a block that is unknown or not closed.
    """
    stale = []
    for path, blocks in render_blocks(Path(root)).items():
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        fresh = _replace_blocks(text, blocks, path)
        if fresh != text:
            stale.append(path)
            if not check:
                write_text_atomic(path, fresh)
    return stale


def _replace_blocks(text: str, blocks: Mapping[str, str], path: Path) -> str:
    opening = re.compile(r"<!-- generated: (\S+) -->\n")
    parts, position = [], 0
    while match := opening.search(text, position):
        end = text.find("<!-- end -->", match.end())
        following = opening.search(text, match.end())
        if end < 0 or (following and following.start() < end):
            raise UsageError(f"{path}: block {match[1]!r} is not closed; add <!-- end -->")
        if match[1] not in blocks:
            raise UsageError(f"{path}: unknown block {match[1]!r}; known: {', '.join(blocks)}")
        parts += [text[position : match.end()], blocks[match[1]], "\n"]
        position = end
    return "".join(parts) + text[position:]


def main(arguments: Iterable[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m common.report", description="Rewrite the READMEs' generated tables.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a README is stale")
    parser.add_argument("--root", type=Path, default=Path(), help="the repository (default: here)")
    options = parser.parse_args(None if arguments is None else list(arguments))
    try:
        stale = update_readmes(options.root, check=options.check)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    for path in stale:
        print(f"stale: {path} (python -m common.report rewrites it)" if options.check else f"rewritten: {path}")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
