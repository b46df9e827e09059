"""Command line of the audit.

`python -m common.audit [PAPER | FILE.toml | results.json ...] [--all] [--json | --markdown]`; docs/audit.md explains each check.
"""

import argparse
import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from common.audit import checks
from common.audit.example import EXAMPLE
from common.audit.outcomes import POSSIBLE, Outcome
from common.audit.papers import audit_paper, audit_results, describe_scope
from common.audit.render import list_plain, render_markdown, render_text
from common.errors import UsageError, run_main
from common.records.paper import load_paper
from common.records.results import read_results

REPLICATIONS = Path(__file__).parents[2] / "replications"
EXPLANATION = f"""\
a worked example, to be saved as mine.toml and audited with `python -m common.audit mine.toml`:

{textwrap.indent(EXAMPLE, "  ")}
It finds: 91.5 % of 100 cases is impossible (91/100 = 91.00, 92/100 = 92.00), and so is the sum. Kinds of [[check]]:
"""


def _find_source(name: str) -> Path:
    """The file that an argument means: a paper's package, a .toml file, a results.json or its folder."""
    path = Path(name)
    candidates = [path / "results.json", path / "paper.toml"] if path.is_dir() else [path]
    candidates.append(REPLICATIONS / name / "paper.toml")
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    known = ", ".join(sorted(found.parent.name for found in REPLICATIONS.glob("*/paper.toml")))
    raise UsageError(f"{name}: neither a file nor a paper; give a .toml file, a results.json, or one of {known}")


def _audit_file(path: Path) -> tuple[str, Sequence[Outcome]]:
    """(title, outcomes) of a paper.toml or a results.json."""
    if path.suffix == ".json":
        results = read_results(path)
        return f"{results.paper}: our own results ({_show_path(path)})", audit_results(results)
    paper = load_paper(path)
    return f"{paper.title}. {paper.authors}, {paper.year} ({_show_path(path)}). {describe_scope(paper)}.", audit_paper(paper)


def _show_path(path: Path) -> str:
    """The path, from here if it lies below."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


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
    add("sources", nargs="*", metavar="PAPER | FILE", help="a paper's package, a .toml file of your own, or a results.json")
    add("--all", action="store_true", help="list what is possible, too, where it is only counted otherwise")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for programs: everything, as JSON")
    form.add_argument("--markdown", action="store_true", help="for a README: a table")
    options = parser.parse_args(arguments)
    sources = [_find_source(name) for name in options.sources] or sorted(REPLICATIONS.glob("*/paper.toml"))
    audits = {path: _audit_file(path) for path in sources}
    if options.json:
        plain = [{"source": _show_path(path), "title": title, "outcomes": list_plain(o)} for path, (title, o) in audits.items()]
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
