"""The examples in docstrings run, and every public function of the rooms that others are to understand has one."""

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXPLAINED = ("evaluation", "cases", "audit")  # rooms whose every public function shows an example
ROOMS = (*EXPLAINED, "records")
MODULES = ["common.files"] + [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for room in ROOMS
    for path in sorted((ROOT / "common" / room).glob("*.py"))
    if path.stem not in ("__init__", "__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_show(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0, "see the captured output"


@pytest.mark.parametrize("name", [name for name in MODULES if name.split(".")[1] in EXPLAINED])
def test_every_public_function_has_an_example(name):
    """Command lines (__main__) are shown in docs/ instead."""
    module = importlib.import_module(name)
    functions = {
        label: function
        for label, function in inspect.getmembers(module, lambda member: inspect.isroutine(inspect.unwrap(member)))
        if function.__module__ == name and not label.startswith("_")
    }
    without = [label for label, function in functions.items() if ">>>" not in (function.__doc__ or "")]
    assert not without
