"""Which function makes which exhibit: found by name, with its line and its pictures."""

from pathlib import Path

from common.records.paper import Paper
from common.report.exhibits import Maker, find_makers, render_exhibits

EXPERIMENTS = '''"""Tables."""


def count_table_1(dataset):
    return {}


def list_rows():
    return list_table_2()


def list_table_2():
    return []
'''
FIGURES = '''def draw_figure_10(shown, results):
    for protocol in ("paper", "leakfree"):
        yield f"figure10-{protocol}.png", "no picture"


def draw_figure_2(shown, results):
    """Fig. 2."""
    yield "figure2.png"


def draw_intervals(shown, results):
    yield "intervals.png"
'''


def make_package(folder: Path) -> Path:
    (folder / "experiments.py").write_text(EXPERIMENTS)
    (folder / "figures.py").write_text(FIGURES)
    return folder


def test_makers_are_found_by_their_names(tmp_path):
    assert find_makers(make_package(tmp_path)) == [
        Maker("1", "experiments.py", "count_table_1", 4, ()),
        Maker("2", "experiments.py", "list_table_2", 12, ()),
        Maker("Fig. 2", "figures.py", "draw_figure_2", 6, ("figure2.png",)),
        Maker("Fig. 10", "figures.py", "draw_figure_10", 1, ("figure10-*.png",)),
    ]


def test_the_table_links_to_the_lines_and_names_rows_and_pictures(tmp_path, paper: Paper):
    lines = render_exhibits(make_package(tmp_path), paper).splitlines()[2:]
    assert lines == [
        "| Table 1 | [count_table_1](experiments.py#L4), experiments.py line 4 | row set |",
        "| Table 2 | [list_table_2](experiments.py#L12), experiments.py line 12 | "
        "rows set / net; set / old net; set / absent net |",
        "| Fig. 2 | [draw_figure_2](figures.py#L6), figures.py line 6 | `figure2.png` |",
        "| Fig. 10 | [draw_figure_10](figures.py#L1), figures.py line 1 | `figure10-*.png` |",
    ]


def test_a_package_without_code_has_none(tmp_path, paper):
    assert render_exhibits(tmp_path, paper) == "No code yet."
