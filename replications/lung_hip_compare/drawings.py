"""The figures of the paper (2, 3, 6) and ours: one function a figure, drawn from predictions, history and results.json."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from common import evaluation, figures, findings, roc
from common.files import slug
from common.findings import OFF_PROTOCOL, PROTOCOLS
from common.paper import Paper
from common.prepared import Dataset
from replications.lung_hip_compare import data, hips
from replications.lung_hip_compare.config import DATASETS, NETWORKS, Config

STAR = "A star marks networks trained off protocol (see the note in the table). "


def draw_figures(
    folder: Path, paper: Paper, config: Config, datasets: dict[str, Dataset], predictions, history, results: dict
) -> list[dict]:
    """Draw every figure that the finished trainings allow into `folder`; return {file, title, caption} of each."""
    synthetic = any(d.info["synthetic"] for d in datasets.values())
    off = {claim["row"] for claim in results["claims"] if claim["verdict"] == OFF_PROTOCOL}
    star = STAR if off else ""
    drawn = []

    def keep(figure, file: str, title: str, caption: str) -> None:
        figures.save_figure(figure, folder / file, synthetic)
        drawn.append({"file": file, "title": title, "caption": caption})

    for protocol in [p for p in ("paper", "leakfree") if (predictions["protocol"] == p).any()]:
        part = predictions[predictions["protocol"] == protocol]
        for dataset in DATASETS:
            names = [n for n in NETWORKS if (part["row"] == f"{dataset} / {n}").any()]
            if names:
                about = f"{dataset}, {PROTOCOLS[protocol]}"
                keep(
                    draw_confusion(predictions, dataset, names, protocol, off),
                    f"figure6-{slug(dataset)}-{protocol}.png",
                    f"Figure 6: confusion matrices, {about}",
                    star + "Counts summed over seeds (and folds), percentages of each true class. The paper prints no numbers.",
                )
                keep(
                    draw_roc(part, dataset, names, results["rows"], protocol, off),
                    f"roc-{slug(dataset)}-{protocol}.png",
                    f"ROC curves, {about}",
                    star + "Thick: mean of the seeds at equal false-positive rate; thin: seeds. Intervals resample patients.",
                )
    if "LUNA16" in datasets:
        keep(
            draw_figure_2(datasets["LUNA16"]),
            "figure2-patches.png",
            "Figure 2: candidate patches before and after enlargement",
            "A nodule and another candidate, rotated and shifted as the paper describes; its counts contain no such copies. "
            f"Source: {datasets['LUNA16'].info['name']}.",
        )
    radiographs = {name: datasets[name] for name in DATASETS if name in datasets and data.is_hip(name)}
    if radiographs:
        keep(
            draw_figure_3(radiographs, config),
            "figure3-hips.png",
            "Figure 3: hip radiographs, whole, cropped, flipped and shifted",
            f"Source: {next(iter(radiographs.values())).info['name']}.",
        )
    keep(
        draw_heat_map(results["claims"], results["rows"]),
        "accuracy.png",
        "Table 2 as a heat map",
        "Accuracy in percent: printed, ours under the paper's protocol, ours leak-free (means over the seeds).",
    )
    lines = findings.collect_lines(results, paper, "2")
    run = [line for line in lines if line["ours"] is not None or line["leakfree"] is not None]
    run = [line | {"row": _name_row(line["row"], line["row"], off)} for line in run]
    if run:
        keep(
            figures.plot_intervals(run, label="accuracy (%)"),
            "intervals.png",
            "Accuracy beside the paper's",
            star + "The paper's bar is the 95 % sampling tolerance of its own test set; ours resample patients.",
        )
    if any(row["table"] == "labels" for row in results["rows"]):
        keep(
            draw_label_shares(results["rows"], config),
            "labels.png",
            "Few labels: SGAN against CNN",
            "LUNA16. Test accuracy by share of labelled training images; SGAN sees the others without labels.",
        )
    for network, dataset, protocol in _list_trainings(history):
        part = history[(history["row"] == f"{dataset} / {network}") & (history["protocol"] == protocol)]
        keep(
            draw_history(part[part["stage"] == network], f"{network}, {dataset}, {PROTOCOLS[protocol]}"),
            f"history-{slug(dataset)}-{slug(network)}-{protocol}.png",
            f"Training of {network}, {dataset}, {PROTOCOLS[protocol]}",
            "Thin: seeds; thick: their mean.",
        )
    return drawn


def _list_trainings(history: pd.DataFrame) -> list[tuple[str, str, str]]:
    known = set(zip(history["row"], history["protocol"], strict=True))
    return [
        (n, "LUNA16", p) for n in NETWORKS for p in ("paper", "leakfree") if (f"LUNA16 / {n}", p) in known
    ]


def _name_row(row: str, name: str, off: Collection[str]) -> str:
    return f"{name} *" if row in off else name


def draw_confusion(
    predictions: pd.DataFrame, dataset: str, names: list[str], protocol: str, off: Collection[str] = ()
) -> Figure:
    """Fig. 6: one confusion matrix a network; rows in `off`, trained off protocol, bear a star."""
    rows = {name: f"{dataset} / {name}" for name in names}
    matrices = [(_name_row(row, n, off), evaluation.confusion(predictions, row, protocol)) for n, row in rows.items()]
    return figures.plot_confusion_matrices(matrices, data.CLASSES[data.part_of(dataset)])


def draw_roc(
    part: pd.DataFrame, dataset: str, names: list[str], rows: list[dict], protocol: str, off: Collection[str] = ()
) -> Figure:
    """ROC of the networks on one data set; rows in `off`, trained off protocol, bear a star."""
    metrics = {r["row"]: r["metrics"]["auc"] for r in rows if r["protocol"] == protocol}
    intervals = {row: None if m["low"] is None else (m["low"], m["high"]) for row, m in metrics.items()}
    curves = []
    for name in names:
        row = part[part["row"] == f"{dataset} / {name}"]
        runs = [(s["y_true"].to_numpy(), s["y_score_1"].to_numpy()) for _, s in row.groupby("seed")]
        curves.append(roc.RocCurve(_name_row(f"{dataset} / {name}", name, off), runs, intervals[f"{dataset} / {name}"]))
    title = f"{dataset}, {PROTOCOLS[protocol]}"
    return roc.plot_roc(curves, title=title, positive_class=data.CLASSES[data.part_of(dataset)][1])


def draw_figure_2(dataset: Dataset) -> Figure:
    """Fig. 2: patches as they are, rotated by 90 and 180 degrees (the public recipe), and shifted by 10 %."""
    labels = dataset.cases["label"].to_numpy()
    pictures, titles = [], []
    for label, name in ((1, "nodule"), (0, "non-nodule")):
        for index in np.flatnonzero(labels == label)[:2]:
            image = np.asarray(dataset.images[index, ..., 0])
            shift = image.shape[0] // 10
            moved = hips.move_image(image, np.array([0, shift]), flip=False)
            pictures += [image, np.rot90(image), np.rot90(image, 2), moved]
            titles += [name, "rotated 90°", "rotated 180°", f"shifted {shift} px"]
    return figures.plot_image_grid(pictures, titles, columns=4)


def draw_figure_3(radiographs: dict[str, Dataset], config: Config) -> Figure:
    """Fig. 3: whole radiographs (a), cropped (b), cropped and then flipped or shifted (c)."""
    pictures, titles = [], []
    for name in [n for n in radiographs if n.startswith("128x128")]:
        dataset = radiographs[name]
        labels = dataset.cases["label"].to_numpy()
        chosen = np.concatenate([np.flatnonzero(labels == c)[:2] for c in (0, 1)])
        kind = "cropped" if data.is_cropped(name) else "whole"
        classes = data.CLASSES["hip"]
        pictures += [np.asarray(dataset.images[i, ..., 0]) for i in chosen]
        titles += [f"{kind}, {classes[labels[i]]}" for i in chosen]
        enlarged, source = data.enlarge(
            np.asarray(dataset.images[chosen]), labels[chosen], (4, 4), config, seed=config.split_seed
        )
        variants = np.flatnonzero(np.arange(len(source)) >= len(chosen))[:4]
        pictures += list(enlarged[variants, ..., 0])
        titles += [f"variant of no. {source[i] + 1}" for i in variants]
    return figures.plot_image_grid(pictures, titles, columns=4)


def draw_heat_map(claims: list[dict], rows: list[dict]) -> Figure:
    """Accuracy of Table 2: printed, ours under both protocols."""
    printed = {c["row"]: c["paper"] for c in claims if c["table"] == "2" and c["paper"] is not None}
    panels = [("printed in the paper", printed)]
    for protocol in ("paper", "leakfree"):
        ours = {r["row"]: 100 * r["metrics"]["accuracy"]["mean"] for r in rows if r["protocol"] == protocol}
        panels.append((f"ours, {PROTOCOLS[protocol]}", ours))
    values = [
        (title, np.array([[known.get(f"{d} / {n}", np.nan) for n in NETWORKS] for d in DATASETS], float))
        for title, known in panels
    ]
    return figures.plot_heatmap(values, DATASETS, NETWORKS, label="accuracy (%)")


def draw_label_shares(rows: list[dict], config: Config) -> Figure:
    """SGAN and CNN on a part of the labels, leak-free where it was run."""
    protocols = {r["protocol"] for r in rows if r["table"] == "labels"}
    series = {}
    for protocol in [p for p in ("paper", "leakfree") if p in protocols]:
        known = {r["row"]: r["metrics"]["accuracy"] for r in rows if r["protocol"] == protocol}
        for network in ("SGAN", "CNN"):
            named = [(1.0, f"LUNA16 / {network}")]
            named += [(s, f"LUNA16 / {network}, {s * 100:g} % labels") for s in config.label_shares]
            points = [(s, known[row]) for s, row in named if row in known]
            series[f"{network}, {PROTOCOLS[protocol]}"] = [
                (s, *(None if m[k] is None else 100 * m[k] for k in ("mean", "low", "high"))) for s, m in points
            ]
    return figures.plot_shares({name: points for name, points in series.items() if points}, label="accuracy (%)")


def draw_history(part: pd.DataFrame, title: str) -> Figure:
    """Loss and accuracy by epoch."""
    histories = {}
    for seed, run in part.groupby("seed"):
        run = run.sort_values("epoch")
        names = ("loss", "accuracy", "val_loss", "val_accuracy")
        histories[seed] = {n: run[n].to_numpy() for n in names if n in run and run[n].notna().all()}
    return figures.plot_history(histories, title=title)
