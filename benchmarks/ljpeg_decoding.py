"""Decoding lossless JPEG: the library's decoder with the rule of DDSM's codec, against one pixel after the other, and wrapped as
DICOM.

`python -m benchmarks.ljpeg_decoding [--height 4000] [--width 3000]` prints seconds and megapixels a second of each way, on one
film that is written with every predictor; equal pixels are checked. The pixel-by-pixel decoder, which is also what the tests
compare with, decodes a corner of it, as a whole film would take it minutes.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from common.data.dicom import decode_pixels, open_dicom
from common.data.lossless_jpeg import decode_stream
from replications.ddsm_inceptionv4.sources.ljpeg import apply_codec_rule
from replications.ddsm_inceptionv4.sources.phantoms import write_dicom

CATEGORIES = 17  # of a difference: 0 to 16 bits, each with a code of five bits here
CORNER = 120  # rows and columns that are decoded pixel by pixel


def predict_pixel(left: int, above: int, corner: int, predictor: int) -> int:
    """Table H.1 of ITU-T T.81."""
    return {
        1: left, 2: above, 3: corner, 4: left + above - corner, 5: left + ((above - corner) >> 1),
        6: above + ((left - corner) >> 1), 7: (left + above) >> 1,
    }[predictor]  # fmt: skip


def find_prediction(x: np.ndarray, row: int, column: int, predictor: int, first: int, *, codec: bool) -> int:
    """What a pixel is predicted as, by T.81 or by the codec of DDSM, which takes a row of `first` above the picture."""
    if row == column == 0:
        return first
    if row == 0 and not codec:
        return int(x[0, column - 1])
    if column == 0:
        return int(x[row - 1, 0])
    above, corner = (first, first) if row == 0 else (int(x[row - 1, column]), int(x[row - 1, column - 1]))
    return predict_pixel(int(x[row, column - 1]), above, corner, predictor)


def encode_slowly(levels: np.ndarray, predictor: int, bits: int, *, codec: bool) -> bytes:
    """A stream of lossless JPEG, one pixel after the other; codec: by the rule of DDSM's codec."""
    height, width = levels.shape
    written = []
    for row in range(height):
        for column in range(width):
            predicted = find_prediction(levels, row, column, predictor, 2 ** (bits - 1), codec=codec)
            difference = (int(levels[row, column]) - predicted + 32768) % 65536 - 32768
            size = 16 if difference == -32768 else abs(difference).bit_length()
            written.append(f"{size:05b}")
            if 0 < size < 16:
                written.append(f"{difference if difference > 0 else difference + 2**size - 1:0{size}b}")
    text = "".join(written)
    text += "1" * (-len(text) % 8)
    body = bytes(int(text[start : start + 8], 2) for start in range(0, len(text), 8)).replace(b"\xff", b"\xff\x00")
    frame = bytes([bits, *divmod(height, 256), *divmod(width, 256), 1, 1, 0x11, 0])
    table = bytes([0, 0, 0, 0, 0, CATEGORIES, *[0] * 11, *range(CATEGORIES)])
    scan = bytes([1, 1, 0, predictor, 0, 0])
    parts = [(0xC3, frame), (0xC4, table), (0xDA, scan)]
    header = b"".join(bytes([0xFF, marker, *divmod(len(content) + 2, 256)]) + content for marker, content in parts)
    return b"\xff\xd8" + header + body + b"\xff\xd9"


def decode_slowly(data: bytes, *, codec: bool) -> np.ndarray:
    """Grey levels uint16 of a stream of `encode_slowly`, one pixel after the other."""
    frame = data.index(b"\xff\xc3") + 4
    bits, height, width = data[frame], int.from_bytes(data[frame + 1 : frame + 3]), int.from_bytes(data[frame + 3 : frame + 5])
    scan = data.index(b"\xff\xda") + 4
    predictor = data[scan + 3]
    body = data[scan + 6 : -2].replace(b"\xff\x00", b"\xff")
    text = "".join(f"{byte:08b}" for byte in body)
    x, place = np.zeros((height, width), np.int64), 0
    for row in range(height):
        for column in range(width):
            size = int(text[place : place + 5], 2)
            place += 5
            difference = 32768 if size == 16 else 0
            if 0 < size < 16:
                difference = int(text[place : place + size], 2)
                difference -= 0 if difference >> (size - 1) else 2**size - 1
                place += size
            x[row, column] = (find_prediction(x, row, column, predictor, 2 ** (bits - 1), codec=codec) + difference) & 0xFFFF
    return x.astype(np.uint16)


def draw_film(height: int, width: int) -> np.ndarray:
    """Twelve bits, smooth with noise, as a film is."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    film = 2000 + 1200 * np.sin(y / height * 4) * np.cos(x / width * 3) + random.normal(0, 6, (height, width))
    return np.clip(film, 0, 4095).astype(np.uint16)


def clock(work: Callable[[], np.ndarray], repeats: int = 3) -> tuple[float, np.ndarray]:
    """Seconds of the fastest of several times, and the result."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - started)
    return min(times), result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--height", type=int, default=4000)
    parser.add_argument("--width", type=int, default=3000)
    given = parser.parse_args()
    from imagecodecs import jpeg8_encode  # writes T.81: for predictors 1, 4 and 5 the codec's own rule

    film = draw_film(given.height, given.width)
    pixels = film.size / 1e6
    small = film[:CORNER, :CORNER]
    slow, found = clock(lambda: decode_slowly(encode_slowly(small, 7, 12, codec=True), codec=True), 1)
    assert np.array_equal(found, small)
    rate = small.size / 1e6 / slow
    print(f"pixel by pixel, predictor 7, {CORNER}x{CORNER}: {slow:.2f} s with its writing, {rate:.3f} megapixels/s")
    for predictor in range(1, 8):
        data = bytes(jpeg8_encode(film, lossless=True, predictor=predictor, bitspersample=12))
        seconds, found = clock(lambda data=data: decode_stream(data, "film")[0])  # type: ignore[misc]
        assert np.array_equal(found, film)
        found_rate = pixels / seconds
        print(f"T.81, predictor {predictor}: {seconds:.3f} s, {found_rate:.1f} megapixels/s, {found_rate / rate:.0f} times")
    for predictor in (2, 3, 6, 7):
        header = decode_stream(bytes(jpeg8_encode(film, lossless=True, predictor=predictor, bitspersample=12)), "film")[1]
        seconds, _ = clock(lambda header=header: apply_codec_rule(film, header, "film"))  # type: ignore[misc]
        print(f"the codec's first row, predictor {predictor}: {seconds:.3f} s more")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.dcm"
        write_dicom(path, film, "phantom", "LEFT_CC", lossless=True)
        seconds, found = clock(lambda: decode_pixels(open_dicom(path, "MG"), path)[0])
        assert np.array_equal(found, film)
        print(f"wrapped as DICOM: {seconds:.3f} s, {pixels / seconds:.1f} megapixels/s")


if __name__ == "__main__":
    main()
