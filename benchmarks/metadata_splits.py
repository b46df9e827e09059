"""How much the choice of the split alone moves a result that no picture can explain: "metadata alone" on mini-MIAS.

    python -m benchmarks.metadata_splits [--data DIR] [--splits 60]

The row of ddsm_inceptionv4 with labels of patients is fitted again on the folds of the accepted run, which must give its AUC, and
on those of other seeds, under both protocols. Prints mean, standard deviation and range of the AUC over the splits.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from common.cases.folds import Fold
from common.records.results import read_results
from replications.ddsm_inceptionv4 import data, splits
from replications.ddsm_inceptionv4.config import Config
from replications.ddsm_inceptionv4.rows import name_metadata
from replications.ddsm_inceptionv4.shortcuts import build_metadata_reader, describe_metadata

ROOT = Path(__file__).parents[1]
FIRST_SEED = 1000  # of the other splits
RULES = {"paper": splits.split_paper, "leakfree": splits.split_leakfree}


def measure_auc(features: np.ndarray, labels: np.ndarray, folds: Sequence[Fold], config: Config) -> float:
    """AUC within the folds, weighted by their pairs; features (n, f), labels (n,)."""
    areas, pairs = [], []
    for fold in folds:
        model = build_metadata_reader(config).fit(features[fold.train], labels[fold.train])
        truth = labels[fold.test]
        areas.append(roc_auc_score(truth, model.predict_proba(features[fold.test])[:, 1]))
        pairs.append(truth.sum() * (len(truth) - truth.sum()))
    return float(np.average(areas, weights=pairs))


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; exit code 1 if the accepted run is not met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    home = Path(os.environ.get("REPLICATIONS_DATA", "data")) / "ddsm_inceptionv4"
    parser.add_argument("--data", type=Path, default=home)
    parser.add_argument("--splits", type=int, default=60)
    arguments = parser.parse_args(argv)
    results = read_results(ROOT / "results" / "ddsm_inceptionv4" / "results.json")
    given = {field.name: results.config[field.name] for field in fields(Config)}
    config = Config(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})
    source = data.list_sources(arguments.data).get("mias")
    if source is None:
        print(f"error: no mini-MIAS in {arguments.data}; see python -m {data.MODULE}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        _, cases, _ = data.read_source(source, config, Path(folder), data.LOCAL)
    features, labels = describe_metadata(cases), splits.relabel(cases, "case")["label"].to_numpy()
    print(
        "varies between films:",
        *cases[["digitiser", "height", "width", "bits", "low", "high"]].nunique().loc[lambda n: n > 1].index,
    )
    met = True
    for protocol, divide in RULES.items():
        (row,) = (row for row in results.rows if (row.row, row.protocol) == (name_metadata("case"), protocol))
        published, found = row.metrics["auc"].mean, measure_auc(features, labels, divide(cases, config), config)
        met &= published is not None and abs(found - published) < 1e-6
        others = [replace(config, split_seed=FIRST_SEED + i) for i in range(arguments.splits)]
        drawn = np.array([measure_auc(features, labels, divide(cases, other), other) for other in others])
        print(
            f"{protocol}: AUC {found:.3f} (accepted {published:.3f}); {len(drawn)} other splits: mean {drawn.mean():.3f}, "
            f"sd {drawn.std(ddof=1):.3f}, {drawn.min():.3f} to {drawn.max():.3f}"
        )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
