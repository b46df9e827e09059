"""Printed tables as input: one block of a paper.toml, CSV, TSV, Markdown and Excel files; names, units, faults."""

import csv
import io
import random
import re
import zipfile
from pathlib import Path

import pytest
from openpyxl import Workbook

from common.audit.__main__ import main
from common.audit.sources import TableOptions, audit_source
from common.audit.table_files import read_table_file
from common.errors import UsageError, run_main
from common.records.metric_names import SPELLINGS, read_head
from common.records.paper import parse_paper
from common.records.table_cells import read_cell

HEAD = """[paper]
title = "t"
authors = "a"
venue = "v"
year = "2021"
doi = ""
task = "t"
positive_class = "p"
"""
# Facts of three public papers: (classes, unit, table, metrics, {row: numbers}).
FACTS = {
    "PMC7415126": (
        {"infected": 101, "clean": 1921},
        "percent",
        "3",
        ("accuracy", "precision", "npv", "specificity", "sensitivity"),
        {"AI": ("90.5", "50.5", "99.5", "95.3", "91.1")},
    ),
    "Hindawi 9980326": (
        {"malignant": 20, "benign": 20},
        "fraction",
        "4",
        ("accuracy", "sensitivity", "specificity", "f1"),
        {
            "2 DLF": ("0.875", "0.895", "0.85", "0.872"),
            "4 DLF": ("0.925", "0.905", "0.95", "0.927"),
            "6 DLF": ("0.9", "0.9", "0.9", "0.9"),
            "8 DLF": ("0.85", "0.889", "0.8", "0.84"),
            "10 DLF": ("0.875", "0.941", "0.8", "0.84"),
            "12 DLF": ("0.85", "0.889", "0.8", "0.84"),
            "16 DLF": ("0.875", "0.895", "0.85", "0.872"),
        },
    ),
    "PMC9301895": (
        {},
        "fraction",
        "2",
        ("accuracy", "sensitivity", "specificity", "precision", "npv"),
        {
            "40": ("0.818", "0.792", "0.850", "0.850", "0.792"),
            "10": ("0.776", "0.898", "0.646", "0.731", "0.855"),
            "80": ("0.774", "0.593", "0.968", "0.952", "0.689"),
        },
    ),
}
SHOWN = {"accuracy": "ACC.", "precision": "PPV", "npv": "NPV", "specificity": "Spec", "sensitivity": "Recall", "f1": "F1-score"}


def write_long(classes, unit, table, metrics, rows) -> str:
    """Number by number, as [[claim]]."""
    text = f"[classes]\na = {{ {', '.join(f'{k} = {v}' for k, v in classes.items())} }}\n" if classes else ""
    for row, numbers in rows.items():
        for metric, number in zip(metrics, numbers, strict=True):
            digits = len(number.partition(".")[2])
            text += f'[[claim]]\ntable = "{table}"\nrow = "{row}"\nmetric = "{metric}"\nvalue = {number}\ndigits = {digits}\n'
            text += f'unit = "{unit}"\nwhere = "Table {table}"\n' + ('classes = "a"\n' if classes else "")
    return text


def write_short(classes, unit, table, metrics, rows) -> str:
    """As one [[table]], the heads as papers write them."""
    cases = f"classes = {{ {', '.join(f'{k} = {v}' for k, v in classes.items())} }}\n" if classes else ""
    lines = "\n".join(f"  {[row, *numbers]!r}," for row, numbers in rows.items())
    return f'[[table]]\ntable = "{table}"\n{cases}columns = {[SHOWN[m] for m in metrics]!r}\nrows = [\n{lines}\n]\n'


@pytest.mark.parametrize("name", FACTS)
def test_a_block_says_what_nine_lines_a_number_say(name):
    """Unit and place follow from the table; digits from the text."""
    long, short = write_long(*FACTS[name]), write_short(*FACTS[name])
    claims = parse_paper(HEAD + long, Path("p/paper.toml")).printed
    assert parse_paper(HEAD + short, Path("p/paper.toml")).printed == claims
    rows, numbers = len(FACTS[name][4]), len(claims)
    assert long.count("\n") >= 8 * numbers
    assert short.count("\n") <= rows + 6


OPTIONS = "--classes=malignant=20,benign=20"
GRID = [
    ["model", "ACC.", "Recall", "Spec", "F1-score"],
    *([row, *numbers] for row, numbers in FACTS["Hindawi 9980326"][4].items()),
]


def write_csv(path: Path, delimiter: str = ",", encoding: str = "utf-8", comma: bool = False) -> Path:
    file = io.StringIO()
    grid = [[cell.replace(".", ",") if comma and i and j else cell for j, cell in enumerate(row)] for i, row in enumerate(GRID)]
    csv.writer(file, delimiter=delimiter).writerows(grid)
    path.write_bytes(file.getvalue().encode(encoding))
    return path


def write_markdown(path: Path) -> Path:
    lines = ["# Results", "", *("| " + " | ".join(row) + " |" for row in GRID)]
    lines.insert(3, "|:--|--:|---|---|---|")
    path.write_text("\n".join([*lines, "", "Text | with a bar"]))
    return path


def write_xlsx(path: Path, numbers: bool) -> Path:
    book = Workbook()
    sheet = book.active
    for i, row in enumerate(GRID, start=3):  # not at the corner
        for j, text in enumerate(row, start=2):
            cell = sheet.cell(i, j, float(text) if numbers and i > 3 and j > 2 else text)
            if numbers and i > 3 and j > 2:
                cell.number_format = "0." + "0" * len(text.partition(".")[2])
    book.save(path)
    return path


WRITERS = {
    "commas.csv": write_csv,
    "semicolons.csv": lambda path: write_csv(path, ";", comma=True),
    "quoted.csv": lambda path: write_csv(path, ",", comma=True),
    "bom.csv": lambda path: write_csv(path, ";", "utf-8-sig"),
    "utf16.csv": lambda path: write_csv(path, "\t", "utf-16"),
    "windows.csv": lambda path: write_csv(path, ";", "cp1252"),
    "tabs.tsv": lambda path: write_csv(path, "\t"),
    "table.md": write_markdown,
    "texts.xlsx": lambda path: write_xlsx(path, numbers=False),
    "numbers.xlsx": lambda path: write_xlsx(path, numbers=True),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_says_the_same(name, tmp_path):
    options = TableOptions(classes={"malignant": 20, "benign": 20})
    (audit,) = audit_source(WRITERS[name](tmp_path / name), options)
    got = [(c.row, c.metric, c.value, c.digits, c.unit, c.classes) for c in audit.paper.printed]
    claims = parse_paper(HEAD + write_long(*FACTS["Hindawi 9980326"]), Path("p/paper.toml")).printed
    assert got == [(c.row, c.metric, c.value, c.digits, c.unit, c.classes) for c in claims]
    assert audit.paper.positive_class == "malignant"


def read_lines(tmp_path: Path, *lines: str, name: str = "t.csv", **options):
    path = tmp_path / name
    path.write_text("\n".join(lines), encoding="utf-8")
    (audit,) = audit_source(path, TableOptions(**options))
    return audit


def test_every_spelling_is_read_whatever_its_capitals():
    for metric, spellings in SPELLINGS.items():
        for spelling in spellings:
            for written in (spelling, spelling.upper(), spelling.title(), f"**{spelling}** (%)"):
                assert read_head(written).metric == metric, written
    for other in ("params (M)", "RMSE", "model", "time [s]", "Dice", "Recall (ill)", "loss", "n", "R2", ""):
        assert read_head(other) is None, other


def test_what_a_head_says_of_averages_and_units():
    columns, row = ["Macro-F1 (%)", "Recall (weighted)", "Acc", "LR+", "MCC"], ["a", "91.2", "88.1%", "0.9", "5.13", "-0.12"]
    text = f'{HEAD}[[table]]\ntable = "2"\naverage = "micro"\ncolumns = {columns!r}\nrows = [{row!r}]\n'
    claims = {c.metric: (c.value, c.unit, c.average) for c in parse_paper(text, Path("p/paper.toml")).printed}
    assert claims == {
        "f1": (91.2, "percent", "macro"), "sensitivity": (88.1, "percent", "weighted"), "accuracy": (0.9, "fraction", "micro"),
        "lr_positive": (5.13, "fraction", "micro"), "mcc": (-0.12, "fraction", "micro"),
    }  # fmt: skip


def test_mean_and_sd_intervals_and_gaps(tmp_path):
    audit = read_lines(
        tmp_path, "| model | Acc | AUC |", "|---|---|---|", "| a | 94.1 ± 1.20 | .93 (.90–.96) |", "| b | **93.0 (2.1)**† | – |",
        name="t.md", folds=5,
    )  # fmt: skip
    got = [(c.row, c.metric, c.value, c.sd, c.sd_digits, c.folds) for c in audit.paper.printed]
    assert got == [("a", "accuracy", 94.1, 1.2, 2, 5), ("a", "auc", 0.93, None, 0, 5), ("b", "accuracy", 93.0, 2.1, 1, 5)]
    assert "not read, in brackets beside the number: intervals, counts or references of 1 cells" in audit.notes


@pytest.mark.parametrize("text", ["35 (87.5)", "1e3", "<0.1", "94.1 ± -1", "5.", "1,234.5", "abc", "9" * 300])
def test_cells_that_are_no_numbers_are_refused(text):
    with pytest.raises(ValueError, match=re.escape(text[:10])):
        read_cell(text)


def test_unknown_columns_are_named_and_a_turned_table_is_turned(tmp_path):
    audit = read_lines(tmp_path, "metric,CNN,SVM", "Accuracy,0.9,0.8", "RMSE,3,4", "Recall,0.85,0.7")
    assert [(c.row, c.metric, c.value) for c in audit.paper.printed] == [
        ("CNN", "accuracy", 0.9), ("CNN", "sensitivity", 0.85), ("SVM", "accuracy", 0.8), ("SVM", "sensitivity", 0.7),
    ]  # fmt: skip
    assert audit.notes[0] == "the metrics stand in the first column, one a row"
    assert "left out, no metric that is known: RMSE" in audit.notes


def test_blocks_and_repeated_rows(tmp_path):
    audit = read_lines(
        tmp_path, "model,Acc,Sensitivity,Recall", "data set A,,,", "CNN,0.9,0.8,0.8", "data set B,,,", "CNN,0.7,0.6,0.6"
    )
    assert [(c.row, c.metric) for c in audit.paper.printed] == [
        ("CNN", "accuracy"), ("CNN", "sensitivity"), ("CNN (2)", "accuracy"), ("CNN (2)", "sensitivity"),
    ]  # fmt: skip
    assert any("Recall (a second sensitivity, beside Sensitivity)" in note for note in audit.notes)


@pytest.mark.parametrize(
    ("lines", "options", "where", "fault"),
    [
        (["model,Acc", "a,9x"], {}, "line 2, column 2 (Acc)", "no number"),
        (["model,Acc", "a,91.5", "b,0.93"], {}, "line 3, column 2 (Acc)", "percent or a fraction"),
        (["model,Acc,Spec", "a,91.5,1"], {}, "line 2, column 3 (Spec)", "1 % or 100 %"),
        (["model,Acc", "a,101.5"], {}, "line 2, column 2 (Acc)", "outside the range"),
        (["model,Acc", "a,1.5"], {"unit": "fraction"}, "line 2, column 2 (Acc)", "outside the range"),
        (["model,Acc", "a,87,5"], {}, "line 2", "decimal comma"),
        (["model,Acc", 'a,"87'], {}, "line 2", "quotation mark"),
        (["model,Time", "a,3"], {}, "t.csv", "no column is a metric"),
        (["model,Acc", "a,-"], {}, "t.csv", "no number below Acc"),
        (["model,Acc"], {}, "t.csv", "a row below"),
        ([""], {}, "t.csv", "a row below"),
        (["model,Acc\0", "a,1"], {}, "t.csv", "not a text file"),
        (["model,Acc", "a,0.9"], {"classes": {"a": 1, "b": 2}, "positive": "c"}, "--positive", "none of the classes"),
        (["model,Acc", "a,0.9"], {"folds": 2, "fold_sizes": (3, 3, 3)}, "t.csv", "lists 3 folds"),
        (["model,Acc", "a,0.9"], {"folds": -2}, "t.csv", "at least 1"),
        (["model" + ",Acc" * 300, "a,0.9"], {}, "line 1", "columns"),
    ],
)
def test_faults_name_file_and_place_in_one_line(tmp_path, lines, options, where, fault):
    with pytest.raises(UsageError) as caught:
        read_lines(tmp_path, *lines, **options)
    message = str(caught.value)
    assert where in message
    assert fault in message
    assert "\n" not in message


TABLE = '[[table]]\ntable = "4"\ncolumns = ["Acc", "F1"]\nrows = [["CNN", "0.850", "0.84"]]\n'


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('"0.850"', "0.850", "row 1 must"),
        (', "0.84"', "", "has 2 cells"),
        ('["Acc", "F1"]', '["Time", "Loss"]', "no column is a metric"),
        ('["Acc", "F1"]', "[]", "'columns'"),
        ('"0.850"', '"101"', "row 'CNN', column 'Acc': field 'value' 101.0 is outside"),
        ('"0.850"', '"x"', "row 'CNN', column 'Acc': 'x' is no number"),
        ('rows = [["CNN"', 'rows = [["CNN", "0.1", "0.2"], ["CNN"', "a name of its own"),
        ('table = "4"', 'table = "4"\nclasses = "test"', "which [classes] does not have"),
        ('table = "4"', 'table = "4"\nunit = "count"', "'unit'"),
        ('table = "4"', 'table = "4"\naverage = "mean"', "'average'"),
        ('table = "4"', 'table = "4"\nfolds = 2\nfold_sizes = [3]', "lists 1 folds"),
        ('table = "4"', 'table = "4"\nrow = "x"', "unknown field 'row'"),
    ],
)
def test_faults_of_a_block_name_file_line_and_cell(old, new, fault):
    assert old in TABLE
    with pytest.raises(UsageError) as caught:
        parse_paper(HEAD + TABLE.replace(old, new, 1), Path("mine.toml"))
    assert str(caught.value).startswith("mine.toml, line 9: table 1")
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_block_says_how_its_numbers_were_averaged():
    text = HEAD + TABLE.replace(
        'table = "4"', 'table = "4"\naverage = "macro"\nfolds = 5\nruns = 3\nwhere = "p. 7"\nnote = "ours"'
    )
    paper = parse_paper(text, Path("p/paper.toml"))
    assert {(c.average, c.folds, c.runs, c.where, c.note) for c in paper.printed} == {("macro", 5, 3, "p. 7", "ours")}
    assert paper.headline.metric == "accuracy"
    assert paper.notes == ("Table 4: taken as fractions: accuracy, f1",)


# ---------------------------------------------------------------------------------------------------------- hostile files


def write_parts(path: Path, parts: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in parts.items():
            packed.writestr(name, content)
    return path


def read_parts(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def test_an_empty_workbook_is_refused(tmp_path):
    Workbook().save(tmp_path / "empty.xlsx")
    with pytest.raises(UsageError, match="empty.xlsx: no table in it$"):
        read_table_file(tmp_path / "empty.xlsx")


def test_workbooks_that_burst_or_define_entities_are_refused(tmp_path):
    parts = read_parts(write_xlsx(tmp_path / "t.xlsx", numbers=True))
    sheet = "xl/worksheets/sheet1.xml"
    entities = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    for change, fault in (
        ({"xl/media/zeros.bin": bytes(30_000_000)}, "unpacks"),
        ({f"xl/{i}.xml": b"<a/>" for i in range(2000)}, "parts"),
        ({sheet: entities + parts[sheet]}, "entities"),
        ({sheet: (entities + b"<a/>").decode().encode("utf-16")}, "entities"),
        ({sheet: b"<worksheet"}, "not a readable"),
    ):
        path = write_parts(tmp_path / "hostile.xlsx", {**parts, **change})
        with pytest.raises(UsageError, match=fault) as caught:
            read_table_file(path)
        assert "\n" not in str(caught.value)


def test_formulas_are_not_evaluated_and_sheets_are_tables(tmp_path):
    book = Workbook()
    for sheet in (book.active, book.create_sheet("B | <i>")):
        sheet.append(["model", "Acc"])
        sheet.append(["CNN", 0.9])
    book.save(tmp_path / "two.xlsx")
    labels = [grid.label for grid in read_table_file(tmp_path / "two.xlsx")]
    assert [label.partition("two.xlsx, ")[2] for label in labels] == ["sheet Sheet", "sheet B | <i>"]
    book.active["B2"] = "=1-0.1"
    book.save(tmp_path / "formula.xlsx")
    with pytest.raises(UsageError, match=r"cell B2 \(a formula: paste its value\)"):
        audit_source(tmp_path / "formula.xlsx", TableOptions())


@pytest.mark.parametrize("name", ["commas.csv", "table.md", "numbers.xlsx"])
def test_damaged_files_give_one_line_or_an_audit(name, tmp_path, capsys):
    whole = WRITERS[name](tmp_path / name).read_bytes()
    generator = random.Random(5)
    path = tmp_path / f"damaged.{name.partition('.')[2]}"
    codes = []
    for _ in range(60):
        damaged = bytearray(whole[: generator.choice([len(whole), generator.randrange(len(whole))])])
        for _ in range(generator.randint(1, 6)):
            if damaged:
                damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        path.write_bytes(damaged)
        codes.append(run_main(lambda: main([str(path), OPTIONS])))
        assert capsys.readouterr().err.count("\n") == (codes[-1] == 2)
    assert set(codes) <= {0, 2}
    assert codes.count(2) > 10


def test_old_locked_and_unknown_files(tmp_path):
    for name, content, fault in (
        ("t.xls", b"\xd0\xcf\x11\xe0", "old .xls"), ("t.xlsx", b"\xd0\xcf\x11\xe0" * 100, "password"),
        ("t.xlsx", b"", "not a readable"),
        ("t.pdf", b"%PDF", "cannot tell"), ("t.md", b"no table here", "no table"), ("t.csv", b"\x81\x8d", "no text"),
        ("big.csv", bytes(6_000_000), "larger than"),
    ):  # fmt: skip
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(UsageError, match=fault) as caught:
            read_table_file(path)
        assert name in str(caught.value)


def test_options_of_tables_are_for_tables(tmp_path, capsys):
    path = write_csv(tmp_path / "t.csv")
    for arguments, fault in (
        (["bone_acgan", "--folds", "5"], "for tables"),
        ([str(path), "--classes", "ill=40"], "two classes"),
        ([str(path), "--classes", "ill:40,well=3"], "ill:40"),
        ([str(path), "--classes", "ill=40,ill=3"], "'ill=3'"),
        ([str(path), "--fold-sizes", "20,x"], "--fold-sizes"),
        ([str(path), "--fold-sizes", "8+12,9"], "fold_sizes"),
    ):
        assert run_main(lambda arguments=arguments: main(arguments)) == 2
        message = capsys.readouterr().err
        assert fault in message
        assert message.count("\n") == 1
    sizes = ["--fold-sizes", "10+10,10+10", "--folds", "2", "--runs", "1"]
    assert run_main(lambda: main([str(path), OPTIONS, *sizes])) == 0
    assert "folds: 2; cases of the folds: 10+10, 10+10; repetitions: 1" in " ".join(capsys.readouterr().out.split())
