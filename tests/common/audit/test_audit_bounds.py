"""Documents that are too deep, too long, of wrong types or at odds with themselves: one short line that names the field."""

import json
import time
from pathlib import Path

import pytest
from sample_results import make_content

from common.audit.__main__ import main
from common.audit.example import EXAMPLE
from common.errors import UsageError, run_main

METRIC = {"mean": 0.9, "sd": None, "low": None, "high": None, "by_seed": [0.9]}
ROW = {
    "table": "2", "row": "net", "protocol": "paper", "n": 10, "patients": 5, "positives": 4, "seeds": [0],
    "below_majority": False, "metrics": {"accuracy": METRIC},
}  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Files are named without their folder, whose length varies, as messages are cut to 200 characters."""
    monkeypatch.chdir(tmp_path)


def ask(capsys, *arguments) -> tuple[int, str]:
    """Exit code, and what is said on stderr, of `python -m common.audit`."""
    started = time.process_time()
    code = run_main(lambda: main([*map(str, arguments)]), most=200)
    assert time.process_time() - started < 5
    return code, capsys.readouterr().err


def deepen(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


RESULTS = [
    ({"n": "ten"}, "rows.0.n'"),
    ({"n": 10.5}, "rows.0.n'"),
    ({"n": -1}, "rows.0.n'"),
    ({"n": 10**12}, "rows.0.n'"),
    ({"n": 10**30}, "more than 18 digits"),
    ({"n": 10**2000}, "a whole number of 2001 digits"),
    ({"positives": None}, "rows.0.positives'"),
    ({"row": "x" * 1000}, "rows.0.row': a text of 1000 characters"),
    ({"metrics": {"y" * 10**5: METRIC}}, "a name of more than 300 characters"),
    ({"metrics": {"accuracy": METRIC | {"mean": "high"}}}, "rows.0.metrics.accuracy.mean'"),
    ({"metrics": {"accuracy": METRIC | {"by_seed": []}}}, "accuracy has not one value for each of 1 seeds"),
    ({"tested_by_seed": [[1]]}, "rows.0.tested_by_seed.0'"),
    ({"tested_by_seed": [[1, 1], [2, 1]]}, "tested_by_seed has not one value for each of 1 seeds"),
    ({"seeds": {}}, "rows.0.seeds'"),
]


@pytest.mark.parametrize(("changes", "message"), RESULTS, ids=[message for _, message in RESULTS])
def test_results_at_odds_with_their_schema_are_named_by_field(capsys, changes, message):
    path = Path("results.json")
    path.write_text(json.dumps(make_content(rows=[ROW | changes])))
    code, said = ask(capsys, path)
    assert code == 2
    assert message in said.replace("...", "")
    assert len(said.splitlines()) == 1
    assert len(said) <= 201


def test_results_of_whatever_depth_and_number_end(capsys):
    path = Path("results.json")
    for content, message in (
        (json.dumps(make_content(config={"a": deepen(50)})), "nested more than 20 deep"),
        ("[" * 100_000, "nested too deeply"),
        (json.dumps(make_content(rows=[ROW] * 5001)), "'rows'"),
    ):
        path.write_text(content)
        code, said = ask(capsys, path)
        assert (code, len(said.splitlines())) == (2, 1)
        assert message in said
    for value in (1e-300, 1e9, 10**17, -5.0):  # no share, but a number
        path.write_text(
            json.dumps(make_content(rows=[ROW | {"metrics": {"accuracy": METRIC | {"mean": value, "by_seed": [value]}}}]))
        )
        assert ask(capsys, path)[1] == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (EXAMPLE + "\nx = " + "[" * 50_000, "nested too deeply"),
        (EXAMPLE + "\nx = " + "{a=" * 3000 + "1" + "}" * 3000, "nested too deeply"),
        (EXAMPLE + "\nx = " + "[" * 30 + "]" * 30, "nested more than 20 deep"),
        (EXAMPLE + "\n[" + ".".join(["a"] * 100_000) + "]", "a key of more than 20 parts"),
        (EXAMPLE.replace("value = 91.5", "value = 9" + "1" * 5000), "(4300 digits) for integer"),
        (EXAMPLE.replace("value = 91.5", "value = 9" + "1" * 50), "a whole number of more than 18 digits"),
        (EXAMPLE.replace("value = 91.5", "value = 91." + "5" * 100), "a number of 103 characters"),
        (EXAMPLE.replace('"ours"', '"' + "o" * 1000 + '"'), "a text of 1000 characters"),
        (EXAMPLE + "\n" + "k" * 10**6 + " = 1", "a name of more than 300 characters"),
        (EXAMPLE + "#" * 2_000_000, "is it the right file?"),
    ],
    ids=["lists", "tables", "depth", "parts", "digits", "integer", "float", "name", "key", "size"],
)
def test_a_paper_beyond_the_bounds_is_one_line(capsys, text, message):
    path = Path("paper.toml")
    path.write_text(text)
    code, said = ask(capsys, path)
    assert (code, len(said.splitlines())) == (2, 1)
    assert message in said
    assert len(said) <= 201


def test_a_message_is_cut_in_its_middle(capsys):
    path = Path("table.csv")
    path.write_text(f"model,{'A' * 10_000}\nCNN,91.5\n")
    code, said = ask(capsys, path)
    assert (code, len(said.rstrip("\n"))) == (2, 200)
    with pytest.raises(UsageError) as whole:
        main([str(path)])
    assert said.rstrip("\n").endswith(str(whole.value)[-50:])
