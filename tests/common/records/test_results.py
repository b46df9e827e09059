"""results.json, run folders, provenance and publication."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sample_results import LISTS, make_command, make_content, make_dataset, make_extra, make_figure, write_sample_predictions

from common.cli import parse_options
from common.errors import UsageError
from common.evaluation.outcome import Outcome
from common.files import write_json_atomic
from common.records.provenance import describe_environment, git_state, list_packages, read_commands
from common.records.results import Environment, Git, Results, Weights, parse_results, read_results, to_json, write_results
from common.runs import run as runs_run
from common.runs.publish import PUBLISHED_FILES, publish
from common.runs.run import config_hash, log_command, open_run

TRAINED = {"key": "net-seed0", "commit": "abc", "seconds": 1.0, "threads": [1]}  # before trainings recorded uncommitted code
ENTRIES = (
    "schema", "paper", "preset", "protocol", "overrides", "on_protocol", "command", "git", "started", "seconds",
    "environment", "datasets", "weights", "config", "selection", "seeds", "rows", "claims", "extra", "predictions_sha256",
)  # fmt: skip


def write_run(folder: Path, content: dict) -> Path:
    (folder / "figures").mkdir(parents=True)
    for name in PUBLISHED_FILES:
        (folder / name).write_text(name)
    write_sample_predictions(folder)
    (folder / "figures" / "a.png").write_text("picture")
    (folder / "cells").mkdir()
    (folder / "report.html").write_text("page")
    write_json_atomic(folder / "results.json", content)
    return folder


def test_config_hash_depends_on_values_not_on_order():
    assert config_hash({"a": 1, "b": (1, 2)}) == config_hash({"b": [1, 2], "a": 1})
    assert config_hash({"a": 1e-4}) != config_hash({"a": 1.0000001e-4})
    assert config_hash({"a": None}) != config_hash({"a": "None"})


def begin(folder: Path, preset: str, *arguments: str, synthetic: bool = False, identity: dict | None = None) -> runs_run.Run:
    """An opened run of a made-up package."""
    options = parse_options(["--out", str(folder), *arguments], "replications.some_paper.run", "", ["demo", "paper"])
    return open_run(folder / "some_paper", options, preset, identity or {"epochs": 3}, synthetic=synthetic, datasets={})


def test_a_second_command_in_the_same_folder_is_refused_until_the_first_has_ended(tmp_path):
    first = begin(tmp_path, "demo")
    with pytest.raises(UsageError, match="another run works in this folder"):
        begin(tmp_path, "demo")
    first.lock.close()
    assert begin(tmp_path, "demo").folder == first.folder


def test_run_folder_names_preset_and_protocol(tmp_path, capsys):
    opened = begin(tmp_path / "runs", "demo")
    assert opened.folder == tmp_path / "runs" / "some_paper" / f"demo-both-{config_hash({'epochs': 3, 'data': {}})}"
    assert opened.folder.is_dir()
    assert capsys.readouterr().err == f"run folder: {opened.folder}\n"
    opened.lock.close()
    assert begin(tmp_path / "runs", "demo").folder == opened.folder
    assert begin(tmp_path / "runs", "demo", identity={"epochs": 4}).folder != opened.folder
    capsys.readouterr()
    other = begin(tmp_path / "runs", "paper", "--protocol", "leakfree", synthetic=True)
    assert other.folder.name == f"paper-leakfree-{config_hash({'epochs': 3, 'data': {}})}"
    assert capsys.readouterr().err.startswith("synthetic data: these numbers say nothing about the paper\n")


def test_json_is_sorted_rounded_and_strict(tmp_path):
    path = tmp_path / "new" / "results.json"
    write_json_atomic(path, {"b": np.float32(0.1), "a": [float("nan"), np.inf, 1 / 3], "c": np.arange(2), 1: (True, 1e-12)})
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


def build(folder: Path, monkeypatch, preset: str, *arguments: str) -> Results:
    """The results of a run without trainings."""
    environment = Environment(python="3.11", backend=None, device="2 CPU cores", deterministic=True)
    monkeypatch.setattr(runs_run, "describe_trainings", lambda _finished, _folder: (12.0, environment, []))
    opened = begin(folder, preset, *arguments)
    log_command(opened)
    (opened.folder / "predictions.csv.gz").touch()
    opened.lock.close()
    outcome = Outcome(rows=[], claims=[], comparisons=[], statements=[], not_run=[], collapsed=[])
    rules = {"paper": "last epoch", "leakfree": "lowest validation loss"}
    given = {"datasets": [], "weights": Weights(source="random"), "config": {"epochs": 3}, "selection": rules, "finished": []}
    return runs_run.build_results(opened, outcome, **given)


def test_results_have_the_entries_of_schema_1(tmp_path, monkeypatch):
    results = build(tmp_path, monkeypatch, "paper")
    assert set(to_json(results)) == set(ENTRIES)
    assert set(to_json(results)["extra"]) == set(LISTS)
    assert results.version == 1
    assert results.selection == {"paper": "last epoch", "leakfree": "lowest validation loss"}
    assert [command.started for command in results.extra.commands] == [results.started]
    assert results.on_protocol is True
    assert build(tmp_path, monkeypatch, "paper", "--set", "epochs=5").on_protocol is False
    assert build(tmp_path, monkeypatch, "demo").on_protocol is False
    assert build(tmp_path, monkeypatch, "paper", "--protocol", "paper").selection == {"paper": "last epoch"}
    write_results(tmp_path / "results.json", results)
    assert read_results(tmp_path / "results.json") == results


def test_every_command_that_led_to_a_run_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run.py", "--data", str(tmp_path / "my data"), "--seeds", "0"])
    build(tmp_path, monkeypatch, "paper")
    results = build(tmp_path, monkeypatch, "paper")
    command = "python -m replications.some_paper.run --data /path/to/data --seeds 0"
    assert results.command == command
    assert [entry.command for entry in results.extra.commands] == [command, command]


@pytest.mark.parametrize("text", ["", "[", "{}", "[1]", "[NaN]", "[" * 100_000, '[{"command": "a"}]', b"\xff"])
def test_damaged_commands_are_one_line(tmp_path, monkeypatch, text):
    opened = begin(tmp_path, "paper")
    path = opened.folder / runs_run.COMMANDS
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError) as caught:
        log_command(opened)
    message = str(caught.value)
    assert message.startswith(f"{path}: damaged")
    assert "move it away and give the command again" in message
    assert "\n" not in message
    path.unlink()
    assert read_commands(path) == []
    log_command(opened)
    assert len(read_commands(path)) == 1


def test_a_data_set_must_say_whether_it_is_synthetic():
    unsaid = make_dataset()
    del unsaid["synthetic"]
    with pytest.raises(UsageError, match=r"^test: entry 'datasets\.0\.synthetic': is missing"):
        parse_results(make_content(datasets=[unsaid]), "test")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "damaged JSON"),
        ("[]", "schema 1"),
        ('{"schema": NaN}', "damaged JSON .NaN is no finite number"),
        ('{"schema": 1, "seconds": -Infinity}', "damaged JSON .-Infinity is no finite number"),
        ('{"schema": 1, "seconds": 1e999}', "damaged JSON .1e999 is no finite number"),
        ("[" * 100_000, "damaged JSON .nested too deeply"),
        ('{"schema": 2}', "schema 1"),
        ('{"schema": 1}', "entry 'paper': is missing"),
    ],
)
def test_reading_refuses_a_damaged_file(tmp_path, text, message):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_results(tmp_path / "results.json")


def test_reading_a_missing_file(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_results(tmp_path / "results.json")


def test_environment_and_packages():
    found = describe_environment(backend="tensorflow", device="2 CPU cores", deterministic=True)
    assert found.further["numpy"] == np.__version__
    assert set(found.further) == {"keras", "tensorflow", "jax", "numpy", "scipy", "scikit-learn"}
    assert (found.backend, found.device, found.deterministic) == ("tensorflow", "2 CPU cores", True)
    lines = list_packages().splitlines()
    assert f"numpy=={np.__version__}" in lines
    assert lines[0].startswith("# Python 3")
    assert lines[1:] == sorted(lines[1:], key=str.lower)


def test_git_state(tmp_path):
    assert git_state(tmp_path) == Git(commit=None, dirty=None)

    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    git("init")
    git("commit", "--allow-empty", "--no-verify", "-m", "first")
    state = git_state(tmp_path)
    assert state.commit is not None
    assert (len(state.commit), state.dirty) == (40, False)
    (tmp_path / "new.txt").write_text("x")
    assert git_state(tmp_path) == Git(commit=state.commit, dirty=True)


def test_publish_copies_the_accepted_content_only(tmp_path):
    run = write_run(tmp_path / "runs" / "x", make_content())
    target = tmp_path / "results" / "some_paper"
    target.mkdir(parents=True)
    (target / "stale.txt").write_text("of an older run")
    publish(run, target)
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()) == sorted(
        [*PUBLISHED_FILES, "figures/a.png"]
    )
    assert [path.name for path in target.parent.iterdir()] == ["some_paper"]


def test_pictures_of_private_data_are_not_published(tmp_path):
    figures = [make_figure("a.png", shows_cases=True), make_figure("b.png")]
    datasets = [make_dataset(dataset="clinic", private=True, public_ids="[a-z]")]
    run = write_run(tmp_path / "run", make_content(datasets=datasets, extra=make_extra(figures=figures)))
    (run / "figures" / "b.png").write_bytes((run / "figures" / "a.png").read_bytes())
    publish(run, tmp_path / "results")
    assert [path.name for path in (tmp_path / "results" / "figures").iterdir()] == ["b.png"]
    published = json.loads((tmp_path / "results" / "results.json").read_text())
    assert published == make_content(datasets=datasets, extra=make_extra(figures=[make_figure("b.png")]))
    assert len(read_results(run / "results.json").extra.figures) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"git": {"commit": "abc", "dirty": True}}, "uncommitted"),
        ({"git": {"commit": None, "dirty": None}}, "commit of the code is unknown"),
        ({"datasets": [make_dataset(dataset="phantoms", synthetic=True)]}, "synthetic data \\(phantoms\\)"),
        ({"extra": make_extra(commands=[make_command(dirty=True), make_command(dirty=False)], cells=[TRAINED])}, "uncommitted"),
        ({"extra": make_extra(figures=[make_figure("../a.png")])}, "plain file name"),
        ({"extra": make_extra(figures=[make_figure("b.png")])}, "missing figures/b.png"),
    ],
)
def test_publish_refuses(tmp_path, changes, message):
    run = write_run(tmp_path / "run", make_content(**changes))
    with pytest.raises(UsageError, match=message):
        publish(run, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_publish_refuses_the_predictions_of_another_command(tmp_path):
    run = write_run(tmp_path / "run", make_content(predictions_sha256="0" * 64))
    with pytest.raises(UsageError, match="not the predictions that results.json was computed from"):
        publish(run, tmp_path / "results")


def test_publish_lists_every_missing_file(tmp_path):
    run = write_run(tmp_path / "run", make_content())
    (run / "history.csv.gz").unlink()
    (run / "figures" / "a.png").unlink()
    with pytest.raises(UsageError, match=r"missing history\.csv\.gz, figures/a\.png"):
        publish(run, tmp_path / "results")


def test_importing_needs_neither_a_network_library_nor_pyplot():
    code = (
        "import sys, common.records.paper, common.records.results, common.report.pages; "
        "import common.figures.style, common.figures.curves; "
        "print(sorted({'tensorflow', 'keras', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
