"""A user's own pictures: a folder as it is, a table with any name and names of columns; and the guide, command by command."""

import csv
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.records.paper import load_paper
from common.records.results import read_results
from common.report.lines import collect_lines, is_own
from common.report.tables import name_tables

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "own_data.md"
PHANTOMS = {"thyroid_ensemble": "thyroid", "lung_hip_compare": "hips", "bone_acgan": "bone_scans"}  # folders with a cases.csv
RENAMED = {"path": "file", "label": "diagnosis", "patient": "pat no"}
COLUMNS = ",".join(f"{ours}={theirs}" for ours, theirs in RENAMED.items())
RUNS = {  # the least that shows a package's own data from the files to the report
    "lung_hip_compare": ("--rows", "128x128 unresized / CNN", "--set", "cnn_epochs=1"),
    "bone_acgan": ("--rows", "ResNet34 / training directly", "--protocol", "leakfree"),
    "ddsm_inceptionv4": ("--rows", "metadata alone", "--protocol", "leakfree", "--set", "label_levels=image"),
}


def rename(table: Path, target: Path, *, leave_out: tuple[str, ...] = ()) -> None:
    """The table under another name, with other names of its columns."""
    with table.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    kept = [name for name in lines[0] if name not in leave_out]
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([RENAMED.get(name, name) for name in kept])
        writer.writerows([line[name] for name in kept] for line in lines)


def write_films(folder: Path) -> None:
    """Mammograms as PNG files, two views of each of twelve women."""
    breasts = importlib.import_module("replications.ddsm_inceptionv4.sources.breasts")
    lines = [["path", "label", "patient", "laterality", "view"]]
    for number in range(12):
        random = np.random.default_rng(number)
        woman, ill = breasts.draw_woman(random, 1.0), number % 2
        for view in ("CC", "MLO"):
            spot = breasts.draw_spot(random, 0.5) if ill else None
            brightness, _ = breasts.draw_breast(woman, spot, view, (300, 180), random)
            lines.append([f"{number}-{view}.png", "lesion" if ill else "normal", f"w{number}", "left", view])
            Image.fromarray((20 + 220 * brightness).astype(np.uint8)).save(folder / lines[-1][0])
    with (folder / "cases.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(lines)


@pytest.fixture(params=[*PHANTOMS, "ddsm_inceptionv4"])
def own(request, tmp_path) -> tuple[str, Path, Path]:
    """Package, a folder with pictures somewhere below it, and a table beside the folder."""
    folder, table = tmp_path / "my pictures", tmp_path / "list.csv"
    if request.param == "ddsm_inceptionv4":
        folder.mkdir()
        write_films(folder)
    else:
        config = importlib.import_module(f"replications.{request.param}.config").SMOKE
        write = importlib.import_module(f"replications.{request.param}.sources.phantoms").write_phantoms
        write(tmp_path / "made", config, 0)
        shutil.copytree(tmp_path / "made" / PHANTOMS[request.param], folder)
        shutil.rmtree(tmp_path / "made")
    boxes = ("x0", "y0", "x1", "y1") if request.param == "lung_hip_compare" else ()  # hips as most people have them
    rename(folder / "cases.csv", table, leave_out=boxes)
    (folder / "cases.csv").unlink()
    return request.param, folder, table


def test_the_data_command_reads_a_folder_as_it_is(own, capsys, monkeypatch):
    name, folder, table = own
    data = importlib.import_module(f"replications.{name}.data")
    if name == "lung_hip_compare":  # the phantoms are too few for the paper's folds, which would be told
        monkeypatch.setattr(data, "PAPER", replace(data.PAPER, hip_folds=2))
    flags = ["--data", str(folder), "--cases", str(table), "--columns", COLUMNS]
    code = data.main([*flags, "--json"])
    (source,) = json.loads(capsys.readouterr().out)["sources"]
    assert (code, source["problems"], source["synthetic"]) == (0, [], False)
    assert source["counts"]
    assert data.main(flags[:4]) == 2  # without the names of the columns
    said = "".join(capsys.readouterr())
    assert "no column path, label" in said
    assert "--columns path=YOURS,label=YOURS" in said


def test_a_column_that_nothing_reads_is_named(own, capsys):
    name, folder, table = own
    flags = ["--data", str(folder), "--cases", str(table), "--columns", f"{COLUMNS},colour=hue"]
    assert importlib.import_module(f"replications.{name}.data").main(flags) == 2
    assert "colour" in "".join(capsys.readouterr())


def test_a_column_that_would_be_left_out_and_a_folder_named_twice_are_one_line(own, capsys):
    """Of columns that need not be there, too: without them boxes, views and patients would be lost without a word."""
    name, folder, table = own
    data = importlib.import_module(f"replications.{name}.data")
    optional = {"bone_acgan": "view", "ddsm_inceptionv4": "view"}.get(name, "black")
    header, *lines = table.read_text(encoding="utf-8").splitlines()

    def ask(place: Path, columns: str = COLUMNS) -> str:
        assert data.main(["--data", str(place), "--cases", str(table), "--columns", columns]) == 2
        said = "".join(capsys.readouterr())
        assert "Traceback" not in said
        return said

    assert f"{table}:1: no column Person in the header line; found: file," in ask(folder, f"{COLUMNS},{optional}=Person")
    assert "no column Person in" in ask(folder, COLUMNS.replace("pat no", "Person"))
    table.write_text("\n".join([f"{header}, {optional.upper()}".replace(f",{optional},", ","), *lines]), encoding="utf-8")
    assert f"column ' {optional.upper()}' would not be read: the name is '{optional}'" in ask(folder)
    place = header.split(",").index("file")
    moved = [
        [f"{folder.name}/{cell}" if index == place else cell for index, cell in enumerate(line)] for line in csv.reader(lines)
    ]
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header.split(","), *moved])
    assert f"begin with '{folder.name}', the name of this folder; give the folder above: --data {folder.parent}" in ask(folder)


def test_a_fault_names_the_line_that_an_editor_shows(own, capsys):
    name, folder, table = own
    with table.open(encoding="utf-8", newline="") as file:
        header, first, second, *others = csv.reader(file)
    second[header.index("diagnosis")] = "glorp"
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [[*header, "my\nnote"], [*first, "two\nlines"], [], [*second, ""], *([*line, ""] for line in others)]
        )
    assert table.read_text(encoding="utf-8").split("\n")[5].count("glorp") == 1
    data = importlib.import_module(f"replications.{name}.data")
    data.main(["--data", str(folder), "--cases", str(table), "--columns", COLUMNS, "--json"])
    (source,) = json.loads(capsys.readouterr().out)["sources"]
    assert [problem.partition(":")[0] for problem in source["problems"] if "line" in problem] == [f"{table.name} line 6"]


@pytest.mark.parametrize("kept", ["one class", "a patient of each class"])
def test_the_data_command_says_what_run_would_refuse(own, capsys, kept):
    name, folder, table = own
    with table.open(encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    label, patient = header.index("diagnosis"), header.index("pat no")
    of_class = {diagnosis: [line for line in lines if line[label] == diagnosis] for diagnosis in {line[label] for line in lines}}
    if kept == "one class":
        lines, said = next(iter(of_class.values())), "readable cases with fewer than two classes; nothing to learn"
    else:
        firsts = {diagnosis: listed[0][patient] for diagnosis, listed in of_class.items()}
        lines = [line for line in lines if line[patient] == firsts[line[label]]]
        said = "the leak-free protocol cannot divide them: split: class 0 has cases of 1 different patient_id, too few for"
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *lines])
    data = importlib.import_module(f"replications.{name}.data")
    assert data.main(["--data", str(folder), "--cases", str(table), "--columns", COLUMNS, "--json"]) == 2
    (source,) = json.loads(capsys.readouterr().out)["sources"]
    assert [said in problem for problem in source["problems"]] == [True]


@pytest.mark.slow
def test_a_run_ends_in_a_report_of_own_data(own, tmp_path, capsys, monkeypatch):
    """In the very folder of the pictures: what the run writes there does not make the data look changed."""
    name, folder, table = own
    if name not in RUNS:
        pytest.skip("the guide runs this package")
    monkeypatch.chdir(folder)
    shutil.copyfile(table, "list.csv")
    flags = ["--data", ".", "--cases", "list.csv", "--columns", COLUMNS, "--preset", "smoke", "--weights", "random"]
    run = importlib.import_module(f"replications.{name}.run")
    assert run.main([*flags, *RUNS[name], "--workers", "1", "--threads", "1"]) == 0, capsys.readouterr().err
    (found,) = Path("runs", name).glob("smoke-*/results.json")
    results = read_results(found)
    assert is_own(results)
    assert results.rows
    assert all(claim.held in ("", claim.metric) for claim in results.claims)  # a column shows what its head says
    page, table_md = ((found.parent / file).read_text(encoding="utf-8") for file in ("report.html", "table.md"))
    screen = capsys.readouterr().out
    results_part = page.partition("<body>")[2].partition('id="choices"')[0]  # behind it: how the networks are trained
    for text in (results_part, table_md, screen):
        assert "not run" not in text
        assert "verdict" not in text
    assert "(see the notes)" not in table_md or "note |" in table_md
    paper = load_paper(ROOT / "replications" / name / "paper.toml")
    titles = name_tables(collect_lines(results, paper), own=True).values()
    assert titles
    for title in titles:  # each table of the screen
        assert title.partition(":")[0] in screen
        assert f"## {title}\n" in table_md
        assert unescape(results_part).count(f"<h3>{title}</h3>") == 1
    absent = {claim.row for claim in paper.claims if claim.unit != "count"} - {row.row for row in results.rows}
    assert not absent & set(re.findall(r"^\| (.+?) \|", table_md, flags=re.M))


def test_volumes_are_no_single_pictures(tmp_path, capsys):
    for part in ("data", "run"):
        main = importlib.import_module(f"replications.glioma_inceptionv3.{part}").main
        assert main(["--data", str(tmp_path), "--cases", "list.csv"]) == 2
        said = capsys.readouterr().err
        assert len(said.splitlines()) == 1
        assert "python -m replications.glioma_inceptionv3.data" in said


@pytest.mark.slow
def test_the_guide_leads_from_an_empty_folder_to_a_report(tmp_path):
    """Every command of the guide, in its order, in an empty folder."""
    commands = re.findall(r"^```\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), flags=re.M | re.S)
    assert len(commands) > 3
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    search = {"PATH": f"{python.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(commands)], cwd=home, env=os.environ | search, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (report,) = home.glob("runs/thyroid_ensemble/*/report.html")
    assert "Report on your own data" in report.read_text(encoding="utf-8")
    results = read_results(report.with_name("results.json"))
    assert is_own(results)
    (data,) = results.datasets
    assert (data.cases, data.patients) == (60, 30)
