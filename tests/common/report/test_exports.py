"""table.csv and table.tex: every cell, nothing that a spreadsheet computes or LaTeX runs."""

import csv
import io
import re
import shutil
import subprocess

import pandas as pd
import pytest
from sample_report import make_content, write_run

from common.records.results import parse_results
from common.report.exports import escape_latex, render_csv, render_latex
from common.report.pages import list_tables, write_report
from common.report.tables import Column, Table

FORMULAS = ("=1+1", "+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")')


def test_the_run_folder_has_every_table_as_csv_and_latex(tmp_path, paper):
    content = make_content()
    run = write_run(tmp_path / "run", content)
    write_report(run, paper)
    tables = list_tables(parse_results(content, "test"), paper)
    frame = pd.read_csv(run / "table.csv", dtype=str, keep_default_na=False)
    assert list(frame) == ["table", "line", "row", "column", "value"]
    assert len(frame) == sum(len(table.rows) * (len(table.columns) - 1) for table in tables)
    of_net = frame[(frame["table"] == "Table 2: accuracy (%)") & (frame["row"] == "set / net")].set_index("column")["value"]
    assert float(of_net["Paper: printed"]) == 90.0
    assert float(of_net["Ours, leak-free: minus paper's protocol"]) == -6.2
    assert float(of_net["Ours minus paper: difference"]) == 1.2
    latex = (run / "table.tex").read_text(encoding="utf-8")
    assert latex.count(r"\begin{longtable}") == latex.count(r"\end{longtable}") == len(tables)
    assert r"set / net & 90.0 & 80.0 & 91.2" in latex
    body = latex.replace(r"\\", "").replace(r"\%", "")
    assert "_" not in re.sub(r"\\_", "", body)


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_is_a_formula(text):
    table = Table(text, (Column("row"), Column(text)), [[text, text]], text)
    (_, *lines) = csv.reader(io.StringIO(render_csv([table]), newline=""))
    assert [line.count(text) for line in lines[0]] == [1, 0, 1, 1, 1]
    for cell in lines[0]:
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_latex_shows_every_text_as_it_is():
    hostile = r"\input{x} 5 % & a_b {c} $d$ #1 ~ ^ [e] <f> | −1.0 –"
    shown = escape_latex(hostile)
    for command in re.findall(r"\\[a-z]+", shown):
        assert command in (r"\textbackslash", r"\textasciitilde", r"\textasciicircum", r"\textless", r"\textgreater", r"\textbar")
    rest = re.sub(r"\\([&%$#_{}]|text[a-z]+\{\})|\$-\$", "", shown)
    assert not set(rest) & set("\\&%$#_{}~^<>|")


def test_rows_of_latex_have_as_many_cells_as_columns(tmp_path):
    columns = (Column("row"), Column("mean", "number", "ours & co"), Column("sd", "number", "ours & co"), Column("note"))
    text = render_latex([Table("50 % of a_b", columns, [["[a]", "1.0", "–", "x & y"]], "a_note")])
    assert r"\caption{50 \% of a\_b}" in text
    assert r"\multicolumn{2}{c}{ours \& co}" in text
    (line,) = [line for line in text.splitlines() if "[a]" in line]
    assert line.startswith("{}[a] & ")
    assert len(re.findall(r"(?<!\\)&", line)) == 3
    if shutil.which("pdflatex"):
        (tmp_path / "table.tex").write_text(text, encoding="utf-8")
        head = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs,longtable}"
        document = head + r"\begin{document}\input{table}\end{document}"
        (tmp_path / "all.tex").write_text(document, encoding="utf-8")
        done = subprocess.run(["pdflatex", "-interaction=batchmode", "-halt-on-error", "all"], cwd=tmp_path, capture_output=True)
        assert done.returncode == 0
