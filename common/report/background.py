"""The tables that say how the numbers came about: data, splits, leaks, audit, deviations, provenance."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from common.audit.papers import audit_paper, describe_scope
from common.audit.render import describe_weight, is_quiet
from common.cases.copies import describe_gaps
from common.cli import PROTOCOLS
from common.files import hash_file
from common.records.paper import Paper
from common.records.results import DatasetEntry, Results
from common.report.tables import Column, Table
from common.report.wording import NONE, PROTOCOL_NAMES, format_duration


def build_dataset_table(results: Results) -> Table:
    columns = [Column("data set"), Column("source"), Column("kind"), Column("cases", "number")]
    columns += [Column("patients", "number"), Column("unreadable", "number"), Column("classes"), Column("files sha256")]
    rows = []
    for data in results.datasets:
        source = f"{data.name}: {data.note}" if data.note else data.name
        classes = ", ".join(f"{name} {cases:,}" for name, cases in data.classes.items())
        cells = [data.dataset, source, "synthetic" if data.synthetic else "real", f"{data.cases:,}"]
        unreadable = len(data.unreadable) + sum(data.unreadable_reasons.values())
        cells += [NONE if data.patients is None else f"{data.patients:,}", str(unreadable)]
        rows.append([*cells, classes, (data.files_sha256 or NONE)[:12]])
    return Table("Data", tuple(columns), rows)


def build_split_table(results: Results) -> Table:
    """How each data set was split under each protocol."""
    columns = [Column("data set"), Column("protocol"), Column("rule")]
    columns += [Column(name, "number") for name in ("folds", "train", "validation", "test", "left out")]
    columns.append(Column("split sha256"))
    rows = []
    for data in results.datasets:
        for protocol in _list_protocols([data]):
            split = data.splits[protocol]
            counts = [f"{n:,}" for n in (split.folds, split.train, split.validation, split.test, split.left_out)]
            rows.append([data.dataset, PROTOCOL_NAMES[protocol], split.rule, *counts, split.sha256[:12]])
    note = "Cases of the first fold. Left out: cases that stand on no side of the split."
    return Table("Splits", tuple(columns), rows, note)


def build_leak_table(results: Results) -> Table:
    """How many test cases have a relative in training, the protocols side by side."""
    leaks = {"same_patient": "same patient", "same_pixels": "same pixels", "near_duplicate": "near-duplicate"}
    protocols = _list_protocols(results.datasets)
    columns = [Column("data set")]
    for protocol in protocols:
        columns += [Column(name, "number", PROTOCOL_NAMES[protocol]) for name in ("test cases", *leaks.values())]
    rows = []
    for data in results.datasets:
        cells = [data.dataset]
        for protocol in protocols:
            leak = data.splits[protocol].leak if protocol in data.splits else None
            cells.append(f"{leak.test_cases:,}" if leak else NONE)
            cells += [_format_share(getattr(leak, name), leak.test_cases) if leak else NONE for name in leaks]
        rows.append(cells)
    note = (
        "Measured, over all folds: test cases that have, among the training cases, one of the same patient, one with the "
        "same pixels, or one that looks nearly the same (encoded again, framed, cropped, turned, labelled, or with other grey "
        "levels; docs/leaks.md says how often each kind is found)."
    )
    note = " ".join(filter(None, [note, describe_gaps()]))
    return Table("Leak: test cases with a relative in training", tuple(columns), rows, note)


def _list_protocols(datasets: Sequence[DatasetEntry]) -> list[str]:
    return [protocol for protocol in PROTOCOLS if any(protocol in data.splits for data in datasets)]


def _format_share(cases: int, total: int) -> str:
    return f"{cases:,} ({100 * cases / total:.1f} %)" if cases and total else f"{cases:,}"


def build_audit_table(paper: Paper) -> Table:
    """What arithmetic says about the printed numbers; outcomes that are one of many and possible are only counted."""
    outcomes = audit_paper(paper)
    columns = (Column("check"), Column("verdict", "verdict"), Column("what"), Column("arithmetic"), Column("weight"))
    rows = [[o.check, o.verdict, o.subject, o.arithmetic, describe_weight(o) or NONE] for o in outcomes if not is_quiet(o)]
    quiet = Counter(o.check for o in outcomes if is_quiet(o))
    unlisted = ", ".join(f"{check} {count}" for check, count in quiet.items())
    note = f"Computed from the printed numbers alone; {describe_scope(paper)}."
    note += f" Possible and not listed: {unlisted} (python -m common.audit {paper.name} --all)." if quiet else ""
    return Table("Audit of the printed numbers", columns, rows, note)


def build_remark_table(paper: Paper) -> Table:
    """What was found about the paper that no arithmetic gives."""
    columns = (Column("subject"), Column("found"), Column("rows"))
    rows = [[audit.check, audit.found, "; ".join(audit.rows) or NONE] for audit in paper.audits]
    return Table("Remarks that no arithmetic gives", columns, rows)


def build_deviation_table(paper: Paper) -> Table:
    rows = [[item.paper, item.ours, item.effect] for item in paper.deviations]
    return Table("Deviations", (Column("paper"), Column("ours"), Column("effect")), rows)


def describe_used(results: Results, paper: Paper) -> str:
    """What a run used of the readings that the paper leaves open, for the head of its tables; "" where none is to be told.

    The settings are those of the run's record, whatever the preset has; of a setting that is younger than the run, the record
    knows nothing, and nothing is told."""
    told = ((name, item.item) for item in paper.unstated for name in item.settings if name in results.config)
    used = [f"{name} = {results.config[name]} ({item})" for name, item in told]
    return f"Left open by the paper, and used here: {'; '.join(used)}." if used else ""


def build_unstated_table(paper: Paper) -> Table:
    rows = [[item.item, item.chose, item.because] for item in paper.unstated]
    return Table("What the paper leaves open", (Column("item"), Column("chosen"), Column("because")), rows)


def build_provenance(results: Results, folder: Path) -> list[tuple[str, str]]:
    """(name, value) pairs that say how the numbers came about."""
    dirty = " with uncommitted changes" if results.git.dirty else ""
    pairs = [
        ("command", results.command),
        ("commit", (results.git.commit or "unknown") + dirty),
        ("started", results.started),
        ("training time, summed over all trainings", format_duration(results.seconds)),
        ("seeds", ", ".join(map(str, results.seeds))),
        ("preset and protocol", f"{results.preset}, {results.protocol}"),
    ]
    for earlier in results.extra.commands[:-1]:
        changes = ", uncommitted changes" if earlier.dirty else ""
        pairs.append(("earlier command", f"{earlier.command} ({earlier.started}, {earlier.commit}{changes})"))
    trained = sorted({str(cell.commit) for cell in results.extra.cells})
    if trained:
        pairs.append(("trainings", f"{len(results.extra.cells)}, at commit {', '.join(trained)}"))
    for machine, count in Counter(cell.elsewhere for cell in results.extra.cells if cell.elsewhere).items():
        pairs.append((f"{count} of them", f"computed on {machine}"))
    pairs += [(f"scored, {PROTOCOL_NAMES.get(name, name)}", rule) for name, rule in results.selection.items()]
    pairs += [(name, str(value)) for name, value in results.environment.model_dump().items() if value is not None]
    pairs += [(f"weights {name}", str(value)) for name, value in results.weights.model_dump().items() if value is not None]
    predictions = folder / "predictions.csv.gz"
    if predictions.is_file():
        pairs.append(("predictions.csv.gz sha256", hash_file(predictions)))
    return pairs
