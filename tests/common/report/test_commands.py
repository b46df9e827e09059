"""`python -m replications` and `python -m replications.<paper>` list what can be done."""

import importlib
import re
import shutil
import subprocess
import sys

import pytest

from common.report.commands import PURPOSES, describe_package, list_commands, main, main_of_all


@pytest.fixture
def packages(root):
    return sorted(path.parent for path in (root / "replications").glob("*/paper.toml"))


def test_every_package_lists_its_commands(root, packages):
    for package in packages:
        done = subprocess.run([sys.executable, "-m", f"replications.{package.name}"], cwd=root, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{package.name}: ")
        for name in list_commands(package):
            assert f"python -m replications.{package.name}.{name} " in done.stdout
        assert {"data", "run", "predict"} <= list_commands(package).keys()
        assert f"python -m common.audit {package.name}" in done.stdout


def test_all_papers_at_once(root, packages, capsys):
    assert main_of_all(root / "replications", []) == 0
    shown = capsys.readouterr().out
    assert all(f"python -m replications.{package.name}.run" in shown for package in packages)
    assert shown.count("common.audit") == len(packages)


def test_a_package_without_code_says_so_in_a_sentence(root, tmp_path, capsys):
    package = tmp_path / "audited_only"
    package.mkdir()
    shutil.copy(root / "replications" / "lung_hip_compare" / "paper.toml", package)
    assert main(package, []) == 0
    shown = capsys.readouterr().out
    assert "This package has no code: nothing can be trained, but the paper's printed numbers can be audited." in shown
    assert "python -m common.audit audited_only" in shown
    assert ".run" not in shown


def test_a_damaged_paper_is_one_line(tmp_path, capsys):
    (tmp_path / "paper.toml").write_text("[paper")
    assert main(tmp_path, []) == 2
    assert "not a valid TOML" in capsys.readouterr().err


def test_commands_come_in_the_order_of_need_and_others_in_their_own_words(tmp_path, root):
    for name, text in (("run", ""), ("zip_up", '"""Packs.\n\nMore."""'), ("data", ""), ("models", None), ("__main__", "")):
        guard = "" if text is None else "\nif __name__ == '__main__':\n    pass\n"
        (tmp_path / f"{name}.py").write_text((text or "") + guard)
    assert list_commands(tmp_path) == {"data": PURPOSES["data"], "run": PURPOSES["run"], "zip_up": "Packs."}
    assert "smallest run" in describe_package(root / "replications" / "lung_hip_compare")


def test_help_speaks_of_trainings(packages, capsys):
    """A cell is a word of the code."""
    for package in packages:
        run = importlib.import_module(f"replications.{package.name}.run")
        with pytest.raises(SystemExit):
            run.main(["--help"])
        shown = capsys.readouterr().out
        assert "--preset" in shown
        assert not re.search(r"\bcells?\b", shown)
