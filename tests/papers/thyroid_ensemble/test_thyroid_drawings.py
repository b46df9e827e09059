"""Figures of the thyroid ensemble: drawn from made-up predictions, each only from numbers that are there, marked where due."""

import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from common.cases.folds import Fold
from common.cases.prepared import Dataset
from common.cli import parse_options
from common.evaluation import outcome
from common.figures.style import Picture
from common.records.results import DatasetEntry, Environment, Extra, Git, Results, Weights, read_results
from common.runs import run
from replications.thyroid_ensemble import experiments, figures, selection
from replications.thyroid_ensemble.config import CLASSES, NETWORKS, SMOKE
from replications.thyroid_ensemble.plans import list_trainings
from replications.thyroid_ensemble.rows import name_model

PROTOCOLS = ("paper", "leakfree")
COLLAPSED = ("VGG16, no transfer", "ResNet50, k = 2", "GLCM + SVM")  # give all cases one class in the first seed


@dataclass(frozen=True)
class Size:
    """How large a made-up run is."""

    cases: int = 40
    test: int = 16
    seeds: tuple[int, ...] = (0, 1)
    depths: tuple[int, ...] = (0, 2)


def make_dataset(size: Size) -> Dataset:
    """Noise with a disc, brighter in malignant cases; two pictures a patient."""
    rng = np.random.default_rng(0)
    labels = np.arange(size.cases) // 2 % 2
    rows, columns = np.indices((128, 128)) - 63.5
    disc = np.hypot(rows, columns) < 45
    images = rng.integers(60, 120, (size.cases, 128, 128, 1)) + 30 * (labels[:, None, None] * disc)[..., None]
    cases = pd.DataFrame({
        "case_id": [f"case{i:04d}" for i in range(size.cases)],
        "patient_id": [f"patient{i // 2:03d}" for i in range(size.cases)],
        "label": labels,
    })  # fmt: skip
    return Dataset(images.astype(np.uint8), cases, {"name": "made-up pictures", "synthetic": True})


def make_predictions(dataset: Dataset, size: Size, rows: dict[str, float], protocol: str, side: np.ndarray, seed: int):
    """Scores of every row on some cases: log odds of the row's strength around the truth."""
    rng = np.random.default_rng([seed, *protocol.encode()])
    cases, tables = dataset.cases.iloc[side], []
    for row, strength in rows.items():
        for of_seed in size.seeds:
            signs = 2 * cases["label"].to_numpy() - 1
            score = 1 / (1 + np.exp(-(strength * signs + rng.normal(0, 1.2, len(cases)))))
            if row.endswith(COLLAPSED) and of_seed == size.seeds[0]:
                score = 0.5 + 0.01 * score
            table = {"protocol": protocol, "row": row, "seed": of_seed, "fold": -1, "case_id": cases["case_id"]}
            table |= {"patient_id": cases["patient_id"], "y_true": cases["label"], "y_score_0": 1 - score, "y_score_1": score}
            tables.append(pd.DataFrame(table))
    return pd.concat(tables, ignore_index=True)


def make_history(size: Size) -> pd.DataFrame:
    """Falling losses of steps 1 and 2, shorter in later seeds."""
    lines = []
    for protocol in PROTOCOLS:
        for network in NETWORKS:
            for seed in size.seeds:
                for k in size.depths:
                    for fold in (-1,) if protocol == "paper" else (0, 1):
                        stage, step = (f"step2-{k}", f"k = {k}") if k else ("step1", "step 1")
                        for epoch in range(1, 8 - min(seed, 3)):
                            loss = 0.8 / epoch**0.3 - 0.1 * bool(k)
                            values = {"loss": loss, "accuracy": 1 - loss / 2}
                            values |= {f"val_{name}": value - 0.1 for name, value in values.items()}
                            row = f"{name_model(network, 1)}, {step}"
                            lines.append({"protocol": protocol, "seed": seed, "fold": fold, "row": row, "stage": stage,
                                          "epoch": epoch, **values})  # fmt: skip
    return pd.DataFrame(lines)


@dataclass(frozen=True)
class Made:
    """A finished run without trainings."""

    shown: figures.Shown
    results: Results
    choices: list[selection.Choice]

    def list_pictures(self) -> dict[str, Picture]:
        """File -> figure, without writing them."""
        pictures = list(figures.draw_figures(self.shown, self.results))
        found = {picture.file: picture for picture in pictures}
        assert len(found) == len(pictures)  # each file once
        return found


def make_run(size: Size, paper, wanted=None, departures: dict[str, list[str]] | None = None) -> Made:
    """wanted: the rows that the run is to have (default: all); departures: row -> what differs from the published settings."""
    config = replace(SMOKE, seeds=size.seeds, depths=size.depths)
    dataset = make_dataset(size)
    fold = Fold(-1, np.arange(size.test, size.cases), np.arange(0), np.arange(size.test))
    trained = [row for t in list_trainings(config) for row in t.rows.values()]
    strength = {row: 0.5 + 0.5 * ("transfer" not in row) + 0.1 * (index % 7) for index, row in enumerate(trained)}
    tables, choices, depths = [], [], {}
    for protocol in PROTOCOLS:
        test, judged = (
            make_predictions(dataset, size, strength, protocol, side, seed) for seed, side in ((0, fold.test), (1, fold.train))
        )
        table, chosen, of_protocol = selection.derive_rows(test, judged if protocol == "leakfree" else None, config)
        tables.append(table)
        choices += chosen
        depths |= of_protocol
    predictions = pd.concat(tables, ignore_index=True)
    rows = experiments.list_rows(config)
    kept = [row.name for row in rows] if wanted is None else wanted
    predictions = predictions[predictions["row"].isin(kept)].reset_index(drop=True)
    judged = outcome.judge_run(
        paper, rows, predictions, protocols=PROTOCOLS, compared=[experiments.COMPARED],
        checks=experiments.build_checks(choices), counts={}, reasons={}, departures=lambda row: (departures or {}).get(row, []),
        standing=lambda _row: "", impossible=(), positive_class=CLASSES[1],
    )  # fmt: skip
    attention = {network: np.zeros((2, 67, 67), np.float32) for network in NETWORKS}
    attention["VGG16"][:, 10:40, 20:60] = np.linspace(0.2, 1, 40, dtype=np.float32)
    folds_of = {protocol: (dataset, [fold]) for protocol in PROTOCOLS}
    shown = figures.Shown(
        paper=paper, config=config, dataset=dataset, folds_of=folds_of, predictions=predictions, history=make_history(size),
        depths=depths, cases=figures.choose_shown_cases(dataset, folds_of), attention=attention,
    )  # fmt: skip
    return Made(shown, make_results(judged, config), choices)


def make_results(judged: outcome.Outcome, config) -> Results:
    entry = DatasetEntry(
        dataset="made-up", name="made-up pictures", note="", synthetic=True, patients_known=True, cases=40, patients=20,
        classes={"benign": 20, "malignant": 20}, files_sha256=None, unreadable=[], splits={},
    )  # fmt: skip
    return Results(
        version=1, paper="thyroid_ensemble", preset="smoke", protocol="both", overrides={}, on_protocol=False, command="python",
        git=Git(commit=None, dirty=None), started="2026-01-01T00:00:00+00:00", seconds=1.0,
        environment=Environment(python="3.11", backend=None, device=None, deterministic=True), datasets=[entry],
        weights=Weights(source="random"), config=asdict(config), selection={}, seeds=list(config.seeds), rows=judged.rows,
        claims=judged.claims,
        extra=Extra(
            comparisons=judged.comparisons, statements=judged.statements, not_run=judged.not_run, collapsed=judged.collapsed,
            figures=[], commands=[], cells=[],
        ),
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def without_comparisons():
    """No figure shows the paired comparisons."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outcome, "compare_rows", lambda *_: [])
        yield


@pytest.fixture(scope="module")
def made(paper, without_comparisons) -> Made:
    return make_run(Size(), paper)


FEW = ["ensemble", "AlexNet, k = 0", name_model("AlexNet", 1), "GLCM + SVM"]
CHANGED = ["tune_epochs = 8 instead of 100"]


@pytest.fixture(scope="module")
def off(paper, without_comparisons) -> Made:
    """A run of a few rows, trained otherwise than published."""
    return make_run(Size(), paper, FEW, dict.fromkeys(FEW, CHANGED))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(lambda item: hasattr(item, "get_text")) if text.get_text()]


def count_right(made: Made, row: str, protocol: str) -> float:
    """Accuracy in percent, counted from the predictions: the mean over the seeds, which have equally many cases."""
    part = figures.select(made.shown, row, protocol)
    return 100 * float(((part["y_score_1"] > 0.5) == part["y_true"]).mean())


def test_every_figure_of_a_whole_run(made):
    found = made.list_pictures()
    both = ("figure10-roc", "confusion-networks", "confusion-methods", *(f"history-{network.lower()}" for network in NETWORKS))
    single = ("figure3-scales", "figure4-attention", "figure8-transfer", "figure9-depths", "figure11-cases", "table2",
              "accuracy-networks", "accuracy-methods", "reliability")  # fmt: skip
    assert set(found) == {f"{name}-{p}.png" for name in both for p in PROTOCOLS} | {f"{name}.png" for name in single}
    for file, picture in found.items():
        if not file.startswith(("figure3", "figure4", "history")):
            assert "n = 16 test cases (8 malignant) of 8 patients, 2 seeds." in picture.caption
        if file.startswith(("figure8", "figure9", "figure10", "accuracy")):
            assert "95 % intervals take the cases of a patient together" in picture.caption
        assert " *" not in picture.title
        assert "star" not in picture.caption
        assert picture.shows_cases == file.startswith(("figure3", "figure4", "figure11"))


def test_only_what_was_run_is_drawn(paper):
    few = make_run(Size(), paper, ["AlexNet, k = 0"])
    found = replace(few, shown=replace(few.shown, attention={})).list_pictures()
    assert list(found) == ["figure3-scales.png", "figure9-depths.png"]
    lines = [line for line in found["figure9-depths.png"].figure.axes[0].lines if line.get_marker() == "o"]
    assert [line.get_ydata()[0] for line in lines] == [pytest.approx(count_right(few, "AlexNet, k = 0", "paper"))]


def test_files_are_written_and_say_that_data_are_made_up(off, paper, tmp_path):
    rows = [row for row in off.results.rows if row.row == "GLCM + SVM"]
    results = off.results.model_copy(update={"rows": rows})
    shown = replace(off.shown, attention={})
    options = parse_options([], "run", "", [])
    opened = run.Run(tmp_path, options, "smoke", tmp_path, datetime.now(UTC), time.monotonic())
    assert run.close_run(opened, paper, results, lambda found: figures.draw_figures(shown, found), {}) == 0
    entries = read_results(tmp_path / "results.json").extra.figures
    expected = ["figure3-scales", "accuracy-methods", *(f"confusion-methods-{protocol}" for protocol in PROTOCOLS)]
    assert [entry.file for entry in entries] == [f"{name}.png" for name in expected]
    assert [entry.shows_cases for entry in entries] == [True, False, False, False]
    for entry in entries:
        with Image.open(tmp_path / "figures" / entry.file) as image:
            assert image.getpixel((0, 0)) == (0xD5, 0x5E, 0x00)


def list_starts(picture: Picture) -> list[str]:
    """First lines of all texts of a figure."""
    return [text.partition("\n")[0] for text in texts(picture.figure)]


def test_off_protocol_and_collapsed_rows_bear_marks(off):
    found = off.list_pictures()
    for file in ("accuracy-methods.png", "confusion-methods-paper.png"):
        shown = list_starts(found[file])
        assert "ensemble *" in shown
        assert "GLCM + SVM * †" in shown
        which = " (either protocol)" if file.startswith("accuracy") else ""
        assert f"Dagger{which}: one class for all cases in at least one seed." in found[file].caption
        assert "A star marks trainings with other settings than the paper's" in found[file].caption
    depths = found["figure9-depths.png"]
    titles = {axes.get_title(loc="left") for axes in depths.figure.axes}
    assert titles == {"the paper's protocol, n = 16 *", "leak-free, n = 16 *"}
    assert "Hollow" not in depths.caption  # k = 0 of AlexNet did not collapse


def test_only_the_rows_that_depart_bear_a_star(paper):
    found = make_run(Size(), paper, FEW, {"GLCM + SVM": CHANGED}).list_pictures()
    for file in ("accuracy-methods.png", "confusion-methods-paper.png"):
        assert {"ensemble", "GLCM + SVM * †"} <= set(list_starts(found[file]))
        assert "A star marks trainings with other settings than the paper's" in found[file].caption
    for file in ("figure9-depths.png", "figure10-roc-paper.png", "figure11-cases.png", "accuracy-networks.png"):
        assert not any("*" in text for text in texts(found[file].figure))
        assert "*" not in found[file].title
        assert "star" not in found[file].caption


def test_scales_are_centred_squares(made):
    (picture,) = figures.draw_figure_3(made.shown, made.results)
    caption, figure = picture.caption, picture.figure
    squares = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    assert {(p.get_x() + p.get_width() / 2, p.get_width()) for p in squares} == {(63.5, 128.0), (63.5, 64.0), (63.5, 32.0)}
    shapes = [axes.images[0].get_array().shape for axes in figure.axes]
    assert shapes == [(128, 128), (128, 128), (64, 64), (32, 32)] * 2
    roi, crop = (np.asarray(figure.axes[i].images[0].get_array()) for i in (4, 7))
    np.testing.assert_array_equal(crop, roi[48:80, 48:80])
    assert [t for t in texts(figure) if t.startswith("ROI")] == ["ROI, benign", "ROI, malignant"]
    assert caption.endswith("n = 2 pictures. Source: made-up pictures.")


def test_attention_lies_where_the_map_is(made):
    (picture,) = figures.draw_figure_4(made.shown, made.results)
    caption, figure = picture.caption, picture.figure
    titles = [axes.get_title() for axes in figure.axes[:4]]
    assert titles == ["ROI, benign", "AlexNet: no evidence", "VGG16", "ResNet50: no evidence"]
    roi, without, with_ = (np.asarray(figure.axes[i].images[0].get_array()).astype(int) for i in range(3))
    np.testing.assert_array_equal(without, np.repeat(roi[..., None], 3, axis=2))
    coloured = (with_ != without).any(axis=2)
    rows, columns = np.flatnonzero(coloured.any(axis=1)), np.flatnonzero(coloured.any(axis=0))
    assert abs(rows - 128 / 67 * np.clip(rows * 67 / 128, 10, 40)).max() <= 2  # the map's rows 10 to 39 of 67
    assert abs(columns - 128 / 67 * np.clip(columns * 67 / 128, 20, 60)).max() <= 2
    assert "evidence for malignant" in caption
    assert "after step 1" in caption


def test_bars_are_the_accuracies_and_collapsed_ones_are_hatched(made):
    (picture,) = figures.draw_figure_8(made.shown, made.results)
    caption, figure = picture.caption, picture.figure
    for axes, protocol in zip(figure.axes, PROTOCOLS, strict=True):
        rows = [f"{n}, no transfer" for n in NETWORKS] + [f"{n}, k = 0" for n in NETWORKS]  # sec. 2.1: the head alone
        assert [bar.get_height() for bar in axes.patches] == pytest.approx([count_right(made, row, protocol) for row in rows])
        hatched = [row for row, bar in zip(rows, axes.patches, strict=True) if bar.get_hatch()]
        assert [row for row in hatched if "no transfer" in row] == ["VGG16, no transfer"]
        assert not [line for line in axes.lines if line.get_marker() == "D"]  # Table 2 is of fine-tuned networks
    assert "Hatched: one class for all cases" in caption


def test_depths_ring_the_published_k_and_hollow_the_collapsed(made):
    (picture,) = figures.draw_figure_9(made.shown, made.results)
    caption, figure = picture.caption, picture.figure
    for axes, protocol in zip(figure.axes, PROTOCOLS, strict=True):
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "2", "all"]
        rings = [line.get_ydata()[0] for line in axes.lines if line.get_markersize() == 13]
        assert rings == pytest.approx([count_right(made, "ResNet50, k = 2", protocol)])  # 3 and 4 were not tried
        points = [line for line in axes.lines if line.get_marker() == "^"]
        names = ("ResNet50, k = 0", "ResNet50, k = 2", "ResNet50, all layers")
        assert [p.get_ydata()[0] for p in points] == pytest.approx([count_right(made, row, protocol) for row in names])
        assert [to_hex(p.get_markerfacecolor()) == "#ffffff" for p in points] == [False, True, False]
    assert "Hollow: one class for all cases" in caption


def test_roc_names_the_printed_area(made):
    picture, _ = figures.draw_figure_10(made.shown, made.results)
    caption, figure = picture.caption, picture.figure
    assert "The paper prints an AUC of 0.98 for the ensemble" in caption
    named = [text for text in texts(figure) if ": AUC " in text and "2 trainings" in text]
    assert list(dict.fromkeys(text[: text.index(":")] for text in named)) == list(figures.CURVES)
    assert all("[" in text[text.index("AUC") :] for text in named)


def test_picked_cases_are_the_hardest_and_the_surest():
    truth = np.array([0, 0, 1, 1, 0, 0, 1, 1, 0, 1])
    malignant = np.array([0.9, 0.6, 0.3, 0.45, 0.49, 0.01, 0.99, 0.9, 0.2, 0.55])
    patients = list("aabcdefghi")
    part = pd.DataFrame({"case_id": [f"c{i}" for i in range(10)], "patient_id": patients, "y_true": truth,
                         "y_score_0": 1 - malignant, "y_score_1": malignant})  # fmt: skip
    hard, sure = figures.pick_cases(part)
    assert hard["case_id"].tolist() == ["c0", "c2", "c3", "c4"]  # c1 is of c0's patient; four of nine patients
    assert sure["case_id"].tolist() == ["c5", "c8", "c6", "c7"]  # benign first; c9 is right, but less sure
    assert figures.is_right(hard).tolist() == [False, False, False, True]


def test_pictures_of_hard_cases_are_those_of_their_cases(made):
    (picture,) = figures.draw_figure_11(made.shown, made.results)
    caption, figure = picture.caption, picture.figure
    assert picture.title == "Figure 11: hard test cases, leak-free"
    part = figures.select(made.shown, "ensemble", "leakfree")
    part = part[part["seed"] == 0]
    hard, sure = figures.pick_cases(part)
    for axes, case_id in zip(figure.axes, [*hard["case_id"], *sure["case_id"]], strict=False):
        dataset = made.shown.dataset
        case = dataset.cases.index[dataset.cases["case_id"] == case_id][0]
        np.testing.assert_array_equal(axes.images[0].get_array(), dataset.images[case, ..., 0])
        score, label = part.set_index("case_id").loc[case_id, ["y_score_1", "y_true"]]
        assert axes.get_title().split(": ")[1] == CLASSES[int(label)]
        assert axes.get_xlabel() == f"P(malignant) = {score:.3f}, {'right' if (score > 0.5) == label else 'wrong'}"
    wrong = int(((part["y_score_1"] > 0.5) != part["y_true"]).sum())
    assert f"First seed: {wrong} of 16 test cases wrong." in caption


def test_printed_accuracies_stand_beside_ours(made):
    """Also those of rows that stand in a figure without printed numbers."""
    networks, methods = (picture.figure for picture in figures.draw_accuracies(made.shown, made.results))
    printed = {claim.row: claim.value for claim in made.shown.paper.claims if claim.metric == "accuracy"}
    for figure in (networks, methods):
        (axes,) = figure.axes
        rows = [label.get_text().removesuffix(" †") for label in axes.get_yticklabels()]
        diamonds = sorted(line.get_xdata()[0] for line in axes.lines if line.get_marker() == "D")
        assert diamonds == pytest.approx(sorted(printed[row] for row in rows if row in printed))
    assert len(rows) == 9


def test_heat_map_marks_collapsed_networks(made):
    (picture,) = figures.draw_table_2(made.shown, made.results)
    caption, figure = picture.caption, picture.figure
    collapsed = {(entry.protocol, entry.row) for entry in made.results.extra.collapsed}
    for axes, protocol in zip(figure.axes[1:3], PROTOCOLS, strict=True):
        shown = [text.get_text() for text in axes.texts]
        rows = [name_model(network, scale) for scale in (1, 2, 3) for network in NETWORKS]
        assert shown == [f"{count_right(made, r, protocol):.1f}" + " †" * ((protocol, r) in collapsed) for r in rows]
    assert figure.axes[0].texts[0].get_text() == "85.7"
    assert ("Dagger" in caption) == any(row.startswith("Scale") for _, row in collapsed)


def test_depths_are_those_whose_predictions_table_2_has(made):
    assert set(made.shown.depths) == {(protocol, seed) for protocol in PROTOCOLS for seed in Size().seeds}
    for choice in made.choices:
        depths = made.shown.depths[choice.protocol, choice.seed]
        assert depths == choice.depths
        for network, k in depths.items():
            both = (figures.select(made.shown, row, choice.protocol) for row in (name_model(network, 1), f"{network}, k = {k}"))
            scores, of_k = (part[part["seed"] == choice.seed].set_index("case_id")["y_score_1"] for part in both)
            pd.testing.assert_series_equal(scores, of_k)
