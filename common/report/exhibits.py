"""Exhibit to code: which function, at which line, makes a table or figure of the paper, and what of ours shows it.

Found by name: `count_table_1`, `count_table_1_to_5` or `list_table_2` in experiments.py, `draw_figure_3` in figures.py;
`list_text` for what the paper prints in its text alone.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common.records.paper import Paper
from common.report.pages import escape_markdown

MAKER = re.compile(r"(?:count|list|draw)_(?:(table|figure)_(\w+)|text)")
SHOWN_ROWS = 3


@dataclass(frozen=True)
class Maker:
    """A function that makes an exhibit."""

    exhibit: str  # as claims name it: "2", "Fig. 8"
    file: str
    function: str
    line: int
    pictures: tuple[str, ...]  # file names that it gives, with * for what varies


def find_makers(package: Path) -> list[Maker]:
    """The functions of a package that make exhibits of its paper, in the order of the exhibits."""
    makers = []
    for file in ("experiments.py", "figures.py"):
        if (package / file).is_file():
            for node in ast.parse((package / file).read_text(encoding="utf-8")).body:
                if isinstance(node, ast.FunctionDef) and (match := MAKER.fullmatch(node.name)):
                    exhibit = _name_exhibit(match[1], match[2])
                    makers.append(Maker(exhibit, file, node.name, node.lineno, tuple(_list_pictures(node))))
    return sorted(makers, key=lambda maker: (maker.exhibit.startswith("Fig."), _sort_key(maker.exhibit)))


def _name_exhibit(kind: str | None, name: str) -> str:
    """As claims name it.

    >>> _name_exhibit("table", "1_to_5"), _name_exhibit("figure", "3"), _name_exhibit(None, "")
    ('1-5', 'Fig. 3', 'text')
    """
    if kind is None:
        return "text"
    return f"Fig. {name}" if kind == "figure" else name.upper().replace("_TO_", "-")


def render_exhibits(package: Path, paper: Paper) -> str:
    """A Markdown table: each table or figure of the paper, its functions, and the rows or pictures of ours that show it."""
    makers = find_makers(package)
    lines = ["| exhibit | made by | ours |", "|---|---|---|"]
    for exhibit in dict.fromkeys(maker.exhibit for maker in makers):
        of_exhibit = [maker for maker in makers if maker.exhibit == exhibit]
        made = [f"[{maker.function}]({maker.file}#L{maker.line}), {maker.file} line {maker.line}" for maker in of_exhibit]
        names = list(dict.fromkeys(claim.row for claim in paper.claims if claim.table == exhibit))
        more = f" and {len(names) - SHOWN_ROWS} more" if len(names) > SHOWN_ROWS else ""
        shown = escape_markdown("; ".join(names[:SHOWN_ROWS]) + more)
        ours = [f"row{'s' * (len(names) > 1)} {shown}"] if names else []
        ours += [f"`{picture}`" for maker in of_exhibit for picture in maker.pictures]
        title = "in the text" if exhibit == "text" else exhibit if exhibit.startswith("Fig.") else f"Table {exhibit}"
        lines.append(f"| {title} | {'; '.join(made)} | {'; '.join(ours)} |")
    return "\n".join(lines) if makers else "No code yet."


def _list_pictures(function: ast.FunctionDef) -> Iterator[str]:
    """File names ending in .png, given as a text or a format with holes, in the order of the code."""
    formats = [node for node in ast.walk(function) if isinstance(node, ast.JoinedStr)]
    inside = {id(part) for node in formats for part in ast.walk(node) if part is not node}
    texts = [node for node in ast.walk(function) if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in inside]
    for node in sorted(texts, key=lambda node: (node.lineno, node.col_offset)):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in parts)
        if text.endswith(".png"):
            yield text


def _sort_key(exhibit: str) -> tuple[int, str]:
    digits = re.search(r"\d+", exhibit)
    return int(digits[0]) if digits else 0, exhibit
