"""DDSM's own pictures: lossless JPEG of the Stanford codec (PVRG), packed or not, and the raw values that its tool wrote.

The codec departs from T.81 in the first row: it applies the predictor of the header there, with a row of 2^(bits - 1) above,
where T.81 takes the pixel at the left. For predictors 1, 4 and 5 both are the same. For the others the differences are recovered
from what a decoder of T.81 gives, and summed up again by the codec's rule.
"""

import zlib
from pathlib import Path

import numpy as np

from common.data.lossless_jpeg import Header, decode_stream
from common.errors import UsageError
from replications.ddsm_inceptionv4.sources.ics import Film

SAME_RULE = (1, 4, 5)
MAX_FILE_BYTES = 256 * 2**20
GZIP = 16 + zlib.MAX_WBITS
LEAST_SMOOTHNESS = 0.5  # correlation of neighbouring pixels: a film has over 0.9, noise 0
SEEN = 400  # rows and columns that are looked at


def read_film(path: Path, film: Film) -> np.ndarray:
    """Grey levels of a film, uint8 or uint16 (rows, columns); film: what the `.ics` file says of it.

    Takes .LJPEG, the headerless big-endian values of the classic tool (.LJPEG.1), and either packed by gzip (.gz). Height and
    width may be exchanged in the stream, and bytes swapped. Raises UsageError: not such a file, damaged, cut short, of
    another size or depth than the `.ics` says, or a picture that is none.
    """
    data = _read_bytes(path, film)
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".1"):
        levels = _read_raw(data, film, path)
    else:
        levels, header = decode_stream(data, str(path))
        levels = apply_codec_rule(levels, header, str(path))
    if levels.shape == (film.columns, film.rows):
        levels = levels.reshape(film.rows, film.columns)  # exchanged in the header alone
    if levels.shape != (film.rows, film.columns):
        sizes = f"{levels.shape[0]}x{levels.shape[1]} pixels, {film.rows}x{film.columns} by its .ics file"
        raise UsageError(f"{path}: {sizes}")
    levels = settle_bytes(levels, film.bits, path)
    check_picture(levels, path)
    return levels


def _read_bytes(path: Path, film: Film) -> bytes:
    try:
        if not path.is_file() or not 0 < path.stat().st_size <= MAX_FILE_BYTES:
            raise UsageError(f"{path}: no file, an empty one, or larger than {MAX_FILE_BYTES // 2**20} MiB")
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    if not path.name.lower().endswith(".gz"):
        return data
    most = 4 * film.rows * film.columns + 2**16
    unpack = zlib.decompressobj(GZIP)
    try:
        content = unpack.decompress(data, most)
    except zlib.error:
        raise UsageError(f"{path}: damaged gzip file") from None
    if not unpack.eof:
        raise UsageError(f"{path}: cut short, or more than the film of its .ics file can take")
    return content


def _read_raw(data: bytes, film: Film, path: Path) -> np.ndarray:
    expected = 2 * film.rows * film.columns
    if len(data) != expected:
        raise UsageError(f"{path}: {len(data)} bytes, {expected} for {film.rows}x{film.columns} pixels of 16 bits")
    return np.frombuffer(data, ">u2").astype(np.uint16).reshape(film.rows, film.columns)


def settle_bytes(levels: np.ndarray, bits: int, path: Path) -> np.ndarray:
    """The levels with their bytes exchanged where only so they fit into `bits`; UsageError where they do not fit either way."""
    if int(levels.max()) < 2**bits:
        return levels
    swapped = levels.byteswap() if levels.itemsize == 2 else levels
    if int(swapped.max()) >= 2**bits:
        raise UsageError(f"{path}: levels up to {levels.max()}, {bits} bits by its .ics file")
    return swapped


def check_picture(levels: np.ndarray, path: Path) -> None:
    """UsageError where neighbouring pixels have nothing to do with each other: a picture that was decoded wrongly, or none."""
    rows, columns = (np.linspace(0, size - 2, min(size - 1, SEEN)).astype(int) for size in levels.shape)
    grid = np.ix_(rows, columns)
    here = levels[grid].astype(np.float64)
    if not here.std():
        raise UsageError(f"{path}: all pixels are the same")
    for step, shape in (((1, 0), "below"), ((0, 1), "beside")):
        other = levels[np.ix_(rows + step[0], columns + step[1])].astype(np.float64)
        spread = here.std() * other.std()
        smooth = ((here - here.mean()) * (other - other.mean())).mean() / spread if spread else 0.0
        if not smooth >= LEAST_SMOOTHNESS:  # NaN as well
            raise UsageError(f"{path}: pixels do not look like those {shape} them (correlation {smooth:.2f}): decoded wrongly?")


def apply_codec_rule(levels: np.ndarray, header: Header, where: str) -> np.ndarray:
    """What the codec had written, from what T.81 reads: uint8 or uint16 (height, width)."""
    if header.predictor in SAME_RULE:
        return levels
    if header.restart:
        raise UsageError(f"{where}: predictor {header.predictor} with restarts, which the codec of DDSM does not write")
    first = 2 ** (header.precision - 1)
    differences = find_differences(levels, header.predictor, first)
    return sum_differences(differences, header.predictor, first).astype(levels.dtype)


def find_differences(levels: np.ndarray, predictor: int, first: int) -> np.ndarray:
    """Differences modulo 2^16 that T.81 decodes to these levels: int32 (height, width). first: the value before the first
    pixel."""
    x = levels.astype(np.int32)
    predicted = np.empty_like(x)
    predicted[0, 0], predicted[0, 1:], predicted[1:, 0] = first, x[0, :-1], x[:-1, 0]
    predicted[1:, 1:] = _predict(x[1:, :-1], x[:-1, 1:], x[:-1, :-1], predictor)
    return (x - predicted) & 0xFFFF


def sum_differences(differences: np.ndarray, predictor: int, first: int) -> np.ndarray:
    """The levels that the codec's rule gives for these differences: int32 (height, width). Predictors 2, 3, 6 and 7."""
    height, width = differences.shape
    d = differences.astype(np.int32)
    x = np.empty_like(d)
    if predictor in (2, 3):  # nothing of the row itself
        above = np.full(width, first, np.int32)
        for row in range(height):
            predicted = above if predictor == 2 else np.concatenate([above[:1], above[:-1]])
            above = x[row] = (predicted + d[row]) & 0xFFFF
        return x
    # Along anti-diagonals nothing depends on each other: skewed, they are columns of steps.
    skewed = np.zeros((height + width - 1, height + 1), np.int32)  # [row + column, row + 1]
    rows, columns = np.indices((height, width), sparse=True)
    of_step = np.zeros((height + width - 1, height), np.int32)
    of_step[rows + columns, rows] = d
    for step in range(height + width - 1):
        low, high = max(0, step - width + 1), min(height, step + 1)
        now = slice(low + 1, high + 1)
        left = skewed[step - 1, now] if step else np.full(high - low, first, np.int32)
        above = skewed[step - 1, low:high].copy() if step else np.full(high - low, first, np.int32)
        corner = skewed[step - 2, low:high].copy() if step > 1 else np.full(high - low, first, np.int32)
        if low == 0:  # the first row has a row of `first` above
            above[0] = corner[0] = first
        predicted = _predict(left, above, corner, predictor)
        if high == step + 1:  # the first column: the pixel above
            predicted[-1] = above[-1]
        skewed[step, now] = (predicted + of_step[step, low:high]) & 0xFFFF
    x[:] = skewed[rows + columns, rows + 1]
    return x


def _predict(left: np.ndarray, above: np.ndarray, corner: np.ndarray, predictor: int) -> np.ndarray:
    """Ra, Rb, Rc of T.81, table H.1 -> prediction, int32."""
    match predictor:
        case 1:
            return left
        case 2:
            return above
        case 3:
            return corner
        case 4:
            return left + above - corner
        case 5:
            return left + ((above - corner) >> 1)
        case 6:
            return above + ((left - corner) >> 1)
        case _:
            return (left + above) >> 1
