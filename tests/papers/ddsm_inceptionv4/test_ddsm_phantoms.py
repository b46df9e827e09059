"""Phantom films: what those of a woman have in common, and who has a lesion where."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from ddsm_samples import SMALL

from common.data.unmarked import read_unmarked
from replications.ddsm_inceptionv4.sources.breasts import draw_breast, draw_woman
from replications.ddsm_inceptionv4.sources.ddsm import list_ddsm
from replications.ddsm_inceptionv4.sources.phantoms import write_phantoms

SIZE = (200, 120)


def draw_texture(strength: float, woman: int, film: int, view: str) -> np.ndarray:
    """Fine structure of the middle of a breast without a lesion, float32 (n,); woman, film: seeds."""
    drawn = draw_woman(np.random.default_rng([0, woman]), strength)
    brightness, _ = draw_breast(drawn, None, view, SIZE, np.random.default_rng([1, film]))
    middle = round(SIZE[0] * (0.5 if view == "CC" else 0.58))
    return (brightness - cv2.GaussianBlur(brightness, (0, 0), 4))[middle - 40 : middle + 40, 5:55].ravel()


def correlate(strength: float, *, same: bool, view: str) -> float:
    """Mean correlation of the texture of a film with that of another one, of the same woman or of the next."""
    pairs = [
        (draw_texture(strength, woman, woman, "CC"), draw_texture(strength, woman if same else woman + 1, woman + 50, view))
        for woman in range(8)
    ]
    return float(np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs]))


@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_films_of_a_woman_have_a_texture_in_common_as_far_as_women_differ(view):
    assert correlate(1.0, same=True, view=view) > 0.75
    assert 0.15 < correlate(0.5, same=True, view=view) < 0.5
    for other in (correlate(1.0, same=False, view=view), correlate(0.0, same=True, view=view)):
        assert abs(other) < 0.15


def find_spectrum(strength: float, woman: int, view: str) -> np.ndarray:
    """What waves go through a breast, wherever they lie: float32 (n,), of length 1."""
    drawn = draw_woman(np.random.default_rng([0, woman]), strength)
    brightness, _ = draw_breast(drawn, None, view, SIZE, np.random.default_rng([2, woman, len(view)]))
    middle, edge = (100, 4) if view == "CC" else (136, 14)  # another part of the breast
    part = brightness[middle - 36 : middle + 36, edge : edge + 42]
    spectrum = np.abs(np.fft.fft2((part - part.mean()) * np.outer(np.hanning(72), np.hanning(42)))).ravel()
    return spectrum / np.linalg.norm(spectrum)


@pytest.mark.parametrize(("strength", "low", "high"), [(1.0, 0.6, 1.0), (0.0, 0.0, 0.2)])
def test_another_part_of_the_breast_in_another_film_tells_the_woman_by_the_waves_of_her_tissue(strength, low, high):
    views = [np.stack([find_spectrum(strength, woman, view) for woman in range(20)]) for view in ("CC", "MLO")]
    nearest = (views[0] @ views[1].T).argmax(axis=1)
    assert low <= np.mean(nearest == np.arange(20)) <= high


def test_about_as_many_films_show_a_lesion_as_do_not(tmp_path):
    """Half of the women have one, most of them in both breasts, the others in either."""
    write_phantoms(tmp_path, replace(SMALL, phantom_cases=48, phantom_height=64), seed=0, unmarked=0.25)
    films = list_ddsm(tmp_path / "ddsm").mammograms
    assert 0.4 < np.mean([film.label for film in films]) < 0.5
    breasts: dict[str, set[str]] = {film.patient: set() for film in films}
    for film in films:
        breasts[film.patient] |= {film.breast} if film.label else set()
    counts = [len(sides) for sides in breasts.values()]
    assert (counts.count(0), len(counts)) == (24, 48)
    assert 0 < counts.count(1) < counts.count(2) / 2
    assert len({next(iter(sides)) for sides in breasts.values() if len(sides) == 1}) == 2
    unmarked = read_unmarked(tmp_path / "ddsm")
    assert (len(unmarked), sum(bool(breasts[woman]) for woman in unmarked)) == (12, 6)
