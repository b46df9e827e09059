"""A name in every place that a user controls: what is published, the report and the log have it nowhere, in any package."""

import csv
import gzip
import importlib
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image, PngImagePlugin
from planted import NAME, PERSON, find_name
from test_own_data import write_films

from common.cases.folds import describe_splits
from common.cases.prepared import Dataset
from common.cli import parse_options
from common.evaluation.metrics import evaluate
from common.evaluation.outcome import Outcome
from common.figures.style import Picture, new_figure
from common.records.paper import load_paper
from common.records.predictions import read_predictions, tabulate_scores, write_predictions
from common.records.results import Environment, Git, Missing, Weights, read_results
from common.runs import products
from common.runs import run as runs_run

ROOT = Path(__file__).parents[2]
OWN = {  # package -> its folder of own data, the table in it
    "lung_hip_compare": ("hips", "cases.csv"),
    "thyroid_ensemble": ("thyroid", "cases.csv"),
    "bone_acgan": ("bone_scans", "cases.csv"),
    "ddsm_inceptionv4": ("mammograms", "cases.csv"),
    "glioma_inceptionv3": ("glioma", "subjects.csv"),
}
FEW = {"bone_acgan": {"phantom_patients": 6, "phantom_chests": 2}, "glioma_inceptionv3": {"phantom_subjects": 6}}  # quickly drawn
PATIENTS = (f"{NAME} {{}}", f"={PERSON} {{}}", f"@{NAME.upper()} {{}}", f"{NAME}\u0301 {{}}")  # how their names are written


def write_own(name: str, data: Path) -> Path:
    """A package's own data without the mark of phantoms; its folder."""
    place, _ = OWN[name]
    if name == "ddsm_inceptionv4":
        (data / place).mkdir(parents=True)
        write_films(data / place)
    else:
        phantoms = importlib.import_module(f"replications.{name}.sources.phantoms")
        config = replace(importlib.import_module(f"replications.{name}.config").SMOKE, **FEW.get(name, {}))
        phantoms.write_phantoms(data.with_name("made"), config, 0)
        shutil.copytree(data.with_name("made") / place, data / place)
    return data / place


def plant(folder: Path, table: Path) -> None:
    """The name in names of files and folders, patients, headers, texts of pictures, columns, and in files that cannot be read."""
    with table.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    for number, line in enumerate(lines):
        if "subject" in line:  # a folder each
            (folder / line["subject"]).rename(folder / f"{NAME}-{number:03d}")
            line |= {"subject": f"{NAME}-{number:03d}", "site": NAME}
            continue
        old, new = folder / line["path"], f"scans of {NAME}/{line['path'].replace('/', '-')}"
        (folder / new).parent.mkdir(exist_ok=True)
        if old.exists():  # several lines may name one picture
            mark(old)
            old.rename(folder / new)
        patient = PATIENTS[number % len(PATIENTS)] if "side" not in line else PATIENTS[0]
        line |= {"path": new, "patient": patient.format(line["patient"]), "comment": PERSON}
    extra = dict(lines[0])
    for key in ("path", "subject"):
        if key in extra:
            lines += [extra | {key: f"{NAME}-lost.png"}, extra | {key: f"={NAME}-text.png"}]
    (folder / f"={NAME}-text.png").write_bytes(PERSON.encode("utf-16"))
    lines.append(extra | {"label" if "label" in extra else "grade": f"+{NAME}"})
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)


def mark(path: Path) -> None:
    """The name in the header of a scan, or in text and EXIF of a picture, its pixels as they were."""
    if path.suffix == ".dcm":
        data = pydicom.dcmread(path)
        data.PatientName, data.InstitutionName, data.StudyDescription = PERSON, f"{NAME} clinic", f"scan of {NAME}"
        data.save_as(path)
        return
    exif, texts = Image.Exif(), PngImagePlugin.PngInfo()
    exif[0x010E], exif[0x9C9B] = PERSON, NAME.encode("utf-16-le")
    texts.add_text("Patient", PERSON)
    texts.add_itxt("Title", PERSON)
    with Image.open(path) as picture:
        picture.load()
        picture.save(path, pnginfo=texts, exif=exif)


def prepare(name: str, data: Path, folder: Path) -> Dataset:
    """The data set, by the package's own reader, as another collection that does not say that its ids are public."""
    module = importlib.import_module(f"replications.{name}.data")
    config = importlib.import_module(f"replications.{name}.config").SMOKE
    if name == "lung_hip_compare":
        source = replace(module.find_sources(data)["hip"], own=False)
        module.prepare_dataset("128x128 unresized", source, config, folder, skip_unreadable=True)
    else:
        source = replace(module.list_sources(data)["own"], own=False)
        view = ("whole",) if name == "glioma_inceptionv3" else ()
        module.prepare_dataset(source, config, *view, folder, skip_unreadable=True)
    return runs_run.load_dataset(folder)


def tabulate(dataset: Dataset):
    """Predictions of two seeds under both protocols."""
    random, classes, tables = np.random.default_rng(0), len(dataset.info["classes"]), []
    for protocol in ("paper", "leakfree"):
        for seed in (0, 1):
            scores = random.dirichlet(np.ones(classes), len(dataset.cases)).round(6)
            about = {"protocol": protocol, "row": "a row", "seed": seed, "fold": -1}
            tables.append(tabulate_scores(dataset.cases, scores / scores.sum(axis=1, keepdims=True), **about))
    return pd.concat(tables, ignore_index=True)


@pytest.mark.parametrize("name", OWN)
def test_a_planted_name_is_nowhere_in_what_is_published(name, tmp_path, monkeypatch, capsys):
    data, package = tmp_path / f"{NAME}'s data", ROOT / "replications" / name
    folder = write_own(name, data)
    plant(folder, folder / OWN[name][1])
    dataset = prepare(name, data, tmp_path / "prepared")
    planted = dataset.cases.to_csv()
    assert planted.count(NAME) >= len(dataset.cases)  # else nothing was planted
    assert len(dataset.info["unreadable"]) >= 3
    assert NAME in str(dataset.info["unreadable"])

    monkeypatch.chdir(tmp_path)
    argv = ["--preset", "paper", "--data", str(data), "--out", f"runs of {NAME}", "--weights", f"{NAME}/nets", "--publish"]
    argv += ["--cluster", f"tcp://{NAME}:8786"]
    monkeypatch.setattr(sys, "argv", ["run.py", *argv])
    monkeypatch.setattr(runs_run, "git_state", lambda _folder: Git(commit="abc", dirty=False))
    environment = Environment(python="3.11", backend=None, device="2 CPU cores", deterministic=True)
    monkeypatch.setattr(runs_run, "describe_trainings", lambda _finished, _folder: (12.0, environment, []))
    options = parse_options(argv, f"replications.{name}.run", "", ["demo", "paper"])
    places = {"data": (tmp_path / "prepared", dataset)}
    run = runs_run.open_run(package, options, "paper", {}, synthetic=False, datasets=places)
    runs_run.log_command(run)
    predictions = tabulate(dataset)
    write_predictions(predictions, run.folder / "predictions.csv.gz")
    products.collect_history([], run.folder)
    missing = [f"{NAME}/nets/net.h5: not here", f"failed: [Errno 28] {run.folder.resolve()}/cells: no space left"]
    results = runs_run.build_results(
        run,
        Outcome(evaluate(predictions), [], [], [], [Missing(table="2", row="b", reason=text) for text in missing], []),
        datasets=[describe_splits("the set", dataset, {})],
        weights=Weights(source="random"),
        config={"epochs": 3},
        selection={"paper": "the last epoch", "leakfree": "the last epoch"},
        finished=[],
    )
    pictures = [Picture(f"{shown}.png", "a figure", "", new_figure(1, 1), shown) for shown in (True, False)]
    assert runs_run.close_run(run, load_paper(package / "paper.toml"), results, lambda _results: pictures, {}) == 0

    log = "".join(capsys.readouterr())
    told = ("run folder: ", "table, figures, predictions: ", "report: ")  # where things are is said on the screen alone
    log = "\n".join(line for line in log.splitlines() if not line.startswith(told))
    published = tmp_path / "results" / name
    assert (published / "results.json").is_file()
    for path in published.glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    for path in run.folder.glob("*"):
        if path.name in ("commands.json", "environment.txt", "report.html", "history.csv.gz") or path.name.startswith("table."):
            shutil.copyfile(path, published / f"of-run-{path.name}")
    assert [path.name for path in (published / "figures").iterdir()] == ["False.png"]
    assert find_name(published, log) == []
    everything = b"".join(path.read_bytes().lower() for path in sorted(published.rglob("*")) if path.is_file())
    for form in (NAME, "=" + NAME, shlex.quote(data.name)):
        for code in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le"):
            assert form.lower().encode(code) not in everything

    back = read_predictions(published / "predictions.csv.gz")
    assert (len(back), back["patient_id"].nunique()) == (len(predictions), dataset.cases["patient_id"].nunique())
    (entry,) = read_results(published / "results.json").datasets
    assert sum(entry.unreadable_reasons.values()) == len(dataset.info["unreadable"])
