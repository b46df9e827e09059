"""Films of DDSM: every predictor and depth pixel by pixel, the codec's own first row, raw values, gzip; refusals in one line."""

import gzip

import numpy as np
import pytest
from imagecodecs import jpeg8_encode

from benchmarks.ljpeg_decoding import decode_slowly, encode_slowly
from common.data.lossless_jpeg import Header, decode_stream, read_header
from common.errors import UsageError
from replications.ddsm_inceptionv4.sources import ljpeg
from replications.ddsm_inceptionv4.sources.ics import Film

FILM = Film(24, 17, 12, 50.0, False)


@pytest.fixture(scope="module")
def levels() -> np.ndarray:
    """Smooth, twelve bits, not square."""
    y, x = np.mgrid[:24, :17]
    noise = np.random.default_rng(0).normal(0, 20, (24, 17))
    return np.clip(2000 + 1500 * np.sin(y / 9) * np.cos(x / 7) + noise, 0, 4095).astype(np.uint16)


def write(folder, data: bytes, name: str = "A_0001_1.LEFT_CC.LJPEG"):
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("predictor", range(1, 8))
def test_every_predictor_and_depth_of_the_codec_is_read_exactly(levels, tmp_path, predictor, bits):
    stored = levels.astype(np.uint16) * (15 if bits == 16 else 1)
    data = encode_slowly(stored, predictor, bits, codec=True)
    assert np.array_equal(decode_slowly(data, codec=True), stored)
    film = Film(*stored.shape, bits, 50.0, False)
    assert np.array_equal(ljpeg.read_film(write(tmp_path, data), film), stored)


@pytest.mark.parametrize("predictor", range(1, 8))
def test_streams_of_the_standard_are_read_by_the_standard(levels, predictor):
    """As DICOM holds them; the codec's rule is for files of DDSM alone."""
    data = bytes(jpeg8_encode(levels, lossless=True, predictor=predictor, bitspersample=12))
    found, header = decode_stream(data, "film")
    assert np.array_equal(found, levels)
    assert (header.precision, header.height, header.width, header.predictor) == (12, 24, 17, predictor)
    assert np.array_equal(decode_stream(encode_slowly(levels, predictor, 12, codec=False), "film")[0], levels)


@pytest.mark.parametrize("predictor", [2, 3, 6, 7])
def test_the_first_row_makes_the_difference(levels, predictor):
    data = encode_slowly(levels, predictor, 12, codec=True)
    assert not np.array_equal(decode_stream(data, "film")[0], levels)
    assert np.array_equal(decode_slowly(data, codec=True), levels)


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (5, 8), (8, 5)])
@pytest.mark.parametrize("predictor", [2, 3, 6, 7])
def test_sums_of_differences_wrap_as_the_codec_does(predictor, shape):
    """Any differences, not only those of smooth pictures."""
    differences = np.random.default_rng(1).integers(0, 2**16, shape)
    summed = ljpeg.sum_differences(differences, predictor, 2048)
    header = Header(12, *shape, predictor, 0)
    of_standard = np.zeros(shape, np.int64)
    from benchmarks.ljpeg_decoding import find_prediction

    for row in range(shape[0]):
        for column in range(shape[1]):
            predicted = find_prediction(of_standard, row, column, predictor, 2048, codec=False)
            of_standard[row, column] = (predicted + differences[row, column]) & 0xFFFF
    assert np.array_equal(ljpeg.find_differences(of_standard, predictor, 2048), differences)
    assert np.array_equal(ljpeg.apply_codec_rule(of_standard.astype(np.uint16), header, "film"), summed)


def test_raw_values_of_the_classic_tool(levels, tmp_path):
    path = write(tmp_path, levels.astype(">u2").tobytes(), "A_0001_1.LEFT_CC.LJPEG.1")
    assert np.array_equal(ljpeg.read_film(path, FILM), levels)


def test_packed_files(levels, tmp_path):
    for name, data in (
        ("A_0001_1.LEFT_CC.LJPEG.gz", encode_slowly(levels, 1, 12, codec=True)),
        ("A_0001_1.LEFT_CC.LJPEG.1.gz", levels.astype(">u2").tobytes()),
    ):
        assert np.array_equal(ljpeg.read_film(write(tmp_path, gzip.compress(data), name), FILM), levels)


def test_height_and_width_exchanged_in_the_stream(levels, tmp_path):
    turned = levels.reshape(17, 24)  # the pixels in their order, with the other sizes
    data = encode_slowly(turned, 1, 12, codec=True)
    assert np.array_equal(ljpeg.read_film(write(tmp_path, data), FILM), levels)


def test_exchanged_bytes(levels, tmp_path):
    data = encode_slowly(levels.byteswap(), 1, 16, codec=True)
    assert np.array_equal(ljpeg.read_film(write(tmp_path, data), FILM), levels)


def refuse(path, message: str, film: Film = FILM):
    with pytest.raises(UsageError, match=message) as error:
        ljpeg.read_film(path, film)
    assert len(str(error.value).splitlines()) == 1
    assert str(path) in str(error.value)


def test_a_stream_that_is_cut_short_is_refused(levels, tmp_path):
    """A decoder would fill the rest with grey and say nothing."""
    data = encode_slowly(levels, 1, 12, codec=True)
    refuse(write(tmp_path, data[: len(data) // 2]), "no end of the stream")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "an empty one"),
        (b"not a film", "no start"),
        (b"\xff\xd8\xff\xd9", "header is damaged"),
        (b"\xff\xd8\xff\xc0\x00\x0b" + bytes(9) + b"\xff\xd9", "another kind of JPEG"),
    ],
)
def test_other_content_is_refused(tmp_path, data, message):
    refuse(write(tmp_path, data), message)


def test_sizes_and_depths_that_do_not_fit_are_refused(levels, tmp_path):
    path = write(tmp_path, encode_slowly(levels, 1, 12, codec=True))
    refuse(path, "24x17 pixels, 25x17 by its .ics file", Film(25, 17, 12, 50.0, False))
    refuse(path, "8 bits by its .ics file", Film(24, 17, 8, 50.0, False))
    refuse(write(tmp_path, b"\0" * 9, "A_0001_1.LEFT_CC.LJPEG.1"), "9 bytes, 816 for 24x17")


def test_noise_is_no_film(tmp_path):
    noise = np.random.default_rng(0).integers(0, 4096, (24, 17)).astype(np.uint16)
    refuse(write(tmp_path, encode_slowly(noise, 1, 12, codec=True)), "decoded wrongly")
    flat = np.full((24, 17), 7, np.uint16)
    refuse(write(tmp_path, encode_slowly(flat, 1, 12, codec=True)), "all pixels are the same")


def test_a_bomb_is_not_unpacked(tmp_path):
    path = write(tmp_path, gzip.compress(bytes(10**7)), "A_0001_1.LEFT_CC.LJPEG.gz")
    refuse(path, "more than the film")


def test_a_header_that_claims_more_than_its_bytes_can_hold(levels):
    data = bytearray(encode_slowly(levels, 1, 12, codec=True))
    place = data.index(b"\xff\xc3") + 5
    data[place : place + 4] = b"\x7f\xff\x7f\xff"
    with pytest.raises(UsageError, match="claims 32767x32767"):
        read_header(bytes(data), "film")
