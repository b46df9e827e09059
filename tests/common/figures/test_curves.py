"""ROC curves, reliability and training curves: what is drawn, averaged and said in the legend."""

import numpy as np
import pytest
from drawings import SCORES, Y_TRUE, draw_history, draw_roc, texts

from common.evaluation.statistics import average_roc, compute_roc
from common.figures.curves import plot_history, plot_reliability


def test_history_averages_the_seeds_still_training():
    loss = draw_history().axes[0]
    thick = [line for line in loss.lines if line.get_linewidth() == 2]
    assert np.allclose(thick[0].get_ydata(), [0.6, 0.4, 0.3])
    assert thick[0].get_label() == "training, mean of n = 2 seeds, 1 at fewest"
    assert thick[1].get_label() == "validation, mean of n = 1 seed"


def test_the_legend_says_how_few_seeds_a_mean_becomes_of():
    runs = {seed: {"loss": np.ones(length), "val_loss": np.ones(length)} for seed, length in enumerate((4, 3, 2))}
    runs[3] = {"loss": np.array([1, np.nan, 1, 1])}  # a gap between two stages
    figure = plot_history(runs, names=("training (with penalty)", "test set"))
    thick = [line.get_label() for line in figure.axes[0].lines if line.get_linewidth() == 2]
    assert thick == ["training (with penalty), mean of n = 4 seeds, 2 at fewest", "test set, mean of n = 3 seeds, 1 at fewest"]
    even = plot_history({seed: {"loss": np.ones(3)} for seed in range(2)})
    assert [line.get_label() for line in even.axes[0].lines if line.get_linewidth() == 2] == ["training, mean of n = 2 seeds"]


@pytest.mark.parametrize(("name", "columns"), [("validation", 2), ("validation patients (loss without the penalty)", 1)])
def test_the_legend_lies_within_the_figure(name, columns):
    runs = {seed: {"loss": np.ones(length), "val_loss": np.ones(length)} for seed, length in enumerate((4, 3))}
    figure = plot_history(runs, names=("training (loss with L2 penalty)", name))
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert legend._ncols == columns
    assert 0 <= legend.get_window_extent().x0 < legend.get_window_extent().x1 <= figure.bbox.width


def test_roc_area_equals_the_share_of_ordered_pairs():
    score = np.round(SCORES[0], 1)  # with ties
    pairs = score[Y_TRUE == 1][:, None] - score[Y_TRUE == 0][None]
    assert compute_roc(Y_TRUE, score)[2] == pytest.approx((pairs > 0).mean() + 0.5 * (pairs == 0).mean())
    with pytest.raises(ValueError, match="both classes"):
        compute_roc(np.ones(4), np.ones(4))


def test_average_roc_of_perfect_and_reversed_scores_is_the_middle():
    heights, area = average_roc([(Y_TRUE, Y_TRUE), (Y_TRUE, 1 - Y_TRUE)])
    assert area == pytest.approx(0.5)
    assert heights[250] == pytest.approx(0.5)


def test_roc_legend_gives_area_interval_and_n():
    figure = draw_roc()
    area = np.mean([compute_roc(Y_TRUE, score)[2] for score in SCORES])
    shown = texts(figure)
    assert f"net: AUC {area:.3f} [0.810, 0.920], 3 trainings" in shown
    assert any("n = 200, of which 50 ill" in text for text in shown)


def test_reliability_bins_hold_equal_numbers():
    figure = plot_reliability([("net", np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.7, 0.9]))], bins=2)
    (line,) = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert np.allclose(line.get_xydata(), [[0.15, 0], [0.8, 1]])
