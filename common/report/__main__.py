"""Command line: `python -m common.report [--check] [--root FOLDER]` rewrites (or checks) the READMEs' blocks,
the tables of accepted runs and the pages of docs/site."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from common.errors import UsageError
from common.report.readmes import update_readmes


def main(arguments: Iterable[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m common.report", description="Rewrite what follows from results: READMEs, table.md, docs/site."
    )
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a file is stale")
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
