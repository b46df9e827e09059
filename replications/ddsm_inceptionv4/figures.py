"""The figures of the paper that can be drawn (3, 4), and ours, from a finished run."""

from collections.abc import Iterator

import numpy as np

from common.cli import PROTOCOLS
from common.figures import grids
from common.figures.curves import plot_history, plot_roc
from common.figures.style import SMALL, Picture, add_legend, new_figure, pick_style, style_axes
from common.records.results import Results
from common.report import series
from common.report.wording import PROTOCOL_NAMES
from replications.ddsm_inceptionv4.config import CLASSES
from replications.ddsm_inceptionv4.experiments import VANILLA, list_layers, list_own, list_table_2
from replications.ddsm_inceptionv4.measures import HEXAGON
from replications.ddsm_inceptionv4.sample_figures import draw_samples
from replications.ddsm_inceptionv4.shortcuts import BIASES
from replications.ddsm_inceptionv4.shown import Shown
from replications.ddsm_inceptionv4.variants import resize_pictures

SHOWN_FILMS = 4  # of Fig. 4


def draw_figures(shown: Shown, results: Results) -> Iterator[Picture]:
    """Every figure that there is material for."""
    ours = (draw_roc, draw_curves, draw_layers, draw_planted, draw_attention, draw_samples)
    for draw in (draw_figure_3, draw_figure_4, *ours):
        yield from draw(shown, results)


def draw_figure_3(shown: Shown, results: Results) -> Iterator[Picture]:
    """The hexagon of six metrics, a panel a protocol."""
    rows = [*list_table_2(shown.config), *list_own(shown.config)]
    known = {(one.row, one.protocol): one for one in shown.six if one.row in rows}
    protocols = [protocol for protocol in PROTOCOLS if any(protocol == of for _, of in known)]
    if not protocols:
        return
    figure = new_figure(3.9 * len(protocols), 5.1)
    figure.get_layout_engine().set(rect=(0, 0, 1, 0.94))  # type: ignore[union-attr,call-arg]  # titles of polar axes are not counted
    angles = np.append(np.arange(len(HEXAGON)), 0) * 2 * np.pi / len(HEXAGON)
    for place, protocol in enumerate(protocols, start=1):
        axes = figure.add_subplot(1, len(protocols), place, projection="polar")
        for number, row in enumerate(rows):
            one = known.get((row, protocol))
            if one is None:
                continue
            values = [100 * one.values[name] for name in HEXAGON]
            colour, line, marker = pick_style(number)
            name = series.mark_row(results, row, protocols)
            axes.plot(
                angles, [*values, values[0]], color=colour, linestyle=line, marker=marker, markersize=3, linewidth=1.4, label=name
            )
        axes.set_theta_offset(np.pi / 2)  # type: ignore[attr-defined]
        axes.set_theta_direction(-1)  # type: ignore[attr-defined]
        axes.set_xticks(angles[:-1], HEXAGON, fontsize=SMALL)
        axes.set_ylim(0, 100)
        axes.set_yticks([25, 50, 75, 100], ["25", "50", "75", "100 %"], fontsize=SMALL - 1)
        axes.set_title(f"{PROTOCOL_NAMES[protocol]}", fontsize=SMALL + 1, pad=14)
        axes.spines["polar"].set_visible(False)
    handles = {text: handle for axes in figure.axes for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2, fontsize=SMALL, frameon=False)
    caption = f"Means over the seeds; AUC is the area under the ROC curve. {end(results, protocols, rows)}"
    yield Picture("figure-3.png", "Fig. 3: six metrics of every model", caption, figure)


def end(results: Results, protocols: list[str], rows: list[str], *, intervals: bool = False) -> str:
    """The end of a caption (see `series.end_caption`)."""
    return series.end_caption(results, protocols, rows, positive_class=CLASSES[1], intervals=intervals)


def draw_figure_4(shown: Shown, results: Results) -> Iterator[Picture]:
    """What preprocessing makes of a film: the film as it was digitised, and the picture that networks take."""
    if shown.films is None or shown.whole is None:
        return
    films, whole = shown.films, shown.whole
    place_of = {name: place for place, name in enumerate(whole.cases["case_id"])}
    cases = films.cases
    pieces = cases["pieces"].to_numpy()[list(shown.test)]  # those of which most was removed
    chosen = [shown.test[place] for place in np.argsort(-pieces, kind="stable")[:SHOWN_FILMS]]
    images, titles = [], []
    for place in chosen:
        case = cases.iloc[place]
        film = np.asarray(whole.images[place_of[case["case_id"]]])[..., 0]
        height = film.shape[0]
        width = max(1, round(height * case["width"] / case["height"]))
        columns = np.clip(np.arange(height) * film.shape[1] // max(1, width), 0, film.shape[1] - 1)[:width]
        canvas = np.full((height, height), 255, np.uint8)  # the film in its own shape
        canvas[:, (height - min(width, height)) // 2 :][:, : min(width, height)] = film[:, columns][:, :height]
        images += [canvas, np.asarray(films.images[place])[..., 0]]
        titles += ["film", CLASSES[int(case["label"])]]
    if not images:
        return
    figure = grids.plot_image_grid(images, titles, columns=2 * min(2, len(chosen)), side=1.6)
    caption = (
        "Left of each pair the whole film, right the picture that the networks take: border, labels and noise removed, cropped, "
        "turned to the left, resized. Of the test films those of which most pieces were removed. Data: "
        f"{results.datasets[0].name}."
    )
    yield Picture("figure-4.png", "Fig. 4: preprocessing", caption, figure, shows_cases=True)


def draw_roc(shown: Shown, results: Results) -> Iterator[Picture]:
    """ROC curves of the rows that were trained on labels of images."""
    rows = [*list_table_2(shown.config), *list_own(shown.config)]
    for protocol in series.list_protocols(results, rows):
        known = series.find_rows(results, protocol)
        curves = []
        for row in rows:
            part = shown.predictions[(shown.predictions["row"] == row) & (shown.predictions["protocol"] == protocol)]
            if row in known and len(part):
                curves.append(
                    series.build_roc(results, row, protocol, series.list_runs(part), series.mark_row(results, row, [protocol]))
                )
        figure = plot_roc(curves, title=PROTOCOL_NAMES[protocol], positive_class=CLASSES[1])
        caption = f"Mean over the seeds of the curves of all test images. {end(results, [protocol], rows, intervals=True)}"
        yield Picture(f"roc-{protocol}.png", f"ROC, {PROTOCOL_NAMES[protocol]}", caption, figure)


def draw_curves(shown: Shown, results: Results) -> Iterator[Picture]:
    """Training and validation by epoch, of Table 2: over-fitting."""
    for row in list_table_2(shown.config):
        for protocol in series.list_protocols(results, [row]):
            part = shown.history[(shown.history["row"] == row) & (shown.history["protocol"] == protocol)]
            part = part[part["fold"].isin([-1, 0])]
            curves = {}
            for seed, of_seed in part.groupby("seed"):
                of_epoch = of_seed.sort_values("epoch")
                curves[seed] = {"loss": of_epoch["cross_entropy"].to_numpy(float)}
                curves[seed] |= {name: of_epoch[name].to_numpy(float) for name in ("accuracy", "val_loss", "val_accuracy")}
            if curves:
                figure = plot_history(curves, title=f"{series.mark_off(results, row, [row])}, {PROTOCOL_NAMES[protocol]}")
                name = "scratch" if row == VANILLA else "last-block" if row.endswith("*") else "softmax"
                caption = (
                    "Training: augmented pictures with dropout, without L2 and weights of classes; validation: originals. The "
                    "first fold where there are several; training stops once the validation AUC rises no more."
                )
                yield Picture(f"curves-{name}-{protocol}.png", f"Training of {row}, {PROTOCOL_NAMES[protocol]}", caption, figure)


def draw_layers(shown: Shown, results: Results) -> Iterator[Picture]:
    """Layer-wise fine-tuning: AUC by where the retraining starts."""
    rows = list_layers(shown.config)
    known = {row: of for row, of in series.find_rows(results, "leakfree").items() if row in rows}
    there = [row for row in rows if row in known]
    if len(there) < 3:
        return
    figure = new_figure(6.4, 3.4)
    axes = figure.subplots()
    for place, row in enumerate(there):
        auc = known[row].metrics["auc"]
        if auc.mean is None:
            continue
        axes.plot(place, auc.mean, color="black", marker="o", markersize=5)
        if auc.low is not None and auc.high is not None:
            axes.plot([place, place], [auc.low, auc.high], color="black", linewidth=1.2)
    axes.axhline(0.5, color="#5b6470", linestyle=":", linewidth=1)
    vanilla = series.find_rows(results, "leakfree").get(VANILLA)
    if vanilla and vanilla.metrics["auc"].mean is not None:
        axes.axhline(vanilla.metrics["auc"].mean, color="#0072B2", linestyle="--", linewidth=1.2, label="from scratch")
        add_legend(figure, axes.get_legend_handles_labels()[0])
    names = [row.removeprefix("InceptionV4 ").replace("retrained from", "from") for row in there]
    axes.set_xticks(range(len(there)), names, rotation=25, ha="right")
    style_axes(axes, x="retrained from, to the softmax", y="AUC, leak-free")
    caption = f"The paper's announced next step (sec. 6.3). {end(results, ['leakfree'], there, intervals=True)}"
    yield Picture("layers.png", "Layer-wise fine-tuning", caption, figure)


def draw_planted(shown: Shown, results: Results) -> Iterator[Picture]:
    """A planted scanner: what a reader of pictures makes of it."""
    if not shown.planted:
        return
    auc = {(one.kind, one.bias): one.auc for one in shown.planted}
    kinds = list(dict.fromkeys(one.kind for one in shown.planted))
    figure = new_figure(5.4, 3.4)
    axes = figure.subplots()
    for number, kind in enumerate(kinds):
        colour, line, marker = pick_style(number)
        values = [auc[kind, bias] for bias in BIASES]
        axes.plot(range(len(values)), values, color=colour, linestyle=line, marker=marker, markersize=5, label=kind)
    axes.axhline(0.5, color="#5b6470", linestyle=":", linewidth=1)
    axes.set_xticks(range(len(BIASES)), [f"{bias} as in training" if bias == "same" else bias for bias in BIASES])
    axes.set_ylim(0, 1)
    add_legend(figure, axes.get_legend_handles_labels()[0])
    style_axes(axes, x="share of the scanner among test cases with a lesion", y="AUC")
    caption = (
        "A scanner of ours goes with the label in training. A flat line has not seen it; a falling one has learnt the scanner. "
        f"Leak-free. Data: {results.datasets[0].name}."
    )
    yield Picture("planted-scanner.png", "A planted scanner", caption, figure)


def draw_attention(shown: Shown, results: Results) -> Iterator[Picture]:
    """Grad-CAM of the kept network."""
    if shown.attention is None or shown.films is None:
        return
    pictures = [np.asarray(shown.films.images[place])[..., 0] for place in shown.attention.places]
    labels = shown.films.cases["label"].to_numpy()
    maps = resize_pictures(shown.attention.maps, len(pictures[0]))  # the network has a side of its own
    both = [picture for picture in pictures for _ in range(2)]
    titles = [text for place in shown.attention.places for text in (CLASSES[labels[place]], "evidence")]
    laid = [entry for of in maps for entry in (None, of if np.ptp(of) > 0 else None)]
    label = "evidence for a lesion\n(share of the maximum)"
    figure = grids.plot_overlays(both, laid, titles, columns=4, label=label)
    caption = (
        f"Test pictures and where {shown.attention.row} finds evidence for a lesion (Grad-CAM, Selvaraju et al. 2017); a "
        f"picture without a map has none. Data: {results.datasets[0].name}."
    )
    yield Picture("attention.png", "Where the network looks", caption, figure, shows_cases=True)
