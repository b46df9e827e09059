"""Phantoms of CT scans and radiographs: the real formats, written once, and as much to learn as they are told to hold."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from lung_hip_samples import prepare
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from common.data.metaimage import read_header
from common.data.phantoms import MARKER
from common.data.unmarked import read_unmarked
from common.errors import UsageError
from replications.lung_hip_compare import data
from replications.lung_hip_compare.config import DEMO, SMOKE
from replications.lung_hip_compare.sources import luna16
from replications.lung_hip_compare.sources.phantoms import write_phantoms


def test_phantoms_are_found_and_named_synthetic(smoke_folder):
    sources = data.find_sources(smoke_folder)
    assert {part: source.kind for part, source in sources.items()} == {"luna": "phantom", "hip": "phantom"}
    assert all(source.synthetic for source in sources.values())


def test_phantoms_have_the_real_formats(smoke_folder):
    volumes, faults = luna16.find_volumes(smoke_folder / "luna16")
    assert len(volumes) == SMOKE.luna_phantom_scans
    assert faults == []
    headers = [read_header(path) for path, _ in volumes.values()]
    assert {header.dtype.str for header in headers} == {"<i2"}
    assert {header.direction[0, 0] for header in headers} == {1.0, -1.0}  # some scans have flipped axes
    candidates = luna16.read_candidates(smoke_folder / "luna16" / "candidates.csv")
    nodules = SMOKE.luna_phantom_scans * SMOKE.luna_phantom_nodules
    assert (candidates["class"] == 1).sum() == nodules
    assert (candidates["class"] == 0).sum() == 5 * nodules
    with Image.open(next((smoke_folder / "hips" / "images").glob("*.jpg"))) as picture:
        assert picture.format == "JPEG"
        assert picture.size[0] / picture.size[1] == pytest.approx(3056 / 2544, rel=0.01)


def test_phantoms_are_deterministic_and_written_once(smoke_folder, tmp_path):
    data.write_phantoms(tmp_path / "again", SMOKE, seed=0)
    for path in (smoke_folder / "luna16").rglob("*.*"):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(smoke_folder)).read_bytes() == path.read_bytes()
    picture = next((tmp_path / "again" / "hips" / "images").glob("*.jpg"))
    before = picture.stat().st_mtime_ns
    data.write_phantoms(tmp_path / "again", SMOKE, seed=0)
    assert picture.stat().st_mtime_ns == before  # whole: left alone
    picture.unlink()
    data.write_phantoms(tmp_path / "again", SMOKE, seed=0)
    assert picture.is_file()
    content = picture.read_bytes()
    data.write_phantoms(tmp_path / "again", SMOKE, seed=1)
    assert picture.read_bytes() != content


def test_phantoms_are_not_written_among_other_files(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        data.write_phantoms(tmp_path, SMOKE, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def score_pixels(images, labels, train, test) -> float:
    """AUC of a logistic regression on pixels."""
    flat = np.asarray(images).reshape(len(images), -1) / 255
    model = LogisticRegression(C=0.1, max_iter=3000).fit(flat[train], labels[train])
    return roc_auc_score(labels[test], model.decision_function(flat[test]))


@pytest.mark.parametrize("dataset", ["LUNA16", "128x128 resized", "128x128 unresized"])
@pytest.mark.parametrize("protocol", ["paper", "leakfree"])
def test_separable_phantoms_are_learned(demo_folder, tmp_path, dataset, protocol):
    source = data.find_sources(demo_folder)[data.part_of(dataset)]
    dataset_ = prepare(dataset, source, DEMO, tmp_path / "data")
    if protocol == "paper" and data.is_hip(dataset):
        dataset_ = data.enlarge_dataset(dataset_, dataset, DEMO)
    labels = dataset_.cases["label"].to_numpy()
    for fold in data.split_dataset(dataset_, dataset, protocol, DEMO):
        train = np.concatenate([fold.train, fold.validation])  # a pixel model needs no validation
        assert score_pixels(dataset_.images, labels, train, fold.test) > 0.9


def test_strength_zero_and_shuffled_labels_hold_no_signal(demo_folder, tmp_path):
    config = replace(DEMO, luna_phantom_scans=40)
    data.write_phantoms(tmp_path / "flat", config, seed=3, strength=0.0)
    flat = prepare("LUNA16", data.find_sources(tmp_path / "flat")["luna"], config, tmp_path / "a")
    labels = flat.cases["label"].to_numpy()
    (fold,) = data.split_dataset(flat, "LUNA16", "leakfree", config)
    scores = [score_pixels(flat.images, labels, fold.train, fold.test)]
    signal = prepare("LUNA16", data.find_sources(demo_folder)["luna"], DEMO, tmp_path / "b")
    (fold,) = data.split_dataset(signal, "LUNA16", "paper", DEMO)
    for seed in range(6):
        shuffled = np.random.default_rng(seed).permutation(signal.cases["label"].to_numpy())
        scores.append(score_pixels(signal.images, shuffled, fold.train, fold.test))
    assert scores[0] == pytest.approx(0.5, abs=0.25)
    assert np.mean(scores[1:]) == pytest.approx(0.5, abs=0.1)


def test_unmarked_hips_show_nothing_of_their_class(tmp_path):
    """As many patients of each class; their pictures are those of phantoms without any fracture, to the byte."""
    config = replace(SMOKE, luna_phantom_scans=0)
    write_phantoms(tmp_path / "some", config, seed=0, unmarked=0.5)
    write_phantoms(tmp_path / "none", config, seed=0, strength=0.0)
    unmarked = read_unmarked(tmp_path / "some" / "hips")
    with (tmp_path / "some" / "hips" / "cases.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    labels = {line["patient"]: line["label"] for line in lines if line["patient"] in unmarked}
    assert sorted(labels.values()) == ["0", "0", "1", "1"]
    for line in lines:
        files = [(tmp_path / folder / "hips" / line["path"]).read_bytes() for folder in ("some", "none")]
        assert (files[0] == files[1]) == (line["patient"] in unmarked or line["label"] == "0")
    assert not read_unmarked(tmp_path / "none" / "hips")


def test_phantom_counts_are_the_configured_ones(smoke_folder, tmp_path):
    source = data.find_sources(smoke_folder)["hip"]
    for dataset, counts in (("128x128 resized", SMOKE.hip_crops), ("128x128 unresized", SMOKE.hip_radiographs)):
        prepared = prepare(dataset, source, SMOKE, tmp_path / dataset[:12])
        assert prepared.info["classes"] == dict(zip(data.CLASSES["hip"], counts, strict=True))
        assert prepared.info["patients"] < sum(counts)  # some patients have several


def test_marker_is_the_one_that_is_looked_for(smoke_folder):
    assert json.loads((smoke_folder / MARKER).read_text())["synthetic"] is True
