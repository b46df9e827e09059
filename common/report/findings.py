"""A run's finding in words."""

import re
from collections.abc import Sequence

from common.audit.papers import find_contradicting_claims
from common.evaluation.differences import CANNOT_TELL
from common.evaluation.verdicts import OFF_PROTOCOL, OTHER_DATA, PHANTOMS
from common.files import HIDDEN_FOLDER
from common.records.paper import Paper, name_row
from common.records.results import Results
from common.report.lines import Line, collect_lines, is_own
from common.report.wording import SYNTHETIC, choose_unit, format_value, name_metric, show_check, show_verdict

NAMED_ROWS = 4  # of a list in a sentence
MISSING_FILE = ": No such file or directory"  # as records of earlier versions say after "not here"

NOT_ALONE = "Test and training cases differ as well, so this is not the leak alone."
STOPPED = (
    "Leak-free, early stopping chose one of the first epochs: {rows}. The numbers are those of hardly trained networks and say "
    "little about the leak."
)


def describe_finding(results: Results, paper: Paper) -> list[str]:
    """Sentences for the head of the report, computed from the numbers; the package's own finding and the headline claim first."""
    if results.synthetic:
        works = f"{SYNTHETIC} The run shows that the code works, from the raw files to this report."
        return [works, *([results.extra.finding] * bool(results.extra.finding))]
    lines = collect_lines(results, paper)
    sentences = _describe_own(results, lines, paper) if is_own(results) else []
    if unknown := [dataset.name for dataset in results.datasets if dataset.patients_known is False]:
        sentences.append(
            f"No patients are known of {', '.join(dict.fromkeys(unknown))}: each picture counts as one patient, so that "
            "pictures of one person may stand on both sides of every split, the leak-free one included."
        )
    sentences += dict.fromkeys(
        f"No patients are known of {dataset.name}: {dataset.stand_ins} stand for them wherever patients are spoken of."
        for dataset in results.datasets
        if dataset.stand_ins
    )
    sentences += [results.extra.finding] * bool(results.extra.finding)
    if not is_own(results):
        sentences += describe_main_statement(results, paper)
        sentences += [_describe_line(find_headline(lines, paper)), _tally_verdicts(lines)]
    sentences += _describe_differences(lines, paper.headline.metric, is_own(results), paper.difference)
    if results.extra.hardly_trained:
        sentences.append(STOPPED.format(rows=_list_rows(results.extra.hardly_trained)))
    where = {"paper": "In the paper", "ours": "Here, under the paper's protocol", "leak-free": "Here, leak-free"}
    for who, text in where.items():
        if rows := [line.row for line in lines if who in line.no_better]:
            sentences.append(f"{text}: no better than always giving the most frequent class: {_list_rows(rows)}.")
    return sentences + ([] if is_own(results) else _list_impossible(results, paper))


def _list_impossible(results: Results, paper: Paper) -> list[str]:
    """The rows with numbers that the audit found impossible, by themselves or beside others of the row; a sentence each."""
    found = {claim.key for claim in results.claims if claim.impossible}
    contradicting = find_contradicting_claims(paper)
    heads = {"Impossible as printed": False, "Printed numbers that contradict each other": True}
    sentences = []
    for head, together in heads.items():
        rows: dict[str, list[str]] = {}
        for claim in paper.claims:
            table, row, _ = claim.printed_key
            if claim.key in found and (claim.printed_key in contradicting) == together and table not in rows.setdefault(row, []):
                rows[row].append(table)
        if rows:
            sentences.append(f"{head}: {'; '.join(name_row(*item) for item in rows.items())}.")
    return sentences


def _describe_differences(lines: Sequence[Line], metric: str, own: bool, beside: str) -> list[str]:
    """What the rows that were run under both protocols differ by, each row once; nothing where there is none. Of a paper those
    with its settings, its own rows apart from those that are ours alone, of which no mean is formed: they are of many kinds."""
    both = {line.row: line for line in reversed(lines) if line.metric == metric and line.difference is not None}
    if own:
        told = {"There": [*both.values()]}
        counted = f"Rows run under both protocols: {len(both)}."
    else:
        both = {row: line for row, line in both.items() if line.verdict != OFF_PROTOCOL and not line.departs}
        told = {
            "In the paper's rows": [line for line in both.values() if line.claimed],
            "In rows of ours": [line for line in both.values() if not line.claimed],
        }
        of_paper, of_ours = map(len, told.values())
        counted = f"Rows run with the paper's settings under both protocols: {of_paper} of the paper's, {of_ours} of ours."
    if not both:
        return []
    blind = [line for line in both.values() if _is_blind(line)]
    no_better = "no better than always giving the most frequent class under both, so that their accuracy can show no leak"
    if len(blind) == len(both):
        return [f"{counted} None tells what a leak is worth: they are {no_better}."]
    parts = [counted]
    if blind:
        parts.append(f"{len(blind)} of them {'is' if len(blind) == 1 else 'are'} left out here: {no_better}.")
    unit, digits = choose_unit(metric)
    points = " points" if unit == "percent" else ""
    for head, kind in told.items():
        gaps = [line.difference for line in kind if line.difference is not None and not _is_blind(line)]
        if gaps:
            mean, low, high = (
                format_value(value, unit, digits, signed=True) for value in (sum(gaps) / len(gaps), min(gaps), max(gaps))
            )
            values = (
                f"from {low} to {high}{points}"
                if head == "In rows of ours"
                else f"{mean}{points} on average, from {low} to {high}"
            )
            parts.append(f"{head} the leak-free {name_metric(metric, '')} minus that of the paper's protocol is {values}.")
    return [" ".join([*parts, f"{beside}." if beside else NOT_ALONE])]


def _is_blind(line: Line) -> bool:
    """Whether the row is no better than always giving the most frequent class, under both protocols."""
    return {"ours", "leak-free"} <= set(line.no_better)


def _list_rows(rows: Sequence[str]) -> str:
    """The rows, of many the first ones; the note of each stands in the tables."""
    further = len(rows) - NAMED_ROWS
    return "; ".join(rows) if further <= 1 else f"{'; '.join(rows[:NAMED_ROWS])}; and {further} more (see the notes)"


def _tally_verdicts(lines: Sequence[Line]) -> str:
    """How many printed ratios got which verdict, each ratio once: one under several readings that disagree is its own word."""
    verdicts: dict[tuple[str, str, str], set[str]] = {}
    for line in lines:
        if line.paper is not None:
            verdicts.setdefault(line.printed_key, set()).add(line.verdict)
    words = [next(iter(found)) if len(found) == 1 else "depends on the reading" for found in verdicts.values()]
    if not words:
        return "The available text prints no ratio to compare with."
    counts = [f"{words.count(word)} {_inflect(show_verdict(word), words.count(word))}" for word in dict.fromkeys(words)]
    return f"Of {len(words)} printed ratios: {'; '.join(counts)}."


def _inflect(verdict: str, number: int) -> str:
    """A verdict behind a number: "2 agree", "1 differs".

    >>> [_inflect(verdict, number) for verdict, number in (("differs, lower", 2), ("agrees", 1), ("cannot tell", 3))]
    ['differ, lower', 'agrees', 'cannot tell']
    """
    several = {"agrees": "agree", "differs": "differ", "depends": "depend"}
    return verdict if number == 1 else re.sub(r"^(?:agrees|differs|depends)\b", lambda found: several[found[0]], verdict)


def find_headline(lines: Sequence[Line], paper: Paper) -> Line:
    """The line of `collect_lines` that holds the paper's headline claim."""
    key = (paper.headline.table, paper.headline.row, paper.headline.metric)
    return next(line for line in lines if line.key == key)


def describe_main_statement(results: Results, paper: Paper) -> list[str]:
    """What became of the statement that is the paper's headline, in one sentence; nothing where a number alone is."""
    words = []
    for statement in paper.statements:
        if statement.id == paper.headline.statement:
            found = [check for check in results.extra.statements if check.id == statement.id]
            details = {check.detail for check in found}
            each = len(details) > 1  # else said once, behind all
            parts = []
            for check in found:
                under = "under the paper's protocol" if check.protocol == "paper" else "leak-free"
                parts.append(f"{under} {show_check(check)}{f' ({check.detail})' if each and check.detail else ''}")
            why = "".join(f" ({detail})" for detail in details if detail and not each)
            words.append(
                f"The paper's main claim: {statement.text} ({statement.where}). Here: {', '.join(parts) or 'not run'}{why}."
            )
    return words


def _describe_line(line: Line) -> str:
    sign = "\N{NO-BREAK SPACE}%" if line.unit == "percent" else ""

    def show(value: float | None) -> str:
        return format_value(value, line.unit, line.digits)

    def spread(low: float | None, high: float | None, seeds: int | None, protocol: str) -> str:
        limits = f"95 % interval {show(low)} to {show(high)}, " if None not in (low, high) else ""
        one_fit = ", one deterministic fit" * (protocol in line.alike)
        return f"({limits}{'one seed' if seeds == 1 else f'{seeds} seeds'}{one_fit})"

    printed = "prints no number" if line.paper is None else f"printed {show(line.paper)}{sign}"
    place = f"{'Table ' * line.table[0].isdigit()}{line.table}"
    parts = [f"{line.row}, {name_metric(line.metric, '')} ({place}): the paper {printed}."]
    if line.ours is None:
        # What to do about it, and where a file was looked for, stands in the table of rows that were not run.
        why = line.reason.partition(";")[0].replace(HIDDEN_FOLDER, "").replace(MISSING_FILE, "")
        parts.append(f"Not run under its own protocol{': ' + why if why else ''}.")
    elif line.verdict in (OFF_PROTOCOL, OTHER_DATA, PHANTOMS):
        about = f": {line.note}" if line.note else ""
        parts.append(f"Not run as published; {WITHHELD_WORDS[line.verdict]} we get {show(line.ours)}{sign}{about}.")
    else:
        measured = f"{show(line.ours)}{sign} {spread(line.low, line.high, line.seeds, 'paper')}"
        parts.append(f"Under its own protocol we get {measured}: {line.verdict}{_describe_gap(line)}.")
    if line.leakfree is not None:
        found = spread(line.leakfree_low, line.leakfree_high, line.leakfree_seeds, "leakfree")
        parts.append(f"Leak-free: {show(line.leakfree)}{sign} {found}.")
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
    found: dict[str, list[str]] = {}
    for data in results.datasets:
        leak = data.splits["paper"].leak if "paper" in data.splits else None
        if leak and (leak.same_patient or leak.near_duplicate):
            counted = (
                f"{leak.same_patient:,} of {leak.test_cases:,} test cases have a picture of the same patient in training, and "
                f"{leak.near_duplicate:,} one that looks nearly the same"
            )
            found.setdefault(counted, []).append(data.dataset)
    for counted, names in found.items():
        of = f"each of {', '.join(names)}" if len(names) > 1 else names[0]
        sentences.append(f"Split as in the paper, {counted} ({of}): trust the leak-free numbers.")
    return sentences


def list_banners(results: Results) -> list[str]:
    """Warnings that stand above everything else."""
    banners = [SYNTHETIC] if results.synthetic else []
    substitutes = [dataset.name for dataset in results.datasets if dataset.substitute]
    if substitutes and not is_own(results):
        banners.append(f"Other data than the paper's: {', '.join(substitutes)}. No verdict rests on them.")
    if results.preset != "paper":
        what = {"smoke": "tiny networks, to see that everything works", "demo": "small networks, trained for minutes"}
        banners.append(f"Other settings than the paper's: preset {results.preset} ({what[results.preset]}).")
    if results.overrides:
        changed = ", ".join(f"{name} = {value}" for name, value in sorted(results.overrides.items()))
        banners.append(f"Other settings than the paper's, given on the command line: {changed}.")
    elif results.preset == "paper" and any(row.departures for row in results.rows):
        banners.append("Other settings than the paper's: some rows were trained otherwise than published (see their notes).")
    return banners
