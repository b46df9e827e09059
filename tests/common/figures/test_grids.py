"""Confusion matrices, tables in colour, pictures and the maps laid over them: every value where it belongs."""

import numpy as np
import pytest
from drawings import GREY_IMAGE, MAP, draw_confusion, draw_heatmap, draw_overlays, texts

from common.figures import grids
from common.figures.grids import plot_confusion_matrices, plot_heatmap, plot_image_grid, plot_overlays


def test_confusion_matrices_show_counts_row_shares_and_n():
    shown = texts(draw_confusion())
    assert "1,299\n96.9 %" in shown
    assert "190\n67.4 %" in shown
    assert "net\nn = 1,622" in shown


def test_a_matrix_summed_over_seeds_names_the_cases_of_one():
    counts = np.array([[1299, 41], [92, 190]])
    shown = texts(plot_confusion_matrices([("net", 5 * counts), ("one", counts)], ("benign", "malignant"), runs=[5, 1]))
    assert "net\nn = 5 × 1,622" in shown
    assert "one\nn = 1,622" in shown
    assert "6,495\n96.9 %" in shown


def test_confusion_matrix_of_an_absent_class_divides_by_nothing():
    shown = texts(plot_confusion_matrices([("net", np.array([[0, 0], [1, 2]]))], ("a", "b")))
    assert shown.count("0\nno case") == 2


def test_heatmap_marks_what_was_not_run():
    figure = draw_heatmap()
    assert texts(figure).count("not run") == 2
    hatched = [patch for axes in figure.axes for patch in axes.patches if patch.get_hatch() == "////"]
    assert len(hatched) == 2
    with pytest.raises(ValueError, match="rows"):
        plot_heatmap([("paper", np.zeros((2, 3)))], ("a", "b"), ("x", "y"), label="")


def test_marked_cells():
    figure = plot_heatmap([("p", np.array([[1.0, np.nan]])), ("q", np.array([[3.0, 4.0]]))], ["r"], ["a", "b"], label="x")
    grids.mark_cells(figure, [np.zeros((1, 2), bool), np.array([[False, True]])], " †")
    assert [[text.get_text() for text in axes.texts] for axes in figure.axes[:2]] == [["1.0", "not run"], ["3.0", "4.0 †"]]


def test_image_grid_needs_a_title_for_each_image():
    with pytest.raises(ValueError, match="2 images, 1 titles"):
        plot_image_grid([np.zeros((2, 2))] * 2, ["a"])


def test_maps_are_transparent_at_0_and_coloured_at_1():
    blended = grids.blend_map(GREY_IMAGE, MAP, strength=0.5)
    assert blended.dtype == np.uint8
    assert blended[0, 0].tolist() == [0, 0, 0]
    brightest = 255 * np.array([0.988362, 0.998364, 0.644924])  # the end of inferno
    np.testing.assert_allclose(blended[-1, -1], 0.5 * 63 + 0.5 * brightest, atol=0.51)
    np.testing.assert_array_equal(grids.blend_map(GREY_IMAGE, 0 * MAP), np.repeat(GREY_IMAGE[..., None], 3, axis=2))


def test_overlays_enclose_what_is_above_half():
    image, mapped, bar = draw_overlays().axes
    assert not image.collections
    (_, line) = mapped.collections
    heights = [path.vertices[:, 1] for path in line.get_paths()]
    assert 3 < np.concatenate(heights).min() <= np.concatenate(heights).max() < 5  # the map passes 0.5 in its middle
    assert bar.get_ylim() == (0, 1)
    assert not plot_overlays([GREY_IMAGE], [0 * MAP], ["map"], columns=1, label="").axes[0].collections
