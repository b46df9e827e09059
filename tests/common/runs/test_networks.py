"""What predict shares: a finished run, its warnings, a network whose bytes are those of the record."""

import json

import pytest
from sample_results import make_content, make_dataset

from common.errors import UsageError
from common.files import hash_file
from common.records.results import parse_results
from common.runs.networks import escape, list_warnings, read_network, read_run, writing


def make_run(folder, **changes):
    (folder / "cells").mkdir()
    (folder / "results.json").write_text(json.dumps(make_content(**changes)))
    return folder


def test_a_finished_run_of_the_paper_is_read(tmp_path):
    assert read_run(make_run(tmp_path), "some_paper").paper == "some_paper"


def test_other_folders_are_refused_in_one_line(tmp_path):
    with pytest.raises(UsageError, match="no stored networks"):
        read_run(tmp_path, "some_paper")
    make_run(tmp_path)
    with pytest.raises(UsageError, match="a run of some_paper, not of other_paper"):
        read_run(tmp_path, "other_paper")
    (tmp_path / "results.json").unlink()
    with pytest.raises(UsageError, match="not a finished run"):
        read_run(tmp_path, "some_paper")


def test_every_number_has_its_warnings():
    real = parse_results(make_content(), "test")
    assert list_warnings(real) == ["research software, not a medical device: not for diagnosis"]
    phantoms = parse_results(make_content(datasets=[make_dataset(synthetic=True)]), "test")
    assert "phantoms" in list_warnings(phantoms)[1]
    changed = parse_results(make_content(overrides={"epochs": "3", "batch": "2"}, on_protocol=False), "test")
    assert list_warnings(changed)[1] == "other settings than the paper's: batch = 2, epochs = 3"
    other = parse_results(make_content(datasets=[make_dataset(substitute=True)], on_protocol=False), "test")
    assert list_warnings(other)[1] == "learned from other data than the paper's: somewhere"
    sizes = [make_dataset(substitute=True, name=name) for name in ("hips of the user", "hips of the user", "lungs")]
    several = parse_results(make_content(datasets=sizes, on_protocol=False), "test")
    assert list_warnings(several)[1] == "learned from other data than the paper's: hips of the user, lungs"
    demo = parse_results(make_content(preset="demo", on_protocol=False), "test")
    assert list_warnings(demo)[1] == "other settings than the paper's: preset demo"
    changed = make_content(preset="smoke", overrides={"epochs": "3"}, on_protocol=False)
    assert list_warnings(parse_results(changed, "test"))[1] == "other settings than the paper's: preset smoke, epochs = 3"
    substitute = parse_results({**changed, "datasets": [make_dataset(substitute=True)]}, "test")
    assert list_warnings(substitute)[2] == "other settings than the paper's: preset smoke, epochs = 3"
    weights = parse_results(make_content(on_protocol=False), "test")
    assert list_warnings(weights)[1] == "other settings than the paper's: not all networks were trained as published"


def test_a_network_must_have_the_bytes_of_its_record(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"network")
    record = {"settings": {"row": "CNN"}, "files": {"model.keras": hash_file(tmp_path / "model.keras")}}
    (tmp_path / "cell.json").write_text(json.dumps(record))
    assert read_network(tmp_path) == (tmp_path / "model.keras", {"row": "CNN"})
    (tmp_path / "model.keras").write_bytes(b"another")
    with pytest.raises(UsageError, match="missing or damaged"):
        read_network(tmp_path)
    (tmp_path / "cell.json").write_text("{")
    with pytest.raises(UsageError, match="missing or damaged"):
        read_network(tmp_path)


def test_a_failed_write_is_one_line(tmp_path):
    with pytest.raises(UsageError, match="choose another --out"), writing(tmp_path):
        (tmp_path / "no" / "such" / "folder").write_text("x")


def test_names_that_spoil_the_screen_are_escaped():
    assert escape("a.png") == "a.png"
    assert escape("a\x1b[2J\n.png") == "'a\\x1b[2J\\n.png'"
