"""What a row of results says of its test cases."""

import numpy as np
import pandas as pd

from common.evaluation.metrics import evaluate
from common.records.predictions import tabulate_scores


def test_seeds_that_test_different_cases_say_how_many():
    """Of three seeds the last one tests two cases; where all test the same ones, nothing is said."""
    cases = pd.DataFrame({"case_id": list("abcd"), "patient_id": list("abcd"), "label": [0, 1, 1, 0]})
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]])
    parts = [tabulate_scores(cases, scores, protocol="paper", row="CNN", seed=seed, fold=seed) for seed in (0, 1)]
    (row,) = evaluate(pd.concat(parts))
    assert row.tested_by_seed == []
    parts.append(tabulate_scores(cases[2:], scores[2:], protocol="paper", row="CNN", seed=2, fold=2))
    (row,) = evaluate(pd.concat(parts))
    assert row.tested_by_seed == [[4, 2], [4, 2], [2, 1]]
