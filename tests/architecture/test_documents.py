"""What the documents say is so: links, files, names and commands exist; one version; the wheel holds every file."""

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import test_published

import common
from common.runs.answers import TABLE
from common.runs.cells import RECORD
from common.runs.networks import MODEL
from common.runs.publish import PUBLISHED_FILES
from common.runs.run import COMMANDS

ROOT = Path(__file__).parents[2]
FOLDERS = ("benchmarks", "common", "docs", "notebooks", "replications", "results", "tests")
GUIDES = [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
DESCRIBED = [ROOT / "README.md", *GUIDES]  # the files that they name must exist
DOCUMENTS = [
    *DESCRIBED,
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "replications").glob("*/README.md")),
    *sorted((ROOT / "docs/checklists").glob("*.md")),
    ROOT / "benchmarks/README.md",
]
# Named in the documents, made by a run or by the user.
MADE = {*PUBLISHED_FILES, RECORD, MODEL, COMMANDS, "report.html", "history.csv", "cases.csv", "data.json", "images.npy"}
MADE |= {"table.csv", "table.tex", TABLE}
MADE_FOLDERS = ("runs", "data", ".venv", "figures", "cells", "searches")
FENCED = re.compile(r"^ *```.*?^ *```", flags=re.M | re.S)  # a block of code
NEW = r"(?:new_paper|my_paper)"  # the package that docs/new_paper.md makes from docs/template
NAME = re.compile(r"[\w.<>*-]+(?:/[\w.<>*-]+)*/?")
ENDINGS = (".py", ".md", ".toml", ".cfg", ".txt", ".json", ".html", ".csv", ".gz", ".ipynb", ".cff", ".yml", ".yaml", ".npy")


def list_code(path: Path) -> list[str]:
    """What stands between backticks in the text, outside of blocks of code."""
    text = FENCED.sub("", path.read_text(encoding="utf-8"))
    return re.findall(r"`([^`\n]+)`", text)


def fill(name: str) -> str:
    """A pattern for a name with placeholders: `replications/<paper>/` is replications/*/, a new paper is the template."""
    return re.sub(r"<[^>]*>", "*", re.sub(rf"^replications([./]){NEW}\b", r"docs\1template", name))


def list_files() -> list[Path]:
    """Files of the repository below its named folders."""
    return [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if "__pycache__" not in path.parts]


def exists(name: str, files: list[Path]) -> bool:
    """Whether a file or folder whose path ends so is in the repository, or is made by a run or the user."""
    pattern = fill(name.rstrip("/"))
    made = pattern in MADE or pattern.split("/")[0] in MADE_FOLDERS
    return made or any(ROOT.glob(pattern)) or any(path.match(pattern) for path in files)


def defines(module: Path, name: str) -> bool:
    """Whether a module defines the name, or imports it."""
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = {getattr(node, "name", None), *(getattr(target, "id", None) for target in targets)}
        if name in names or name in {alias.asname or alias.name for alias in getattr(node, "names", [])}:
            return True
    return False


def find_module(name: str) -> bool:
    """Whether `common.runs.cells` or `replications.<paper>.train` is a module or package, or a name that one defines."""
    path = fill(name).replace(".", "/")
    parent, _, last = path.rpartition("/")
    if any(ROOT.glob(f"{path}.py")) or any(ROOT.glob(f"{path}/__init__.py")):
        return True
    return any(defines(module, last) for ending in (".py", "/__init__.py") for module in ROOT.glob(parent + ending))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path):
    """Links to files of the repository, to headings of a document, and to lines of code."""
    text = FENCED.sub("", path.read_text(encoding="utf-8"))
    for address in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", address):
            continue
        name, _, heading = address.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), f"{path.name} links to {address}"
        if target.suffix == ".py" and heading:
            lines = target.read_text(encoding="utf-8").splitlines()
            assert lines[int(heading.removeprefix("L")) - 1].startswith("def "), f"{path.name} links to {address}"
        elif heading:
            titles = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), flags=re.M)
            anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in anchors, f"{path.name} links to {address}"


@pytest.mark.parametrize("path", DESCRIBED, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_files_and_modules_that_are_named_exist(path):
    files = list_files()
    for code in list_code(path):
        if re.fullmatch(r"(?:common|replications|benchmarks)(?:\.[\w<>*]+)+", code):
            assert find_module(code), f"{path.name} names {code}"
        elif NAME.fullmatch(code) and (code.endswith(ENDINGS) or "/" in code):
            assert exists(code, files), f"{path.name} names {code}"


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/design.md"])
def test_names_of_code_exist(name):
    """Functions, classes and settings between backticks stand in the code: one that is renamed is renamed there, too."""
    modules = [path for folder in ("common", "replications") for path in (ROOT / folder).rglob("*.py")]
    known = set(re.findall(r"\w+", "\n".join(path.read_text(encoding="utf-8") for path in modules)))
    named = {code for code in list_code(ROOT / name) if re.fullmatch(r"[A-Za-z_]+", code) and ("_" in code or code[0].isupper())}
    assert named
    assert not named - known - {"REPLICATIONS_DATA"}


@pytest.mark.parametrize("path", GUIDES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_commands_of_the_guides_run(path, tmp_path, monkeypatch):
    """As for the READMEs; a paper that is only a placeholder answers as one that is there."""
    text = re.sub(rf"replications\.(?:<\w+>|{NEW})", "replications.lung_hip_compare", path.read_text(encoding="utf-8"))
    (tmp_path / path.name).write_text(text, encoding="utf-8")
    if re.search(r"python -m (?:replications|common|benchmarks)", text):
        test_published.test_commands_of_the_readme_run(tmp_path / path.name, monkeypatch)


def test_one_version():
    (cited,) = re.findall(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), flags=re.M)
    first = re.findall(r"^## \[?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.M)[0]
    assert cited == first == common.__version__


def test_the_wheel_holds_every_file(tmp_path):
    """Built from a copy, without network: all modules, papers, templates and schemas, and nothing else; READMEs stay out."""
    copy = tmp_path / "copy"
    for folder in ("common", "replications"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, copy / name)
    options = "-q --no-deps --no-build-isolation --no-index --disable-pip-version-check"
    command = [sys.executable, "-m", "pip", "wheel", *options.split(), "-w", tmp_path, copy]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = tmp_path.glob(f"medical_replications-{common.__version__}-*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = {path.relative_to(copy).as_posix() for folder in ("common", "replications") for path in (copy / folder).rglob("*.*")}
    assert packed == {name for name in wanted if not name.endswith(".md")}
    assert {"common/records/results.schema.json", "common/report/templates/report.html"} <= packed
