"""A preset that needs data which are not there: one line that says what to get, and where the costs of a run stand."""

import re

import pytest

from common.cli import parse_options
from common.errors import UsageError
from common.runs.run import refuse_missing_data

PAPERS = ("bone_acgan", "ddsm_inceptionv4", "glioma_inceptionv3", "lung_hip_compare", "thyroid_ensemble")


@pytest.mark.parametrize("name", PAPERS)
def test_a_dry_run_without_data_names_where_the_measured_costs_stand(root, name):
    package = root / "replications" / name
    options = {dry: parse_options(["--preset", "paper", *["--dry-run"] * dry], "run", "", ["paper"]) for dry in (False, True)}
    told = {}
    for dry, given in options.items():
        with pytest.raises(UsageError) as error:
            refuse_missing_data(package, given)
        told[dry] = str(error.value)
    assert told[True] == f"{told[False]}; what runs have cost, as measured: replications/{name}/README.md"
    assert "\n" not in told[True]
    text = (package / "README.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"\n## (?:Cost|Weights and cost)\n(.*?)(?:\n## |\n<!-- generated|\Z)", text, re.DOTALL)
    assert re.search(r"\d+(?:\.\d+)? (?:minutes|hours)", section)
