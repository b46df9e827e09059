"""Rows, counts and own tables: what the printed numbers imply, what a gain means, which rows a setting marks."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from common.audit.confusions import compute_macro
from common.cases.folds import gather_fold
from common.records.paper import load_paper
from common.records.results import Pair
from replications.bone_acgan import experiments, implied, measures, plans
from replications.bone_acgan.config import CLASSES, PAPER
from replications.bone_acgan.rows import FINAL, MULTI, RESNET34, name_gan, name_patients, name_row


@pytest.fixture(scope="module")
def paper(root):
    return load_paper(root / "replications" / "bone_acgan" / "paper.toml")


def test_every_row_of_tables_4_to_8_follows_from_one_confusion_matrix(paper):
    """Right answers of each class, found independently by a search over all divisions of the test set."""
    expected = {
        name_row(RESNET34, 1): (31, 14, 9), name_row(RESNET34, 2): (30, 18, 8), name_row(RESNET34, 3): (36, 13, 8),
        name_row(RESNET34, 4): (35, 20, 5), name_row(RESNET34, 5): (35, 21, 6), name_row("VGG16", 4): (36, 19, 4),
        name_row("DenseNet121", 4): (35, 18, 9), name_row("ResNeXt50", 4): (31, 23, 5),
        name_row("MobileNetV3", 4): (33, 17, 10), name_row("InceptionV3", 4): (35, 16, 10),
        name_row("EfficientNet", 4): (36, 18, 8), name_row(MULTI, 4): (35, 22, 7), FINAL: (36, 21, 9),
    }  # fmt: skip
    found = implied.imply_counts(paper)
    assert expected.keys() <= found.keys()
    for row, right in expected.items():
        assert {solution.correct for solution in found[row]} == {right}, row
    printed = {claim.metric: claim.value for claim in paper.claims if (claim.table, claim.row) == ("8", FINAL)}
    computed = compute_macro(found[FINAL][0], implied.OFFSET)
    for metric, value in printed.items():
        assert float(computed[metric]) == pytest.approx(value, abs=5e-5)
    assert implied.imply_matrix(paper, FINAL).tolist() == [[36, 1, 0], [4, 21, 0], [5, 1, 9]]
    assert implied.imply_matrix(paper, name_row("DenseNet121", 4)) is None  # two fit


def make_predictions(rows: dict[str, list[int]], protocol: str = "leakfree") -> pd.DataFrame:
    """Answers of each row for six views of three patients, one of each class."""
    lines = []
    for row, answers in rows.items():
        for number, answer in enumerate(answers):
            scores = np.full(3, 0.1)
            scores[answer] = 0.8
            about = {
                "row": row,
                "protocol": protocol,
                "seed": 0,
                "fold": 0,
                "case_id": str(number),
                "patient_id": str(number // 2),
            }
            lines.append(about | {"y_true": number // 2} | {f"y_score_{k}": scores[k] for k in range(3)})
    return pd.DataFrame(lines)


def test_recall_stands_beside_the_papers(paper):
    table = implied.tabulate_recall(paper, make_predictions({FINAL: [0, 0, 1, 0, 0, 0]}))
    (line,) = (line for line in table.rows if line[0] == FINAL)
    assert line[1:4] == ["36 of 37 (97 %)", "21 of 25 (84 %)", "9 of 15 (60 %)"]
    assert line[4:7] == ["–"] * 3
    assert line[7:] == ["2 of 2 (100 %)", "1 of 2 (50 %)", "0 of 2 (0 %)"]


def test_patients_are_judged_by_the_mean_of_their_views():
    averaged = experiments.average_patients(make_predictions({FINAL: [0, 1, 1, 1, 2, 0], "other": [0] * 6}))
    part = averaged[averaged["row"] == name_patients(FINAL)]
    assert part["case_id"].tolist() == ["0", "1", "2"]
    np.testing.assert_allclose(part[["y_score_0", "y_score_1", "y_score_2"]].iloc[0], [0.45, 0.45, 0.1])
    assert len(averaged) == 15


def make_pair(**changes) -> Pair:
    return Pair.model_construct(
        **{"protocol": "leakfree", "patients": 150, "n": 300, "mcnemar_p": 0.4, "low": None, "high": None} | changes
    )


def test_a_gain_has_its_interval_and_the_smallest_that_would_show():
    pair = make_pair(row_a=name_row(MULTI, 4), row_b=FINAL, accuracy_difference=-0.02, low=-0.07, high=0.03)
    (line,) = measures.tabulate_gain([pair, make_pair(row_a="x", row_b="y", accuracy_difference=0.0)]).rows
    assert line[:2] == [FINAL, name_row(MULTI, 4)]
    assert line[5:8] == ["+2.0", "[−3.0, 7.0]", "7.1"]  # (1.96 + 0.84) / 1.96 half-widths
    assert 1.42 < measures.POWER < 1.44


def test_settings_mark_the_rows_that_they_shape():
    rows = {row.name: row for row in experiments.list_rows(PAPER)}

    def mark(**changed) -> set[str]:
        config = replace(PAPER, **changed)
        return {name for name, row in rows.items() if experiments.list_departures(row, config, PAPER, "imagenet")}

    plain = {name_row(RESNET34, 1), f"{RESNET34} / training directly"}
    of_gans = {name_gan("ACGAN"), name_gan("MU-ACGAN"), name_gan("MU-ACGAN", transfer=False)}
    fed = {name for name in rows if any(f"data set {number}" in name for number in (2, 3, 5))}
    assert mark(gan_batch_size=4) == of_gans | fed
    assert mark(rotation=5.0) == {name for name in rows if "data set 4" in name or "data set 5" in name}
    assert mark(batch_size=8) == rows.keys() - of_gans
    assert mark(picture_height=224) == rows.keys()
    assert mark(seeds=(1,), leakfree_folds=3, phantom_patients=3) == set()
    random = {name for name, row in rows.items() if experiments.list_departures(row, PAPER, PAPER, "random")}
    assert random == rows.keys() - of_gans - {f"{RESNET34} / training directly", name_row(RESNET34, 5, transfer=False)}
    assert plain <= rows.keys()


def test_counts_of_tables_1_and_2():
    labels = np.repeat([0, 1, 2], [162, 126, 58])
    cases = pd.DataFrame(
        {"label": labels, "case_id": np.arange(346).astype(str), "patient_id": (np.arange(346) // 2).astype(str)}
    )
    sides = np.where(np.arange(346) % 5 == 0, "test", "train")
    counts = experiments.count_tables(cases, [gather_fold(sides, "every fifth")], PAPER)
    assert counts["1", "health", "train"] + counts["1", "health", "test"] == counts["1", "health", "total"] == 162
    assert counts["1", "benign changes", "share"] == pytest.approx(58 / 346)
    assert counts["2", "metastases", "augmented"] == 15 * counts["1", "metastases", "train"]
    assert counts["text", "all", "cases"] == 173


def test_a_row_whose_gan_failed_says_why():
    rows = [
        row
        for row in experiments.list_rows(PAPER)
        if row.name in (name_row(RESNET34, 3), name_row(RESNET34, 4), name_gan("MU-ACGAN"))
    ]
    cell = plans.plan_source("MU-ACGAN", PAPER, "0" * 64)
    reasons = plans.explain_failures(rows, {}, {cell.key: "FloatingPointError: the loss became nan"}, [cell])
    assert reasons[name_gan("MU-ACGAN")].startswith("failed: FloatingPointError")
    assert reasons[name_row(RESNET34, 3)].startswith("its pictures: failed: ")
    assert name_row(RESNET34, 4) not in reasons
    lacking = plans.explain_failures(rows, {"ResNet34": "resnet34.pth: not here"}, {}, [])
    assert lacking[name_row(RESNET34, 4)] == "resnet34.pth: not here"


def test_statements_on_errors_are_counted():
    predictions = make_predictions({FINAL: [0, 0, 1, 0, 0, 0]})
    checks = experiments.build_checks(predictions)
    assert checks["health_above_90"]("leakfree", {FINAL: 0.5})[0] == "holds"
    assert checks["metastases_called_health"]("leakfree", {FINAL: 0.5}) == (
        "holds", "1 of 1 misread metastases are called health, over all seeds",
    )  # fmt: skip
    assert checks["health_above_90"]("paper", {})[0] == "not run"
    assert set(CLASSES) == {"health", "metastases", "benign changes"}
