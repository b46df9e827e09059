"""The smoke run: rows, tables and figures that it has; `predict` on every kind of file; what a stored list must not do."""

import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from ddsm_samples import draw_film, to_levels, write_one
from PIL import Image

from common.records.results import read_results
from replications.ddsm_inceptionv4 import predict
from replications.ddsm_inceptionv4.config import SMOKE
from replications.ddsm_inceptionv4.figures import draw_attention
from replications.ddsm_inceptionv4.shown import Attention, Shown
from replications.ddsm_inceptionv4.sources.phantoms import write_dicom

FIGURES = {
    "figure-3.png", "figure-4.png", "roc-paper.png", "roc-leakfree.png", "layers.png", "planted-scanner.png", "attention.png",
    "samples.png", "sampler-curves.png", "judge.png", "curves-scratch-paper.png", "curves-softmax-leakfree.png",
    "curves-last-block-leakfree.png",
}  # fmt: skip
TABLES = {
    "The six metrics of Fig. 3, and operating points", "Over-fitting", "What a training costs", "A planted scanner",
    "Samples of the planned models", "Within one digitiser", "The leak that was put in",
}  # fmt: skip


@pytest.fixture(scope="module")
def run(smoke_of):
    return smoke_of("ddsm_inceptionv4")


def test_every_figure_and_table_is_there(run):
    results = read_results(run / "results.json")
    assert {figure.file for figure in results.extra.figures} >= FIGURES
    assert {table.title for table in results.extra.tables} == TABLES
    for table in results.extra.tables:
        assert table.rows
        assert {len(line) for line in table.rows} == {len(table.columns)}
    assert not results.extra.not_run
    assert {claim.verdict for claim in results.claims if claim.table == "2"} == {"phantoms"}
    assert {claim.paper for claim in results.claims if claim.table == "2"} == {None}  # n/a, never guessed


def test_maps_of_another_side_than_the_pictures_are_drawn(run):
    films = SimpleNamespace(images=np.zeros((2, 40, 40, 1), np.uint8), cases=pd.DataFrame({"label": [1, 0]}))
    nothing = pd.DataFrame()
    maps = np.zeros((2, 25, 25), np.float32)
    maps[0, 5:9, 5:9] = 1
    shown = Shown(SMOKE, nothing, nothing, (), films=films, attention=Attention("of", [0, 1], maps))
    (picture,) = draw_attention(shown, read_results(run / "results.json"))
    assert len(picture.figure.axes) == 5  # two pictures and their maps, the colour bar


def test_rows_stand_under_the_protocols_that_they_have(run):
    results = read_results(run / "results.json")
    of = {protocol: {row.row for row in results.rows if row.protocol == protocol} for protocol in ("paper", "leakfree")}
    assert {"InceptionV4 vanilla", "InceptionV4 transfer", "InceptionV4 transfer*", "metadata alone"} <= of["paper"]
    only = of["leakfree"] - of["paper"]
    assert {"few labels", "InceptionV4 retrained from reduction a", "InceptionV4 vanilla / per breast"} <= only
    assert {"InceptionV4 vanilla / case labels", "metadata alone / case labels"} <= of["paper"]


def test_two_levels_have_two_truths(run):
    """With labels of patients more films are ill."""
    results = read_results(run / "results.json")
    positives = {row.row: row.positives for row in results.rows if row.protocol == "leakfree"}
    assert positives["InceptionV4 vanilla / case labels"] > positives["InceptionV4 vanilla"]


def ask(run, tmp_path, *films, more=()) -> int:
    return predict.main([*map(str, films), "--run", str(run), "--out", str(tmp_path / "out"), *more])


def test_predict_takes_every_kind_of_film(run, tmp_path, capsys):
    home = write_one(tmp_path / "ddsm")
    levels = to_levels(draw_film()[0])
    Image.fromarray((levels >> 4).astype(np.uint8)).save(tmp_path / "eight.png")
    Image.fromarray(levels).save(tmp_path / "sixteen.tif")
    write_dicom(tmp_path / "film.dcm", levels, "Ann Example", "LEFT_CC", lossless=True)
    film = sorted(home.glob("*.LEFT_CC.LJPEG"))[0]
    assert ask(run, tmp_path, film, *(tmp_path / name for name in ("eight.png", "sixteen.tif", "film.dcm"))) == 0
    lines = (tmp_path / "out" / "predictions.csv").read_text().splitlines()
    assert len(lines) == 5
    scores = [float(line.split(",")[2]) for line in lines[1:]]
    assert scores[1] == pytest.approx(scores[2], abs=0.1) == pytest.approx(scores[3], abs=0.1)  # one picture in three formats
    sheets = sorted((tmp_path / "out").glob("*.png"))
    assert len(sheets) == 4
    assert Image.open(sheets[0]).size == (3 * predict.PANEL, predict.PANEL)
    shown = capsys.readouterr()
    assert "Ann" not in shown.out + shown.err
    assert "not a medical device" in shown.err
    assert "synthetic data" in shown.err


def test_another_row_can_be_asked_for(run, tmp_path, capsys):
    Image.fromarray((to_levels(draw_film()[0]) >> 4).astype(np.uint8)).save(tmp_path / "a.png")
    assert ask(run, tmp_path, tmp_path / "a.png", more=("--row", "MobileNetV2")) == 0
    assert "network: MobileNetV2 0.35 transfer, leakfree" in capsys.readouterr().out
    assert ask(run, tmp_path, tmp_path / "a.png", more=("--row", "VGG16")) == 2
    error = capsys.readouterr().err
    assert "there are: " in error
    assert error.rstrip().endswith("; name one with --row")


def test_predict_refuses_in_one_line(run, tmp_path, capsys):
    home = write_one(tmp_path / "ddsm")
    film = sorted(home.glob("*.LEFT_CC.LJPEG"))[0]
    shutil.copy(film, tmp_path / film.name)
    other = tmp_path / "other" / film.name
    shutil.copytree(home, other.parent)
    (ics,) = other.parent.glob("*.ics")
    ics.write_text(re.sub(r"filename \S+", "filename A-0009-1", ics.read_text()))
    (tmp_path / "damaged.png").write_bytes(b"\x89PNG\r\n")
    for path, message in (
        (tmp_path / film.name, "must lie beside it"), (tmp_path / "damaged.png", "not a JPEG or PNG or TIFF or PPM picture"),
        (tmp_path / "absent.png", "No such file"), (tmp_path / "absent.dcm", "No such file"),
        (other, "says that it is A_0009_1"),
    ):  # fmt: skip
        assert ask(run, tmp_path, path) == 2
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
        assert len(errors) == 1
        assert message in errors[0]


def test_a_list_of_networks_that_leads_elsewhere_is_refused(run, tmp_path, capsys):
    other = tmp_path / "run"
    other.mkdir()
    (other / "cells").mkdir()
    shutil.copy(run / "results.json", other / "results.json")
    for text, message in (
        ("[", "missing or damaged"),
        (json.dumps([{"row": "a", "cell": "../x", "protocol": "paper"}]), "outside the run"),
    ):
        (other / "networks.json").write_text(text)
        assert ask(other, tmp_path, tmp_path / "a.png") == 2
        assert message in capsys.readouterr().err
