"""Every setting of every package has a range that the command line holds it to, before anything is written."""

import functools
import importlib
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, get_args, get_origin

import pytest

from common import cli
from common.errors import UsageError
from common.ranges import Range, above, each, read_range, within
from common.records.paper import load_paper
from common.records.results import read_results
from common.runs import run as runs_run
from common.runs.run import config_hash

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(path.parent.name for path in (ROOT / "replications").glob("*/run.py"))
CONFIGS = {name: importlib.import_module(f"replications.{name}.config") for name in PACKAGES}
SETTINGS = [(name, field.name) for name in PACKAGES for field in fields(CONFIGS[name].Config)]
PUBLISHED = sorted(path.parent.name for path in (ROOT / "results").glob("*/results.json"))
NEGATIVE = {"luna_window"}  # Hounsfield units
# Settings of which 0 means nothing, by their names; but 0 of these: no synthetic task, and as the paper.
NEVER_0 = re.compile(r"(epochs|patience|batch_size|folds|trees|side|sides|size|rate|rates|channels|filters|blocks|variance)$")
MAY_BE_0 = {"source_task_epochs", "seed_channels"}
NUMBERS = ["x", "nan", "inf", "-inf", "-1", "1e12", "1" + 12 * "0", "9" * 5000, "", "True"]
ABUSE = {int: [*NUMBERS, "1.5"], float: NUMBERS, bool: ["1", "", "maybe", "nan"]}
CONFLICTS = {  # settings that contradict one another -> what the message says
    "bone_acgan": {
        "height=190": "cannot be halved", "plain_channels=8,8,8,8,8,8,8,8": "cannot be halved",
        "picture_width=64 shortened=false": "at least 75", "checks=100": "more checks than updates",
    },
    "ddsm_inceptionv4": {
        "layer_starts=inception_c9": "no block 'inception_c9'", "blocks=1,1,1 layer_starts=inception_b2": "no block",
        "sample_size=33": "cannot be halved", "test_share=0.9": "nothing is left", "folds=2 validation_share=0.5": "nothing is",
        "source_task_images=0": "either both",
    },
    "glioma_inceptionv3": {
        "validation_percent=90": "nothing is left", "steps=10000000": "fills the memory", "check_steps=201": "before the first",
    },
    "lung_hip_compare": {"hip_crops=8,99": "two hips", "sgan_base=7": "must reach the side"},
    "thyroid_ensemble": {
        "scale_sides=129,64,32": "cut from the ROI", "roi_side=64": "cut from the ROI",
        "input_mode=native scale_sides=64,32,16": "at least 32", "alexnet_side=66 alexnet_variant=original": "at least 67",
        "depths=5": "fewer convolutions", "weight_step=0.3": "must be 1 / N", "weight_step=0.5": "N from 3",
        "hog_cell=65": "two cells", "scale_sides=16,8,8 roi_side=16 hog_cell=4 lbp_radius=8": "no circle",
        "source_task_epochs=0": "either both",
    },
}  # fmt: skip


@pytest.fixture(scope="module", params=PACKAGES)
def package(request) -> str:
    return request.param


def test_what_is_told_above_the_tables_are_settings(package):
    told = {name for item in load_paper(ROOT / "replications" / package / "paper.toml").unstated for name in item.settings}
    assert told <= {field.name for field in fields(CONFIGS[package].Config)}


def list_abuse(kind: type, name: str) -> list[str]:
    """Values that no setting of this type can have."""
    typed, _ = read_range(kind, name)
    if typed is str:
        return ["moon" * 20, "two\nlines"]
    if get_origin(typed) is tuple:
        one, *others = get_args(typed)
        values = ["moon" * 20, "two\nlines"] if one is str else ABUSE[one]
        fitting = 2 if others == [Ellipsis] else 1 + len(others)
        values = [",".join([value] * fitting) for value in values if value]
        values += ["", ",", ",".join(map(str, range(1, 1001)))]
        abuse = values if others == [Ellipsis] else [*values, "1", ",".join(["1"] * (2 + len(others)))]
    else:
        abuse = ABUSE[typed]
    abuse = [*abuse, *(["0"] if NEVER_0.search(name) and name not in MAY_BE_0 else [])]
    return [value for value in abuse if not (name in NEGATIVE and value.startswith("-1,"))]


@functools.cache
def load(name: str) -> tuple[ModuleType, Any]:
    return importlib.import_module(f"replications.{name}.run"), load_paper(ROOT / "replications" / name / "paper.toml")


@pytest.fixture
def ask(tmp_path, capsys, monkeypatch):
    """Runs a package's command line up to its settings; the exit code and what it printed. What goes on fails the test."""

    def go_on(*_args, **_kwargs):
        raise AssertionError("accepted")

    def ask(name: str, *argv: str) -> tuple[int, str]:
        module, paper = load(name)
        monkeypatch.setattr(module, "load_paper", lambda _path: paper)
        monkeypatch.setattr(runs_run, "locate_phantoms", go_on)
        monkeypatch.setattr(module, "locate_phantoms", go_on, raising=False)
        code = module.main(["--preset", "smoke", "--out", str(tmp_path / "out"), *argv])
        return code, capsys.readouterr().err

    monkeypatch.delenv("REPLICATIONS_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    return ask


@pytest.mark.parametrize(("name", "setting"), SETTINGS, ids=lambda value: value)
def test_a_setting_outside_its_range_is_refused_before_anything_is_written(name, setting, ask, tmp_path):
    kind = CONFIGS[name].Config
    typed, allowed = read_range(kind, setting)
    assert typed is bool or isinstance(allowed, Range), "a range is missing beside it, such as Annotated[int, within(1, 100)]"
    for value in list_abuse(kind, setting):
        code, said = ask(name, "--set", f"{setting}={value}")
        assert code == 2, value
        assert re.fullmatch(rf"error: --set {setting}=.*: (must be|expected) .*\n", said), (value, said)
        assert len(said) < 400
        assert not (tmp_path / "out").exists()


def test_the_message_names_the_range(ask):
    said = ask("lung_hip_compare", "--set", "learning_rate=-1")
    assert said == (2, "error: --set learning_rate=-1: must be above 0 and at most 1\n")
    said = ask("lung_hip_compare", "--set", "luna_window=40,40")
    assert said == (2, "error: --set luna_window=40,40: must be 2 rising values, each from -10,000 to 10,000\n")
    said = ask("thyroid_ensemble", "--set", "phantom_patients=1000000000")
    assert said == (2, "error: --set phantom_patients=1000000000: must be from 2 to 10,000 (more fills the disk)\n")


@pytest.mark.parametrize(("name", "given"), [(name, given) for name, of in CONFLICTS.items() for given in of])
def test_settings_that_contradict_one_another_are_refused(name, given, ask):
    code, said = ask(name, *(word for one in given.split() for word in ("--set", one)))
    assert code == 2
    assert re.fullmatch(r"error: --set .*\n", said)
    assert CONFLICTS[name][given] in said


def test_what_is_given_stands_first(ask):
    _, said = ask("thyroid_ensemble", "--set", "roi_side=64")
    assert said.startswith("error: --set roi_side=64 with scale_sides=128,64,32: ")


def test_presets_lie_in_the_ranges(package):
    for preset, config in CONFIGS[package].PRESETS.items():
        for field in fields(config):
            _, allowed = read_range(type(config), field.name)
            assert allowed is None or allowed.holds(getattr(config, field.name)), (preset, field.name)
        assert not list(config.find_conflicts()), preset
        values = {name: ",".join(map(str, of)) if isinstance(of, tuple) else str(of) for name, of in asdict(config).items()}
        assert cli.apply_overrides(config, values) == config  # and the command line can say them


def test_what_the_documents_set_is_allowed(package):
    """The overrides of the README and of the contract's runs."""
    module = CONFIGS[package]
    text = (ROOT / "replications" / package / "README.md").read_text(encoding="utf-8")
    for key, value in re.findall(r"--set (\w+)=([\w.,-]+)", text):
        cli.apply_overrides(module.PAPER, {key: value})
    for flags in (module.CONTRACT.small, module.CONTRACT.learns):
        options = cli.parse_options(flags, "x", "", ["smoke"])
        cli.apply_overrides(module.SMOKE, options.overrides)


@pytest.mark.parametrize(
    "name", [name for name in PACKAGES if any(field.name == "source" for field in fields(CONFIGS[name].Config))]
)
def test_sources_are_those_that_are_read(name):
    folders = importlib.import_module(f"replications.{name}.data").FOLDERS
    _, allowed = read_range(CONFIGS[name].Config, "source")
    assert allowed is not None
    assert str(allowed) == f"one of auto, {', '.join(folders)}"


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_settings_keep_their_digest(name):
    """A run's folder and its trainings are found again by it."""
    found = read_results(ROOT / "results" / name / "results.json")
    config = cli.apply_overrides(CONFIGS[name].PRESETS[found.preset], found.overrides)
    assert config_hash(asdict(config)) == config_hash(found.config)


@dataclass(frozen=True)
class Plain:
    rate: float = 0.1
    sides: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Ranged:
    rate: Annotated[float, above(0, 1)] = 0.1
    sides: Annotated[tuple[int, ...], each(within(1, 9))] = (1, 2)


def test_ranges_are_no_part_of_the_digest():
    assert config_hash(asdict(Plain())) == config_hash(asdict(Ranged()))


@pytest.mark.parametrize("flag", ["--seeds", "--workers", "--threads", "--tables", "--rows", "--columns"])
@pytest.mark.parametrize("value", ["", ",", " ", "-1", "1,1", "9" * 5000, "nan"])
def test_flags_without_a_meaning_are_refused(flag, value, ask, tmp_path):
    if flag in ("--tables", "--rows") and value.strip(" ,"):
        return  # texts: held against the rows that there are
    with pytest.raises(SystemExit) as ended:
        ask("lung_hip_compare", flag, value)
    assert ended.value.code == 2
    assert not (tmp_path / "out").exists()


def test_a_huge_seed_or_number_of_processes_is_refused(capsys):
    for flag, value in (("--seeds", "99999999999"), ("--workers", "100000"), ("--threads", "2000")):
        with pytest.raises(SystemExit):
            cli.parse_options([flag, value], "x", "", [])
        *_, line = capsys.readouterr().err.splitlines()
        assert flag in line
        assert "1,0" in line  # 1,000,000 or 1,024


def test_a_list_is_refused_by_its_length_not_by_a_traceback():
    with pytest.raises(UsageError, match="hip_sides=128: expected a list of 2 int"):
        cli.apply_overrides(CONFIGS["lung_hip_compare"].PAPER, {"hip_sides": "128"})
