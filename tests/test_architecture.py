"""The rules of the layout: who may import whom, what importing does, where numbers of papers stand, names and sizes."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from common.paper import load_paper

ROOT = Path(__file__).parents[1]
COMMON = sorted((ROOT / "common").glob("*.py"))
PACKAGES = sorted(p.parent for p in (ROOT / "replications").glob("*/config.py"))
MODULES = [*COMMON, *(m for p in PACKAGES for m in sorted(p.glob("*.py")))]
ORDER = {
    "config": 0, "data": 1, "models": 2, "tasks": 2.5, "train": 3, "baselines": 3.5, "experiments": 4, "drawings": 4.5,
    "run": 5, "predict": 6,
}  # fmt: skip
NO_NETWORK_LIBRARY = {
    "files", "errors", "paper", "samples", "duplicates", "datasets", "statistics", "bootstrap", "predictions", "evaluation",
    "verdicts",
    "prepared", "augmentation", "roc", "figures", "charts", "results", "findings", "tables", "report", "runs", "cli", "cells",
    "synthetic", "metaimage", "pictures", "attainable", "audit", "audit_checks", "audit_declared", "audit_lines",
    "audit_matrices", "audit_rows", "confusions", "equations", "toml_lines", "torch_files",
}  # fmt: skip
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "misc", "base", "manager", "tools"}
PACKAGE_FILES = {"README.md", "paper.toml", "__init__.py", "config.py", "data.py", "models.py", "train.py", "experiments.py",
                 "run.py", "predict.py"}  # fmt: skip


def imports_of(path: Path, top_level_only: bool = False) -> set[str]:
    """Full names of everything a module imports ("a.b" also for `from a import b`)."""
    tree = ast.parse(path.read_text())
    found = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", COMMON, ids=lambda p: p.name)
def test_common_knows_no_paper(path):
    assert not [name for name in imports_of(path) if name.startswith("replications")]
    for package in PACKAGES:
        assert package.name not in path.read_text()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_packages_do_not_import_each_other(package):
    for path in package.glob("*.py"):
        foreign = {name.split(".")[1] for name in imports_of(path) if name.startswith("replications.")} - {package.name}
        assert not foreign, f"{path} imports {foreign}"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_packages_import_in_reading_order(package):
    for path in package.glob("*.py"):
        used = {n.split(".")[2] for n in imports_of(path) if n.startswith(f"replications.{package.name}.")}
        for other in used & ORDER.keys():
            if path.stem in ORDER:
                assert ORDER[other] < ORDER[path.stem], f"{path.name} imports {other}"
            elif path.stem != "__init__":  # a module of one subject beside data.py or models.py
                assert ORDER[other] <= ORDER["config"], f"{path.name} imports {other}"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_packages_have_the_same_files(package):
    assert {p.name for p in package.iterdir()} >= PACKAGE_FILES


def test_core_runs_without_network_library():
    """Importing the core, the reports and every package's config and data loads neither TensorFlow nor Keras."""
    names = [f"common.{name}" for name in sorted(NO_NETWORK_LIBRARY)]
    names += [f"replications.{p.name}.{m}" for p in PACKAGES for m in ("config", "data", "experiments", "run")]
    code = f"import sys\nfor n in {names!r}: __import__(n)\nprint([m for m in ('tensorflow', 'keras') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_core_module_is_listed():
    known = NO_NETWORK_LIBRARY | {"__init__", "images", "training", "transfer", "pretrained", "gradcam"}
    assert {p.stem for p in COMMON} == known, "list a new module here: does it need the network library?"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_importing_does_nothing(path):
    """At module level stand only imports, definitions, constants and the __main__ guard."""
    for node in ast.parse(path.read_text()).body:
        allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_guard = isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)
        assert isinstance(node, allowed) or is_docstring or is_guard, f"line {node.lineno}: {ast.unparse(node)[:60]}"
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            assert "os.environ" not in ast.unparse(node), f"line {node.lineno} touches the environment"


def test_imports_open_no_socket_and_write_no_file(tmp_path):
    names = [f"{p.parent.relative_to(ROOT).as_posix().replace('/', '.')}.{p.stem}" for p in MODULES if p.stem != "__init__"]
    code = f"""
import sys, socket, builtins, os, tempfile
tempfile.gettempdir()
for heavy in ("keras", "tensorflow"): __import__(heavy)
def refuse(*a, **k): raise AssertionError("a socket at import")
socket.socket.connect = refuse
before = dict(os.environ)
real = builtins.open
def guarded(file, mode="r", *a, **k):
    assert not set(mode) & set("wax+"), f"{{file}} is written at import"
    return real(file, mode, *a, **k)
builtins.open = guarded
sys.dont_write_bytecode = True
for n in {names!r}: __import__(n)
assert dict(os.environ) == before, "environment changed at import"
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_module_names_and_sizes():
    for path in MODULES:
        assert path.stem not in FORBIDDEN_NAMES, path
        assert len(path.read_text().splitlines()) <= 420, f"{path} has grown out of one subject"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_printed_numbers_stand_in_paper_toml_only(package):
    """No accuracy that the paper printed is a literal in the package's code."""
    printed = {f"{c.value:.{c.digits}f}" for c in load_paper(package / "paper.toml").claims if c.value and c.unit == "percent"}
    for path in package.glob("*.py"):
        numbers = {
            node.value for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, float)
        }  # fmt: skip
        assert not printed & {f"{number:.1f}" for number in numbers if number > 1}, path


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_every_setting_cites_its_place(package):
    """Every field of Config has a comment beside it or in the heading of its group."""
    text = (package / "config.py").read_text()
    body = text[text.index("class Config") : text.index("PAPER =")]
    group_cited = False
    for line in body.splitlines()[1:]:
        if line.strip().startswith("#"):
            group_cited = "sec." in line or "Table" in line or "Fig." in line or "leakfree" in line
        elif re.match(r"    \w+: ", line):
            assert group_cited or "#" in line, line


def test_no_pickle():
    for path in MODULES:
        assert not {"pickle", "joblib", "dill", "shelve"} & imports_of(path), path
        assert "allow_pickle=True" not in path.read_text()
        assert "safe_mode=False" not in path.read_text()


def test_ruff():
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "."], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
