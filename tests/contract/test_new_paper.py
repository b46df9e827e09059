"""A further paper, made from the template by the commands of docs/new_paper.md, keeps what all packages keep."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "new_paper.md"
NEEDED = (
    "benchmarks",
    "common",
    "replications",
    "docs",
    "tests",
    "setup.cfg",
    "ruff.toml",
    "README.md",
    "results",
    "LICENSE",
    "constraints.txt",
)


def read_command(name: str) -> str:
    """The commands of one block of the guide."""
    found = re.search(rf"<!-- command: {name} -->\n\s*```\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    return "\n".join(line.strip() for line in found[1].splitlines())


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of the project in which step 1 was done; the package has a network in a module of its own besides."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in NEEDED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    subprocess.run(read_command("copy"), cwd=folder, shell=True, check=True)
    models = folder / "replications" / "my_paper" / "models.py"
    models.with_name("unet.py").write_bytes(models.read_bytes())
    return folder


def test_nothing_outside_its_folder_is_touched_and_it_passes(checkout, monkeypatch):
    """Its smoke run, the README tables, then the contract and the rules of the layout, as the guide has them."""
    monkeypatch.setenv("PYTHONPATH", str(checkout))
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    commands = re.sub(r"^python ", f"{sys.executable} ", read_command("check"), flags=re.MULTILINE)
    commands = commands.replace("-m pytest", "-m pytest -n 0 -p no:cacheprovider")
    before = snapshot(checkout)
    done = subprocess.run(f"set -e\n{commands}", cwd=checkout, shell=True, capture_output=True, text=True, executable="/bin/bash")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 15
    changed = {path for path, content in snapshot(checkout).items() if before.get(path) != content}
    made = {f"docs/site/{name}" for name in ("index.html", "audit.html", "papers.svg", "papers_narrow.svg", "my_paper.html")}
    assert {path for path in changed if not path.startswith(("replications/my_paper/", "runs/"))} == {"README.md", *made}


def snapshot(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
