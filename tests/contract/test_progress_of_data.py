"""`data` of every package says on stderr how far it is, at once where there is much to do; stdout keeps to the findings."""

import importlib
import io
import sys
import time

import pytest
from PIL import Image

from benchmarks.many_pictures import measure, write_pictures
from common.progress import MANY

LABELS = {
    "thyroid_ensemble": ("benign", "malignant"),
    "lung_hip_compare": ("normal", "fracture"),
    "bone_acgan": ("normal", "metastasis"),
    "ddsm_inceptionv4": ("normal", "cancer"),
}


class Screen(io.StringIO):
    """stderr that knows when it was first written to, in seconds of the processor: the machine may be busy."""

    first = 0.0

    def write(self, text: str) -> int:
        self.first = self.first or time.process_time()
        return super().write(text)


@pytest.mark.parametrize("package", LABELS)
def test_the_first_line_comes_within_two_seconds(package, tmp_path, monkeypatch, capsys):
    """A thousand listed pictures; none is there, so that nothing but the listing takes long."""
    lines = [f"{number}.png,{LABELS[package][number % 2]},p{number}" for number in range(MANY)]
    (tmp_path / "cases.csv").write_text("path,label,patient\n" + "\n".join(lines) + "\n")
    module = importlib.import_module(f"replications.{package}.data")
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    started = time.process_time()
    assert module.main(["--data", str(tmp_path), "--cases", "cases.csv"]) == 2
    assert 0 < screen.first - started < 2
    assert f"{MANY:,}" in screen.getvalue().splitlines()[0]
    assert f": {MANY:,}\n" not in capsys.readouterr().out


def test_the_benchmark_tells_when_the_first_word_came_and_what_was_said(tmp_path):
    write_pictures(tmp_path / "pictures", 3, 16)
    assert (tmp_path / "pictures/cases.csv").read_text().count("\n") == 4
    with Image.open(tmp_path / "pictures/000002.png") as picture:
        assert picture.size == (16, 16)
    script = "import time; time.sleep(0.3); print('reading'); print('to do: 3 trainings'); time.sleep(60)"
    found = measure([sys.executable, "-c", script], 30, (b"to do:",))
    assert 0.3 <= found.first <= found.last < 30
    assert found.code == 0
    assert found.processor > 0
    failed = measure([sys.executable, "-c", "raise SystemExit('no such folder')"], 30, (b"to do:",))
    assert (failed.code, failed.said) == (1, "no such folder")
