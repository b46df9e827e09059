"""Every promise of docs/guarantees.md stands beside a test that exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROMISES = re.findall(
    r"^\| (?!promise|-)(.+?) \|(.*)\|$", (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8"), re.MULTILINE
)
LEAST = 35  # promises that were made; one that is taken back is a change that users must hear of


def test_no_promise_is_lost():
    assert len(PROMISES) >= LEAST
    assert len({promise for promise, _ in PROMISES}) == len(PROMISES)


@pytest.mark.parametrize(("promise", "test"), PROMISES)
def test_a_promise_has_a_test(promise, test):
    file, name = re.fullmatch(r" `(tests/[\w/]+\.py)::(test_\w+)` ", test).groups()
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
