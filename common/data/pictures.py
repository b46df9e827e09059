"""Reading one picture from disk as a viewer shows it, with its header checked before a pixel is decoded."""

import contextlib
import hashlib
import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from common.errors import UsageError
from common.files import check_file
from common.progress import SCREEN

MAX_FILE_BYTES = 256 * 2**20
MAX_PIXELS = 64_000_000  # a radiograph of the paper has 3056 x 2544 = 7.8 million
SILENT = logging.NullHandler()
GREY_MODES = ("L", "RGB", "RGBA", "LA", "P", "1")
DEEP_MODES = ("I;16", "I;16B", "I;16L", "I")  # 16-bit grey; Pillow opens some as 32-bit
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
SAVED_AS = "save it as 8- or 16-bit grey or 8-bit RGB"
# Tags of TIFF, and values of theirs. Where high levels are dark (WHITE_IS_ZERO), Pillow heeds it up to 8 bits.
BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, PLANES, COLOURS, SAMPLES = 258, 259, 262, 266, 284, 320, 339
WHITE_IS_ZERO, UNCOMPRESSED, LOW_BIT_FIRST, SEPARATE, SIGNED = 0, 1, 2, 2, 2


def read_picture(
    path: Path,
    size: tuple[int, int] | None = None,
    formats: tuple[str, ...] = ("JPEG", "PNG"),
    *,
    colours: bool = False,
    deep: bool = False,
    window: tuple[int, int] | None = None,
) -> np.ndarray:
    """Grey levels of a picture as a viewer shows it (turned as its EXIF orientation says), colour turned to luminance: uint8
    (height, width); with `colours` uint8 (height, width, 3).

    More than 8 bits of grey are read in two cases: with `window`, the grey levels of black and of white, between which all grey
    pictures are stretched to 0..255 (black above white inverts them); with `deep`, as they are, uint16.
    With `size` (width, height) any other size is refused before decoding.
    Raises UsageError: missing, empty, not a picture of `formats`, truncated, too large, more than 8 bits where they would be
    lost; a window beyond its highest level; transparent anywhere; without colours, where wanted.
    """
    try:
        file_bytes = check_file(path).st_size
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    if file_bytes == 0:
        raise UsageError(f"{path}: the file is empty")
    if file_bytes > MAX_FILE_BYTES:
        raise UsageError(f"{path}: {file_bytes} bytes, more than the {MAX_FILE_BYTES} that a picture may have")
    logging.getLogger("PIL").addHandler(SILENT)  # what Pillow logs of a damaged file, the error says
    silence = mute_stderr() if "TIFF" in formats else contextlib.nullcontext()
    with silence, ignore_warnings():  # Pillow's own size warning: the limit below is stricter
        try:
            # By the file, not its name: Pillow maps an uncompressed TIFF of that name, and garbles one that lies on its side.
            with path.open("rb") as file, Image.open(file, formats=formats) as opened:
                highest = _read_highest(opened)
                _refuse_misread(path, opened, highest)
                _check_header(path, opened, size, highest, deep, window)
                inverted = opened.format == "TIFF" and opened.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO  # type: ignore[attr-defined]
                _refuse_transparent(path, opened)
                picture = ImageOps.exif_transpose(opened) if _read_orientation(opened) != 1 else opened
                if picture.mode in DEEP_MODES:
                    levels = _take_deep(path, np.asarray(picture), opened.format, highest, inverted)
                    return levels if window is None else stretch_levels(levels, window)
                if colours and picture.mode not in ("RGB", "RGBA"):
                    raise UsageError(f"{path}: a picture of mode {picture.mode}, without red, green and blue")
                mode = "RGB" if colours else "L"
                levels = np.asarray(picture if picture.mode == mode else picture.convert(mode), dtype=np.uint8)
                if window is None or colours:
                    return levels
                return stretch_levels(np.rint(levels * (highest / 255)), window)  # Pillow stretches 0..maxval of PPM
        except UnidentifiedImageError:
            raise _explain_unknown(path, formats) from None
        except Image.DecompressionBombError:
            raise UsageError(f"{path}: claims more than {MAX_PIXELS} pixels") from None
        except UsageError:
            raise
        except Exception as error:  # Pillow's TIFF reader raises whatever damaged tags lead it to
            if "raw mode" in str(error):
                raise _explain_unknown(path, formats) from None
            what = "truncated" if "truncated" in str(error) else type(error).__name__  # its text may repeat what the file says
            raise UsageError(f"{path}: damaged picture ({what})") from None


def read_size(path: Path, formats: tuple[str, ...] = ("JPEG", "PNG")) -> tuple[int, int]:
    """(width, height) as a viewer shows it, by the header alone; of a JPEG no pixel is decoded. Raises UsageError if there is no
    such header."""
    with ignore_warnings():
        try:
            check_file(path)
            with Image.open(path, formats=formats) as picture:
                return _read_shown_size(picture)
        except Image.DecompressionBombError:
            raise UsageError(f"{path}: claims more than {MAX_PIXELS} pixels") from None
        except (OSError, SyntaxError, ValueError):
            raise _explain_unknown(path, formats) from None


def stretch_levels(levels: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """Grey levels -> uint8 of the same shape: window[0] becomes 0 and window[1] 255, what lies outside is cut off.

    >>> stretch_levels(np.array([0, 100, 2100, 4100, 5000]), (100, 4100)).tolist()
    [0, 0, 128, 255, 255]
    >>> stretch_levels(np.array([100, 4100]), (4100, 100)).tolist()
    [255, 0]
    """
    black, white = window
    return np.rint(np.clip((levels.astype(np.float64) - black) / (white - black), 0, 1) * 255).astype(np.uint8)


def _read_highest(picture: Image.Image) -> int:
    """The highest grey level or colour that the file can hold, by what it says itself: Pillow's mode is what it makes of that."""
    arguments = str([getattr(tile, "args", tile[-1]) for tile in getattr(picture, "tile", ())])
    if picture.format == "PPM" and (scaled := re.search(r"', (\d+)\)", arguments)):  # Pillow stretches 0..maxval
        return int(scaled[1])
    # "I;12", "I;16B" are grey, "RGB;16L" colours of 16 bits each; "BGR;16" is a whole pixel in 16 bits
    depths = [int(grey or colour) for grey, colour in re.findall(r"I;(\d+)|;(16)[BLN]", arguments)]
    if picture.format == "TIFF":  # where colours lie in planes, Pillow's words are of one letter each
        depths += [bits for bits in picture.tag_v2.get(BITS, ()) if bits > 8]  # type: ignore[attr-defined]
    return 2 ** max(depths, default=16 if picture.mode in DEEP_MODES else 8) - 1


def _read_orientation(picture: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 is as stored. Pillow turns TIFF files itself, and says 1 of them when they are loaded."""
    found = picture.getexif().get(ExifTags.Base.Orientation, 1) if picture.format != "TIFF" else 1
    return found if found in range(1, 9) else 1


def _read_shown_size(picture: Image.Image) -> tuple[int, int]:
    width, height = picture.size
    return (height, width) if _read_orientation(picture) >= 5 else (width, height)


def _take_deep(path: Path, levels: np.ndarray, form: str | None, highest: int, inverted: bool) -> np.ndarray:
    """uint16 grey levels as the file holds them, bright pixels high."""
    if levels.min() < 0 or levels.max() > np.iinfo(np.uint16).max:
        raise UsageError(f"{path}: grey levels from {levels.min()} to {levels.max()}, beyond 16 bits")
    if form == "PPM":
        levels = np.rint(levels * (highest / 65535))
    return (highest - levels if inverted else levels).astype(np.uint16)


def _check_header(
    path: Path, picture: Image.Image, size: tuple[int, int] | None, highest: int, deep: bool, window: tuple[int, int] | None
) -> None:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise UsageError(f"{path}: claims {width}x{height} pixels, more than {MAX_PIXELS}")
    if size is not None and (shown := _read_shown_size(picture)) != size:
        raise UsageError(f"{path}: {shown[0]}x{shown[1]} pixels instead of {size[0]}x{size[1]}")
    if getattr(picture, "n_frames", 1) != 1:
        raise UsageError(f"{path}: {picture.n_frames} pictures in one file; save each by itself")  # type: ignore[attr-defined]
    bits = highest.bit_length()
    if picture.mode in DEEP_MODES and not deep and window is None:
        where = "columns black, white of a table of one's own, --window of predict"
        advice = f"state which level is black and which white ({where}), or export it as such"
        raise UsageError(f"{path}: pixel type {picture.mode} ({bits} bits) is not 8-bit grey or RGB; {advice}")
    if picture.mode not in GREY_MODES + DEEP_MODES:
        raise UsageError(f"{path}: pixel type {picture.mode} is not 8-bit grey or RGB; export it as such")
    if picture.mode in GREY_MODES and highest > 255:
        raise UsageError(f"{path}: {bits} bits a colour, which would be cut to 8; export it as 8-bit grey or RGB")
    if window is not None and max(window) > highest:
        advice = "leave it empty for this picture, or give one within its levels"
        raise UsageError(f"{path}: its highest level is {highest}, which the window {window[0]},{window[1]} exceeds; {advice}")


def _explain_unknown(path: Path, formats: tuple[str, ...]) -> UsageError:
    """The error for what Pillow does not know: a TIFF of another kind, or no picture."""
    try:
        with path.open("rb") as file:
            tiff = file.read(4) in TIFF_STARTS and "TIFF" in formats
    except OSError:
        tiff = False
    if tiff:
        return UsageError(f"{path}: a TIFF of a kind that is not read, or damaged; {SAVED_AS}")
    return UsageError(f"{path}: not a {' or '.join(formats)} picture")


def _refuse_misread(path: Path, picture: Image.Image, highest: int) -> None:
    """Raise UsageError for a TIFF that Pillow reads otherwise than it is meant; for deep colours `_check_header` does."""
    if picture.format != "TIFF" or (picture.mode in GREY_MODES and highest > 255):
        return
    tags = picture.tag_v2  # type: ignore[attr-defined]
    bits, raw = max(tags.get(BITS, (1,))), tags.get(COMPRESSION, UNCOMPRESSED) == UNCOMPRESSED
    signed, separate = SIGNED in tags.get(SAMPLES, ()), tags.get(PLANES) == SEPARATE
    known = bits in (1, 8, 32) if picture.mode != "P" else bits == 8
    known &= tags.get(PHOTOMETRIC, WHITE_IS_ZERO) != WHITE_IS_ZERO and tags.get(FILL_ORDER) != LOW_BIT_FIRST
    what = ""
    if signed and bits <= 8:
        what = "signed levels"
    elif signed and not raw and tags.prefix == b"MM":
        what = "signed levels, compressed, their high byte first"
    elif separate and raw and not known:  # Pillow takes one letter of its word for the kind
        what = "uncompressed in separate planes"
    elif separate and picture.mode == "LA":
        what = "grey and alpha in separate planes"
    elif picture.mode == "P" and 0 < max(tags.get(COLOURS, (0,))) < 256:
        what = "a palette of 8 bits a colour instead of 16"
    if what:
        raise UsageError(f"{path}: a TIFF of a kind that is not read ({what}); {SAVED_AS}")


def _refuse_transparent(path: Path, picture: Image.Image) -> None:
    """Raise UsageError where a picture shows through: what its pixels hold there is not what a viewer shows, and a mask that is
    drawn in the transparency alone would be lost."""
    if not picture.has_transparency_data:
        return
    picture.load()
    if picture.mode in DEEP_MODES:  # one grey level is transparent
        clear = bool((np.asarray(picture) == picture.info["transparency"]).any())
    else:
        clear = picture.convert("RGBA").getchannel("A").getextrema() != (255, 255)
    if clear:
        raise UsageError(f"{path}: transparent pixels, which would be lost; export it without alpha channel")


def covers_border(mask: np.ndarray) -> bool:
    """Whether a mask, bool (height, width) or of a volume, is of what surrounds a lesion, as where black and white are exchanged:
    it reaches all sides and holds most of their pixels.

    >>> lesion = np.pad(np.ones((2, 2), bool), 3)
    >>> covers_border(lesion), covers_border(~lesion)
    (False, True)
    """
    sides = [mask.take(end, axis).ravel() for axis in range(mask.ndim) for end in (0, -1)]
    return all(side.any() for side in sides) and bool(np.concatenate(sides).mean() > 0.5)


def hash_list(sha256s: Iterable[str]) -> str:
    """One sha256 over the sorted sha256 (hex) of many pictures, one a line."""
    return hashlib.sha256("\n".join(sorted(sha256s)).encode()).hexdigest()


@contextlib.contextmanager
def mute_stderr() -> Iterator[None]:
    """Keep what libtiff writes past Python to the screen away from it: the error says the same in one line."""
    with SCREEN:  # one thread at a time: the second would take nowhere for the screen
        sys.stderr.flush()
        screen, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        try:
            yield
        finally:
            os.dup2(screen, 2)
            os.close(screen)
            os.close(nowhere)


class _Ignored:
    """How many threads ignore warnings, and what brings the filters back that were there before the first of them."""

    lock, count, filters = threading.Lock(), 0, contextlib.ExitStack()


@contextlib.contextmanager
def ignore_warnings() -> Iterator[None]:
    """No warnings, from any thread: those of Python's own `catch_warnings` get each other's filters back."""
    with _Ignored.lock:
        if not _Ignored.count:
            _Ignored.filters.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        _Ignored.count += 1
    try:
        yield
    finally:
        with _Ignored.lock:
            _Ignored.count -= 1
            if not _Ignored.count:
                _Ignored.filters.close()
