"""Training curves of the thyroid ensemble and counts over its seeds: what they are of stands in the picture."""

from dataclasses import replace

import numpy as np
import pytest
from test_thyroid_drawings import Made, Size, make_run, texts

from common.evaluation import outcome
from replications.thyroid_ensemble import figures


@pytest.fixture(scope="module")
def made(paper) -> Made:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outcome, "compare_rows", lambda *_: [])  # no figure shows them
        return make_run(Size(), paper)


def test_training_curves_end_with_the_chosen_step_2(made):
    found = {picture.file: picture for picture in figures.draw_trainings(made.shown, made.results)}
    history = made.shown.history
    for choice in made.choices:
        picture = found[f"history-vgg16-{choice.protocol}.png"]
        k = choice.depths["VGG16"]
        assert f"{k} (seed {choice.seed})" in picture.caption
        part = history[(history["protocol"] == choice.protocol) & (history["seed"] == choice.seed) & (history["fold"] < 1)]
        part = part[part["row"].isin([f"Scale 1 / VGG16, k = {k}" if k else "Scale 1 / VGG16, step 1"])]
        thin = [line.get_ydata() for line in picture.figure.axes[0].lines if line.get_linewidth() == 0.7]
        last = [values[np.isfinite(values)][-1] for values in thin]
        assert part.sort_values("epoch")["loss"].iloc[-1] == pytest.approx(last[choice.seed])


def test_training_curves_without_validation_do_not_speak_of_it(made):
    blind = replace(made.shown, history=made.shown.history.assign(val_loss=np.nan, val_accuracy=np.nan))
    picture = next(figures.draw_trainings(blind, made.results))
    assert "Dashed" not in picture.caption
    assert "L2" not in picture.caption
    assert not any("validation" in text for text in texts(picture.figure))


def test_the_picture_says_whose_loss_is_dashed_and_what_it_lacks(made):
    found = {picture.file: picture for picture in figures.draw_trainings(made.shown, made.results)}
    watched = {"paper": "test set, not validation", "leakfree": "validation patients"}
    for protocol, text in watched.items():
        picture = found[f"history-resnet50-{protocol}.png"]
        legend = [label.get_text() for label in picture.figure.legends[0].get_texts()]
        assert legend[0].startswith("training (loss with L2 penalty), mean of n = 2 seeds")
        assert legend[1].startswith(f"{text} (loss without), mean of n = 2 seeds")
        assert "L2 penalty" in picture.caption
        assert picture.figure.axes[0].get_ylabel() == "loss (cross-entropy; training: and L2)"
    assert "the test set, which early stopping looks at" in found["history-resnet50-paper.png"].caption
    assert "Dashed: the test set" not in found["history-resnet50-leakfree.png"].caption


def test_counts_summed_over_seeds_name_the_test_cases_of_one(made):
    for picture in figures.draw_confusions(made.shown, made.results):
        titles = [text for text in texts(picture.figure) if "\nn = " in text]
        assert len(titles) >= 9
        assert {title.rpartition("\n")[2] for title in titles} == {"n = 2 × 16"}
