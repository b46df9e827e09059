"""From an archive to a prepared data set: in parts, by one process or two, after a kill; labels of each level; splits."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ddsm_samples import SMALL, write_archive

from common.cases.prepared import Dataset, load_dataset
from common.errors import UsageError
from replications.ddsm_inceptionv4 import data, preparing, run, splits
from replications.ddsm_inceptionv4.preparing import Team, plan_parts, prepare_films
from replications.ddsm_inceptionv4.sources.ddsm import list_ddsm
from replications.ddsm_inceptionv4.sources.phantoms import write_dicom

ALONE = Team()
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The data folder; ddsm/ in it has 10 cases."""
    folder = tmp_path_factory.mktemp("data")
    write_archive(folder, 10)
    return folder


@pytest.fixture(scope="module")
def prepared(archive, tmp_path_factory) -> Dataset:
    out = tmp_path_factory.mktemp("prepared")
    source = data.find_source(archive, SMALL)
    data.prepare_dataset(source, SMALL, out / "films", team=ALONE)
    data.prepare_thumbnails(source, SMALL, out / "whole", out / "films", team=ALONE)
    assert sorted(path.name for path in out.iterdir()) == ["films", "whole"]  # the work in between is cleared away
    assert load_dataset(out / "whole").images.shape == (40, preparing.THUMBNAIL, preparing.THUMBNAIL, 1)
    return load_dataset(out / "films")


def test_the_prepared_set(prepared):
    assert prepared.images.shape == (40, 75, 75, 1)
    assert (prepared.info["cases"], prepared.info["patients"], prepared.info["classes"]) == (
        40,
        10,
        {"no lesion": 20, "lesion": 20},
    )
    assert prepared.info["synthetic"]
    assert sum(prepared.info["digitisers"].values()) == 40
    assert set(prepared.cases["view"]) == {"CC", "MLO"}
    assert (prepared.cases["share"] > 0.1).all()


def test_parts_by_two_processes_give_the_same_bytes_and_done_parts_stay(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(preparing, "PART", 16)
    films = list_ddsm(archive / "ddsm").mammograms
    one, two = (prepare_films(archive / "ddsm", films, SMALL, tmp_path / str(workers), Team(workers)) for workers in (1, 2))
    assert np.array_equal(one.pictures, two.pictures)
    assert one.films == two.films
    parts = plan_parts(archive / "ddsm", films, SMALL)
    assert len(parts) == 3
    kept = tmp_path / "1" / "cells" / parts[0].key / preparing.PICTURES
    before = kept.stat().st_mtime_ns
    (tmp_path / "1" / "cells" / parts[2].key / preparing.FILMS).write_text("damaged")  # as a kill or a full disk leaves it
    again = prepare_films(archive / "ddsm", films, SMALL, tmp_path / "1", Team())
    assert np.array_equal(again.pictures, one.pictures)
    assert kept.stat().st_mtime_ns == before


def test_parts_on_a_dask_cluster_give_the_same_bytes(archive, tmp_path, monkeypatch):
    distributed = pytest.importorskip("dask.distributed")
    films = list_ddsm(archive / "ddsm").mammograms[:8]
    alone = prepare_films(archive / "ddsm", films, SMALL, tmp_path / "alone", Team())
    monkeypatch.chdir(ROOT)  # where the workers find the package
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        spread = prepare_films(archive / "ddsm", films, SMALL, tmp_path / "spread", Team(cluster=cluster.scheduler_address))
    assert np.array_equal(alone.pictures, spread.pictures)
    assert alone.films == spread.films


def test_a_part_follows_from_its_files_and_settings(archive, tmp_path):
    folder = tmp_path / "ddsm"
    shutil.copytree(archive / "ddsm", folder)
    films = list_ddsm(folder).mammograms
    (before,) = {part.digest for part in plan_parts(folder, films[:4], SMALL)}
    assert {part.digest for part in plan_parts(folder, films[:4], replace(SMALL, epochs=9))} == {before}
    assert {part.digest for part in plan_parts(folder, films[:4], replace(SMALL, flip=False))} != {before}
    path = folder / films[0].path
    path.write_bytes(path.read_bytes())
    assert {part.digest for part in plan_parts(folder, films[:4], SMALL)} != {before}


def test_unreadable_films_are_listed_and_stop_the_run_unless_skipped(tmp_path):
    folder = tmp_path / "data"
    write_archive(folder, 5)
    victim = sorted(folder.rglob("*.LEFT_CC.LJPEG"))[0]
    victim.write_bytes(victim.read_bytes()[:500])
    source = data.find_source(folder, SMALL)
    with pytest.raises(UsageError, match=f"1 fault: .*{victim.name}: no end of the stream"):
        data.prepare_dataset(source, SMALL, tmp_path / "films", team=ALONE)
    data.prepare_dataset(source, SMALL, tmp_path / "films", skip_unreadable=True, team=ALONE)
    info = json.loads((tmp_path / "films" / "data.json").read_text())
    assert (info["cases"], len(info["unreadable"])) == (19, 1)


def test_a_dicom_without_a_patient_in_the_table_brings_its_own(tmp_path):
    folder = tmp_path / "mammograms"
    folder.mkdir(parents=True)
    from ddsm_samples import draw_film, to_levels

    lines = ["path,label"]
    for number in range(6):
        write_dicom(folder / f"{number}.dcm", to_levels(draw_film(number)[0]), f"woman {number // 2}", "LEFT_CC", lossless=True)
        lines.append(f"{number}.dcm,{number % 2}")
    (folder / "cases.csv").write_text("\n".join(lines) + "\n")
    source = data.find_source(tmp_path, replace(SMALL, source="own"))
    _, cases, notes = data.read_source(source, SMALL, tmp_path / "work", ALONE)
    assert cases["patient_id"].nunique() == 3
    assert not cases["patient_id"].str.contains("woman").any()
    assert set(cases["breast"]) == {"left"}
    assert not notes["faults"]


def make_cases(patients: int = 40) -> pd.DataFrame:
    """Four films a patient; every second has a lesion in the left breast."""
    lines = []
    for patient in range(patients):
        for breast in ("left", "right"):
            for view in ("CC", "MLO"):
                label = int(patient % 2 and breast == "left")
                name = f"p{patient:02d}.{breast}.{view}"
                about = (f"p{patient:02d}", label, breast, view, 1 + patient % 4, ("DBA", "Lumisys")[patient % 3 == 0], "")
                lines.append((name, name, f"{len(lines):064x}", *about))
    columns = ["case_id", "path", "sha256", "patient_id", "label", "breast", "view", "density", "digitiser", "split"]
    cases = pd.DataFrame(lines, columns=columns)
    return cases.assign(listed=cases["patient_id"])


def test_labels_of_each_level():
    cases = make_cases(4)
    counts = {level: splits.relabel(cases, level)["label"].value_counts().to_dict() for level in ("image", "breast", "case")}
    assert counts == {"image": {0: 12, 1: 4}, "breast": {0: 12, 1: 4}, "case": {0: 8, 1: 8}}
    one_view = cases.assign(label=cases["label"] * (cases["view"] == "CC"))
    assert splits.relabel(one_view, "breast")["label"].sum() == 4
    unknown = cases.assign(density=[0] * 4 + [4] * 12)
    assert splits.relabel(unknown, "density")["label"].tolist() == [-1] * 4 + [1] * 12


@pytest.mark.parametrize("folds", [1, 4])
def test_splits(folds):
    cases = make_cases()
    config = replace(SMALL, folds=folds)
    dataset = Dataset(np.empty(0), cases, {})
    patients = cases["patient_id"].to_numpy()
    for protocol in ("paper", "leakfree"):
        found = splits.split_dataset(dataset, protocol, config)
        assert len(found) == folds
        tested = np.concatenate([fold.test for fold in found])
        assert len(np.unique(tested)) == len(tested) == (160 if folds == 4 else 32)
        for fold in found:
            assert len(fold.train) + len(fold.validation) + len(fold.test) == 160
            assert len(fold.validation) == pytest.approx(16, abs=4)
            shared = set(patients[fold.train]) & set(patients[fold.test])
            assert bool(shared) == (protocol == "paper")
            lesions = [cases["label"].to_numpy()[side].mean() for side in (fold.train, fold.test)]
            assert lesions[0] == pytest.approx(lesions[1], abs=0.1)


def test_a_leak_free_split_keeps_digitisers_and_densities_even():
    cases = make_cases(160)
    (fold,) = splits.split_dataset(Dataset(np.empty(0), cases, {}), "leakfree", SMALL)
    for column in ("digitiser", "density"):
        shares = [cases[column].to_numpy()[side] for side in (fold.train, fold.test)]
        for value in cases[column].unique():
            assert (shares[0] == value).mean() == pytest.approx((shares[1] == value).mean(), abs=0.06)


def test_the_official_test_cases_stay_and_their_women_train_nothing():
    cases = make_cases()
    cases["split"] = np.where(cases["patient_id"] < "p10", "test", "train")
    cases.loc[(cases["patient_id"] == "p03") & (cases["breast"] == "right"), "split"] = "train"
    (fold,) = splits.split_dataset(Dataset(np.empty(0), cases, {}), "leakfree", SMALL)
    assert set(cases["split"].to_numpy()[fold.test]) == {"test"}
    assert (len(fold.test), fold.left_out) == (38, 2)
    with pytest.raises(UsageError, match="no protocol"):
        splits.split_dataset(Dataset(np.empty(0), cases, {}), "other", SMALL)


def test_cases_without_a_known_label_are_on_no_side():
    cases = splits.relabel(make_cases().assign(density=[0] * 80 + [4] * 80), "density")
    folds = splits.split_dataset(Dataset(np.empty(0), make_cases(), {}), "leakfree", SMALL)
    (fold,) = splits.keep_known(folds, cases)
    assert (cases["label"].to_numpy()[np.concatenate([fold.train, fold.validation, fold.test])] == 1).all()


def test_what_the_data_command_says(archive, tmp_path, capsys):
    assert data.main(["--data", str(archive), "--sheet", str(tmp_path / "sheet.png")]) == 0
    shown = capsys.readouterr().out
    assert "mammogram phantoms" in shown
    assert "images 40, no lesion 20, lesion 20, patients 10" in shown
    assert "crops are in doubt" in shown
    assert (tmp_path / "sheet.png").stat().st_size > 10_000
    assert data.main(["--data", str(archive), "--sheet", str(tmp_path / "sheet.jpg")]) == 2
    (tmp_path / "nothing").mkdir()
    assert data.main(["--data", str(tmp_path / "nothing")]) == 2
    assert "figment.csee.usf.edu" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("source=other", "must be one of auto, ddsm, cbis, mias, own"),
        ("label_levels=nodule", "each one of image, breast, case, density"),
        ("label_levels=", "1 to 16 different values, each one of image"),
        ("grey=colour", "must be one of levels, density"),
        ("optimizer=lion", "must be one of rmsprop, adam"),
        ("percentiles=90.0,10.0", "percentiles=90.0,10.0: must be 2 rising values"),
        ("opening=nan", "opening=nan"),
        ("batch_size=0", "batch_size=0"),
        ("phantom_cases=0", "phantom_cases=0"),
        ("size=-3", "size=-3"),
    ],
)
def test_settings_that_mean_nothing_are_named_before_anything_is_read(archive, tmp_path, capsys, given, message):
    assert run.main(["--data", str(archive), "--out", str(tmp_path / "out"), "--set", given]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_source_that_is_not_there_is_named(archive):
    for source, message in (("other", "known: auto, ddsm, cbis, mias, own"), ("mias", "nothing in mini_mias/")):
        with pytest.raises(UsageError, match=message):
            data.find_source(archive, replace(SMALL, source=source))


def test_without_a_readable_film_the_faults_are_told(tmp_path, capsys):
    (tmp_path / "ddsm").mkdir()
    assert data.main(["--data", str(tmp_path)]) == 2
    assert "no readable mammogram; the folder holds none of this collection" in capsys.readouterr().out
    folder = tmp_path / "mammograms"
    folder.mkdir()
    (folder / "cases.csv").write_text("path,label,patient\n")
    assert data.main(["--data", str(tmp_path)]) == 2
    assert "no readable mammogram; its table lists none" in capsys.readouterr().out
    (folder / "cases.csv").write_text("path,label,patient\nodd\x1b[31m.png,1,p\n")
    assert data.main(["--data", str(tmp_path)]) == 2
    shown = capsys.readouterr().out
    assert "no readable mammogram; 1 fault: cases.csv line 2" in shown
    assert "\x1b" not in shown
