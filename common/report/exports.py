"""The tables of a report as files for other programs: table.csv for spreadsheets and statistics, table.tex for a manuscript."""

import math
from collections.abc import Sequence

from common.csv_text import render_lines
from common.report.tables import Column, Table
from common.report.wording import NONE

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    '"': r"\textquotedbl{}", "\N{MINUS SIGN}": "$-$", "\N{EN DASH}": "--", "\N{NO-BREAK SPACE}": "~",
    "\N{GREEK SMALL LETTER KAPPA}": r"$\kappa$", "\N{MULTIPLICATION SIGN}": r"$\times$", "\N{PLUS-MINUS SIGN}": r"$\pm$",
}  # fmt: skip


def render_csv(tables: Sequence[Table]) -> str:
    """Every cell of the tables, one line each: table, line, row, column, value; so that one file holds tables of any shape.

    line: number of the row in its table, from 1; row: its first cell. Numbers have a plain minus and no plus sign. A text that
    begins as a formula of a spreadsheet does is preceded by an apostrophe.

    >>> table = Table("Table 2", (Column("row"), Column("mean", "number")), [["=net", "+1.5"], ["old net", "–"]])
    >>> print(render_csv([table]).replace(chr(13), ""), end="")
    table,line,row,column,value
    Table 2,1,'=net,mean,1.5
    Table 2,2,old net,mean,
    """
    lines = [["table", "line", "row", "column", "value"]]
    for table in tables:
        for number, row in enumerate(table.rows, start=1):
            for column, cell in zip(table.columns[1:], row[1:], strict=True):
                texts = [table.title, str(number), row[0], _name_column(column), "" if cell == NONE else cell]
                lines.append([_plain(text) for text in texts])
    return render_lines(lines, end="\r\n")


def _name_column(column: Column) -> str:
    return f"{column.group}: {column.name}" if column.group else column.name


def _plain(text: str) -> str:
    """A number as programs read it; any other text as it is.

    >>> [_plain(text) for text in ("\N{MINUS SIGN}6.2", "+1.2", "-inf", "12 (3 %)")]
    ['-6.2', '1.2', '-inf', '12 (3 %)']
    """
    plain = text.replace("\N{MINUS SIGN}", "-")
    try:
        if math.isfinite(float(plain)) and plain.strip("+-.0123456789") == "":
            return plain.removeprefix("+")
    except ValueError:
        pass
    return text


def render_latex(tables: Sequence[Table]) -> str:
    """Each table as a longtable with the rules of booktabs, to be included in a document that loads both packages."""
    return "\n\n".join(["% Needs \\usepackage{booktabs,longtable}", *map(_render_latex_table, tables)]) + "\n"


def _render_latex_table(table: Table) -> str:
    widths = {"number": "r", "verdict": "l"}
    kinds = "".join(widths.get(column.kind, r"p{0.2\linewidth}") for column in table.columns)
    head = [r"\begin{longtable}{@{}" + kinds + "@{}}", rf"\caption{{{escape_latex(table.title)}}}\\", r"\toprule"]
    groups = [column.group for column in table.columns]
    if any(groups):
        starts = [place for place in range(len(groups)) if place == 0 or not groups[place] or groups[place] != groups[place - 1]]
        spans = [end - start for start, end in zip(starts, [*starts[1:], len(groups)], strict=True)]
        cells = [
            rf"\multicolumn{{{span}}}{{c}}{{{escape_latex(groups[start])}}}" for start, span in zip(starts, spans, strict=True)
        ]
        head.append(" & ".join(cells) + r" \\")
    head += [" & ".join(escape_latex(column.name) for column in table.columns) + r" \\", r"\midrule", r"\endhead"]
    body = [" & ".join(map(escape_latex, row)) + r" \\" for row in table.rows]
    end = [r"\bottomrule", r"\end{longtable}"] + ([escape_latex(table.note)] if table.note else [])
    return "\n".join(head + [_protect(line) for line in body] + end)


def _protect(line: str) -> str:
    """A row that begins with a bracket is no option of the line break before it."""
    return "{}" + line if line.startswith("[") else line


def escape_latex(text: str) -> str:
    """Text that LaTeX shows as it is, in one line.

    >>> print(escape_latex("50 % of a_b & {c}"))
    50 \\% of a\\_b \\& \\{c\\}
    """
    return "".join(SPECIAL.get(letter, letter) for letter in " ".join(text.split()))
