"""What can be done with a paper's package: its commands, each in one sentence."""

import argparse
import ast
from collections.abc import Sequence
from pathlib import Path

from common.errors import run_main
from common.records.paper import load_paper

# In the order in which one needs them; what else a package has follows, in its own words.
PURPOSES = {
    "data": "Which data are here, whole or not; what to get where, under which licence.",
    "run": "Train, evaluate, report: on the data if they are here, else on made-up pictures.",
    "predict": "New pictures through the networks of a finished run.",
    "evaluate": "Judge an accepted result anew from its predictions; nothing is trained.",
}


def main(package: Path, argv: Sequence[str] | None = None) -> int:
    """Command line of `python -m replications.<package>`; returns the exit code. package: its folder."""
    parser = argparse.ArgumentParser(prog=f"python -m replications.{package.name}", description="List what can be done.")
    parser.parse_args(argv)
    return run_main(lambda: _show(describe_package(package)))


def main_of_all(folder: Path, argv: Sequence[str] | None = None) -> int:
    """Command line of `python -m replications`; returns the exit code. folder: that holds the packages."""
    parser = argparse.ArgumentParser(prog="python -m replications", description="List the papers and what can be done with each.")
    parser.parse_args(argv)
    packages = [path.parent for path in sorted(folder.glob("*/paper.toml"))]
    return run_main(lambda: _show("\n\n".join(map(describe_package, packages))))


def _show(text: str) -> int:
    print(text)
    return 0


def describe_package(package: Path) -> str:
    """Title of the paper, and a line for each command; of a package without code a sentence that says so. package: its folder."""
    paper = load_paper(package / "paper.toml")
    commands = {f"python -m replications.{package.name}.{stem}": about for stem, about in list_commands(package).items()}
    commands[f"python -m common.audit {package.name}"] = "Which of the printed numbers can exist, by arithmetic alone."
    lines = [f"{package.name}: {paper.title} ({paper.year})"]
    if not (package / "run.py").is_file():
        lines.append("This package has no code: nothing can be trained, but the paper's printed numbers can be audited.")
    width = max(map(len, commands))
    lines += [f"  {command:<{width}}  {about}" for command, about in commands.items()]
    if (package / "run.py").is_file():
        lines.append("Each answers --help. The smallest run, always on made-up pictures:")
        lines.append(f"  python -m replications.{package.name}.run --preset smoke")
    return "\n".join(lines)


def list_commands(package: Path) -> dict[str, str]:
    """Module -> what it is for, of those that are commands; nothing is imported."""
    found = {}
    for path in sorted(package.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        guarded = any(isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'" for node in tree.body)
        if guarded and path.stem != "__main__":
            found[path.stem] = PURPOSES.get(path.stem, (ast.get_docstring(tree) or "").partition("\n")[0])
    known = [name for name in PURPOSES if name in found]
    return {name: found[name] for name in [*known, *sorted(found.keys() - set(known))]}
