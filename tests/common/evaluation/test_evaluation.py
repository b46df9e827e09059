"""The predictions table, metrics of rows and their comparisons, against hand-made tables with known answers."""

import gzip

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix, roc_auc_score

from common.errors import UsageError
from common.evaluation import metrics, statistics
from common.evaluation.comparisons import compare_rows
from common.records import predictions
from common.records.results import Metric


def tabulate(y_true, score, *, row="A", seed=0, fold=-1, protocol="paper", patients=None) -> pd.DataFrame:
    """Predictions of one seed from labels (n,) and scores of class 1 (n,) or of all classes (n, C)."""
    score = np.asarray(score, float)
    scores = np.stack([1 - score, score], axis=1) if score.ndim == 1 else score
    n = len(y_true)
    frame = {
        "protocol": protocol,
        "row": row,
        "seed": seed,
        "fold": fold,
        "case_id": [f"case{i:04d}" for i in range(n)],
        "patient_id": patients if patients is not None else [f"patient{i:04d}" for i in range(n)],
        "y_true": np.asarray(y_true, int),
    }
    return pd.DataFrame(frame | {f"y_score_{c}": scores[:, c] for c in range(scores.shape[1])})


def draw_row(seed: int, n: int = 120, strength: float = 1.0, **keywords) -> pd.DataFrame:
    """A row whose labels are the same for every seed and whose scores are not."""
    y_true = (np.arange(n) % 4 == 0).astype(int)
    noise = np.random.default_rng(seed).normal(0, 1, n)
    score = 1 / (1 + np.exp(-(strength * (2 * y_true - 1) + noise)))
    return tabulate(y_true, score, seed=seed, patients=[f"patient{i // 3}" for i in range(n)], **keywords)


# Reading and writing


def test_written_table_reads_back_with_the_same_bytes(tmp_path):
    frame = pd.concat([draw_row(1, row="B, wide"), draw_row(0), draw_row(0, protocol="leakfree", fold=2)])
    first, second = tmp_path / "a.csv.gz", tmp_path / "b.csv.gz"
    predictions.write_predictions(frame, first)
    read = predictions.read_predictions(first)
    predictions.write_predictions(read.sample(frac=1, random_state=0), second)
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes()[4:8] == b"\0\0\0\0"  # no time stamp
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []
    expected = frame.sort_values(["protocol", "row", "seed", "fold", "case_id"]).reset_index(drop=True)
    for name in expected.columns:
        if name.startswith("y_score"):
            assert np.allclose(read[name], expected[name], rtol=1e-8, atol=0)
        else:
            assert list(read[name]) == list(expected[name])


def test_float32_scores_survive_exactly(tmp_path):
    score = np.random.default_rng(0).random(200).astype(np.float32)
    frame = tabulate(np.arange(200) % 2, np.stack([np.float32(1) - score, score], axis=1))
    predictions.write_predictions(frame, tmp_path / "p.csv.gz")
    read = predictions.read_predictions(tmp_path / "p.csv.gz")
    assert np.array_equal(read["y_score_1"].to_numpy(np.float32), score)


HEADER = "protocol,row,seed,fold,case_id,patient_id,y_true,y_score_0,y_score_1\n"
LINE = "paper,A,0,-1,c1,p1,1,0.25,0.75\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns"),
        (HEADER, "no lines"),
        (HEADER.replace("y_true", "truth") + LINE, "columns"),
        (HEADER.replace(",y_score_1", "") + "paper,A,0,-1,c1,p1,1,1\n", "columns"),
        (HEADER + LINE + "paper,A,0,-1,c2,p1,1,0.25\n", "line 3: 8 fields, not 9"),
        (HEADER + LINE + "\n" + LINE, "line 3: 0 fields"),
        (HEADER + LINE + LINE.replace("c1", "c2").replace(",0,", ",zero,"), "line 3: seed is 'zero', not an integer"),
        (HEADER + LINE.replace("0.75", "high"), "line 2: y_score_1 is 'high', not a number"),
        (HEADER + LINE.replace("0.75", "nan"), "line 2: a score is not a number"),
        (HEADER + LINE.replace("0.75", "inf"), "line 2: a score is not a number"),
        (HEADER + LINE.replace("0.75", "0.85"), "line 2: the scores do not sum to 1"),
        (HEADER + LINE.replace(",1,0.25", ",2,0.25"), "line 2: y_true is not a class from 0 to 1"),
        (HEADER + LINE.replace("paper", "flawed"), "line 2: protocol"),
        (HEADER + LINE.replace("c1", ""), "line 2: row, case_id or patient_id is empty"),
        (HEADER + LINE.replace("p1", '"p\n1"'), "control character"),
        (HEADER + LINE + LINE, "line 3: the case occurs twice"),
        (HEADER + LINE + LINE.replace(",0,-1", ",1,-1").replace("p1", "p2"), "line 3: patient_id or y_true"),
        (HEADER + 'paper,A,0,-1,"c1,p1,1,0.25,0.75\n', "line 2"),
        (HEADER + LINE.replace("0,-1", "9" * 30 + ",-1"), "line 2: seed"),
    ],
)
def test_faulty_tables_are_named_with_file_and_line(tmp_path, text, message):
    path = tmp_path / "predictions.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(UsageError, match=message) as caught:
        predictions.read_predictions(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_archives_are_refused(tmp_path):
    path = tmp_path / "predictions.csv.gz"
    predictions.write_predictions(draw_row(0), path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [b"", b"no archive", whole[: len(whole) // 2], whole[:-3], gzip.compress(b"\xff\xfe\x00")]
    for _ in range(40):
        changed = bytearray(whole)
        changed[rng.integers(10, len(whole))] ^= int(rng.integers(1, 256))
        damaged.append(bytes(changed))
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(UsageError, match="predictions.csv.gz"):
            predictions.read_predictions(path)
    with pytest.raises(UsageError, match="missing"):
        predictions.read_predictions(tmp_path / "missing.csv.gz")


def test_an_endless_archive_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(predictions, "MAX_CHARACTERS", 1000)
    (tmp_path / "p.csv.gz").write_bytes(gzip.compress(b"a" * 1001))
    with pytest.raises(UsageError, match="more than 1000 characters"):
        predictions.read_predictions(tmp_path / "p.csv.gz")


def test_a_table_with_a_fault_is_not_written(tmp_path):
    frame = draw_row(0)
    frame.loc[3, "y_score_1"] = np.nan
    with pytest.raises(UsageError, match="line 5: a score"):
        predictions.write_predictions(frame, tmp_path / "p.csv.gz")
    with pytest.raises(UsageError, match="y_true must hold integers"):
        metrics.evaluate(draw_row(0).astype({"y_true": float}))
    assert list(tmp_path.iterdir()) == []


# Metrics of rows


def test_evaluate_gives_the_known_counts_and_rates():
    # 80 healthy (72 right), 20 ill (15 right), in two folds.
    y = np.repeat([0, 1], [80, 20])
    score = np.r_[np.full(72, 0.1), np.full(8, 0.8), np.full(15, 0.9), np.full(5, 0.2)]
    frame = tabulate(y, score, fold=np.arange(100) % 2, patients=[f"p{i // 2}" for i in range(100)])
    (row,) = metrics.evaluate(frame)
    assert {name: getattr(row, name) for name in ("row", "protocol", "n", "patients", "positives", "seeds")} == {
        "row": "A", "protocol": "paper", "n": 100, "patients": 50, "positives": 20, "seeds": [0],
    }  # fmt: skip
    expected = {
        "accuracy": 0.87,
        "sensitivity": 0.75,
        "specificity": 0.9,
        "precision": 15 / 23,
        "f1": 30 / 43,
        "majority_rate": 0.8,
        "auc": roc_auc_score(y, score),
        "brier": np.mean((score - y) ** 2),
        "ece": statistics.expected_calibration_error(y, score),
    }
    for name, value in expected.items():
        metric = row.metrics[name]
        assert metric.mean == pytest.approx(value, abs=1e-12)
        assert metric.by_seed == [metric.mean]
        assert metric.sd is None
        if name == "ece":
            assert metric.low is metric.high is None
        else:
            assert metric.low <= metric.mean <= metric.high
    assert set(row.metrics) == set(metrics.METRICS)
    assert row.below_majority is False
    assert np.array_equal(metrics.count_confusion(frame, "A", "paper"), [[72, 8], [5, 15]])


def test_seeds_are_averaged():
    frame = pd.concat([draw_row(seed) for seed in (0, 1, 2)])
    (row,) = metrics.evaluate(frame)
    accuracy = row.metrics["accuracy"]
    by_seed = [float(((part["y_score_1"] > 0.5) == part["y_true"]).mean()) for _, part in frame.groupby("seed")]
    assert accuracy.by_seed == pytest.approx(by_seed)
    assert accuracy.mean == pytest.approx(np.mean(by_seed))
    assert accuracy.sd == pytest.approx(np.std(by_seed, ddof=1))
    assert accuracy.low < accuracy.mean < accuracy.high
    total = sum(confusion_matrix(p["y_true"], p["y_score_1"] > 0.5) for _, p in frame.groupby("seed"))
    assert np.array_equal(metrics.count_confusion(frame, "A", "paper"), total)
    assert metrics.count_confusion(frame, "A", "paper", seed=1).sum() == 120


def test_evaluate_ignores_the_order_of_lines():
    frame = pd.concat([draw_row(0), draw_row(1), draw_row(0, row="B"), draw_row(0, protocol="leakfree", fold=1)])
    once = metrics.evaluate(frame)
    again = metrics.evaluate(frame.sample(frac=1, random_state=3))
    assert once == again
    assert [(row.protocol, row.row) for row in once] == [("paper", "A"), ("paper", "B"), ("leakfree", "A")]


def test_a_collapsed_row_has_undefined_metrics_and_no_zeros_in_their_place():
    y = np.repeat([0, 1], [80, 20])
    frame = pd.concat([tabulate(y, np.full(100, 0.1), seed=0), tabulate(y, np.where(y, 0.9, 0.1), seed=1)])
    (row,) = metrics.evaluate(frame)
    undefined = Metric(mean=None, sd=None, low=None, high=None, by_seed=[None, 1.0], method="none")
    assert row.metrics["precision"] == undefined
    assert row.metrics["mcc"].by_seed == [None, 1.0]
    assert row.metrics["sensitivity"].by_seed == [0.0, 1.0]
    assert row.metrics["auc"].by_seed == [0.5, 1.0]
    assert metrics.list_collapsed_seeds(frame, "A", "paper") == [0]
    assert row.below_majority is False
    (only,) = metrics.evaluate(frame[frame["seed"] == 0])
    assert only.below_majority is True  # equal to the majority rate, not above it


def test_one_class_or_one_patient_gives_none_instead_of_a_number():
    (row,) = metrics.evaluate(tabulate([0, 0, 0], [0.1, 0.2, 0.9], patients=["a", "a", "a"]))
    assert row.metrics["auc"].mean is row.metrics["sensitivity"].mean is None
    assert row.metrics["accuracy"].mean == pytest.approx(2 / 3)
    assert row.metrics["accuracy"].low is None


def test_repeated_folds_count_cases_once():
    one = draw_row(0, fold=0)
    frame = pd.concat([one, one.assign(fold=1)])
    (row,) = metrics.evaluate(frame)
    (single,) = metrics.evaluate(one)
    assert (row.n, row.positives) == (120, 30)
    assert row.metrics["auc"].mean == pytest.approx(single.metrics["auc"].mean)


def test_seeds_over_different_cases_are_refused():
    with pytest.raises(UsageError, match="seeds 0 and 1 cover different cases"):
        metrics.evaluate(pd.concat([draw_row(0), draw_row(1, n=60)]))


def test_three_classes_have_every_metric():
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    scores = rng.dirichlet(np.ones(3), 90) * 0.5 + 0.5 * np.eye(3)[y]
    (row,) = metrics.evaluate(tabulate(y, scores))
    assert row.metrics["auc"].mean == pytest.approx(roc_auc_score(y, scores, multi_class="ovr"))
    assert row.metrics["ece"].mean == pytest.approx(
        statistics.expected_calibration_error(scores.argmax(axis=1) == y, scores.max(axis=1))
    )
    assert all(metric.mean is not None for metric in row.metrics.values())
    assert metrics.count_confusion(tabulate(y, scores), "A", "paper").shape == (3, 3)


def test_unknown_rows_and_seeds_are_named():
    with pytest.raises(UsageError, match="row 'C', protocol 'paper'"):
        metrics.count_confusion(draw_row(0), "C", "paper")
    with pytest.raises(UsageError, match="seed 7"):
        metrics.count_confusion(draw_row(0), "A", "paper", seed=7)


# Comparisons


def test_compare_rows_by_hand():
    y = np.repeat([0, 1], [30, 30])
    good = np.where(y, 0.8, 0.2)
    poor = good.copy()
    poor[:12] = 0.7  # twelve healthy cases wrong
    frame = pd.concat([tabulate(y, good, row="good"), tabulate(y, poor, row="poor")])
    (pair,) = compare_rows(frame, "paper", ["good", "poor"])
    assert (pair.row_a, pair.row_b, pair.seeds, pair.n, pair.patients) == ("good", "poor", [0], 60, 60)
    assert (pair.accuracy_a, pair.accuracy_b) == (1.0, 0.8)
    assert pair.accuracy_difference == pytest.approx(0.2)
    assert 0.05 < pair.low < 0.2 < pair.high < 0.4
    assert (pair.only_a, pair.only_b) == (12, 0)
    assert pair.mcnemar_p == pair.mcnemar_p_holm == pytest.approx(2 / 2**12)
    assert pair.auc_difference == 0  # both rank every ill case above every healthy one
    assert pair.delong_p == 1
    assert pair.auc_low is pair.auc_high is None  # no variance


def test_compare_rows_uses_common_cases_only():
    frame = pd.concat([draw_row(1), draw_row(2), draw_row(1, row="B", n=90), draw_row(2, row="B")])
    (pair,) = compare_rows(frame, "paper", ["A", "B"])
    assert pair.seeds == pair.seeds_a == pair.seeds_b == [1, 2]
    assert (pair.n, pair.patients) == (90, 30)
    # Rows A and B hold the same scores in seeds 1 and 2, so nothing but the case set could make a difference.
    assert pair.accuracy_difference == 0
    assert pair.delong_p == pair.mcnemar_p == 1
    # No patient of 30 is discordant: Wilson's limit of 0 of 30.
    assert (pair.low, pair.high) == pytest.approx((-0.11351, 0.11351), abs=1e-4)
    assert pair.auc_low is None


def test_rows_of_different_seeds_are_compared_by_their_own_means():
    seeds = {"A": (0, 1, 2), "B": (1, 2, 5), "C": (0,), "D": (7,)}
    frame = pd.concat([draw_row(seed, row=row, strength=1 + (row == "A")) for row, of in seeds.items() for seed in of])
    accuracy = {row.row: row.metrics["accuracy"] for row in metrics.evaluate(frame)}
    pairs = {(pair.row_a, pair.row_b): pair for pair in compare_rows(frame, "paper", list("ABCD"))}
    for (a, b), pair in pairs.items():
        assert pair.accuracy_difference == pytest.approx(accuracy[a].mean - accuracy[b].mean)
        assert (pair.seeds_a, pair.seeds_b) == (list(seeds[a]), list(seeds[b]))
    several, one, two = pairs["A", "B"], pairs["A", "C"], pairs["C", "D"]
    assert several.seeds == [1, 2]
    assert several.mcnemar_p is not None
    assert several.note == ""
    assert one.mcnemar_p is one.mcnemar_p_holm is one.delong_p is None
    assert one.note == "one training of C: how its trainings vary is not known, no test"
    assert one.accuracy_test == one.auc_test == ""
    assert two.mcnemar_p is not None
    assert "these are two trainings" in two.note


def test_rows_of_different_folds_are_noted():
    a, b = draw_row(0), draw_row(0, row="B")
    case = pd.factorize(a["case_id"])[0]
    for folds_a, folds_b, differ in ((case % 3, case % 3, False), (case % 3, 2 - case % 3, False), (case % 3, case % 2, True)):
        (pair,) = compare_rows(pd.concat([a.assign(fold=folds_a), b.assign(fold=folds_b)]), "paper", ["A", "B"])
        assert ("the folds of the rows differ" in pair.note) == differ


def test_compare_rows_averages_scores_over_seeds():
    y = np.repeat([0, 1], [20, 20])
    sure, unsure = np.where(y, 0.9, 0.1), np.where(y, 0.4, 0.6)
    frame = pd.concat(
        [tabulate(y, s, row="A", seed=k) for k, s in enumerate((sure, unsure))]
        + [tabulate(y, sure, row="B", seed=k) for k in range(2)]
    )
    (pair,) = compare_rows(frame, "paper", ["A", "B"])
    assert (pair.accuracy_a, pair.accuracy_b) == (0.5, 1.0)  # mean over the seeds
    assert (pair.only_a, pair.only_b) == (0, 0)  # the mean score is right everywhere
    # The t test is of the mean over the trainings: two of A differ by 100 points, so two say nothing.
    assert pair.mcnemar_p > 0.4


def test_compare_rows_adjusts_over_all_pairs():
    strengths = {"A": 0.2, "B": 0.9, "C": 2}
    frame = pd.concat([draw_row(i, row=row, strength=strengths[row]).assign(seed=0) for i, row in enumerate(strengths)])
    pairs = compare_rows(frame, "paper", ["A", "B", "C"])
    assert [(pair.row_a, pair.row_b) for pair in pairs] == [("A", "B"), ("A", "C"), ("B", "C")]
    for name in ("mcnemar_p", "delong_p"):
        adjusted = statistics.holm([getattr(pair, name) for pair in pairs])
        assert [getattr(pair, f"{name}_holm") for pair in pairs] == pytest.approx(adjusted)
    assert compare_rows(frame, "paper", ["A"]) == []
    a, c = (frame[frame["row"] == name] for name in "AC")
    singles = [part.assign(patient_id=part["case_id"]) for part in (a, c)]
    (single,) = compare_rows(pd.concat(singles), "paper", ["A", "C"])
    delong = statistics.delong_test(a["y_true"], a["y_score_1"], c["y_score_1"])
    assert single.auc_difference == pairs[1].auc_difference == pytest.approx(delong.difference)
    # The same standard error; the t quantile makes the interval a little wider than DeLong's normal one.
    assert 1 < (single.auc_high - single.auc_low) / (delong.high - delong.low) < 1.04
    assert (single.accuracy_test, single.auc_test) == ("McNemar, exact", "DeLong, t")
    assert (pairs[1].accuracy_test, pairs[1].auc_test) == ("cluster t", "clustered DeLong, t")


def test_compare_rows_refuses_what_cannot_be_paired():
    other_cases = draw_row(0, row="B")
    other_cases["case_id"] = "other" + other_cases["case_id"]
    for frame, message in (
        (pd.concat([draw_row(0), other_cases]), "no common case"),
        (pd.concat([draw_row(0), draw_row(0, row="B").assign(y_true=0)]), "y_true of case 'case0000' differs"),
    ):
        with pytest.raises(UsageError, match=message):
            compare_rows(frame, "paper", ["A", "B"])
