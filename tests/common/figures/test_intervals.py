"""Bars, steps and the forest plot: every value and limit where it belongs, and the marks of doubtful ones."""

import numpy as np
import pytest
from drawings import LINE, draw_bars, draw_steps, legend
from matplotlib.colors import to_hex

from common.figures import intervals
from common.figures.intervals import Panel, Value, plot_bars, plot_intervals, plot_shares


def test_bars_stand_for_their_values():
    figure = draw_bars()
    first, second = figure.axes
    assert [bar.get_height() for bar in first.patches] == [60, 80, 70]
    places = [bar.get_x() + bar.get_width() / 2 for bar in first.patches]
    assert places == pytest.approx([-0.2, 0.8, 0.2])
    assert [text.get_text().strip() for text in first.texts] == ["60.0", "80.0", "70.0", "not run"]
    assert [bar.get_hatch() for bar in second.patches] == [intervals.HATCH, None]
    assert [line.get_ydata()[0] for line in first.lines if line.get_marker() == "D"] == [72]
    segments = [tuple(segment[:, 1]) for lines in first.collections for segment in lines.get_segments()]
    assert segments == [(50, 70), (65, 75)]  # no limits, no bar
    assert legend(figure) == ["plain", "new", "printed", "doubtful", "guessing"]
    assert legend(plot_bars([Panel("", {"a": {"b": Value(1)}})], label="x")) == ["a"]


def test_steps_keep_their_order_and_marks():
    figure = draw_steps()
    first, second = figure.axes
    assert [tick.get_text() for tick in second.get_xticklabels()] == ["0", "1", "all"]
    (line,) = [line for line in second.lines if len(line.get_xdata()) == 2 and line.get_linestyle() == "--"]
    assert line.get_ydata().tolist() == [50, 55]  # in the order of the steps, not of the mapping
    points = [line for line in first.lines if line.get_marker() == "o" and line.get_markersize() == 5.5]
    assert [to_hex(point.get_markerfacecolor()) == "#ffffff" for point in points] == [False, True, False]
    rings = [line for axes in figure.axes for line in axes.lines if line.get_markersize() == 13]
    assert [ring.get_ydata()[0] for ring in rings] == [80]  # the other series has no such step
    assert legend(figure) == ["net", "other", "best", "doubtful", "guessing"]


def test_intervals_lie_where_the_numbers_are():
    axes = plot_intervals([LINE], label="accuracy (%)").axes[0]
    drawn = [tuple(np.round(line.get_xdata(), 6)) for line in axes.lines]
    for expected in [(88.0, 92.0), (90.0,), (86.0, 90.0), (88.0,), (77.0, 83.0), (80.0,), (70.0, 70.0), (75.0, 75.0)]:
        assert expected in drawn


def test_a_line_is_broken_where_a_share_was_not_run():
    series = {"a": [(0.1, 80, 78, 82), (0.5, 85, 84, 86), (1.0, 90, 88, 92)], "b": [(0.1, 70, 60, 75), (1.0, 80, None, None)]}
    (axes,) = plot_shares(series, label="accuracy (%)").axes
    lines = [container.lines[0].get_ydata() for container in axes.containers]
    np.testing.assert_array_equal(lines[0], [80, 85, 90])
    np.testing.assert_array_equal(lines[1], [70, np.nan, 80])
