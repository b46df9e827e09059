"""A run's results set beside the paper: numbers as text, the lines of the tables, the finding in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from common.audit_lines import name_row
from common.paper import Claim, Paper
from common.results import is_synthetic
from common.verdicts import IMPOSSIBLE, OFF_PROTOCOL

NONE = "–"  # no such number
PROTOCOLS = {"paper": "the paper's protocol", "leakfree": "leak-free"}
PERCENT_METRICS = ("accuracy", "sensitivity", "specificity", "precision", "majority_rate")
METRIC_NAMES = {"f1": "F1", "mcc": "MCC", "auc": "AUC", "ece": "ECE", "brier": "Brier score"}
SYNTHETIC = "Synthetic data: these numbers say nothing about the paper."


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


def choose_unit(metric: str) -> tuple[str, int]:
    """(unit, digits) for a metric that the paper does not print."""
    return ("percent", 1) if metric in PERCENT_METRICS else ("fraction", 3)


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
    if verdict.get("impossible"):
        notes.append(IMPOSSIBLE)
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
    unit, digits = (claim.unit, max(claim.digits, 1)) if claim else choose_unit(metric)
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


# ---------------------------------------------------------------------------------------------------- finding in words


def describe_finding(results: Mapping[str, Any], paper: Paper) -> list[str]:
    """Sentences for the head of the report, computed from the numbers; the headline claim first."""
    if is_synthetic(results):
        return [f"{SYNTHETIC} The run shows that the code works, from the raw files to this report."]
    lines = collect_lines(results, paper)
    sentences = [_describe_line(find_headline(lines, paper))]
    verdicts = [line["verdict"] for line in lines if line["paper"] is not None]
    tally = "; ".join(f"{verdicts.count(word)} {word}" for word in dict.fromkeys(verdicts))
    sentences.append(f"Of {len(verdicts)} printed ratios: {tally}.")
    metric = paper.headline.metric
    both = [
        line["difference"]
        for line in lines
        if line["metric"] == metric and line["difference"] is not None and line["verdict"] != OFF_PROTOCOL
    ]
    if both:
        unit, digits = choose_unit(metric)
        mean, low, high = (
            format_value(value, unit, digits, signed=True) for value in (sum(both) / len(both), min(both), max(both))
        )
        points = " points" if unit == "percent" else ""
        sentences.append(
            f"Rows run as published under both protocols: {len(both)}. There the leak-free {name_metric(metric, '')} minus "
            f"that of the paper's protocol is {mean}{points} on average, from {low} to {high}."
        )
    where = {"paper": "In the paper", "ours": "Here, under the paper's protocol", "leak-free": "Here, leak-free"}
    for who, text in where.items():
        rows = [line["row"] for line in lines if f"{who} at or below the majority rate" in line["note"]]
        if rows:
            sentences.append(f"{text}: no better than always giving the most frequent class: {'; '.join(rows)}.")
    found = {(claim["table"], claim["row"], claim["metric"]) for claim in results["claims"] if claim.get("impossible")}
    impossible: dict[str, list[str]] = {}
    for table, row, _ in dict.fromkeys(claim.printed_key for claim in paper.claims if claim.key in found):
        if table not in impossible.setdefault(row, []):
            impossible[row].append(table)
    if impossible:
        sentences.append(f"Impossible as printed: {'; '.join(name_row(*item) for item in impossible.items())}.")
    return sentences


def find_headline(lines: Sequence[Mapping[str, Any]], paper: Paper) -> Mapping[str, Any]:
    """The line of `collect_lines` that holds the paper's headline claim."""
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
    place = f"{'Table ' * line['table'][0].isdigit()}{line['table']}"
    parts = [f"{line['row']}, {name_metric(line['metric'], '')} ({place}): the paper {printed}."]
    if line["ours"] is None:
        parts.append(f"Not run under its own protocol{': ' + line['reason'] if line['reason'] else ''}.")
    elif line["verdict"] == OFF_PROTOCOL:
        parts.append(f"Not run as published; off protocol we get {show('ours')}{sign}: {line['note']}.")
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
    if substitutes := [dataset["name"] for dataset in results["datasets"] if dataset.get("substitute")]:
        banners.append(f"Substitute data: {', '.join(substitutes)}, not the paper's own.")
    if results["overrides"]:
        changed = ", ".join(f"{name} = {value}" for name, value in sorted(results["overrides"].items()))
        banners.append(f"Off protocol: settings changed on the command line: {changed}.")
    elif not results["on_protocol"]:
        banners.append(f"Off protocol: preset {results['preset']}, not the paper's settings.")
    return banners
