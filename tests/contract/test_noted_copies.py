"""Near-duplicates that only the proof of a split finds: noted, joined, and the splits drawn again, in one command."""

import csv
import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.cases import copies
from common.cases.noted import FILE

PATIENTS = 40


def write_pictures(folder: Path) -> Path:
    """A picture each of 40 patients; those of the last four are the first four ones mirrored."""
    folder.mkdir()
    rough = np.random.default_rng(0).integers(0, 256, (PATIENTS, 12, 12), np.uint8)
    rough[-4:] = rough[:4, :, ::-1]
    lines = [["path", "label", "patient"]]
    for number, grains in enumerate(rough):
        picture = Image.fromarray(grains).resize((96, 96), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number}.png")
        lines.append([f"{number}.png", ("benign", "malignant")[number % 2], f"p{number}"])
    with (folder / "cases.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(lines)
    return folder


def make_blind(monkeypatch) -> None:
    """From here on the search of the whole set finds nothing."""
    search = copies.find_near_duplicates
    monkeypatch.setattr(copies, "find_near_duplicates", lambda *given, **settings: search(*given, **settings).iloc[:0])


@pytest.mark.parametrize("answer", ["group", "refuse"])
def test_copies_that_only_the_proof_finds_are_joined(tmp_path, monkeypatch, capsys, answer):
    """Under --near-duplicates refuse the command ends instead, and says what to do."""
    make_blind(monkeypatch)
    main = importlib.import_module("replications.thyroid_ensemble.run").main
    data, out = write_pictures(tmp_path / "pictures"), tmp_path / "runs"
    command = ["--data", str(data), "--cases", "cases.csv", "--preset", "smoke", "--weights", "random", "--out", str(out)]
    command += ["--rows", "AlexNet, no transfer", "--near-duplicates", answer, "--dry-run"]
    code = main(command)
    said = capsys.readouterr().err
    if answer == "refuse":
        assert code == 2
        assert said.splitlines()[-1].endswith(
            "give both pictures of each pair one patient in the table of cases, or leave one out"
        )
        assert not (out / FILE).exists()
        return
    assert code == 0, said
    assert "near-duplicate pairs found that the search of all pictures missed: joined, and drawn again" in said
    pairs = json.loads((out / FILE).read_text())["copies"]
    (prepared,) = (out / "thyroid_ensemble" / "prepared").glob("own-*/cases.csv")
    with prepared.open(encoding="utf-8", newline="") as file:
        patient_of = {line["sha256"]: line["patient_id"] for line in csv.DictReader(file)}
    assert 1 <= len(pairs) <= 4
    assert all(patient_of[a] == patient_of[b] for a, b, _ in pairs)
    assert len(set(patient_of.values())) == PATIENTS - len(pairs)
    assert main(command) == 0
    assert "missed" not in capsys.readouterr().err
