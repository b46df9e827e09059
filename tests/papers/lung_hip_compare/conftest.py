"""Data that several tests of the lung and hip comparison read."""

import pytest
from lung_hip_samples import save_jpeg, write_patches

from common.cases.sources import Source
from common.records.paper import load_paper
from replications.lung_hip_compare import data
from replications.lung_hip_compare.config import DEMO, SMOKE


@pytest.fixture(scope="session")
def paper(root):
    return load_paper(root / "replications" / "lung_hip_compare" / "paper.toml")


@pytest.fixture(scope="session")
def smoke_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smoke")
    data.write_phantoms(folder, SMOKE, seed=0)
    return folder


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    data.write_phantoms(folder, DEMO, seed=0)
    return folder


@pytest.fixture
def patches(tmp_path):
    """A small folder of ready patches: 40 train (8 nodules), 20 test (4), rows 100 apart."""
    write_patches(tmp_path)
    return Source("patches", tmp_path / "luna16_patches", "test patches", True)


@pytest.fixture
def user_hips(tmp_path):
    """A user's folder: 12 patients with a picture of 60x50 each, every second broken, with a crop box."""
    folder = tmp_path / "hips"
    lines = ["path,label,patient,side,x0,y0,x1,y1"]
    for index in range(12):
        save_jpeg(folder / f"p{index}.jpg", (60, 50), seed=index)
        lines.append(f"p{index}.jpg,{index % 2},patient {index},R,10,5,40,45")
    (folder / "cases.csv").write_text("\n".join(lines) + "\n")
    return Source("folder", folder, "own hips", True)
