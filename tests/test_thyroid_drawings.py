"""Figures of the thyroid ensemble: drawn from made-up predictions, each only from numbers that are there, marked where due."""

import functools
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from common import evaluation, figures
from common.paper import load_paper
from common.prepared import Dataset, Fold
from replications.thyroid_ensemble import drawings, experiments, run, selection
from replications.thyroid_ensemble.config import CLASSES, NETWORKS, SMOKE
from replications.thyroid_ensemble.rows import list_rows, name_model

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


def make_drawn(size: Size, paper, wanted=None, departures=()) -> drawings.Drawn:
    """A finished run without trainings; wanted: the rows that it is to have (default: all)."""
    config = replace(SMOKE, seeds=size.seeds, depths=size.depths)
    dataset = make_dataset(size)
    fold = Fold(-1, np.arange(size.test, size.cases), np.arange(0), np.arange(size.test))
    trained = [row for t in experiments.list_trainings(config) for row in t.rows.values()]
    strength = {row: 0.5 + 0.5 * ("transfer" not in row) + 0.1 * (index % 7) for index, row in enumerate(trained)}
    tables, choices = [], []
    for protocol in PROTOCOLS:
        test, judged = (
            make_predictions(dataset, size, strength, protocol, side, seed)
            for seed, side in ((0, fold.test), (1, fold.train))
        )
        table, chosen = selection.derive_rows(test, judged if protocol == "leakfree" else None, config)
        tables.append(table)
        choices += chosen
    predictions = pd.concat(tables, ignore_index=True)
    rows = list_rows(config) if wanted is None else wanted
    predictions = predictions[predictions["row"].isin(rows)].reset_index(drop=True)
    results = run.evaluate(paper, list(departures), predictions, choices, {}, {}, PROTOCOLS)
    results |= {"datasets": [{"name": "made-up pictures", "synthetic": True, "patients_known": True}]}
    results |= {"weights": {"source": "random"}, "choices": choices}
    attention = {network: np.zeros((2, 67, 67), np.float32) for network in NETWORKS}
    attention["VGG16"][:, 10:40, 20:60] = np.linspace(0.2, 1, 40, dtype=np.float32)
    folds_of = {protocol: (dataset, [fold]) for protocol in PROTOCOLS}
    shown = drawings.choose_shown_cases(dataset, folds_of)
    return drawings.Drawn(config, dataset, folds_of, predictions, make_history(size), results, shown, attention)


@pytest.fixture(scope="module")
def paper(root):
    return load_paper(root / "replications" / "thyroid_ensemble" / "paper.toml")


@pytest.fixture(scope="module", autouse=True)
def few_resamples():
    """Intervals of 50 resamples are enough here; no figure shows the paired comparisons."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "evaluate", functools.partial(evaluation.evaluate, resamples=50))
        patch.setattr(evaluation, "compare_rows", lambda *_: [])
        yield


@pytest.fixture(scope="module")
def drawn(paper, few_resamples) -> drawings.Drawn:
    return make_drawn(Size(), paper)


@pytest.fixture(scope="module")
def off(paper, few_resamples) -> drawings.Drawn:
    """A run of a few rows, trained otherwise than published."""
    rows = ["ensemble", "AlexNet, k = 0", name_model("AlexNet", 1), "GLCM + SVM"]
    return make_drawn(Size(), paper, rows, ["tune_epochs = 8 instead of 100"])


def list_figures(drawn: drawings.Drawn, monkeypatch, tmp_path) -> dict[str, tuple[dict, Figure]]:
    """File -> entry and figure, without writing them."""
    kept = {}
    monkeypatch.setattr(figures, "save_figure", lambda figure, path, synthetic: kept.update({path.name: figure}))
    entries = drawings.draw_figures(tmp_path, drawn)
    assert [entry["file"] for entry in entries] == list(kept)  # each file once
    return {entry["file"]: (entry, kept[entry["file"]]) for entry in entries}


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(lambda item: hasattr(item, "get_text")) if text.get_text()]


def count_right(drawn: drawings.Drawn, row: str, protocol: str) -> float:
    """Accuracy in percent, counted from the predictions: the mean over the seeds, which have equally many cases."""
    part = drawn.predictions[(drawn.predictions["row"] == row) & (drawn.predictions["protocol"] == protocol)]
    return 100 * float(((part["y_score_1"] > 0.5) == part["y_true"]).mean())


def test_every_figure_of_a_whole_run(drawn, monkeypatch, tmp_path):
    found = list_figures(drawn, monkeypatch, tmp_path)
    both = ("figure10-roc", "confusion-networks", "confusion-methods", *(f"history-{network.lower()}" for network in NETWORKS))
    single = ("figure3-scales", "figure4-attention", "figure8-transfer", "figure9-depths", "figure11-cases", "table2",
              "accuracy-networks", "accuracy-methods", "reliability")  # fmt: skip
    assert set(found) == {f"{name}-{p}.png" for name in both for p in PROTOCOLS} | {f"{name}.png" for name in single}
    for file, (entry, _) in found.items():
        if not file.startswith(("figure3", "figure4", "history")):
            assert "n = 16 test cases (8 malignant) of 8 patients, 2 seeds." in entry["caption"]
        if file.startswith(("figure8", "figure9", "figure10", "accuracy")):
            assert "95 % intervals resample patients" in entry["caption"]
        assert " *" not in entry["title"]
        assert "star" not in entry["caption"]


def test_only_what_was_run_is_drawn(paper, monkeypatch, tmp_path):
    few = make_drawn(Size(), paper, ["AlexNet, k = 0"])
    found = list_figures(replace(few, attention={}), monkeypatch, tmp_path)
    assert list(found) == ["figure3-scales.png", "figure9-depths.png"]
    lines = [line for line in found["figure9-depths.png"][1].axes[0].lines if line.get_marker() == "o"]
    assert [line.get_ydata()[0] for line in lines] == [pytest.approx(count_right(few, "AlexNet, k = 0", "paper"))]


def test_files_are_written_and_say_that_data_are_made_up(off, tmp_path):
    kept = replace(off, results=off.results | {"rows": [row for row in off.results["rows"] if row["row"] == "GLCM + SVM"]})
    entries = drawings.draw_figures(tmp_path, replace(kept, attention={}))
    expected = ["figure3-scales", "accuracy-methods", *(f"confusion-methods-{protocol}" for protocol in PROTOCOLS)]
    assert [entry["file"] for entry in entries] == [f"{name}.png" for name in expected]
    for entry in entries:
        with Image.open(tmp_path / entry["file"]) as image:
            assert image.getpixel((0, 0)) == (0xD5, 0x5E, 0x00)


def test_off_protocol_and_collapsed_rows_bear_marks(off, monkeypatch, tmp_path):
    found = list_figures(off, monkeypatch, tmp_path)
    for file in ("accuracy-methods.png", "confusion-methods-paper.png"):
        entry, figure = found[file]
        shown = [text.partition("\n")[0] for text in texts(figure)]
        assert "ensemble *" in shown
        assert "GLCM + SVM * †" in shown
        which = " (either protocol)" if file.startswith("accuracy") else ""
        assert f"Dagger{which}: one class for all cases in at least one seed." in entry["caption"]
        assert "A star marks trainings off protocol" in entry["caption"]
    entry, figure = found["figure9-depths.png"]
    assert {axes.get_title(loc="left") for axes in figure.axes} == {"the paper's protocol, n = 16 *", "leak-free, n = 16 *"}
    assert "Hollow" not in entry["caption"]  # k = 0 of AlexNet did not collapse


def test_scales_are_centred_squares(drawn, paper):
    ((_, _, caption, figure),) = drawings.draw_scales(drawn, paper)
    squares = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    assert {(p.get_x() + p.get_width() / 2, p.get_width()) for p in squares} == {(63.5, 128.0), (63.5, 64.0), (63.5, 32.0)}
    shapes = [axes.images[0].get_array().shape for axes in figure.axes]
    assert shapes == [(128, 128), (128, 128), (64, 64), (32, 32)] * 2
    roi, crop = (np.asarray(figure.axes[i].images[0].get_array()) for i in (4, 7))
    np.testing.assert_array_equal(crop, roi[48:80, 48:80])
    assert [t for t in texts(figure) if t.startswith("ROI")] == ["ROI, benign", "ROI, malignant"]
    assert caption.endswith("n = 2 pictures. Source: made-up pictures.")


def test_attention_lies_where_the_map_is(drawn, paper):
    ((_, _, caption, figure),) = drawings.draw_attention(drawn, paper)
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


def test_bars_are_the_accuracies_and_collapsed_ones_are_hatched(drawn, paper):
    ((_, _, caption, figure),) = drawings.draw_transfer(drawn, paper)
    for axes, protocol in zip(figure.axes, PROTOCOLS, strict=True):
        rows = [f"{n}, no transfer" for n in NETWORKS] + [name_model(n, 1) for n in NETWORKS]
        assert [bar.get_height() for bar in axes.patches] == pytest.approx([count_right(drawn, row, protocol) for row in rows])
        hatched = [row for row, bar in zip(rows, axes.patches, strict=True) if bar.get_hatch()]
        assert [row for row in hatched if "no transfer" in row] == ["VGG16, no transfer"]
        diamonds = [line.get_ydata()[0] for line in axes.lines if line.get_marker() == "D"]
        assert diamonds == ([85.7, 92.0, 91.8] if protocol == "paper" else [])
    assert "Hatched: one class for all cases" in caption


def test_depths_ring_the_published_k_and_hollow_the_collapsed(drawn, paper):
    ((_, _, caption, figure),) = drawings.draw_depths(drawn, paper)
    for axes, protocol in zip(figure.axes, PROTOCOLS, strict=True):
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "2", "all"]
        rings = [line.get_ydata()[0] for line in axes.lines if line.get_markersize() == 13]
        assert rings == pytest.approx([count_right(drawn, "ResNet50, k = 2", protocol)])  # 3 and 4 were not tried
        points = [line for line in axes.lines if line.get_marker() == "^"]
        names = ("ResNet50, k = 0", "ResNet50, k = 2", "ResNet50, all layers")
        assert [p.get_ydata()[0] for p in points] == pytest.approx([count_right(drawn, row, protocol) for row in names])
        assert [to_hex(p.get_markerfacecolor()) == "#ffffff" for p in points] == [False, True, False]
    assert "Hollow: one class for all cases" in caption


def test_roc_names_the_printed_area(drawn, paper):
    (_, _, caption, figure), _ = drawings.draw_rocs(drawn, paper)
    assert "The paper prints an AUC of 0.98 for the ensemble" in caption
    named = [text for text in texts(figure) if ": AUC " in text and "2 seeds" in text]
    assert list(dict.fromkeys(text[: text.index(":")] for text in named)) == list(drawings.CURVES)
    assert all("[" in text[text.index("AUC") :] for text in named)


def test_picked_cases_are_the_hardest_and_the_surest():
    truth = np.array([0, 0, 1, 1, 0, 0, 1, 1, 0, 1])
    malignant = np.array([0.9, 0.6, 0.3, 0.45, 0.49, 0.01, 0.99, 0.9, 0.2, 0.55])
    patients = list("aabcdefghi")
    part = pd.DataFrame({"case_id": [f"c{i}" for i in range(10)], "patient_id": patients, "y_true": truth,
                         "y_score_0": 1 - malignant, "y_score_1": malignant})  # fmt: skip
    hard, sure = drawings.pick_cases(part)
    assert hard["case_id"].tolist() == ["c0", "c2", "c3", "c4"]  # c1 is of c0's patient; four of nine patients
    assert sure["case_id"].tolist() == ["c5", "c8", "c6", "c7"]  # benign first; c9 is right, but less sure
    assert drawings.is_right(hard).tolist() == [False, False, False, True]


def test_pictures_of_hard_cases_are_those_of_their_cases(drawn, paper):
    ((_, title, caption, figure),) = drawings.draw_cases(drawn, paper)
    assert title == "Figure 11: hard test cases, leak-free"
    part = drawn.predictions[(drawn.predictions["protocol"] == "leakfree") & (drawn.predictions["row"] == "ensemble")]
    part = part[part["seed"] == 0]
    hard, sure = drawings.pick_cases(part)
    for axes, case_id in zip(figure.axes, [*hard["case_id"], *sure["case_id"]], strict=False):
        case = drawn.dataset.cases.index[drawn.dataset.cases["case_id"] == case_id][0]
        np.testing.assert_array_equal(axes.images[0].get_array(), drawn.dataset.images[case, ..., 0])
        score, label = part.set_index("case_id").loc[case_id, ["y_score_1", "y_true"]]
        assert axes.get_title().split(": ")[1] == CLASSES[int(label)]
        assert axes.get_xlabel() == f"P(malignant) = {score:.3f}, {'right' if (score > 0.5) == label else 'wrong'}"
    wrong = int(((part["y_score_1"] > 0.5) != part["y_true"]).sum())
    assert f"First seed: {wrong} of 16 test cases wrong." in caption


def test_printed_accuracies_stand_beside_ours(drawn, paper):
    """Also those of rows that stand in a figure without printed numbers."""
    (_, _, _, networks), (_, _, _, methods) = drawings.draw_accuracies(drawn, paper)
    printed = {claim.row: claim.value for claim in paper.claims if claim.metric == "accuracy"}
    for figure in (networks, methods):
        (axes,) = figure.axes
        rows = [label.get_text().removesuffix(" †") for label in axes.get_yticklabels()]
        diamonds = sorted(line.get_xdata()[0] for line in axes.lines if line.get_marker() == "D")
        assert diamonds == pytest.approx(sorted(printed[row] for row in rows if row in printed))
    assert len(rows) == 9


def test_heat_map_marks_collapsed_networks(drawn, paper):
    ((_, _, caption, figure),) = drawings.draw_table_2(drawn, paper)
    collapsed = {(e["protocol"], e["row"]) for e in drawn.results["extra"]["collapsed"]}
    for axes, protocol in zip(figure.axes[1:3], PROTOCOLS, strict=True):
        shown = [text.get_text() for text in axes.texts]
        rows = [name_model(network, scale) for scale in (1, 2, 3) for network in NETWORKS]
        assert shown == [f"{count_right(drawn, r, protocol):.1f}" + " †" * ((protocol, r) in collapsed) for r in rows]
    assert figure.axes[0].texts[0].get_text() == "85.7"
    assert ("Dagger" in caption) == any(row.startswith("Scale") for _, row in collapsed)


def test_depths_are_found_from_the_predictions(drawn):
    for choice in drawn.results["choices"]:
        for network in NETWORKS:
            assert drawings.find_depths(drawn.predictions, network, choice.protocol)[choice.seed] == choice.depths[network]


def test_training_curves_end_with_the_chosen_step_2(drawn, paper):
    found = {file: (caption, figure) for file, _, caption, figure in drawings.draw_trainings(drawn, paper)}
    history = drawn.history
    for choice in drawn.results["choices"]:
        caption, figure = found[f"history-vgg16-{choice.protocol}.png"]
        k = choice.depths["VGG16"]
        assert f"{k} (seed {choice.seed})" in caption
        part = history[(history["protocol"] == choice.protocol) & (history["seed"] == choice.seed) & (history["fold"] < 1)]
        part = part[part["row"].isin([f"Scale 1 / VGG16, k = {k}" if k else "Scale 1 / VGG16, step 1"])]
        thin = [line.get_ydata() for line in figure.axes[0].lines if line.get_linewidth() == 0.7]
        last = [values[np.isfinite(values)][-1] for values in thin]
        assert part.sort_values("epoch")["loss"].iloc[-1] == pytest.approx(last[choice.seed])


def test_training_curves_without_validation_do_not_speak_of_it(drawn, paper):
    blind = replace(drawn, history=drawn.history.assign(val_loss=np.nan, val_accuracy=np.nan))
    _, _, caption, figure = next(drawings.draw_trainings(blind, paper))
    assert "Validation" not in caption
    assert not any("validation" in text for text in texts(figure))
