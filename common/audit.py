"""Which of the numbers that a paper prints can exist? Arithmetic alone tells, before anything is trained.

`python -m common.audit [PAPER | FILE.toml | results.json ...] [--all] [--json | --markdown]`; docs/audit.md explains each check.
"""

import argparse
import json
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

from common import audit_checks
from common.attainable import Printed, format_chance
from common.audit_declared import run_checks
from common.audit_lines import IMPOSSIBLE, POSSIBLE, SAME_METRIC, STRONGEST_FIRST, Line, Outcome, read_lines
from common.audit_matrices import check_matrix
from common.audit_rows import check_attainable, check_between, check_denominators, check_f1, check_majority
from common.confusions import BINARY
from common.errors import UsageError, run_main
from common.paper import Paper, load_paper
from common.results import Results, read_results

REPLICATIONS = Path(__file__).parents[1] / "replications"
SIGNIFICANT = 6  # digits of the numbers in results.json
# Checks with many outcomes: on the screen those that are possible are counted only.
QUIET = ("attainable", "one matrix", "between", "F1", "majority", "equation", "mean over seeds")
# Checks of single numbers and rows: what they find impossible cannot be right as printed.
SINGLE = ("attainable", "one matrix", "between", "F1", "equation", "macro row", "mean", "sd", "variance")
EXAMPLE = """\
a worked example, to be saved as mine.toml and audited with `python -m common.audit mine.toml`:

  [paper]
  title = "A network that finds everything"
  authors = "Doe J"
  venue = "Journal"
  year = "2020"
  doi = ""
  task = "ill or healthy"
  positive_class = "ill"
  headline = { table = "2", row = "ours", metric = "accuracy" }

  [classes]
  test = { "ill" = 40, "healthy" = 60 }

  [[claim]]
  table = "2"
  row = "ours"
  metric = "accuracy"
  value = 91.5
  digits = 1
  unit = "percent"
  where = "Table 2"
  classes = "test"

  [[check]]
  kind = "equation"
  where = "section 3"
  text = "40 + 60 = 110"

It finds: 91.5 % of 100 cases is impossible (91/100 = 91.00, 92/100 = 92.00), and so is the sum. Kinds of [[check]]:
"""


# ------------------------------------------------------------------------------------------------------------ the audit


@lru_cache(maxsize=16)
def audit_paper(paper: Paper) -> tuple[Outcome, ...]:
    """Everything that arithmetic says about a paper's printed numbers. UsageError for a wrong [[check]]."""
    checks = audit_checks.read_checks(paper)
    lines = read_lines(paper.printed)
    every = [*lines, *audit_checks.read_declared_lines(checks)]
    return (
        *check_attainable(every),
        *check_denominators(every),
        *check_matrix(every, paper.positive_class),
        *check_between(every),
        *check_f1(every),
        *check_majority(every),
        *run_checks(checks, paper, lines),
    )


@lru_cache(maxsize=16)
def find_impossible_claims(paper: Paper) -> frozenset[tuple[str, str, str]]:
    """`printed_key` of the claims that cannot be right as printed.

    Where numbers of one row exclude each other, all of them count, in each table that prints more than one of them.
    """
    impossible = set()
    for outcome in audit_paper(paper):
        if outcome.verdict == IMPOSSIBLE and outcome.check in SINGLE:
            judged: dict[tuple[str, str], list[tuple[str, str, str]]] = {row: [] for row in outcome.rows}
            for claim in paper.printed:
                row = (claim.table, claim.row)
                if row in judged and claim.value is not None and SAME_METRIC.get(claim.metric, claim.metric) in outcome.metrics:
                    judged[row].append(claim.key)
            impossible |= {key for keys in judged.values() if len(keys) >= min(2, len(outcome.metrics)) for key in keys}
    return frozenset(impossible)


def audit_results(results: Results) -> list[Outcome]:
    """The same arithmetic over a run's own results.json: every row and seed, and the means over the seeds."""
    binary = all(len(dataset.classes) == 2 for dataset in results.datasets)
    lines, outcomes = [], []
    for row in results.rows:
        name = f"{row.row}, {row.protocol}"
        classes = {"class 1": row.positives, "class 0": row.n - row.positives} if binary else {"all": row.n}
        for i, seed in enumerate(row.seeds):
            values = {metric: row.metrics[metric].by_seed[i] for metric in BINARY if metric in row.metrics}
            numbers = {metric: print_significant(value) for metric, value in values.items() if value is not None}
            lines.append(Line(f"{name}, seed {seed}", (row.table,), classes, numbers))
        for metric, summary in row.metrics.items():
            by_seed = [value for value in summary.by_seed if value is not None]
            if summary.mean is not None and len(by_seed) == len(summary.by_seed):
                subject, key = f"Table {row.table}: {name}, {metric}", (row.table, row.row)
                outcomes.append(_check_mean(subject, key, by_seed, summary.mean))
    return [*(check_matrix(lines, "class 1") if binary else check_attainable(lines)), *outcomes]


def print_significant(value: float) -> Printed:
    """A fraction of results.json as printed: with six significant digits, trailing zeros included."""
    number = Decimal(repr(value))
    digits = SIGNIFICANT - 1 - number.adjusted() if number else SIGNIFICANT
    return Printed(f"{number:.{digits}f}", "fraction")


def _check_mean(subject: str, key: tuple[str, str], by_seed: Sequence[float], given: float) -> Outcome:
    values = [Fraction(repr(value)) for value in by_seed]
    mean = sum(values, Fraction(0)) / len(values)
    printed = Fraction(repr(given))
    # Half a unit of the sixth digit, once for the values and once for their mean.
    allowed = max(map(abs, [*values, printed])) * Fraction(1, 10 ** (SIGNIFICANT - 1))
    text = f"mean of {len(values)} seeds {float(mean):.6g}, written {given:.6g}"
    return Outcome("mean over seeds", subject, POSSIBLE if abs(mean - printed) <= allowed else IMPOSSIBLE, text, (key,))


# ------------------------------------------------------------------------------------------------------------ rendering


def describe_weight(outcome: Outcome) -> str:
    """How many readings fit, what chance would do, and the Wilson interval, as far as they are known."""
    parts = []
    if outcome.fits is not None:
        parts.append(f"fits: {outcome.fits}" + (f" of {outcome.tried}" if outcome.tried else ""))
    if outcome.chance is not None:
        parts.append(f"by chance {format_chance(outcome.chance)}")
    if outcome.interval:
        parts.append("95 % interval {:.1f} to {:.1f} %".format(*(100 * end for end in outcome.interval)))
    return "; ".join(parts)


def is_quiet(outcome: Outcome) -> bool:
    """Whether it is enough to count it: possible, and one of many."""
    return outcome.verdict == POSSIBLE and outcome.check in QUIET


def render_text(title: str, outcomes: Sequence[Outcome], everything: bool, width: int) -> str:
    """The audit for the screen: check by check, what was found, and how to check it by hand."""
    out = [*textwrap.wrap(title, width), ""]
    for check in dict.fromkeys(outcome.check for outcome in outcomes):
        group = [outcome for outcome in outcomes if outcome.check == check]
        tally = Counter(outcome.verdict for outcome in group)
        out.append(f"{check}: {', '.join(f'{count} {verdict}' for verdict, count in tally.items())}")
        for outcome in group:
            if everything or not is_quiet(outcome):
                weight = describe_weight(outcome)
                text = outcome.arithmetic + (f" [{weight}]" if weight else "")
                hanging = {"width": width, "subsequent_indent": " " * 21}
                out += textwrap.wrap(f"  {outcome.verdict:<19}{outcome.subject}", **hanging)
                out += textwrap.wrap(" " * 21 + text, **hanging)
        out.append("")
    return "\n".join(out)


def render_markdown(outcomes: Sequence[Outcome], everything: bool, example: tuple[str, str] | None = None) -> str:
    """The audit as a table: every outcome, or for a README one line a check and verdict, the strongest first.

    example: (table, row) that stands for the others of its line if it is among them; else the one with the fewest fits.
    """
    shown = [(o.subject, o) for o in outcomes]
    if not everything:
        groups: dict[tuple[str, str], list[Outcome]] = {}
        for outcome in sorted(outcomes, key=lambda o: STRONGEST_FIRST.index(o.verdict)):
            if not is_quiet(outcome):
                groups.setdefault((outcome.check, outcome.verdict), []).append(outcome)
        shown = []
        for group in groups.values():
            first = min(group, key=lambda o: (example not in o.rows, o.fits or 0))
            shown.append((f"{first.subject}; {len(group) - 1} more" if group[1:] else first.subject, first))
    rows = ["| check | what | verdict | arithmetic | weight |", "|---|---|---|---|---|"]
    for subject, o in shown:
        cells = (o.check, subject, o.verdict, o.arithmetic, describe_weight(o))
        escaped = (cell.replace("|", r"\|").replace("*", r"\*").replace("<", "&lt;") for cell in cells)
        rows.append(f"| {' | '.join(escaped)} |")
    return "\n".join(rows)


def list_plain(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """The outcomes in plain JSON types."""
    return [
        {
            "check": o.check,
            "subject": o.subject,
            "verdict": o.verdict,
            "arithmetic": o.arithmetic,
            "rows": [{"table": table, "row": row} for table, row in o.rows],
            "metrics": list(o.metrics),
            "fits": o.fits,
            "tried": o.tried,
            "chance": None if o.chance is None else float(o.chance),
            "interval": None if o.interval is None else list(o.interval),
        }
        for o in outcomes
    ]


# --------------------------------------------------------------------------------------------------------- command line


def find_source(name: str) -> Path:
    """The file that an argument means: a paper's package, a .toml file, a results.json or its folder."""
    path = Path(name)
    candidates = [path / "results.json", path / "paper.toml"] if path.is_dir() else [path]
    candidates.append(REPLICATIONS / name / "paper.toml")
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    known = ", ".join(sorted(found.parent.name for found in REPLICATIONS.glob("*/paper.toml")))
    raise UsageError(f"{name}: neither a file nor a paper; give a .toml file, a results.json, or one of {known}")


def describe_scope(paper: Paper) -> str:
    """How many ratios the paper prints, how many of them are impossible, and which are not checked."""
    ratios = [claim for claim in paper.printed if claim.unit != "count"]
    missing = sum(claim.value is None for claim in ratios)
    impossible = sum(claim.key in find_impossible_claims(paper) for claim in ratios)
    unknown = sorted({claim.metric for claim in ratios if SAME_METRIC.get(claim.metric, claim.metric) not in BINARY})
    parts = [f"printed ratios: {len(ratios) - missing}", f"impossible as printed: {impossible}"]
    parts += [f"not in the available text: {missing}"] if missing else []
    parts += [f"not checked: {', '.join(unknown)}"] if unknown else []
    return "; ".join(parts)


def audit_file(path: Path) -> tuple[str, Sequence[Outcome]]:
    """(title, outcomes) of a paper.toml or a results.json."""
    if path.suffix == ".json":
        results = read_results(path)
        return f"{results.paper}: our own results ({show_path(path)})", audit_results(results)
    paper = load_paper(path)
    return f"{paper.title}. {paper.authors}, {paper.year} ({show_path(path)}). {describe_scope(paper)}.", audit_paper(paper)


def show_path(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m common.audit",
        description="Which printed numbers can exist? Without arguments: those of every paper in replications/.",
        epilog=EXAMPLE + (audit_checks.__doc__ or "").partition("\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("sources", nargs="*", metavar="PAPER | FILE", help="a paper's package, a .toml file of your own, or a results.json")
    add("--all", action="store_true", help="list what is possible, too, where it is only counted otherwise")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for programs: everything, as JSON")
    form.add_argument("--markdown", action="store_true", help="for a README: a table")
    options = parser.parse_args(arguments)
    sources = [find_source(name) for name in options.sources] or sorted(REPLICATIONS.glob("*/paper.toml"))
    audits = {path: audit_file(path) for path in sources}
    if options.json:
        plain = [{"source": show_path(path), "title": title, "outcomes": list_plain(o)} for path, (title, o) in audits.items()]
        print(json.dumps({"schema": 1, "audits": plain}, indent=1, ensure_ascii=False))
    elif options.markdown:
        print("\n\n".join(f"**{title}**\n\n{render_markdown(found, options.all)}" for title, found in audits.values()))
    else:
        width = max(60, min(140, shutil.get_terminal_size((120, 40)).columns))
        print("\n".join(render_text(title, found, options.all, width) for title, found in audits.values()))
    own = [outcome for path, (_, found) in audits.items() if path.suffix == ".json" for outcome in found]
    return 1 if any(outcome.verdict != POSSIBLE for outcome in own) else 0


if __name__ == "__main__":
    sys.exit(run_main(main))
