"""What is published of data that are not a public collection: pseudonyms that group as the ids did, counts instead of names."""

import json
import stat

import numpy as np
import pandas as pd
import pytest
from sample_results import make_content, make_dataset, make_extra

from common.errors import UsageError
from common.evaluation.metrics import evaluate
from common.files import hash_file, write_json_atomic
from common.records.predictions import read_predictions, tabulate_scores, write_predictions
from common.records.results import check_predictions_file, read_results
from common.runs.publish import PUBLISHED_FILES, publish
from common.runs.redaction import KEY, find_private, hide_ids, read_key

NAME = "Beeblebrox"
FURTHER = {
    "doubtful": {f"{NAME}-1": "cut"}, "sites": {NAME: {"II": 3}}, "remarks": [f"1 patient has {NAME}"], "sequence": NAME,
    "patients_known": True, "radiographs": 7, "images_sha256": "a" * 64,
}  # fmt: skip
UNREADABLE = [
    f"{NAME}.png: no such file",
    f"cases.csv line 3: label '{NAME}' is not ill",
    f"=cmd|{NAME}",
    "a.png: damaged picture",
]


def tabulate(patients: list[str]) -> pd.DataFrame:
    """Two seeds of one network on two pictures of each patient."""
    random = np.random.default_rng(0)
    about = {"case_id": [f"{name}/{side}.png" for name in patients for side in "lr"], "patient_id": np.repeat(patients, 2)}
    cases = pd.DataFrame({**about, "label": np.repeat(np.arange(len(patients)) % 2, 2)})
    tables = []
    for seed in (0, 1):
        ill = np.clip(random.normal(0.4 + 0.2 * cases["label"], 0.2), 0.01, 0.99).round(6)
        scores = np.c_[1 - ill, ill]
        tables.append(tabulate_scores(cases, scores, protocol="leakfree", row="net", seed=seed, fold=-1))
    return pd.concat(tables, ignore_index=True)


def write_run(folder, predictions: pd.DataFrame, *datasets: dict):
    (folder / "figures").mkdir(parents=True)
    for name in PUBLISHED_FILES:
        (folder / name).write_text(name)
    write_predictions(predictions, folder / "predictions.csv.gz")
    digest = hash_file(folder / "predictions.csv.gz")
    content = make_content(datasets=list(datasets), extra=make_extra(figures=[]), predictions_sha256=digest)
    write_json_atomic(folder / "results.json", content)
    return folder


def test_ids_that_are_not_public_become_pseudonyms_from_which_the_same_numbers_follow(tmp_path):
    table = tabulate([f"{NAME}-{number:02d}" for number in range(20)])
    run = write_run(tmp_path / "run", table, make_dataset(unreadable=UNREADABLE, private=True, **FURTHER))
    target = tmp_path / "results"
    publish(run, target)
    published = read_predictions(target / "predictions.csv.gz")
    for path in target.rglob("*"):
        assert NAME not in path.name
    assert NAME not in published.to_csv() + (target / "results.json").read_text()
    assert set(published["patient_id"]) == set(hide_ids(table, set(table["patient_id"]), read_key(run))["patient_id"])
    assert published["patient_id"].nunique() == 20
    before, after = (evaluate(one)[0] for one in (table, published))
    assert (before.n, before.patients) == (after.n, after.patients)
    for name, metric in before.metrics.items():
        for part in ("mean", "sd", "low", "high"):
            wanted, found = getattr(metric, part), getattr(after.metrics[name], part)
            assert found == (None if wanted is None else pytest.approx(wanted, rel=1e-9, abs=1e-12)), (name, part)
    results = read_results(target / "results.json")
    check_predictions_file(target, results)
    (entry,) = results.datasets
    assert (entry.unreadable, entry.cases, entry.classes) == ([], 10, {"a": 6, "b": 4})
    assert entry.unreadable_reasons == {
        "damaged or cut": 1, "label, patient or place not valid": 1, "no such file": 1, "not of the kind that is read": 1
    }  # fmt: skip
    assert entry.further == {
        "doubtful": 1, "sites": 1, "remarks": 1, "radiographs": 7, "images_sha256": "a" * 64
    }  # fmt: skip
    assert read_results(run / "results.json").datasets[0].unreadable == UNREADABLE  # the run folder has the names
    publish(run, tmp_path / "again")
    assert (tmp_path / "again" / "predictions.csv.gz").read_bytes() == (target / "predictions.csv.gz").read_bytes()


def test_the_key_stays_with_the_run_for_its_owner_alone(tmp_path):
    run = write_run(tmp_path / "run", tabulate(["ann", "ben"]), make_dataset())
    publish(run, tmp_path / "results")
    assert stat.S_IMODE((run / KEY).stat().st_mode) == 0o600
    assert not list((tmp_path / "results").rglob(KEY))
    other = write_run(tmp_path / "other", tabulate(["ann", "ben"]), make_dataset())
    publish(other, tmp_path / "others")
    ids = [set(read_predictions(tmp_path / name / "predictions.csv.gz")["patient_id"]) for name in ("results", "others")]
    assert not ids[0] & ids[1]  # what somebody hashes without the key is nobody's pseudonym
    for text in ("", "ab", "x" * 64):
        (run / KEY).write_text(text)
        with pytest.raises(UsageError, match="no key of 64 hexadecimal digits"):
            publish(run, tmp_path / "results")


def test_a_public_collection_is_published_to_the_byte(tmp_path):
    table = tabulate([f"P_{number:05d}" for number in range(20)])
    noted = {"doubtful": {"P_00001/l.png": "cut"}, "sequence": "flair"}
    dataset = make_dataset(public_ids=r"P_[0-9]{5}(/[lr]\.png)?", **noted)
    run = write_run(tmp_path / "run", table, dataset)
    publish(run, tmp_path / "results")
    for name in ("predictions.csv.gz", "history.csv.gz"):
        assert (tmp_path / "results" / name).read_bytes() == (run / name).read_bytes()
    assert json.loads((tmp_path / "results" / "results.json").read_text()) == json.loads((run / "results.json").read_text())
    assert not (run / KEY).exists()


def test_a_strange_id_in_a_public_collection_is_hidden_with_all_that_was_noted(tmp_path):
    table = tabulate(["P_00001", NAME])
    dataset = make_dataset(public_ids=r"P_[0-9]{5}(/[lr]\.png)?", doubtful={NAME: "cut"}, unreadable=[f"{NAME}.png: x"])
    run = write_run(tmp_path / "run", table, dataset)
    publish(run, tmp_path / "results")
    published = read_predictions(tmp_path / "results" / "predictions.csv.gz")
    assert "P_00001" in set(published["patient_id"])
    assert find_private(published, [dataset["public_ids"], "(case|patient)-[0-9a-f]{16}"]) == set()
    assert NAME not in published.to_csv() + (tmp_path / "results" / "results.json").read_text()
