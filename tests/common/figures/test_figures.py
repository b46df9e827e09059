"""Every kind of figure: its size, nothing cut off or covered, labels on its axes, the mark of synthetic data."""

import numpy as np
import pytest
from drawings import (
    ALL,
    draw_bars,
    draw_confusion,
    draw_heatmap,
    draw_images,
    draw_intervals,
    draw_overlays,
    draw_reliability,
    draw_roc,
    draw_shares,
    draw_steps,
)
from PIL import Image

from common.figures.style import DPI, save_figure


@pytest.mark.parametrize("draw", ALL)
def test_file_has_the_size_and_is_drawn(tmp_path, draw):
    figure = draw()
    save_figure(figure, tmp_path / "figures" / "a.png", synthetic=False)
    with Image.open(tmp_path / "figures" / "a.png") as image:
        assert image.size == tuple(np.floor(figure.get_size_inches() * DPI + 1e-6).astype(int))
        pixels = np.asarray(image.convert("L"))
    assert 0.02 < (pixels < 250).mean() < 0.98
    # Nothing is cut off at the edge of the paper.
    assert (np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]) > 250).all()
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["a.png"]


LABELS = {draw_bars: {"accuracy (%)"}, draw_steps: {"layers", "accuracy (%)"}, draw_overlays: {"evidence"}}


@pytest.mark.parametrize("draw", [draw for draw in ALL if draw is not draw_images and draw not in LABELS])
def test_axes_are_labelled(draw):
    figure = draw()
    labels = {axes.get_xlabel() for axes in figure.axes} | {axes.get_ylabel() for axes in figure.axes}
    assert len(labels - {""}) >= (1 if draw in (draw_heatmap, draw_intervals) else 2)


@pytest.mark.parametrize("draw", LABELS)
def test_axes_bear_these_labels_and_no_others(draw):
    labels = {label for axes in draw().axes for label in (axes.get_xlabel(), axes.get_ylabel())} - {""}
    assert labels == LABELS[draw]


@pytest.mark.parametrize("draw", [draw_shares, draw_reliability])
def test_a_legend_lies_beside_the_marks(draw):
    figure = draw()
    figure.canvas.draw()
    (legend,) = figure.legends
    assert not [
        axes for axes in figure.axes if axes.get_legend() or axes.get_window_extent().overlaps(legend.get_window_extent())
    ]


@pytest.mark.parametrize("draw", [draw_bars, draw_steps])
def test_texts_do_not_overlap(draw):
    figure = draw()
    figure.canvas.draw()
    boxes = [
        text.get_window_extent()
        for axes in figure.axes
        for text in (axes.xaxis.label, axes.yaxis.label, axes._left_title, *axes.get_xticklabels(), *axes.texts)
        if text.get_text()
    ]
    boxes += [figure.legends[0].get_window_extent()]
    overlapping = [(i, j) for i, a in enumerate(boxes) for j, b in enumerate(boxes[:i]) if a.overlaps(b)]
    assert overlapping == []


@pytest.mark.parametrize("draw", [draw for draw in ALL if draw is not draw_images])  # its pictures are random
def test_synthetic_data_are_marked(tmp_path, draw):
    """A strip above the picture, which itself stays as it is: nothing is covered."""
    save_figure(draw(), tmp_path / "marked.png", synthetic=True)
    save_figure(draw(), tmp_path / "plain.png", synthetic=False)
    with Image.open(tmp_path / "marked.png") as image, Image.open(tmp_path / "plain.png") as other:
        marked, plain = np.asarray(image), np.asarray(other)
    strip = marked[: len(marked) - len(plain)]
    np.testing.assert_array_equal(marked[len(strip) :], plain)
    assert (strip[0] == (0xD5, 0x5E, 0x00)).all()
    assert 0.01 < (strip.min(axis=2) > 200).mean() < 0.5  # white letters


def test_equal_figures_give_equal_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        save_figure(draw_confusion(), tmp_path / name, synthetic=False)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_series_of_curves_and_steps_differ_in_more_than_colour():
    lines = [line for line in draw_roc().axes[0].lines if line.get_linewidth() == 1.8]
    assert len({line.get_linestyle() for line in lines}) == len(lines) == 2
    lines = [line for line in draw_steps().legends[0].get_lines() if line.get_label() in ("net", "other")]
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == 2
    greys = [np.dot(bar.get_facecolor()[:3], (0.299, 0.587, 0.114)) for bar in draw_bars().axes[0].patches]
    assert abs(greys[0] - greys[2]) > 0.2  # the two series, printed without colour
