"""The benchmarks of the package: both ways end in equal pictures, pixels and weights."""

import numpy as np

from benchmarks import ljpeg_decoding, mammograms


def test_films_are_prepared_equally_by_one_process_and_two():
    rates = mammograms.measure_preparing(4, 300)
    assert set(rates) == {"1 process", "2 processes", "GiB here", "GiB of a worker"}
    assert min(rates.values()) > 0


def test_the_cache_and_plain_keras_end_in_the_same_weights(backend):
    config = mammograms.replace(mammograms.PAPER, size=75, width=0.05, blocks=(1, 1, 1), dropout=0.0, batch_size=8)
    found = mammograms.measure_cache(mammograms.SOFTMAX, 16, 2, config)
    assert found["weights differ by"] < mammograms.TOLERANCE
    assert found["allowed"] > 1.9  # two epochs, nearly all of the network frozen


def test_the_slow_decoder_is_one():
    film = ljpeg_decoding.draw_film(9, 7)
    for predictor in (1, 6, 7):
        for codec in (False, True):
            assert np.array_equal(
                ljpeg_decoding.decode_slowly(ljpeg_decoding.encode_slowly(film, predictor, 12, codec=codec), codec=codec), film
            )
