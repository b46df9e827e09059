"""Each paper in a few words and lines, for the first page and the site: what it claims, what we get on which data, and what the
leak is worth."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from common.audit.papers import find_contradicting_claims, find_impossible_claims
from common.audit.summary import TOGETHER
from common.evaluation.differences import subtract_means
from common.evaluation.verdicts import IMPOSSIBLE_AS_PRINTED, NOT_RUN, OFF_PROTOCOL, OTHER_DATA
from common.records.paper import Claim, Contrast, Paper, load_paper
from common.records.results import DatasetEntry, Metric, Results, RowResult, read_results
from common.report.findings import find_headline
from common.report.lines import Line, collect_lines, is_no_better
from common.report.wording import explain_verdict, format_duration, format_interval, format_value, name_metric, show_verdict

PERCENT = "\N{NO-BREAK SPACE}%"
FRONT_COLUMNS = {  # fields of an Overview -> their headings in the table of all papers
    "claim": "its main claim",
    "ours": "ours: its protocol; leak-free",
    "verdict": "do they agree?",
    "made_on": "made on",
    "leak": "what the leak is worth",
    "cost": "training time, summed over all trainings",
}
NO_METRIC = Metric(mean=None, sd=None, low=None, high=None, by_seed=[])


@dataclass(frozen=True)
class PairLine:
    """A row of ours under both protocols, or the paper's main number alone; fractions, None where there is none.

    It is an `IntervalLine` of `common.figures.style`.
    """

    row: str
    paper: float | None
    tolerance: float | None
    ours: float | None
    low: float | None
    high: float | None
    leakfree: float | None
    leakfree_low: float | None
    leakfree_high: float | None
    majority: float | None
    leakfree_majority: float | None
    verdict: str  # on ours beside the paper's, "" where there is none
    leak: tuple[float, float, float] | None  # the paper's protocol minus leak-free, with its 95 % interval; None: not to be seen
    hardly_trained: bool = False  # leak-free, it was stopped in its first epochs: that shows no leak
    control: bool = False  # trained on classes that mean nothing

    @property
    def is_blind(self) -> bool:
        """Whether it is no better than always giving the most frequent class, under both protocols: that shows no leak."""
        return is_no_better(self.ours, self.majority) and is_no_better(self.leakfree, self.leakfree_majority)


@dataclass(frozen=True)
class Overview:
    """A paper with its accepted results, if there are any, and what the first page says of it."""

    paper: Paper
    results: Results | None
    has_code: bool  # else its numbers are only audited
    claim: str
    ours: str
    verdict: str
    made_on: str
    leak: str
    cost: str
    command: str  # on made-up pictures where no data lie; of a paper without code the audit's
    whole: str  # the command of the whole, on data
    lines: tuple[PairLine, ...]
    rows: tuple[int, int] = (0, 0)  # how many were run, and of how many
    runs_main: bool = False  # whether the main number is among them

    @property
    def pairs(self) -> list[PairLine]:
        """The rows that were run with and without the leak, controls left out."""
        return [line for line in self.lines if line.ours is not None and line.leakfree is not None and not line.control]


def collect_overviews(root: Path) -> list[Overview]:
    """One of every paper below the repository `root`, by the names of their packages."""
    overviews = []
    for path in sorted((root / "replications").glob("*/paper.toml")):
        paper = load_paper(path)
        accepted = root / "results" / paper.name / "results.json"
        results = read_results(accepted) if accepted.is_file() else None
        overviews.append(describe_paper(paper, results, has_code=(path.parent / "run.py").is_file()))
    return overviews


def describe_paper(paper: Paper, results: Results | None, has_code: bool) -> Overview:
    """What the first page says of a paper. has_code: whether its package can be run."""
    lines = collect_lines(results, paper) if results else []
    pairs = _list_pairs(paper, results, lines)
    main = find_headline(lines, paper) if results else None
    command = f"python -m replications.{paper.name}.run" if has_code else f"python -m common.audit {paper.name}"
    overview = Overview(
        paper=paper,
        results=results,
        has_code=has_code,
        claim=_describe_claim(paper),
        ours="not run yet" if has_code else "not trained: its numbers are audited",
        verdict="",
        made_on="phantoms (made-up pictures) only" if has_code else "",
        leak="not measured" if has_code else "",
        cost="",
        command=command,
        whole=f"{command} --data /path/to/data" if has_code else command,
        lines=(*_show_claim_alone(paper, main, pairs), *pairs),
    )
    if results is None or main is None:
        return overview
    return replace(
        overview,
        ours=_describe_ours(results, main, lines),
        verdict=_describe_verdict(paper, results, main),
        made_on=_describe_data(results.datasets),
        leak=_describe_leaks(pairs, paper),
        cost=_describe_cost(results, paper),
        rows=_count_rows(results, paper),
        runs_main=main.ours is not None,
    )


def find_claim(paper: Paper) -> Claim:
    """The claim that stands for the paper."""
    key = (paper.headline.table, paper.headline.row, paper.headline.metric)
    return next(claim for claim in paper.claims if claim.key == key)


def _describe_claim(paper: Paper) -> str:
    claim = find_claim(paper)
    number = "no number in the available text"
    if claim.value is not None:
        number = f"{claim.value:.{claim.digits}f}{PERCENT if claim.unit == 'percent' else ''}"
    if claim.printed_key in find_impossible_claims(paper):
        number += f" ({TOGETHER if claim.printed_key in find_contradicting_claims(paper) else IMPOSSIBLE_AS_PRINTED})"
    words = [statement.text for statement in paper.statements if statement.id == paper.headline.statement]
    return "; ".join([*words, f"{claim.row}, {name_metric(claim.metric, '')}: {number}"])


def _describe_ours(results: Results, main: Line, lines: Sequence[Line]) -> str:
    """The main number under both protocols; where it was not run, the package's own finding, or the first number beside it."""
    if main.ours is None and results.extra.finding:
        return results.extra.finding
    if main.ours is None and main.leakfree is None:
        beside = next((line for line in lines if line.metric == main.metric and line.ours is not None), None)
        return f"not run; beside it {beside.row}: {_show_both(beside)}" if beside else "not run"
    return _show_both(main)


def _show_both(line: Line) -> str:
    sign = PERCENT if line.unit == "percent" else ""
    ours = "not run" if line.ours is None else format_value(line.ours, line.unit, line.digits) + sign
    if line.leakfree is not None:
        ours += f"; {format_value(line.leakfree, line.unit, line.digits)}{sign} with patients kept apart"
    return ours


def _describe_verdict(paper: Paper, results: Results, main: Line) -> str:
    if results.extra.finding:
        return "not run as published" if main.ours is None else explain_verdict(main.verdict)
    checks = [check for check in results.extra.statements if check.id == paper.headline.statement]
    verdict = explain_verdict(main.verdict)
    return f"the claim: {explain_verdict(checks[0].verdict)}; the number: {verdict}" if checks else verdict


def _describe_data(datasets: Sequence[DatasetEntry]) -> str:
    """Real or made up, the paper's or others, how many pictures of how many patients."""
    sizes: dict[tuple[str, str, str], list[str]] = {}
    for data in datasets:
        kind = "made-up pictures" if data.synthetic else "real pictures"
        kind += ", not the paper's" if data.substitute else ""
        of = "" if data.patients is None or data.patients_known is False else f" of {data.patients:,} patients"
        of = of.replace("patients", "stand-ins for patients") if data.stand_ins else of
        sizes.setdefault((kind, data.name, of), []).append(f"{data.cases:,}")
    return "; ".join(f"{kind}: {name}, {' and '.join(counts)}{of}" for (kind, name, of), counts in sizes.items())


def show_leak(leak: Sequence[float], unit: str) -> str:
    """What the leak is worth, with its interval if that is given: in points or, for unit fraction, as a fraction.

    >>> show_leak((0.411, 0.352, 0.469), "percent"), show_leak((-0.02,), "fraction")
    ('+41.1 [+35.2, +46.9] points', '−0.020')
    """
    digits = 1 if unit == "percent" else 3
    interval = [format_interval(leak[1], leak[2], unit, digits, signed=True)] if len(leak) > 1 else []
    return " ".join([format_value(leak[0], unit, digits, signed=True), *interval, *["points"] * (unit == "percent")])


def _describe_leaks(pairs: Sequence[PairLine], paper: Paper) -> str:
    """Of the first row that was run under both protocols, and over all of these."""
    unit, metric = find_claim(paper).unit, name_metric(paper.headline.metric, "")
    known = [(line.row, line.leak) for line in pairs if line.leak and not line.control]
    blind = sum(line.is_blind for line in pairs if not line.control)
    no_better = "no better than always giving the most frequent class under both protocols"
    hardly = sum(line.hardly_trained for line in pairs)
    if not known:
        stopped = "not to be seen: the rows were stopped in their first epochs leak-free" if hardly else "not measured"
        return f"not to be seen: the {metric} of all {blind} rows is {no_better}" if blind else stopped
    parts = [f"{metric} {show_leak(known[0][1], unit)}: {known[0][0]}"]
    if len(known) > 1:
        low, high = (show_leak(end(leak for _, leak in known)[:1], unit).removesuffix(" points") for end in (min, max))
        parts.append(f"all {len(known)} rows: {low} to {high}")
    if paper.difference:
        parts.append("not the leak alone: its page says what else differs")
    if blind:
        parts.append(f"{blind} more {'row is' if blind == 1 else 'rows are'} {no_better}")
    if hardly:
        parts.append(
            f"{hardly} more {'was' if hardly == 1 else 'were'} stopped in the first epochs leak-free, which shows no leak"
        )
    parts += [f"not counted, a control: {show_leak(line.leak, unit)}: {line.row}" for line in pairs if line.leak and line.control]
    return "; ".join(parts)


def _describe_cost(results: Results, paper: Paper) -> str:
    """Time of all trainings of the accepted run together, devices, and how much of the whole it was."""
    elsewhere = dict.fromkeys(str(cell.elsewhere).split(",")[0] for cell in results.extra.cells if cell.elsewhere)
    devices = dict.fromkeys([str(results.environment.device), *elsewhere])
    spent = f"{format_duration(results.seconds)}, {' and '.join(devices)}"
    ran, rows = _count_rows(results, paper)
    changed = [f"{name} = {value}" for name, value in sorted(results.overrides.items())]
    if ran == rows and not changed:
        return spent
    of_rows = "all rows" if ran == rows else f"{ran} of {rows} rows"
    settings = f" with {', '.join(changed) if len(changed) < 3 else f'{len(changed)} settings changed'}" if changed else ""
    return f"{spent}, for {of_rows}{settings}"


def _count_rows(results: Results, paper: Paper) -> tuple[int, int]:
    """How many rows were run, and how many there are; tables of counts need no training."""
    counted = {claim.row for claim in paper.claims if claim.unit == "count"}
    ran = {row.row for row in results.rows}
    return len(ran), len(ran | {missing.row for missing in results.extra.not_run} - counted)


def describe_all(overviews: Sequence[Overview]) -> str:
    """What was run of all papers, in how many rows a leak shows, and what it is worth there: sentences from the records."""
    trained = [overview for overview in overviews if overview.results]
    papers = f"{len(overviews)} paper{'s' * (len(overviews) > 1)}"
    if not trained:
        return f"{papers}; none was trained on real data so far."
    changed = sum(bool(overview.results and overview.results.overrides) for overview in trained)
    main = sum(overview.runs_main for overview in trained)
    ran, rows = (sum(counts) for counts in zip(*(overview.rows for overview in trained), strict=True))
    other = sum(all(data.substitute for data in overview.results.datasets) for overview in trained if overview.results)
    foreign = f", {other} on other data than the paper's" if other else ""
    settings = f", in {changed} with changed settings" if changed else ""
    sentences = [
        f"{papers}; {len(trained)} trained anew on real data so far{foreign}: {ran} of {rows} rows{settings}; the main number "
        f"itself in {main or 'none'} of them."
    ]
    pairs = [(overview, line) for overview in trained for line in overview.pairs]
    shown = [(overview, line.leak) for overview, line in pairs if line.leak and line.leak[1] > 0]
    blind = sum(line.is_blind for _, line in pairs)
    if pairs:
        counted = (
            f"{len(pairs)} row{'s' * (len(pairs) > 1)} {'were' if len(pairs) > 1 else 'was'} run both as the paper splits its"
        )
        counted += " pictures and with the pictures of a patient never on both sides"
        hardly = sum(line.hardly_trained for _, line in pairs)
        known = {"no better than always giving the most frequent class": blind, "leak-free stopped in the first epochs": hardly}
        reasons = [f"{why} ({count})" if blind and hardly else why for why, count in known.items() if count]
        can = f"; {blind + hardly} of these can show no leak, being {' or '.join(reasons)}" if reasons else ""
        sentences.append(f"{counted}{can}.")
        if shown:
            low, high = (format_value(end(leak[0] for _, leak in shown), "percent", signed=True) for end in (min, max))
            of = len({overview.paper.name for overview, _ in shown})
            metrics = {overview.paper.headline.metric for overview, _ in shown}
            metric = name_metric(metrics.pop(), "") if len(metrics) == 1 else "the main metric"
            where = f"in {len(shown)} of them, of {of} paper{'s' * (of > 1)}"
            sentences.append(f"A leak shows {where}: there the paper's way of splitting adds {low} to {high} points of {metric}.")
        else:
            sentences.append("A leak shows in none of them.")
    return " ".join(sentences)


def _list_pairs(paper: Paper, results: Results | None, lines: Sequence[Line]) -> list[PairLine]:
    """The rows under both protocols: those that paper.toml contrasts, else all, the main one first."""
    if results is None:
        return []
    metric = paper.headline.metric
    names = dict.fromkeys([paper.headline.row, *(line.row for line in lines)])
    contrasts = paper.contrasts or [Contrast(name, name, name) for name in names]
    found = {(row.row, row.protocol): row for row in results.rows if metric in row.metrics}
    beside = {line.row: line for line in reversed(lines) if line.claimed and line.metric == metric}
    foreign = OTHER_DATA if all(data.substitute for data in results.datasets) else ""
    pairs = []
    for contrast in contrasts:
        ours, leakfree = found.get((contrast.paper, "paper")), found.get((contrast.leakfree, "leakfree"))
        if ours and leakfree:
            line = beside.get(contrast.name)
            changed = show_verdict(OFF_PROTOCOL) if ours.departures or leakfree.departures else ""
            said = show_verdict(line.verdict) if line else foreign or changed
            pair = _pair_rows(contrast.name, ours, leakfree, metric, line, said)
            hardly = leakfree.row in results.extra.hardly_trained
            leak = None if hardly else pair.leak
            pairs.append(replace(pair, leak=leak, hardly_trained=hardly, control=contrast.control))
    return pairs


def _pair_rows(name: str, ours: RowResult, leakfree: RowResult, metric: str, line: Line | None, verdict: str) -> PairLine:
    first, second = ours.metrics[metric], leakfree.metrics[metric]
    rates = [row.metrics.get("majority_rate", NO_METRIC).mean if metric == "accuracy" else None for row in (ours, leakfree)]
    pair = PairLine(
        row=name,
        paper=line.paper if line else None,
        tolerance=line.tolerance if line else None,
        ours=first.mean,
        low=first.low,
        high=first.high,
        leakfree=second.mean,
        leakfree_low=second.low,
        leakfree_high=second.high,
        majority=rates[0],
        leakfree_majority=rates[1],
        verdict=verdict,
        leak=subtract_means(first, second),
    )
    return replace(pair, leak=None) if pair.is_blind else pair


def _show_claim_alone(paper: Paper, main: Line | None, pairs: Sequence[PairLine]) -> list[PairLine]:
    """The main number as printed, where it stands in none of the pairs and in the text."""
    claim = find_claim(paper)
    if claim.fraction is None or any(pair.row == claim.row for pair in pairs):
        return []
    verdict = show_verdict(main.verdict) if main else NOT_RUN
    ours = (main.ours, main.low, main.high, main.leakfree, main.leakfree_low, main.leakfree_high) if main else (None,) * 6
    return [PairLine(claim.row, claim.fraction, main.tolerance if main else None, *ours, None, None, verdict, None)]
