"""The audit's command line: its worked example, errors with line and field, JSON and Markdown, our own results."""

import json
import random
import re
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from common.audit import outcomes as audit_outcomes
from common.audit.__main__ import main
from common.audit.checks import FIELDS
from common.audit.macro import check_macro
from common.audit.papers import audit_paper, find_impossible_claims
from common.audit.render import render_markdown
from common.errors import run_main
from common.files import write_json_atomic
from common.records.paper import load_paper

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def run(*arguments: object) -> int:
    return run_main(lambda: main([str(argument) for argument in arguments]))


def test_worked_example(tmp_path, capsys, monkeypatch):
    """docs/audit.md shows what the command prints for its example."""
    write(tmp_path, EXAMPLE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    assert run("mine.toml") == 0
    shown = capsys.readouterr().out
    (expected,) = re.findall(r"says:\n\n```\n(.*?)```", GUIDE, re.DOTALL)
    assert expected in shown
    assert "40 + 60 is 100; 110 is 110" in shown


def test_help_holds_the_same_example_and_every_kind(capsys):
    with pytest.raises(SystemExit) as caught:
        run("--help")
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert textwrap.indent(EXAMPLE, "  ").strip() in shown
    assert all(re.search(rf"^ +{kind}[ ,]", shown, re.MULTILINE) or f", {kind}" in shown for kind in FIELDS)


def test_guide_names_every_verdict_and_kind():
    verdicts = {value for name, value in vars(audit_outcomes).items() if name.isupper() and isinstance(value, str)}
    assert verdicts == set(audit_outcomes.STRONGEST_FIRST)
    table = GUIDE[GUIDE.index("## Verdicts") :]
    assert len(verdicts) > 8
    assert not [verdict for verdict in verdicts if verdict not in table]
    assert not [kind for kind in FIELDS if kind not in GUIDE]


CHECKS = {
    "row": 'row = "x"\nunit = "percent"\nvalues = { accuracy = "97.3", sensitivity = "80.7", specificity = "64.17" }',
    "equation": 'text = "1 + 1 = 2"',
    "mean": 'table = "2"\nmetric = "accuracy"\nprinted = "90.0"\nunit = "percent"',
    "sd": 'table = "2"\nmetric = "accuracy"\nprinted = "1.0"\nunit = "percent"',
    "variance": 'table = "2"\nmetric = "accuracy"\nprinted = "1.0"\nunit = "percent"',
    "float32": 'table = "2"\nmetric = "accuracy"\ncases = [60, 420]',
    "split_size": 'table = "2"\nmetric = "accuracy"\ncases = [60, 420]\ntotal = 1000\nshare = "0.1"',
    "macro": 'offsets = ["0"]',
    "pair": 'table = "2"\nmetric = "accuracy"\nrows = ["ours", "theirs"]',
    "enlargement": "originals = 10\nenlarged = 100\ntest = 20",
}
CUT_OFF = '[[check]]\nkind = "equation"\nwhere = "here"\ntext = "1.99 * 1 = 1.9"\n'
NEEDS_MORE = {"macro", "split_size"}  # more than two classes; accuracies printed as 32-bit floats
TWO_ROWS = EXAMPLE.replace(
    "[[check]]",
    """[[claim]]
table = "2"
row = "theirs"
metric = "accuracy"
value = 90.0
digits = 1
unit = "percent"
where = "Table 2"
classes = "test"
folds = 1
runs = 1

[[check]]""",
)


def add_check(kind: str, fields: str) -> str:
    return f'{TWO_ROWS}\n[[check]]\nkind = "{kind}"\nwhere = "here"\n{fields}\n'


@pytest.mark.parametrize(
    ("kind", "old", "new", "field", "fault"),
    [
        ("row", '"97.3"', "97.3", "values", "in quotes"),
        ("row", '"97.3"', '"97,3"', "values", "in quotes"),
        ("row", '"percent"', '"per cent"', "unit", "one of"),
        ("row", "{ acc", "{ classes = 1, acc", "values", "in quotes"),
        ("row", 'row = "x"', 'row = "x"\nclasses = { a = -1 }', "classes", "whole number"),
        ("row", '"97.3"', '"197.3"', "values", "above 100"),
        ("equation", "= 2", "= b", "table", "no number"),
        ("equation", "1 + 1", "1 ** 1", "text", "not allowed"),
        ("equation", "1 + 1", "q", "table", "names"),
        ("mean", '"2"', '"9"', "table", "'9'"),
        ("mean", "accuracy", "auc", "metric", "no 'auc'"),
        ("mean", '"90.0"', "90.0", "printed", "must be str"),
        ("mean", 'unit = "percent"', 'unit = "percent"\nrows = ["nobody"]', "rows", "nobody"),
        ("mean", 'unit = "percent"', 'unit = "percent"\nrows = ["ours"]', "rows", "at least two"),
        ("sd", 'unit = "percent"', 'unit = "percent"\nrows = [["ours"]]', "rows", "names of rows"),
        ("float32", "[60, 420]", "[60]", "cases", "smallest"),
        ("float32", "[60, 420]", "[420, 60]", "cases", "smallest"),
        ("float32", "[60, 420]", "[2, 9999999]", "cases", "100000"),
        ("split_size", '"0.1"', '"1.5"', "share", "between 0 and 1"),
        ("split_size", "1000", "1001", "metric", "32-bit"),
        ("macro", '["0"]', '["0", "0"]', "offsets", "different"),
        ("macro", '["0"]', "[0]", "offsets", "in quotes"),
        ("macro", '["0"]', '["0"]\ncases = 2', "cases", "three or more"),
        ("macro", '["0"]', '["0"] ', "kind", "more than two classes"),
        ("pair", '"theirs"', '"their"', "rows", "their"),
        ("pair", ', "theirs"', "", "rows", "two rows"),
        ("enlargement", "100", "5", "enlarged", "originals"),
        ("enlargement", "= 100", "= 1000000000", "enlarged", "1000000"),
        ("enlargement", "= 20", "= true", "test", "must be int"),
        ("enlargement", "test = 20", "", "test", "missing"),
        ("enlargement", "test = 20", "test = 20\ntests = 1", "tests", "unknown field"),
    ],
)
def test_faults_of_a_check_name_file_line_and_field(tmp_path, capsys, kind, old, new, field, fault):
    assert old in CHECKS[kind]
    text = add_check(kind, CHECKS[kind].replace(old, new, 1))
    line = text[: text.rindex("[[check]]")].count("\n") + 1
    assert run(write(tmp_path, text)) == 2
    message = capsys.readouterr().err
    assert re.search(rf"mine\.toml, line {line}: check 2( \(\S+\))? \({kind}\)", message), message
    assert f"'{field}'" in message
    assert re.search(fault, message)
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("digits = 1", 'digits = "1"', r"line 14: claim 1 \(ours, accuracy\): field 'digits' must be int, not str"),
        ("value = 91.5", "value = 91.55", r"line 14: claim 1 \(ours, accuracy\): field 'value' 91.55 has more decimals than"),
        ('kind = "equation"', 'kind = "equations"', r"line 26: check 1: field 'kind' must be one of row, equation"),
        ('kind = "equation"', "", r"line 26: check 1: field 'kind' must be one of"),
        ('kind = "equation"', 'kind = ["equation"]', r"line 26: check 1: field 'kind' must be one of"),
        ('"ill" = 40', '"ill" = 40000000000', r"line 11: \[classes\] test: cases of class 'ill' must be a whole number from 0"),
        ("[paper]", "check = [1]\n[paper]", r"check"),
        ("[classes]", "[classes", r"not a valid TOML file: .*line 11"),
    ],
)
def test_faults_of_a_claim_name_file_line_and_field(tmp_path, capsys, old, new, message):
    assert old in EXAMPLE
    assert run(write(tmp_path, EXAMPLE.replace(old, new, 1))) == 2
    error = capsys.readouterr().err
    assert "mine.toml" in error
    assert re.search(message, error), error
    assert error.count("\n") == 1


def test_message_of_the_guide_is_real(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, EXAMPLE.replace("digits = 1", 'digits = "1"'))
    run("mine.toml")
    (expected,) = re.findall(r"`(error: mine\.toml.*)`", GUIDE)
    assert capsys.readouterr().err.strip() == expected


@pytest.mark.parametrize("kind", sorted(FIELDS.keys() - NEEDS_MORE))
def test_every_kind_gives_an_outcome(tmp_path, kind):
    text = add_check(kind, CHECKS[kind])
    before = audit_paper(load_paper(write(tmp_path, TWO_ROWS)))
    after = audit_paper(load_paper(write(tmp_path, text)))
    assert len(after) > len(before)
    assert all(outcome.subject and outcome.arithmetic for outcome in after)


def test_damaged_files_give_one_line_or_an_audit(tmp_path, capsys):
    """Characters lost, doubled and exchanged, in a file with every kind of check: no traceback, no hang."""
    kinds = {kind: fields for kind, fields in CHECKS.items() if kind not in NEEDS_MORE}
    text = "".join([TWO_ROWS, *(f'\n[[check]]\nkind = "{kind}"\nwhere = "here"\n{fields}\n' for kind, fields in kinds.items())])
    assert run(write(tmp_path, text)) == 0
    capsys.readouterr()
    generator = random.Random(3)
    codes = Counter()
    for _ in range(400):
        damaged = list(text)
        for _ in range(generator.randint(1, 3)):
            place = generator.randrange(len(damaged))
            damaged[place] = generator.choice(["", damaged[place] * 2, generator.choice('0123456789.[]{}="\n-ex'), "99999999"])
        code = run(write(tmp_path, "".join(damaged)))
        codes[code] += 1
        assert capsys.readouterr().err.count("\n") == (code == 2)
    assert set(codes) <= {0, 2}
    assert min(codes[0], codes[2]) > 25


def test_unknown_source(capsys):
    assert run("no_such_paper") == 2
    assert "bone_acgan" in capsys.readouterr().err


def test_json_and_markdown_say_everything(tmp_path, capsys):
    path = write(tmp_path, add_check("pair", CHECKS["pair"]))
    outcomes = audit_paper(load_paper(path))
    assert run(path, "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)["audits"]
    assert [item["verdict"] for item in found["outcomes"]] == [outcome.verdict for outcome in outcomes]
    first = found["outcomes"][0]
    assert (first["check"], first["fits"], first["tried"]) == ("attainable", 0, 101)
    assert first["chance"] == pytest.approx(101 / 1001)
    assert first["rows"] == [{"table": "2", "row": "ours"}]
    assert first["interval"] == pytest.approx([0.844, 0.955], abs=1e-3)
    assert run(path, "--markdown", "--all") == 0
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(table) == len(outcomes) + 2
    assert {line.count("|") for line in table} == {6}


def add_claim(table: str, row: str, metric: str, value: float, digits: int = 1) -> str:
    return (
        f'[[claim]]\ntable = "{table}"\nrow = "{row}"\nmetric = "{metric}"\nvalue = {value}\ndigits = {digits}\n'
        f'unit = "percent"\nwhere = "there"\nclasses = "test"\nfolds = 1\nruns = 1\n\n'
    )


def find_claims(folder: Path, *claims: str) -> frozenset[tuple[str, str, str]]:
    return find_impossible_claims(load_paper(write(folder, TWO_ROWS + "\n" + "".join(claims))))


def test_impossible_claims(tmp_path):
    """The number itself, in every table; of a row without a matrix what excludes each other, where more than one of it stands."""
    accuracy = ("2", "ours", "accuracy")
    assert find_claims(tmp_path) == {accuracy}
    repeated = add_claim("3", "ours", "accuracy", 91.5), add_claim("3", "ours", "auc", 80.0)
    assert find_claims(tmp_path, *repeated) == {accuracy, ("3", "ours", "accuracy")}
    # 90.0 of 100 is possible by itself, with 42 of 60 it is not, whatever the recall.
    recalls = add_claim("4", "theirs", "recall", 75.0), add_claim("4", "theirs", "specificity", 70.0)
    assert find_claims(tmp_path, *recalls) == {accuracy}  # another row as long as nothing joins it to Table 2
    joined = (*recalls, add_claim("4", "theirs", "accuracy", 90.0), add_claim("4", "theirs", "auc", 80.0))
    assert find_claims(tmp_path, *joined) == {
        accuracy, *(("4", "theirs", metric) for metric in ("accuracy", "specificity")),
    }  # fmt: skip


def test_a_wrong_mean_marks_the_row_that_states_it(tmp_path):
    check = '[[check]]\nkind = "mean"\nwhere = "text"\ntable = "5"\nmetric = "accuracy"\nprinted = "85.0"\nunit = "percent"\n'
    runs = [add_claim("5", f"run {i}", "accuracy", value) for i, value in enumerate((85.0, 90.0, 95.0))]
    assert find_claims(tmp_path, *runs, add_claim("text", "mean", "accuracy", 85.0), check) == {
        ("2", "ours", "accuracy"), ("text", "mean", "accuracy"),
    }  # fmt: skip


def test_markdown_for_a_readme_is_one_line_a_check_and_verdict(tmp_path):
    claims = [add_claim("3", f"row {i}", "accuracy", value) for i, value in enumerate((81.5, 82.5, 83.0))]
    outcomes = audit_paper(load_paper(write(tmp_path, TWO_ROWS + "\n" + "".join(claims) + CUT_OFF)))
    lines = render_markdown(outcomes, everything=False, example=("3", "row 1")).splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    assert [(cell[0], cell[2]) for cell in cells] == [
        ("attainable", "impossible"), ("equation", "impossible"), ("denominator", "impossible"), ("equation", "only truncated"),
    ]  # fmt: skip
    assert cells[0][1] == "accuracy 82.5 of 100; Table 3: row 1; 2 more"
    without = render_markdown(outcomes, everything=False)
    assert "| attainable | accuracy 91.5 of 100; Table 2: ours; 2 more |" in without


def test_macro_means_of_the_stated_cases_are_possible_without_a_search(tmp_path):
    """Three classes, one matrix (18, 2, 0), (3, 12, 0), (1, 1, 8): no other division is tried."""
    values = {"accuracy": "0.8444", "sensitivity": "0.8333", "specificity": "0.9133", "precision": "0.8727", "f1": "0.8526"}
    claims = "".join(
        f'[[claim]]\ntable = "1"\nrow = "net"\nmetric = "{name}"\nvalue = {value}\ndigits = 4\nunit = "fraction"\n'
        f'where = "Table 1"\nclasses = "test"\n\n'
        for name, value in values.items()
    )
    head = EXAMPLE[: EXAMPLE.index("[[claim]]")].replace('table = "2", row = "ours"', 'table = "1", row = "net"')
    head = head.replace('{ "ill" = 40, "healthy" = 60 }', "{ a = 20, b = 15, c = 10 }")
    path = write(tmp_path, f'{head}{claims}[[check]]\nkind = "macro"\nwhere = "Table 1"\noffsets = ["0"]\n')
    outcomes = audit_paper(load_paper(path))
    composition, row = (o for o in outcomes if o.check in ("macro", "macro row"))
    assert (composition.verdict, composition.tried, row.verdict) == ("possible", 1, "possible")
    assert "right 18, 12, 8 of 20, 15, 10 (a, b, c)" in row.arithmetic
    assert not find_impossible_claims(load_paper(path))


def test_a_search_too_large_is_said(tmp_path):
    lines = audit_outcomes.read_lines(load_paper(ROOT / "replications/bone_acgan/paper.toml").printed)
    line = next(line for line in lines if len(line.metrics) == 5)
    (outcome,) = check_macro([line], [0], cases=5000)
    assert outcome.verdict == "undecided"
    assert "too many to search" in outcome.arithmetic


# ------------------------------------------------------------------------------------------------------------ our results

PUBLISHED = sorted((ROOT / "results").glob("*/results.json"))


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_our_own_results_pass(path, capsys):
    assert run(path.parent, "--all") == 0
    shown = capsys.readouterr().out
    assert "one matrix" in shown or "attainable" in shown
    assert "impossible" not in shown


@pytest.mark.parametrize("metric", ["accuracy", "sensitivity", "specificity", "precision", "f1"])
@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_a_changed_number_of_ours_is_found(path, metric, tmp_path, capsys):
    results = json.loads(path.read_text())
    results["rows"][0]["metrics"][metric]["by_seed"][0] += 0.0002
    write_json_atomic(tmp_path / "results.json", results)
    assert run(tmp_path) == 1
    assert "impossible" in capsys.readouterr().out


def test_a_paper_without_results_or_toml(tmp_path, capsys):
    assert run(tmp_path) == 2
    assert "neither a file nor a paper" in capsys.readouterr().err
