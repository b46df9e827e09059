"""results.json, run folders, provenance and publication."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common.errors import UsageError
from common.files import write_json_atomic
from common.results import (
    ENTRIES,
    PUBLISHED_FILES,
    build_results,
    config_hash,
    environment,
    git_state,
    list_packages,
    publish,
    read_results,
    run_folder,
)


def make_results(**changes) -> dict:
    dataset = {
        "dataset": "scans", "name": "somewhere", "note": "", "synthetic": False, "cases": 10, "patients": 5,
        "classes": {"a": 6, "b": 4}, "files_sha256": "0" * 64, "unreadable": [], "splits": {},
    }  # fmt: skip
    content = {
        "paper": "some_paper", "preset": "paper", "protocol": "both", "overrides": {}, "command": "python -m run",
        "git": {"commit": "abc", "dirty": False}, "started": "2026-01-01T00:00:00+00:00", "seconds": 12.0,
        "environment": {"python": "3.11", "device": "2 CPU cores"}, "datasets": [dataset],
        "weights": {"source": "random", "sha256": None}, "config": {"epochs": 3}, "selection": {"paper": "last epoch"},
        "seeds": [0], "rows": [], "claims": [], "extra": {"figures": [{"file": "a.png", "title": "A", "caption": ""}]},
    }  # fmt: skip
    return build_results(**{**content, **changes})


def write_run(folder: Path, results: dict) -> Path:
    (folder / "figures").mkdir(parents=True)
    for name in PUBLISHED_FILES:
        (folder / name).write_text(name)
    (folder / "figures" / "a.png").write_text("picture")
    (folder / "cells").mkdir()
    (folder / "report.html").write_text("page")
    write_json_atomic(folder / "results.json", results)
    return folder


def test_config_hash_depends_on_values_not_on_order():
    assert config_hash({"a": 1, "b": (1, 2)}) == config_hash({"b": [1, 2], "a": 1})
    assert config_hash({"a": 1e-4}) != config_hash({"a": 1.0000001e-4})
    assert config_hash({"a": None}) != config_hash({"a": "None"})


def test_run_folder_names_preset_and_protocol(tmp_path):
    folder = run_folder(tmp_path, "some_paper", "demo", "both", {"epochs": 3})
    assert folder == tmp_path / "some_paper" / f"demo-both-{config_hash({'epochs': 3})}"
    assert not folder.parent.exists()


def test_json_is_sorted_rounded_and_strict(tmp_path):
    path = tmp_path / "new" / "results.json"
    write_json_atomic(
        path, {"b": np.float32(0.1), "a": [float("nan"), np.inf, 1 / 3], "c": np.arange(2), 1: (True, 1e-12)}
    )
    text = path.read_text()
    assert json.loads(text) == {"1": [True, 1e-12], "a": [None, None, 0.333333], "b": 0.1, "c": [0, 1]}
    assert text.index('"a"') < text.index('"b"') < text.index('"c"')
    assert "NaN" not in text


def test_a_failed_write_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "results.json"
    write_json_atomic(path, {"a": 1})
    with pytest.raises(TypeError, match="object"):
        write_json_atomic(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [item.name for item in tmp_path.iterdir()] == ["results.json"]


def test_results_have_the_entries_of_schema_1(tmp_path):
    results = make_results()
    assert set(results) == set(ENTRIES)
    assert results["on_protocol"] is True
    assert make_results(overrides={"epochs": "5"})["on_protocol"] is False
    assert make_results(preset="demo")["on_protocol"] is False
    write_json_atomic(tmp_path / "results.json", results)
    assert read_results(tmp_path / "results.json") == results


def test_a_data_set_must_say_whether_it_is_synthetic():
    with pytest.raises(ValueError, match="scans"):
        make_results(datasets=[{"dataset": "scans"}])


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "damaged JSON"), ("[]", "schema 1"), ('{"schema": 2}', "schema 1"), ('{"schema": 1}', "'paper' is missing")],
)
def test_reading_refuses_a_damaged_file(tmp_path, text, message):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_results(tmp_path / "results.json")


def test_reading_a_missing_file(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_results(tmp_path / "results.json")


def test_environment_and_packages():
    found = environment(backend="tensorflow", device="2 CPU cores", deterministic=True)
    assert found["numpy"] == np.__version__
    assert (found["backend"], found["device"], found["deterministic"]) == ("tensorflow", "2 CPU cores", True)
    lines = list_packages().splitlines()
    assert f"numpy=={np.__version__}" in lines
    assert lines[0].startswith("# Python 3")
    assert lines[1:] == sorted(lines[1:], key=str.lower)


def test_git_state(tmp_path):
    assert git_state(tmp_path) == {"commit": None, "dirty": None}

    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    git("init")
    git("commit", "--allow-empty", "--no-verify", "-m", "first")
    state = git_state(tmp_path)
    assert (len(state["commit"]), state["dirty"]) == (40, False)
    (tmp_path / "new.txt").write_text("x")
    assert git_state(tmp_path) == {"commit": state["commit"], "dirty": True}


def test_publish_copies_the_accepted_content_only(tmp_path):
    run = write_run(tmp_path / "runs" / "x", make_results())
    target = tmp_path / "results" / "some_paper"
    target.mkdir(parents=True)
    (target / "stale.txt").write_text("of an older run")
    publish(run, target)
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()) == sorted(
        [*PUBLISHED_FILES, "figures/a.png"]
    )
    assert [path.name for path in target.parent.iterdir()] == ["some_paper"]


def test_pictures_of_private_data_are_not_published(tmp_path):
    figures = [{"file": "a.png", "shows_cases": True}, {"file": "b.png"}]
    datasets = [{"dataset": "clinic", "synthetic": False, "private": True}]
    run = write_run(tmp_path / "run", make_results(datasets=datasets, extra={"figures": figures}))
    (run / "figures" / "b.png").write_bytes((run / "figures" / "a.png").read_bytes())
    publish(run, tmp_path / "results")
    assert [path.name for path in (tmp_path / "results" / "figures").iterdir()] == ["b.png"]
    assert read_results(tmp_path / "results" / "results.json")["extra"]["figures"] == [{"file": "b.png"}]
    assert len(read_results(run / "results.json")["extra"]["figures"]) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"git": {"commit": "abc", "dirty": True}}, "uncommitted"),
        ({"git": {"commit": None, "dirty": None}}, "commit of the code is unknown"),
        ({"datasets": [{"dataset": "phantoms", "synthetic": True}]}, "synthetic data \\(phantoms\\)"),
        ({"extra": {"commands": [{"dirty": True}, {"dirty": False}]}}, "uncommitted"),
        ({"extra": {"figures": [{"file": "../a.png"}]}}, "plain file name"),
        ({"extra": {"figures": [{"file": "b.png"}]}}, "missing figures/b.png"),
    ],
)
def test_publish_refuses(tmp_path, changes, message):
    run = write_run(tmp_path / "run", make_results(**changes))
    with pytest.raises(UsageError, match=message):
        publish(run, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_publish_lists_every_missing_file(tmp_path):
    run = write_run(tmp_path / "run", make_results())
    (run / "history.csv.gz").unlink()
    (run / "figures" / "a.png").unlink()
    with pytest.raises(UsageError, match=r"missing history\.csv\.gz, figures/a\.png"):
        publish(run, tmp_path / "results")


def test_importing_needs_neither_a_network_library_nor_pyplot():
    code = (
        "import sys, common.paper, common.results, common.report, common.figures, common.roc; "
        "print(sorted({'tensorflow', 'keras', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    root = Path(__file__).parent.parent
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
