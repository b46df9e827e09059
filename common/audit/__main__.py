"""Command line of the audit.

`python -m common.audit [PAPER | FILE.toml | TABLE | results.json ...]`; docs/audit.md walks through it.
"""

import argparse
import json
import shlex
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from common.audit import checks
from common.audit.example import EXAMPLE
from common.audit.outcomes import POSSIBLE
from common.audit.output import print_text
from common.audit.pages import render_page
from common.audit.render import list_plain, render_markdown_audit, render_text
from common.audit.sources import (
    TableOptions,
    audit_source,
    find_source,
    read_class_option,
    read_count,
    read_size_option,
    refuse_table_options,
)
from common.errors import UsageError, run_main
from common.files import write_text_atomic
from common.records.claims import AVERAGES, MOST_FOLDS, MOST_RUNS
from common.records.printed_tables import TABLE_UNITS

REPLICATIONS = Path(__file__).parents[2] / "replications"
EXPLANATION = f"""\
a worked example, to be saved as mine.toml and audited with `python -m common.audit mine.toml`:

{textwrap.indent(EXAMPLE, "  ")}
It finds: 91.5 % of 100 cases is impossible (91/100 = 91.00, 92/100 = 92.00), and so is the sum. Kinds of [[check]]:
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Audit what the arguments name and print what is found.

    Returns the exit code: 1 if a number in a results.json of our own is not possible, else 0, whatever was found of a paper.
    Raises UsageError for an unknown name and a faulty file.
    """
    parser = argparse.ArgumentParser(
        "python -m common.audit",
        description="Which printed numbers can exist? Without arguments: those of every paper in replications/.",
        epilog=EXPLANATION + (checks.__doc__ or "").partition("\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("sources", nargs="*", metavar="SOURCE", help="a paper's package, a .toml, a results.json or a table: .csv .tsv .md .xlsx")
    add("--all", action="store_true", help="list what is possible, and each number that was not checked, too")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--html", action="store_true", help="to be sent: one page, with the arithmetic of each finding")
    form.add_argument("--markdown", action="store_true", help="to be pasted: a table")
    form.add_argument("--json", action="store_true", help="for programs: everything, as JSON")
    add("--out", metavar="FILE", help="write there instead of on the screen, as UTF-8")
    about = parser.add_argument_group("of a table in a file, as far as its paper says it")
    add = about.add_argument
    add("--classes", metavar="ill=40,healthy=60", help="cases of each class behind every number")
    add("--positive", metavar="ill", help="the positive class; the first one if not given")
    add("--folds", type=int, metavar="N", help="every number is a mean over N folds of a cross-validation; 1: over none")
    add("--fold-sizes", metavar="20,21,21", help="cases of each fold, or of each class in it: 8+12,8+13,9+12")
    add("--stratified", action="store_true", help="every fold has the same share of each class, to within a case")
    add("--runs", type=int, metavar="N", help="every number is a mean over N repetitions on the same cases; 1: over none")
    add("--average", choices=AVERAGES[1:], help="over the classes; a head such as macro F1 says it of its column")
    add(
        "--unit", choices=TABLE_UNITS, help="of every column; if not given, a column with a %% sign or a value above 1 is percent"
    )
    options = parser.parse_args(arguments)
    table = TableOptions(
        classes=read_class_option(options.classes) if options.classes else {},
        positive=options.positive or "",
        unit=options.unit or "",
        average=options.average or "",
        folds=read_count(options.folds, "--folds", MOST_FOLDS),
        fold_sizes=read_size_option(options.fold_sizes) if options.fold_sizes else (),
        runs=read_count(options.runs, "--runs", MOST_RUNS),
        stratified=options.stratified,
    )
    sources = [find_source(name, REPLICATIONS) for name in options.sources] or sorted(REPLICATIONS.glob("*/paper.toml"))
    refuse_table_options(sources, table)
    audits = [audit for path in dict.fromkeys(sources) for audit in audit_source(path, table)]
    if options.json:
        plain = [
            {
                "source": audit.source,
                "title": audit.title,
                "about": audit.about,
                "summary": audit.summary,
                "notes": list(audit.notes),
                "remarks": list(audit.remarks),
                "outcomes": list_plain(audit.outcomes),
            }
            for audit in audits
        ]
        text = json.dumps({"schema": 1, "audits": plain}, indent=1, ensure_ascii=not options.out)
    elif options.html:
        given = sys.argv[1:] if arguments is None else arguments
        shown = [Path(item).name if Path(item).is_absolute() else item for item in given]  # the page is to be sent
        text = render_page(audits, shlex.join(["python", "-m", "common.audit", *shown]))
    elif options.markdown:
        text = "\n\n".join(render_markdown_audit(audit, options.all) for audit in audits)
    else:
        width = max(60, min(140, shutil.get_terminal_size((120, 40)).columns))
        text = "\n".join(render_text(audit, options.all, width) for audit in audits)
    if options.out:
        try:
            write_text_atomic(Path(options.out), text + "\n")
        except OSError as error:
            raise UsageError(f"--out {options.out}: cannot be written, {error.strerror or error}; name a file") from None
    else:
        print_text(text, page=options.html)
    own = [outcome for audit in audits if audit.paper is None for outcome in audit.outcomes]
    return 1 if any(outcome.verdict != POSSIBLE for outcome in own) else 0


if __name__ == "__main__":
    sys.exit(run_main(main, most=200))  # what a file holds may stand in a message, however long
