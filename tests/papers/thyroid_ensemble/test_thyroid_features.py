"""Classic descriptions against direct formulas; the support vector machine and the forest on data with known answers."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from common.errors import UsageError
from replications.thyroid_ensemble import baselines
from replications.thyroid_ensemble.config import DEMO, PAPER, SMOKE

RANDOM = np.random.default_rng(0)
PICTURE = RANDOM.integers(0, 256, (20, 24), dtype=np.uint8)


def draw_grating(frequency: float, degrees: float, side: int = 128) -> np.ndarray:
    """A wave that runs along the columns at 0 degrees, down the rows at 90."""
    y, x = np.indices((side, side))
    angle = np.radians(degrees)
    return np.rint(127.5 + 100 * np.cos(2 * np.pi * frequency * (x * np.cos(angle) + y * np.sin(angle)))).astype(np.uint8)


def count_patterns(picture: np.ndarray) -> np.ndarray:
    """Shares of the 59 patterns, pixel by pixel: no ones, then by number of ones and first one of the run, all ones, others."""
    image = picture.astype(float)
    counts = np.zeros(59)
    for row in range(1, image.shape[0] - 1):
        for column in range(1, image.shape[1] - 1):
            bits = []
            for point in range(8):
                angle = 2 * np.pi * point / 8
                y, x = round(row - np.sin(angle), 5), round(column + np.cos(angle), 5)
                top, left = int(np.floor(y)), int(np.floor(x))
                part_y, part_x = y - top, x - left
                bottom, right = int(np.ceil(y)), int(np.ceil(x))
                above = (1 - part_x) * image[top, left] + part_x * image[top, right]
                below = (1 - part_x) * image[bottom, left] + part_x * image[bottom, right]
                bits.append(int((1 - part_y) * above + part_y * below >= image[row, column]))
            ones = sum(bits)
            if sum(bits[i] != bits[i - 1] for i in range(8)) > 2:
                counts[58] += 1
            elif ones in (0, 8):
                counts[0 if ones == 0 else 57] += 1
            else:
                first = next(i for i in range(8) if bits[i] and not bits[i - 1])
                counts[1 + (ones - 1) * 8 + first] += 1
    return counts / counts.sum()


def test_patterns_equal_a_direct_count():
    (row,) = baselines.describe_ulbp(PICTURE[None], PAPER)
    direct = count_patterns(PICTURE)
    assert row.shape == (59,)
    assert row.dtype == np.float32
    assert row.sum() == pytest.approx(1, abs=1e-6)
    assert row[[0, 57, 58]] == pytest.approx(direct[[0, 57, 58]], abs=1e-6)
    for ones in range(1, 8):  # which run of a number of ones comes first is the library's convention
        block = slice(1 + (ones - 1) * 8, 1 + ones * 8)
        assert sorted(row[block]) == pytest.approx(sorted(direct[block]), abs=1e-6)


def test_patterns_know_orientation_and_no_brightness():
    stripes = draw_grating(0.1, 20)
    upright, turned, darker = baselines.describe_ulbp(np.stack([stripes, stripes.T, stripes // 2 + 10]), PAPER)
    assert np.abs(upright - turned).sum() > 0.3
    assert np.abs(upright - darker).sum() < 0.1


def describe_pairs(picture: np.ndarray, steps: list[tuple[int, int]]) -> list[np.ndarray]:
    """The six properties by their formulas, for steps (rows, columns) to the neighbour."""
    rows = []
    for down, right in steps:
        matrix = np.zeros((256, 256))
        for y in range(picture.shape[0]):
            for x in range(picture.shape[1]):
                if 0 <= y + down < picture.shape[0] and 0 <= x + right < picture.shape[1]:
                    a, b = picture[y, x], picture[y + down, x + right]
                    matrix[a, b] += 1
                    matrix[b, a] += 1
        matrix /= matrix.sum()
        i, j = np.indices(matrix.shape)
        mean = (i * matrix).sum()
        variance = ((i - mean) ** 2 * matrix).sum()
        full = matrix[matrix > 0]
        rows.append([
            ((i - j) ** 2 * matrix).sum(),
            (np.abs(i - j) * matrix).sum(),
            (matrix / (1 + (i - j) ** 2)).sum(),
            -(full * np.log(full)).sum(),
            ((i - mean) * (j - mean) * matrix).sum() / variance,
            np.sqrt((matrix**2).sum()),
        ])  # fmt: skip
    return np.mean(rows, axis=0)


@pytest.mark.parametrize("levels", [256, 6])
def test_cooccurrence_equals_the_formulas(levels):
    picture = PICTURE // (256 // levels)
    config = replace(PAPER, glcm_distances=(1, 2), glcm_angles=(0.0, 90.0))
    (row,) = baselines.describe_glcm(picture[None], config)
    assert row == pytest.approx(describe_pairs(picture, [(0, 1), (0, 2), (1, 0), (2, 0)]), rel=1e-4)


def test_cooccurrence_of_a_constant_and_of_a_chequered_picture():
    chequered = (np.indices((16, 16)).sum(axis=0) % 2 * 10).astype(np.uint8)
    config = replace(PAPER, glcm_angles=(0.0, 90.0))
    flat, chequer = baselines.describe_glcm(np.stack([np.full((16, 16), 200, np.uint8), chequered]), config)
    assert flat == pytest.approx([0, 0, 1, 0, 1, 1], abs=1e-6)
    assert chequer == pytest.approx([100, 10, 1 / 101, np.log(2), -1, np.sqrt(0.5)], rel=1e-5)


def strongest_filter(roi: np.ndarray) -> tuple[float, float]:
    """Frequency and orientation in degrees of the filter with the largest mean response."""
    (row,) = baselines.describe_gabor(roi[None], PAPER)
    means = row[0::2].reshape(len(PAPER.gabor_frequencies), PAPER.gabor_orientations)
    frequency, orientation = np.unravel_index(means.argmax(), means.shape)
    return PAPER.gabor_frequencies[frequency], orientation * 180 / PAPER.gabor_orientations


@pytest.mark.parametrize("frequency", PAPER.gabor_frequencies)
@pytest.mark.parametrize("degrees", [0, 30, 90, 150])
def test_gabor_answers_to_a_grating_of_its_frequency_and_orientation(frequency, degrees):
    assert strongest_filter(draw_grating(frequency, degrees)) == (frequency, degrees)


def test_gabor_response_is_the_filtered_amplitude():
    """A unit filter of one frequency answers to a wave of amplitude 100 with half of it, everywhere alike."""
    (row,) = baselines.describe_gabor(draw_grating(0.2, 0)[None], PAPER)
    assert row.shape == (4 * 6 * 2,)
    mean, deviation = row.reshape(4, 6, 2)[2, 0]
    assert mean == pytest.approx(50, rel=0.05)
    assert deviation < 5
    assert baselines.describe_gabor(np.full((1, 64, 64), 180, np.uint8), PAPER) == pytest.approx(0, abs=1e-3)


def test_gradients_stand_beside_the_patterns():
    rows = baselines.describe_lbp_hog(np.stack([draw_grating(0.1, 0), draw_grating(0.1, 90)]), PAPER)
    assert rows.shape == (2, 59 + 7 * 7 * 4 * 9)
    assert rows.dtype == np.float32
    assert rows[:, :59] == pytest.approx(baselines.describe_ulbp(np.stack([draw_grating(0.1, a) for a in (0, 90)]), PAPER))
    strongest = rows[:, 59:].reshape(2, -1, 9).sum(axis=1).argmax(axis=1)
    assert strongest[0] != strongest[1]


def draw_points(patients: int, distance: float, seed: int = 0):
    """Five features of 4 cases a patient, labels by turns, patients; the classes' centres lie `distance` apart."""
    random = np.random.default_rng(seed)
    groups = np.repeat([f"p{i:03d}" for i in range(patients)], 4)
    labels = np.repeat(np.arange(patients) % 2, 4)
    return random.normal(0, 1, (len(labels), 5)) + distance * labels[:, None] / np.sqrt(5), labels, groups


@pytest.mark.parametrize("grouped", [True, False])
def test_machine_learns_what_is_separable_and_nothing_else(grouped):
    for distance, low, high in ((8.0, 1.0, 1.0), (0.0, 0.3, 0.7)):
        rows, labels, groups = draw_points(30, distance)
        machine = baselines.fit_svm(rows, labels, groups if grouped else None, DEMO, seed=0)
        rows, labels, _ = draw_points(60, distance, seed=1)
        scores = machine.predict_proba(rows)
        assert scores.shape == (240, 2)
        assert scores.sum(axis=1) == pytest.approx(1)
        assert low <= roc_auc_score(labels, scores[:, 1]) <= high


def test_machine_is_deterministic_and_its_probabilities_are_calibrated():
    rows, labels, groups = draw_points(100, 1.5)
    scores = [baselines.fit_svm(rows, labels, groups, SMOKE, seed=3).predict_proba(rows) for _ in range(2)]
    np.testing.assert_array_equal(*scores)
    fresh, truth, _ = draw_points(300, 1.5, seed=9)
    score = baselines.fit_svm(rows, labels, groups, SMOKE, seed=3).predict_proba(fresh)[:, 1]
    for low, high in ((0, 0.35), (0.35, 0.65), (0.65, 1)):
        inside = (score >= low) & (score < high)
        assert truth[inside].mean() == pytest.approx(score[inside].mean(), abs=0.1)


def test_machine_chooses_settings_on_left_out_cases():
    """Neighbours of one patient must not choose a narrow kernel: with patients torn apart it remembers them."""
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    labels = np.repeat(random.permutation(np.arange(40) % 2), 5)
    rows = np.repeat(random.normal(0, 1, (40, 3)), 5, axis=0) + random.normal(0, 0.05, (200, 3))
    rows[:, 0] += 1.5 * labels
    config = replace(PAPER, svm_c=(1.0,), svm_gamma=(0.3, 300.0))
    torn = baselines.fit_svm(rows, labels, None, config, seed=0)
    kept = baselines.fit_svm(rows, labels, groups, config, seed=0)
    assert torn.machine[-1].gamma == pytest.approx(100)
    assert kept.machine[-1].gamma == pytest.approx(0.1)


def test_inner_folds_keep_patients_together_and_hold_both_classes(monkeypatch):
    rows, labels, groups = draw_points(14, 1.0)
    seen = []
    plain = baselines.cross_val_predict
    monkeypatch.setattr(baselines, "cross_val_predict", lambda *a, cv, **k: seen.append(cv) or plain(*a, cv=cv, **k))
    baselines.fit_svm(rows, labels, groups, DEMO, seed=0)
    assert len(seen) == len(DEMO.svm_c) * len(DEMO.svm_gamma)
    assert len(seen[0]) == DEMO.svm_folds
    for train, test in seen[0]:
        assert not set(groups[train]) & set(groups[test])
        assert set(labels[train]) == {0, 1}
    assert sorted(np.concatenate([test for _, test in seen[0]])) == list(range(len(labels)))
    baselines.fit_svm(rows, labels, None, DEMO, seed=0)
    assert any(set(groups[train]) & set(groups[test]) for train, test in seen[-1])


def test_machine_needs_two_patients_of_each_class():
    rows, labels, groups = draw_points(14, 8.0)
    few = np.isin(groups, ["p000", "p001", "p002", "p003"])
    machine = baselines.fit_svm(rows[few], labels[few], groups[few], PAPER, seed=0)  # 2 and 2: two folds
    assert roc_auc_score(labels, machine.predict_proba(rows)[:, 1]) > 0.95
    few &= groups != "p003"
    with pytest.raises(UsageError, match="too few patients .* has 1"):
        baselines.fit_svm(rows[few], labels[few], groups[few], PAPER, seed=0)
    with pytest.raises(UsageError, match="too few cases .* has 0"):
        baselines.fit_svm(rows[labels == 0], labels[labels == 0], None, PAPER, seed=0)


def test_machine_refuses_folds_that_leave_a_class_out():
    """Three patients with nodules of both kinds, whose malignant cases the balance of the folds puts on one side."""
    counts = [(14, 38), (15, 1), (22, 0)]
    labels = np.concatenate([[0] * benign + [1] * malignant for benign, malignant in counts])
    groups = np.repeat(["a", "b", "c"], np.sum(counts, axis=1))
    with pytest.raises(UsageError, match="each class needs 2 in different folds"):
        baselines.fit_svm(np.eye(len(labels)), labels, groups, PAPER, seed=0)


def test_forest_learns_and_is_deterministic():
    for distance, low, high in ((8.0, 1.0, 1.0), (0.0, 0.3, 0.7)):
        rows, labels, _ = draw_points(30, distance)
        fresh, truth, _ = draw_points(60, distance, seed=1)
        scores = [baselines.fit_forest(rows, labels, SMOKE, seed=2).predict_proba(fresh) for _ in range(2)]
        np.testing.assert_array_equal(*scores)
        assert scores[0].sum(axis=1) == pytest.approx(1)
        assert low <= roc_auc_score(truth, scores[0][:, 1]) <= high


def test_costs_move_the_forest_towards_malignant():
    rows, labels, _ = draw_points(60, 1.5)
    fresh, truth, _ = draw_points(100, 1.5, seed=1)
    rates = []
    for cost in (1.0, 2.0, 10.0):
        config = replace(SMOKE, forest_trees=60, forest_malignant_cost=cost)
        called = baselines.fit_forest(rows, labels, config, seed=0).predict_proba(fresh)[:, 1] >= 0.5
        rates.append((called[truth == 1].mean(), called[truth == 0].mean()))
    sensitivity, alarms = np.transpose(rates)
    assert sensitivity[0] + 0.05 < sensitivity[1] < sensitivity[2]
    assert alarms[0] + 0.05 < alarms[1] < alarms[2]
