"""BS-80K in place of the paper's scans: two of its three classes, from files to tables."""

import numpy as np
import pandas as pd
import pytest
from bone_runs import RUN
from bone_samples import write_bs80k

from common.records.results import read_results
from replications.bone_acgan import run
from replications.bone_acgan.sources import chests


@pytest.mark.slow
@pytest.mark.usefixtures("backend")
def test_two_classes_pass_through_all_stages(tmp_path):
    write_bs80k(tmp_path / "data" / "bs80k", count=30)
    chests.write_chests(tmp_path / "data" / "chests", 12, seed=0)
    small = ("height", "width", "plain_channels", "plain_discriminator_channels", "gan_steps", "source_steps", "picture_height",
             "picture_width", "enlargement", "classifier_updates", "checks", "evaluated_pictures")  # fmt: skip
    values = {name: getattr(RUN, name) for name in small}
    shown = {name: ",".join(map(str, value)) if isinstance(value, tuple) else str(value) for name, value in values.items()}
    sets = [part for name, value in shown.items() for part in ("--set", f"{name}={value}")]
    argv = [
        "--preset",
        "demo",
        "--data",
        str(tmp_path / "data"),
        "--out",
        str(tmp_path / "out"),
        "--workers",
        "1",
        "--threads",
        "1",
    ]
    assert run.main([*argv, "--rows", "ResNet34 / data set 2", *sets]) == 0
    (folder,) = (path.parent for path in tmp_path.glob("out/bone_acgan/*/results.json"))
    results = read_results(folder / "results.json")
    (data,) = results.datasets
    assert data.name.startswith("BS-80K")
    assert (data.synthetic, data.substitute) == (False, True)
    assert "no benign changes" in data.note
    assert {claim.verdict for claim in results.claims if claim.ours is not None} == {"other data"}
    predictions = pd.read_csv(folder / "predictions.csv.gz", dtype={"case_id": str})
    assert set(predictions["y_true"]) == {0, 1}
    with np.load(next(folder.glob("cells/gan-acgan-paper*/generated.npz"))) as made:
        assert np.unique(made["labels"]).tolist() == [0, 1]
