"""The records of results.json: their JSON Schema, documents that keep to it, faults that are named; nothing else is a dict."""

import ast
import copy
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import jsonschema
import pytest
from pydantic import BaseModel

from common.errors import UsageError
from common.evaluation.outcome import Outcome
from common.records.results import (
    Collapse,
    Command,
    DatasetEntry,
    Environment,
    Extra,
    FigureEntry,
    Git,
    JudgedClaim,
    Metric,
    Missing,
    OwnTable,
    Pair,
    Results,
    RowResult,
    Split,
    StatementCheck,
    Training,
    parse_results,
    read_results,
    to_json,
    write_results,
)
from common.report.lines import Line

ROOT = Path(__file__).parents[3]
SCHEMA_FILE = ROOT / "common" / "records" / "results.schema.json"
PUBLISHED = sorted((ROOT / "results").glob("*/results.json"))
DOCUMENTS = [
    *(pytest.param(path, id=path.parent.name) for path in PUBLISHED),
    pytest.param("smoke_run", marks=pytest.mark.slow),
    pytest.param("thyroid_smoke_run", marks=pytest.mark.slow),
]


def read_document(source: Path | str, request) -> dict:
    path = source if isinstance(source, Path) else request.getfixturevalue(source) / "results.json"
    return json.loads(path.read_text(encoding="utf-8"))


def make_document() -> dict:
    """A small whole document, in which every kind of record occurs."""
    metric = {"mean": 0.9, "sd": None, "low": 0.8, "high": None, "by_seed": [0.9]}
    row = {
        "table": "2", "row": "net", "protocol": "paper", "n": 100, "patients": None, "positives": 20, "seeds": [0],
        "below_majority": False, "metrics": {"accuracy": metric}, "departures": ["epochs = 6 instead of 100"],
    }  # fmt: skip
    claim = {
        "table": "2", "row": "net", "metric": "accuracy", "where": "Table 2", "paper": 91.0, "tolerance": 5.5, "ours": 90.0,
        "low": 80.0, "high": None, "verdict": "within", "note": "", "impossible": True,
    }  # fmt: skip
    pair = {
        "protocol": "paper", "row_a": "net", "row_b": "old", "seeds": [0], "n": 100, "patients": 50, "accuracy_a": 0.9,
        "accuracy_b": 0.8, "accuracy_difference": 0.1, "low": None, "high": None, "only_a": 12, "only_b": 2, "mcnemar_p": 0.01,
        "mcnemar_p_holm": 0.01, "auc_difference": None, "auc_low": None, "auc_high": None, "delong_p": None,
        "delong_p_holm": None,
    }  # fmt: skip
    leak = {"test_cases": 100, "same_patient": 7, "same_pixels": 0, "near_duplicate": 1}
    split = {
        "rule": "at random", "folds": 1, "train": 400, "validation": 0, "test": 100, "left_out": 0, "sha256": "0" * 64,
        "leak": leak,
    }  # fmt: skip
    dataset = {
        "dataset": "set", "name": "clinic", "note": "", "synthetic": False, "cases": 500, "patients": None,
        "classes": {"healthy": 400, "ill": 100}, "files_sha256": None, "unreadable": [], "splits": {"paper": split},
        "private": True, "excluded": [{"path": "a.png", "reason": "too small"}],
    }  # fmt: skip
    command = {"command": "python -m run", "started": "2026-01-01T00:00:00+00:00", "commit": "abc", "dirty": False}
    table = {"title": "T", "columns": [{"name": "c", "kind": "text", "group": ""}], "rows": [["x"]], "note": ""}
    return {
        "schema": 1, "paper": "some_paper", "preset": "paper", "protocol": "paper", "overrides": {"epochs": "6"},
        "on_protocol": False, "command": "python -m run", "git": {"commit": "abc", "dirty": False},
        "started": "2026-01-01T00:00:00+00:00", "seconds": 12.0,
        "environment": {"python": "3.11", "backend": None, "device": "2 CPU cores", "deterministic": True, "numpy": "2.4"},
        "datasets": [dataset], "weights": {"source": "random", "sha256": None}, "config": {"epochs": 6, "sides": [64, 32]},
        "selection": {"paper": "last epoch"}, "seeds": [0], "rows": [row], "claims": [claim],
        "extra": {
            "comparisons": [pair],
            "statements": [{"id": "net_best", "protocol": "paper", "verdict": "holds", "detail": ""}],
            "not_run": [{"table": "2", "row": "absent", "reason": "too large"}],
            "collapsed": [{"row": "old", "protocol": "paper", "seeds": [0]}],
            "figures": [{"file": "a.png", "title": "A", "caption": "", "shows_cases": True}],
            "commands": [command],
            "cells": [{"key": "net-seed0", "commit": None, "seconds": 12.0, "threads": [1]}],
            "tables": [table],
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_schema_file_is_current():
    """After a wanted change: UPDATE_GOLDEN=1 python -m pytest -n0 tests/test_schema.py, then read the difference."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Results.model_json_schema(by_alias=True)}
    text = json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        SCHEMA_FILE.write_text(text, encoding="utf-8")
    assert SCHEMA_FILE.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("source", DOCUMENTS)
def test_documents_keep_to_the_schema(source, request, validator):
    content = read_document(source, request)
    assert [f"{fault.json_path}: {fault.message}" for fault in validator.iter_errors(content)] == []


@pytest.mark.parametrize("source", DOCUMENTS)
def test_reading_and_writing_change_nothing(source, request, tmp_path):
    content = read_document(source, request)
    results = parse_results(content, "test")
    assert to_json(results) == content
    assert parse_results(to_json(results), "test") == results
    write_results(tmp_path / "results.json", results)
    assert read_results(tmp_path / "results.json") == results


def test_a_document_with_every_record_is_valid_and_kept(validator):
    content = make_document()
    validator.validate(content)
    results = parse_results(content, "test")
    assert to_json(results) == content
    assert parse_results(to_json(results), "test") == results
    assert set(list_records(results)) == set(list_kinds(Results))


def test_what_has_its_default_is_left_out():
    content = make_document()
    del content["rows"][0]["departures"], content["claims"][0]["impossible"], content["datasets"][0]["private"]
    del content["extra"]["tables"], content["extra"]["figures"][0]["shows_cases"]
    results = parse_results(content, "test")
    assert to_json(results) == content
    assert results.rows[0].departures == results.extra.tables == []
    (dataset,), (claim,), (figure,) = results.datasets, results.claims, results.extra.figures
    assert (dataset.private, dataset.substitute, dataset.patients_known) == (False, False, None)
    assert (claim.impossible, figure.shows_cases) == (False, False)


def list_kinds(record: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The class of a record and those of all records in it."""
    yield record
    for field in record.model_fields.values():
        for kind in [field.annotation, *find_arguments(field.annotation)]:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from list_kinds(kind)


def find_arguments(kind: object) -> Iterator[object]:
    for argument in getattr(kind, "__args__", ()):
        yield argument
        yield from find_arguments(argument)


def list_records(value: object) -> Iterator[type[BaseModel]]:
    """The classes of all records in a value."""
    if isinstance(value, BaseModel):
        yield type(value)
        value = [getattr(value, name) for name in type(value).model_fields]
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from list_records(part)


def test_records_cannot_be_changed():
    results = parse_results(make_document(), "test")
    for record, name in ((results, "rows"), (results.rows[0], "n"), (results.extra, "figures"), (results.datasets[0], "name")):
        with pytest.raises(ValueError, match="frozen"):
            setattr(record, name, None)


def test_open_records_keep_what_a_package_adds():
    results = parse_results(make_document(), "test")
    assert results.environment.further == {"numpy": "2.4"}
    assert results.weights.further == {"sha256": None}
    assert results.datasets[0].further == {"excluded": [{"path": "a.png", "reason": "too small"}]}


# ---------------------------------------------------------------------------------------------------------------- faults


def put(*place, value) -> Callable[[dict], None]:
    """A change of a document: the value at a place."""

    def change(content: dict) -> None:
        for part in place[:-1]:
            content = content[part]
        content[place[-1]] = value

    return change


def drop(*place) -> Callable[[dict], None]:
    def change(content: dict) -> None:
        for part in place[:-1]:
            content = content[part]
        del content[place[-1]]

    return change


FAULTS = {
    "text for a number": (put("seconds", value="12"), "seconds", "number"),
    "truth for a number": (put("seconds", value=True), "seconds", "number"),
    "text for truth": (put("on_protocol", value="yes"), "on_protocol", "boolean"),
    "number for text": (put("rows", 0, "row", value=1), "rows.0.row", "string"),
    "no number": (put("seconds", value=None), "seconds", "number"),
    "text in a list": (put("seeds", value=[0, "1"]), "seeds.1", "integer"),
    "part of a case": (put("datasets", 0, "classes", "ill", value=1.5), "datasets.0.classes.ill", "integer"),
    "text for a list": (put("rows", value="net"), "rows", "list"),
    "list for a record": (put("git", value=[]), "git", "dict"),
    "metric": (put("rows", 0, "metrics", "accuracy", "by_seed", value=["0.9"]), "rows.0.metrics.accuracy.by_seed.0", "number"),
    "leak": (put("datasets", 0, "splits", "paper", "leak", value={}), "datasets.0.splits.paper.leak.test_cases", "is missing"),
    "claim": (put("claims", 0, "ours", value="90"), "claims.0.ours", "integer"),
    "missing": (drop("seconds"), "seconds", "is missing"),
    "missing of a row": (drop("rows", 0, "metrics", "accuracy", "sd"), "rows.0.metrics.accuracy.sd", "is missing"),
    "missing of git": (drop("git", "dirty"), "git.dirty", "is missing"),
    "missing list": (drop("extra", "statements"), "extra.statements", "is missing"),
    "missing of a pair": (drop("extra", "comparisons", 0, "only_b"), "extra.comparisons.0.only_b", "is missing"),
    "unknown": (put("rowz", value=[]), "rowz", "not permitted"),
    "unknown of a row": (put("rows", 0, "best", value=1), "rows.0.best", "not permitted"),
    "unknown of a claim": (put("claims", 0, "impossibel", value=True), "claims.0.impossibel", "not permitted"),
    "unknown list": (put("extra", "remarks", value=[]), "extra.remarks", "not permitted"),
    "by its other name": (put("version", value=1), "version", "not permitted"),
    "other schema": (put("schema", value=2), "schema 1", "not a results file"),
    "preset": (put("preset", value="tiny"), "preset", "smoke|demo|paper"),
    "protocol": (put("protocol", value="leak-free"), "protocol", "paper|leakfree|both"),
    "protocol of a row": (put("rows", 0, "protocol", value="both"), "rows.0.protocol", "paper|leakfree"),
    "protocol of a pair": (put("extra", "comparisons", 0, "protocol", value=""), "comparisons.0.protocol", "paper|leakfree"),
    "no schema": (drop("schema"), "schema 1", "not a results file"),
    "schema in words": (put("schema", value="1"), "schema 1", "not a results file"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_gives_one_line_that_names_place_and_entry(name, tmp_path, validator):
    change, entry, fault = FAULTS[name]
    content = copy.deepcopy(make_document())
    change(content)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read_results(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert entry in message
    assert fault in message
    assert message.endswith("run the replication again")
    assert "\n" not in message
    assert not validator.is_valid(content)


# ------------------------------------------------------------------------------------- attributes everywhere, string keys nowhere

# What code calls a record, or a list or dict of records. A string subscript of such a name is a fault if it is a field of it.
NAMED = {
    Results: ("results", "published"),
    Git: ("git", "state"),
    Environment: ("environment", "environments"),
    DatasetEntry: ("dataset", "datasets", "data", "described"),
    Split: ("split", "splits"),
    RowResult: ("row", "rows", "found", "entry", "run", "of_row"),
    Metric: ("metric", "metrics", "accuracy", "area", "summary", "value", "m"),
    JudgedClaim: ("claim", "claims", "judged", "c"),
    Pair: ("pair", "pairs", "comparisons"),
    StatementCheck: ("statement", "statements", "check", "checks", "checked"),
    Missing: ("missing", "not_run", "item"),
    Collapse: ("collapsed", "constant"),
    FigureEntry: ("figure", "figures", "entry", "picture"),
    Command: ("command", "commands", "earlier"),
    Training: ("training", "trainings", "cells"),
    OwnTable: ("own", "tables"),
    Extra: ("extra",),
    Outcome: ("outcome",),
    Line: ("line", "lines", "net"),
}


def list_fields(record: type) -> set[str]:
    """Names of the fields of a record, as in its class and as in JSON."""
    if not issubclass(record, BaseModel):
        return {field.name for field in fields(record)}
    return {*record.model_fields, *(name for field in record.model_fields.values() if (name := field.serialization_alias))}


KEYS: dict[str, set[str]] = {}
for _record, _names in NAMED.items():
    for _name in _names:
        KEYS.setdefault(_name, set()).update(list_fields(_record))


def find_name(node: ast.expr) -> str:
    """The name nearest to a subscript: x of x[...], a.x[...], x[0][...], x.get(...)[...]."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=value) | ast.Call(func=ast.Attribute(value=value, attr="get" | "pop" | "setdefault")):
            return find_name(value)
        case _:
            return ""


def find_string_keys(source: str) -> list[str]:
    """Places where a record is read or written as if it were a dict, as source text."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Subscript(value=value, slice=ast.Constant(value=str(key))):
                pass
            case ast.Call(
                func=ast.Attribute(value=value, attr="get" | "pop" | "setdefault"), args=[ast.Constant(value=str(key)), *_]
            ):
                pass
            case _:
                continue
        if key in KEYS.get(find_name(value), ()):
            found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


SOURCES = sorted(
    path
    for folder in ("common", "replications")
    for path in (ROOT / folder).rglob("*.py")
    if path != ROOT / "common" / "records" / "results.py"
)


def test_no_module_reads_a_record_by_string_keys():
    found = {str(path.relative_to(ROOT)): find_string_keys(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert {path: places for path, places in found.items() if places} == {}


def test_no_notebook_reads_a_record_by_string_keys():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        assert find_string_keys(source) == [], path.name


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('results["rows"]', True),
        ('results["schema"]', True),
        ('results["extra"]["figures"]', True),
        ('results.extra.get("figures", [])', True),
        ('row["metrics"]["auc"]["low"]', True),
        ('found[row].metrics["auc"]["low"]', True),
        ('known.get(row).metrics["auc"]["low"]', True),
        ('claim["verdict"] = "within"', True),
        ('outcome["collapsed"]', True),
        ('drawn.results["datasets"][0]["name"]', True),
        ('lines[0]["ours"]', True),
        ('pairs[1]["delong_p"]', True),
        ('row.metrics["auc"].low', False),
        ('results.datasets[0].splits["paper"].rule', False),
        ('results.config["epochs"]', False),
        ('cell.settings["row"]', False),
        ('predictions["row"]', False),
        ('dataset.info["name"]', False),
        ('dataset.cases["patient_id"]', False),
    ],
)
def test_string_keys_are_told_from_columns_and_settings(source, found):
    assert bool(find_string_keys(source)) == found
