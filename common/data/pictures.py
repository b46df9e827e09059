"""Reading one 8-bit picture from disk, with its header checked before a pixel is decoded."""

import contextlib
import hashlib
import logging
import os
import stat
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from common.errors import UsageError

MAX_FILE_BYTES = 256 * 2**20
MAX_PIXELS = 64_000_000  # a radiograph of the paper has 3056 x 2544 = 7.8 million
SILENT = logging.NullHandler()
GREY_MODES = ("L", "RGB", "RGBA", "LA", "P", "1")
DEEP_MODES = ("I;16", "I;16B", "I;16L", "I")  # 16-bit grey; Pillow opens some as 32-bit


def read_picture(
    path: Path,
    size: tuple[int, int] | None = None,
    formats: tuple[str, ...] = ("JPEG", "PNG"),
    *,
    colours: bool = False,
    deep: bool = False,
) -> np.ndarray:
    """Grey levels of a picture, colour turned to luminance: uint8 (height, width); with `colours` uint8 (height, width, 3); with
    `deep` a 16-bit picture is read as well, as uint16.

    With `size` (width, height) any other size is refused before decoding.
    Raises UsageError: missing, empty, not a picture of `formats`, truncated, too large, 16-bit; without colours, where wanted.
    """
    try:
        facts = path.stat()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    if not stat.S_ISREG(facts.st_mode):
        raise UsageError(f"{path}: a folder or device, not a file")
    file_bytes = facts.st_size
    if file_bytes == 0:
        raise UsageError(f"{path}: the file is empty")
    if file_bytes > MAX_FILE_BYTES:
        raise UsageError(f"{path}: {file_bytes} bytes, more than the {MAX_FILE_BYTES} that a picture may have")
    logging.getLogger("PIL").addHandler(SILENT)  # what Pillow logs of a damaged file, the error says
    silence = mute_stderr() if "TIFF" in formats else contextlib.nullcontext()
    with silence, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own size warning: the limit below is stricter
        try:
            with Image.open(path, formats=formats) as picture:
                _check_header(path, picture, size, GREY_MODES + DEEP_MODES * deep)
                if picture.mode in DEEP_MODES:
                    return _take_deep(path, np.asarray(picture))
                if colours and picture.mode not in ("RGB", "RGBA"):
                    raise UsageError(f"{path}: a picture of mode {picture.mode}, without red, green and blue")
                mode = "RGB" if colours else "L"
                return np.asarray(picture if picture.mode == mode else picture.convert(mode), dtype=np.uint8)
        except UnidentifiedImageError:
            raise UsageError(f"{path}: not a {' or '.join(formats)} picture") from None
        except Image.DecompressionBombError:
            raise UsageError(f"{path}: claims more than {MAX_PIXELS} pixels") from None
        except UsageError:
            raise
        except Exception as error:  # Pillow's TIFF reader raises whatever damaged tags lead it to
            what = "truncated" if "truncated" in str(error) else type(error).__name__  # its text may repeat what the file says
            raise UsageError(f"{path}: damaged picture ({what})") from None


def read_size(path: Path, formats: tuple[str, ...] = ("JPEG", "PNG")) -> tuple[int, int]:
    """(width, height) as the header claims; no pixel is decoded. Raises UsageError if there is no such header."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path, formats=formats) as picture:
                return picture.size
        except Image.DecompressionBombError:
            raise UsageError(f"{path}: claims more than {MAX_PIXELS} pixels") from None
        except (OSError, SyntaxError, ValueError):
            raise UsageError(f"{path}: not a {' or '.join(formats)} picture") from None


def _take_deep(path: Path, levels: np.ndarray) -> np.ndarray:
    if levels.min() < 0 or levels.max() > np.iinfo(np.uint16).max:
        raise UsageError(f"{path}: grey levels from {levels.min()} to {levels.max()}, beyond 16 bits")
    return levels.astype(np.uint16)


def _check_header(path: Path, picture: Image.Image, size: tuple[int, int] | None, modes: tuple[str, ...]) -> None:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise UsageError(f"{path}: claims {width}x{height} pixels, more than {MAX_PIXELS}")
    if size is not None and picture.size != size:
        raise UsageError(f"{path}: {width}x{height} pixels instead of {size[0]}x{size[1]}")
    if getattr(picture, "n_frames", 1) != 1:
        raise UsageError(f"{path}: {picture.n_frames} pictures in one file; save each by itself")  # type: ignore[attr-defined]
    if picture.mode in ("RGB", "RGBA", "LA") and ";16" in str(getattr(picture, "tile", "")):
        raise UsageError(f"{path}: 16 bits a colour, which would be cut to 8; export it as 8-bit grey or RGB")
    if picture.mode not in modes:
        raise UsageError(f"{path}: pixel type {picture.mode} is not 8-bit grey or RGB; export it as such")


def hash_list(sha256s: Iterable[str]) -> str:
    """One sha256 over the sorted sha256 (hex) of many pictures, one a line."""
    return hashlib.sha256("\n".join(sorted(sha256s)).encode()).hexdigest()


@contextlib.contextmanager
def mute_stderr() -> Iterator[None]:
    """Keep what libtiff writes past Python to the screen away from it: the error says the same in one line."""
    sys.stderr.flush()
    screen, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(screen, 2)
        os.close(screen)
        os.close(nowhere)
