"""Figures of the planned unsupervised part: what the models draw, how they trained, how the judge tells them."""

from collections.abc import Iterator

import numpy as np
from matplotlib.ticker import MaxNLocator

from common.figures.style import SMALL, Picture, new_figure, pick_style, style_axes
from common.records.results import Results
from replications.ddsm_inceptionv4.rows import DCGAN, SAMPLERS, SAMPLES, VAE
from replications.ddsm_inceptionv4.sample_measures import order_sets
from replications.ddsm_inceptionv4.shown import Shown
from replications.ddsm_inceptionv4.variants import resize_pictures

EACH = 8  # pictures of a row
LOSSES = {"elbo": "minus ELBO", "discriminator": "discriminator", "generator": "generator", "encoder": "encoder"}


def draw_samples(shown: Shown, results: Results) -> Iterator[Picture]:
    """Pictures of every model, their training, the judge."""
    yield from draw_drawn(shown, results)
    yield from draw_training(shown)
    yield from draw_judge(shown, results)


def draw_drawn(shown: Shown, results: Results) -> Iterator[Picture]:
    """Real test pictures, what VAE and VAE-GAN decode of them, and what each model draws."""
    if not shown.samplers or shown.films is None or shown.folder is None:
        return
    test = list(shown.test)[:EACH]
    rows = {}
    for name, cell in shown.samplers.items():
        with np.load(shown.folder / "cells" / cell.key / SAMPLES, allow_pickle=False) as stored:
            if len(stored["decoded"]):
                rows[f"{name}, decoded"] = stored["decoded"][:EACH]
            rows[f"{name}, drawn"] = stored["drawn"][:EACH]
    small = resize_pictures(np.asarray(shown.films.images)[test][..., 0], shown.config.sample_size) if test else None
    rows = ({"real": small} if small is not None else {}) | dict(sorted(rows.items(), key=lambda entry: "drawn" in entry[0]))
    figure = new_figure(1.0 + 0.85 * EACH, 0.3 + 0.85 * len(rows))
    axes_of = figure.subplots(len(rows), EACH, squeeze=False)
    for axes_row, (name, pictures) in zip(axes_of, rows.items(), strict=True):
        for place, axes in enumerate(axes_row):
            axes.set_xticks([])
            axes.set_yticks([])
            if place < len(pictures):
                axes.imshow(pictures[place], cmap="gray", vmin=0, vmax=255)
        axes_row[0].set_ylabel(name, fontsize=SMALL, rotation=0, ha="right", va="center")
    caption = (
        f"The first {EACH} pictures of each, none chosen. Decoded: the real pictures above. Data: {results.datasets[0].name}."
    )
    yield Picture("samples.png", "Samples of the planned models", caption, figure, shows_cases=True)


def draw_training(shown: Shown) -> Iterator[Picture]:
    """Losses of the models by epoch."""
    history = shown.history[shown.history["row"].isin(SAMPLERS)]
    names = [name for name in SAMPLERS if (history["row"] == name).any()]
    if not names:
        return
    figure = new_figure(0.6 + 2.9 * len(names), 3.0)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        part = history[history["row"] == name]
        of_first = part[part["seed"] == part["seed"].min()].sort_values("epoch")
        for number, (loss, label) in enumerate(LOSSES.items()):
            if loss in of_first and of_first[loss].notna().any():
                colour, line, _ = pick_style(number)
                values = -of_first[loss] if loss == "elbo" else of_first[loss]
                axes.plot(of_first["epoch"], values, color=colour, linestyle=line, linewidth=1.5, label=label)
        style_axes(axes, title=name, x="epoch", y="loss (nats)" if axes is figure.axes[0] else "")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if name == VAE:
            axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 4))
        axes.legend(fontsize=SMALL, frameon=False)
    caption = f"One training each. The {DCGAN}'s and VAE-GAN's losses compete: they need not fall."
    yield Picture("sampler-curves.png", "Training of the planned models", caption, figure)


def draw_judge(shown: Shown, results: Results) -> Iterator[Picture]:
    """AUC of the deep discriminator between real training pictures and every other set."""
    known = {name: shown.sets[name]["auc"] for name in order_sets(shown.sets) if "auc" in shown.sets[name]}
    if not known:
        return
    figure = new_figure(6.0, 0.9 + 0.34 * len(known))
    axes = figure.subplots()
    for place, (name, auc) in enumerate(reversed(list(known.items()))):
        drawn = name in SAMPLERS
        axes.barh(
            place, auc - 0.5, left=0.5, color="#D55E00" if drawn else "#9fb4c7", hatch="//" if drawn else "", edgecolor="black"
        )
        axes.text(max(auc, 0.5) + 0.01, place, f"{auc:.3f}", va="center", fontsize=SMALL)
    axes.set_yticks(range(len(known)), list(reversed(list(known))))
    axes.set_xlim(0.3, 1.08)
    style_axes(axes, x="AUC of the judge against training pictures (0.5: cannot tell)")
    caption = (
        "The judge: a logistic regression on frozen features, cross-validated. Hatched: drawn by models; plain: real pictures "
        f"of other women, as they are and blurred. Data: {results.datasets[0].name}."
    )
    yield Picture("judge.png", "The deep discriminator", caption, figure)
