"""A run's results set beside the paper: the lines of the tables, the finding in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from common.cli import PROTOCOLS
from common.evaluation.differences import CANNOT_TELL
from common.evaluation.metrics import METRICS
from common.evaluation.verdicts import IMPOSSIBLE_AS_PRINTED, NOT_RUN, OFF_PROTOCOL, OTHER_DATA, PHANTOMS
from common.records.paper import Claim, Paper, name_row
from common.records.results import JudgedClaim, Metric, Results, RowResult
from common.report.wording import PROTOCOL_NAMES, SYNTHETIC, choose_unit, format_value, name_metric, show_verdict

# ------------------------------------------------------------------------------------------------- lines of the tables

OWN_NOTES = ("ours at or below", "leak-free at or below", *(f"{name}: one class" for name in PROTOCOL_NAMES.values()))


@dataclass(frozen=True)
class Line:
    """One printed ratio, or one row that is ours alone, with all that stands beside it. Ratios are fractions; what does not
    exist is None."""

    table: str
    row: str
    metric: str
    unit: str
    digits: int
    claimed: bool  # printed in the paper
    printed_key: tuple[str, str, str]  # by which the paper prints it, whatever the reading
    n: int | None  # test cases
    paper: float | None
    tolerance: float | None  # 95 % sampling half-width of the printed value
    ours: float | None
    low: float | None
    high: float | None
    sd: float | None
    seeds: int | None  # their number
    gap: float | None  # ours minus the paper's, with its 95 % interval
    gap_low: float | None
    gap_high: float | None
    verdict: str
    leakfree: float | None
    leakfree_low: float | None
    leakfree_high: float | None
    leakfree_seeds: int | None
    difference: float | None  # leak-free minus paper's protocol
    paper_majority: float | None  # rates of always giving the most frequent class of the test set
    majority: float | None
    leakfree_majority: float | None
    no_better: tuple[str, ...]  # of "paper", "ours", "leak-free": whose accuracy is at or below that rate
    note: str
    reason: str  # why it was not run

    @property
    def key(self) -> tuple[str, str, str]:
        return self.table, self.row, self.metric


def is_own(results: Results) -> bool:
    """Whether the run is of a user's own data alone: then tables and findings are about these, not about the paper's numbers."""
    return bool(results.datasets) and all(dataset.further.get("own") is True for dataset in results.datasets)


def collect_lines(results: Results, paper: Paper, table: str | None = None) -> list[Line]:
    """One line per printed ratio, in the order of paper.toml, then per row that is ours alone. Of own data: what was run, each
    row and metric once."""
    found = {(row.table, row.row, row.protocol): row for row in results.rows}
    judged = {claim.key: claim for claim in results.claims}
    reasons = {(item.table, item.row): item.reason for item in results.extra.not_run}
    lines = [
        _build_line(claim.key, claim, judged.get(claim.key), found, reasons.get((claim.table, claim.row), ""))
        for claim in paper.claims
        if claim.unit != "count"
    ]
    claimed = {(claim.table, claim.row) for claim in paper.claims}
    lines += [
        _build_line((*name, paper.headline.metric), None, None, found, "")
        for name in dict.fromkeys((row.table, row.row) for row in results.rows)
        if name not in claimed
    ]
    for constant in results.extra.collapsed:
        seeds = ", ".join(map(str, constant.seeds))
        note = f"{PROTOCOL_NAMES[constant.protocol]}: one class for all cases (seed {seeds})"
        lines = [
            replace(line, note="; ".join(filter(None, [line.note, note]))) if line.row == constant.row else line for line in lines
        ]
    if is_own(results):
        lines = _keep_run(lines)
    return [line for line in lines if table is None or line.table == table]


def _keep_run(lines: Sequence[Line]) -> list[Line]:
    """The lines with numbers of ours, without what they say of the paper's; what stands under several readings once."""
    first: dict[tuple[str, str], Line] = {}
    for line in lines:
        if line.ours is not None or line.leakfree is not None:
            note = "; ".join(part for part in line.note.split("; ") if part.startswith(OWN_NOTES))
            own = replace(line, verdict="", paper=None, paper_majority=None, tolerance=None, gap=None, note=note)
            first.setdefault((line.row, line.metric), own)
    return list(first.values())


def _build_line(
    key: tuple[str, str, str],
    claim: Claim | None,
    judged: JudgedClaim | None,
    found: Mapping[tuple[str, str, str], RowResult],
    reason: str,
) -> Line:
    table, row, metric = key
    run = {protocol: found.get((table, row, protocol)) for protocol in PROTOCOLS}
    held = (judged.held if judged else "") or metric
    ours, leakfree = (_find_metric(run[protocol], held) for protocol in PROTOCOLS)
    majority = {
        "paper": max(claim.classes.values()) / claim.n if claim and claim.n else None,
        "ours": _find_metric(run["paper"], "majority_rate").mean,
        "leak-free": _find_metric(run["leakfree"], "majority_rate").mean,
    }
    printed = claim.fraction if claim else None
    means = {"paper": printed, "ours": ours.mean, "leak-free": leakfree.mean} if metric == "accuracy" else {}
    # A mean of equal rates may differ from them in the last bit.
    no_better = tuple(
        who for who, mean in means.items() if mean is not None and (rate := majority[who]) is not None and mean <= rate + 1e-12
    )
    any_run = run["paper"] or run["leakfree"]
    # The reason stands in a table of its own, once for all the rows that share it.
    said = judged.note if judged else claim.note if claim else ""
    if any_run and any_run.departures and not (judged and judged.verdict == OFF_PROTOCOL):  # there its note says so
        said = "; ".join(filter(None, [said, f"other settings: {'; '.join(any_run.departures[:3])}"]))
    notes = [said.replace(reason, "").strip("; "), IMPOSSIBLE_AS_PRINTED if judged and judged.impossible else ""]
    notes += [f"{who} at or below the majority rate" for who in no_better]
    scale = 100 if claim and claim.unit == "percent" else 1  # verdicts are in the unit of the claim
    if judged and judged.ours is not None and metric not in METRICS:  # of a metric that predictions do not give
        ours = ours.model_copy(update={"mean": judged.ours / scale})
    gaps = (judged.tolerance, judged.difference, judged.difference_low, judged.difference_high) if judged else (None,) * 4
    tolerance, gap, gap_low, gap_high = (None if value is None else value / scale for value in gaps)
    unit, digits = (claim.unit, max(claim.digits, 1)) if claim else choose_unit(metric)
    return Line(
        table=table,
        row=row,
        metric=metric,
        unit=unit,
        digits=digits,
        claimed=claim is not None,
        printed_key=claim.printed_key if claim else key,
        n=any_run.n if any_run else claim.n if claim else None,
        paper=printed,
        tolerance=tolerance,
        ours=ours.mean,
        low=ours.low,
        high=ours.high,
        sd=ours.sd,
        seeds=len(run["paper"].seeds) if run["paper"] else None,
        gap=gap,
        gap_low=gap_low,
        gap_high=gap_high,
        verdict=judged.verdict if judged else NOT_RUN if claim else OFF_PROTOCOL if any_run and any_run.departures else "",
        leakfree=leakfree.mean,
        leakfree_low=leakfree.low,
        leakfree_high=leakfree.high,
        leakfree_seeds=len(run["leakfree"].seeds) if run["leakfree"] else None,
        difference=None if ours.mean is None or leakfree.mean is None else leakfree.mean - ours.mean,
        paper_majority=majority["paper"],
        majority=majority["ours"],
        leakfree_majority=majority["leak-free"],
        no_better=no_better,
        note="; ".join(note for note in notes if note),
        reason=reason,
    )


def _find_metric(row: RowResult | None, metric: str) -> Metric:
    none = Metric(mean=None, sd=None, low=None, high=None, by_seed=[])
    return row.metrics.get(metric, none) if row else none


# ---------------------------------------------------------------------------------------------------- finding in words


def describe_finding(results: Results, paper: Paper) -> list[str]:
    """Sentences for the head of the report, computed from the numbers; the package's own finding and the headline claim first."""
    if results.synthetic:
        return [f"{SYNTHETIC} The run shows that the code works, from the raw files to this report."]
    lines = collect_lines(results, paper)
    sentences = _describe_own(results, lines, paper) if is_own(results) else []
    if unknown := [dataset.name for dataset in results.datasets if dataset.patients_known is False]:
        sentences.append(
            f"No patients are known of {', '.join(dict.fromkeys(unknown))}: each picture counts as one patient, so that "
            "pictures of one person may stand on both sides of every split, the leak-free one included."
        )
    sentences += [
        f"No patients are known of {dataset.name}: {dataset.stand_ins} stand for them wherever patients are spoken of."
        for dataset in results.datasets
        if dataset.stand_ins
    ]
    sentences += [results.extra.finding] * bool(results.extra.finding)
    if not is_own(results):
        sentences += describe_main_statement(results, paper)
        sentences += [_describe_line(find_headline(lines, paper)), _tally_verdicts(lines)]
    metric = paper.headline.metric
    both = [
        line.difference
        for line in lines
        if line.metric == metric and line.difference is not None and line.verdict != OFF_PROTOCOL
    ]
    if both:
        unit, digits = choose_unit(metric)
        mean, low, high = (
            format_value(value, unit, digits, signed=True) for value in (sum(both) / len(both), min(both), max(both))
        )
        points = " points" if unit == "percent" else ""
        published = "" if is_own(results) else "as published "
        sentences.append(
            f"Rows run {published}under both protocols: {len(both)}. There the leak-free {name_metric(metric, '')} minus "
            f"that of the paper's protocol is {mean}{points} on average, from {low} to {high}; test and training cases differ as "
            "well, so this is not the leak alone."
        )
    where = {"paper": "In the paper", "ours": "Here, under the paper's protocol", "leak-free": "Here, leak-free"}
    for who, text in where.items():
        rows = [line.row for line in lines if who in line.no_better]
        if rows:
            sentences.append(f"{text}: no better than always giving the most frequent class: {'; '.join(rows)}.")
    found = set() if is_own(results) else {claim.key for claim in results.claims if claim.impossible}
    impossible: dict[str, list[str]] = {}
    for table, row, _ in dict.fromkeys(claim.printed_key for claim in paper.claims if claim.key in found):
        if table not in impossible.setdefault(row, []):
            impossible[row].append(table)
    if impossible:
        sentences.append(f"Impossible as printed: {'; '.join(name_row(*item) for item in impossible.items())}.")
    return sentences


def _tally_verdicts(lines: Sequence[Line]) -> str:
    """How many printed ratios got which verdict, each ratio once: one under several readings that disagree is its own word."""
    verdicts: dict[tuple[str, str, str], set[str]] = {}
    for line in lines:
        if line.paper is not None:
            verdicts.setdefault(line.printed_key, set()).add(line.verdict)
    words = [next(iter(found)) if len(found) == 1 else "depends on the reading" for found in verdicts.values()]
    if not words:
        return "The available text prints no ratio to compare with."
    counts = [f"{words.count(word)} {show_verdict(word)}" for word in dict.fromkeys(words)]
    return f"Of {len(words)} printed ratios: {'; '.join(counts)}."


def find_headline(lines: Sequence[Line], paper: Paper) -> Line:
    """The line of `collect_lines` that holds the paper's headline claim."""
    key = (paper.headline.table, paper.headline.row, paper.headline.metric)
    return next(line for line in lines if line.key == key)


def describe_main_statement(results: Results, paper: Paper) -> list[str]:
    """What became of the statement that is the paper's headline, in one sentence; nothing where a number alone is."""
    words = []
    for statement in paper.statements:
        if statement.id == paper.headline.statement:
            found = {check.protocol: check for check in results.extra.statements if check.id == statement.id}
            parts = [
                f"under the paper's protocol {check.verdict}" if protocol == "paper" else f"leak-free {check.verdict}"
                for protocol, check in found.items()
            ]
            details = dict.fromkeys(check.detail for check in found.values() if check.detail)
            why = f" ({'; '.join(details)})" if details else ""
            words.append(
                f"The paper's main claim: {statement.text} ({statement.where}). Here: {', '.join(parts) or 'not run'}{why}."
            )
    return words


def _describe_line(line: Line) -> str:
    sign = "\N{NO-BREAK SPACE}%" if line.unit == "percent" else ""

    def show(value: float | None) -> str:
        return format_value(value, line.unit, line.digits)

    def spread(low: float | None, high: float | None, seeds: int | None) -> str:
        limits = f"95 % interval {show(low)} to {show(high)}, " if None not in (low, high) else ""
        return f"({limits}{'one seed' if seeds == 1 else f'{seeds} seeds'})"

    printed = "prints no number" if line.paper is None else f"printed {show(line.paper)}{sign}"
    place = f"{'Table ' * line.table[0].isdigit()}{line.table}"
    parts = [f"{line.row}, {name_metric(line.metric, '')} ({place}): the paper {printed}."]
    if line.ours is None:
        why = line.reason.partition(";")[0]  # what to do about it stands in the table of rows that were not run
        parts.append(f"Not run under its own protocol{': ' + why if why else ''}.")
    elif line.verdict in (OFF_PROTOCOL, OTHER_DATA, PHANTOMS):
        about = f": {line.note}" if line.note else ""
        parts.append(f"Not run as published; {WITHHELD_WORDS[line.verdict]} we get {show(line.ours)}{sign}{about}.")
    else:
        measured = f"{show(line.ours)}{sign} {spread(line.low, line.high, line.seeds)}"
        parts.append(f"Under its own protocol we get {measured}: {line.verdict}{_describe_gap(line)}.")
    if line.leakfree is not None:
        parts.append(
            f"Leak-free: {show(line.leakfree)}{sign} {spread(line.leakfree_low, line.leakfree_high, line.leakfree_seeds)}."
        )
    return " ".join(parts)


WITHHELD_WORDS = {OFF_PROTOCOL: "with other settings", OTHER_DATA: "on other data", PHANTOMS: "on phantoms"}


def _describe_gap(line: Line) -> str:
    """The difference that the verdict rests on, in brackets; where it does not tell, what the note says of that."""
    parts = []
    if line.gap is not None and line.gap_low is not None and line.gap_high is not None:
        gap, low, high = (
            format_value(value, line.unit, line.digits, signed=True) for value in (line.gap, line.gap_low, line.gap_high)
        )
        points = " points" if line.unit == "percent" else ""
        parts.append(f"ours minus the paper's: {gap}{points}, 95 % interval {low} to {high}")
    if line.verdict == CANNOT_TELL and line.note:
        parts.append(line.note)
    return f" ({'; '.join(parts)})" if parts else ""


def _describe_own(results: Results, lines: Sequence[Line], paper: Paper) -> list[str]:
    """Of a user's own data: how many there are, what the paper's main row gives on them (else the first one that was run), and
    how many test cases have a relative in training."""
    sentences = []
    for data in results.datasets:
        classes = ", ".join(f"{name} {cases:,}" for name, cases in data.classes.items())
        patients = "" if data.patients is None or data.patients_known is False else f" of {data.patients:,} patients"
        sentences.append(f"Own data, {data.dataset}: {data.cases:,} cases{patients} ({classes}).")
    of_metric = [line for line in lines if line.metric == paper.headline.metric] or list(lines)
    main = next((line for line in of_metric if line.row == paper.headline.row), of_metric[0] if of_metric else None)
    parts = {"images split as in the paper": "", "patients kept apart (leak-free)": "leakfree_"} if main else {}
    for how, which in parts.items():
        value, majority = getattr(main, which.rstrip("_") or "ours"), getattr(main, f"{which}majority")
        if main and value is not None:
            sign = "\N{NO-BREAK SPACE}%" if main.unit == "percent" else ""
            shown = [format_value(number, main.unit, main.digits) for number in (value, majority)]
            low, high = getattr(main, f"{which}low"), getattr(main, f"{which}high")
            limits = [format_value(number, main.unit, main.digits) for number in (low, high)]
            between = "" if low is None else f" (95 % interval {limits[0]} to {limits[1]})"
            beside = f"; always giving the most frequent class: {shown[1]}{sign}" if main.metric == "accuracy" else ""
            sentences.append(f"{main.row}, {name_metric(main.metric, '')}, {how}: {shown[0]}{sign}{between}{beside}.")
    for data in results.datasets:
        leak = data.splits["paper"].leak if "paper" in data.splits else None
        if leak and (leak.same_patient or leak.near_duplicate):
            sentences.append(
                f"Split as in the paper, {leak.same_patient:,} of {leak.test_cases:,} test cases have a picture of the same "
                f"patient in training, and {leak.near_duplicate:,} one that looks nearly the same: trust the leak-free numbers."
            )
    return sentences


def list_banners(results: Results) -> list[str]:
    """Warnings that stand above everything else."""
    banners = [SYNTHETIC] if results.synthetic else []
    substitutes = [dataset.name for dataset in results.datasets if dataset.substitute]
    if substitutes and not is_own(results):
        banners.append(f"Other data than the paper's: {', '.join(substitutes)}. No verdict rests on them.")
    if results.overrides:
        changed = ", ".join(f"{name} = {value}" for name, value in sorted(results.overrides.items()))
        banners.append(f"Other settings than the paper's, given on the command line: {changed}.")
    elif results.preset != "paper":
        what = {"smoke": "tiny networks, to see that everything works", "demo": "small networks, trained for minutes"}
        banners.append(f"Other settings than the paper's: preset {results.preset} ({what[results.preset]}).")
    elif any(row.departures for row in results.rows):
        banners.append("Other settings than the paper's: some rows were trained otherwise than published (see their notes).")
    return banners
