"""Pictures as a viewer shows them: turned by EXIF, 12 and 16 bits within a window, nothing cut to 8 bits in silence."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from common.data.pictures import read_picture, read_size
from common.errors import UsageError

GREY = np.random.default_rng(0).integers(0, 256, (6, 10), dtype=np.uint8)
DEEP = np.linspace(0, 4095, 60).round().astype(np.uint16).reshape(6, 10)  # 12 bits
SHOWN = {  # EXIF orientation -> what a viewer makes of the stored pixels
    1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).swapaxes(0, 1), 8: np.rot90,
}  # fmt: skip


def write_chunks(path: Path, bits: int, colour: int, data: bytes, width: int, height: int) -> Path:
    """A PNG by its chunks: Pillow does not write 16 bits a colour."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    row = len(data) // height
    lines = b"".join(b"\0" + data[start : start + row] for start in range(0, len(data), row))
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("orientation", SHOWN)
@pytest.mark.parametrize("kind", ["grey.png", "colour.png", "grey.tif", "deep.png", "deep.tif", "grey.jpg"])
def test_a_picture_is_read_as_it_is_shown(tmp_path, kind, orientation):
    pixels = DEEP if "deep" in kind else np.repeat(GREY[..., None], 3, axis=2) if "colour" in kind else GREY
    picture = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(tmp_path / kind, exif=exif, **({"quality": 100} if kind.endswith("jpg") else {}))
    formats = ("JPEG", "PNG", "TIFF")
    found = read_picture(tmp_path / kind, formats=formats, colours="colour" in kind, deep="deep" in kind)
    expected = SHOWN[orientation](pixels)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= (3 if kind.endswith("jpg") else 0)
    height, width = expected.shape[:2]
    assert read_size(tmp_path / kind, formats) == (width, height)
    read_picture(tmp_path / kind, (width, height), formats, deep=True)
    if width != height:
        with pytest.raises(UsageError, match=f"{width}x{height} pixels instead of {height}x{width}"):
            read_picture(tmp_path / kind, (height, width), formats, deep=True)


@pytest.mark.parametrize(("name", "colour", "samples"), [("rgb", 2, 3), ("rgba", 6, 4), ("grey and alpha", 4, 2)])
def test_sixteen_bits_a_colour_never_become_eight(tmp_path, name, colour, samples):
    data = np.repeat(DEEP[..., None], samples, axis=2).astype(">u2").tobytes()
    path = write_chunks(tmp_path / "a.png", 16, colour, data, 10, 6)
    for more in ({}, {"deep": True}, {"window": (0, 4095)}):
        with pytest.raises(UsageError, match="16 bits a colour, which would be cut to 8"):
            read_picture(path, **more)


@pytest.mark.parametrize("highest", [1023, 4095, 65535])
def test_deep_colours_of_other_formats_are_refused_too(tmp_path, highest):
    cv2.imwrite(str(tmp_path / "a.tif"), cv2.merge([DEEP] * 3))
    (tmp_path / "a.ppm").write_bytes(f"P6 10 6 {highest}\n".encode() + np.repeat(DEEP // 4, 3).astype(">u2").tobytes())
    for name in ("a.tif", "a.ppm"):
        with pytest.raises(UsageError, match="bits a colour, which would be cut to 8"):
            read_picture(tmp_path / name, formats=("TIFF", "PPM"))


def write_deep(folder: Path) -> list[Path]:
    Image.fromarray(DEEP).save(folder / "a.png")
    Image.fromarray(DEEP).save(folder / "a.tif")
    Image.fromarray(4095 - DEEP).save(folder / "inverted.tif", tiffinfo={262: 0})
    (folder / "a.pgm").write_bytes(b"P5 10 6 4095\n" + DEEP.astype(">u2").tobytes())
    (folder / "whole.pgm").write_bytes(b"P5 10 6 65535\n" + DEEP.astype(">u2").tobytes())
    return sorted(folder.iterdir())


def test_deep_greys_are_read_within_a_window_else_refused(tmp_path):
    formats = ("PNG", "TIFF", "PPM")
    for path in write_deep(tmp_path):
        with pytest.raises(UsageError, match="state which level is black and which white"):
            read_picture(path, formats=formats)
        raw = read_picture(path, formats=formats, deep=True).astype(int)
        if path.name == "inverted.tif":  # 16 bits: bright pixels are high
            assert (raw - raw.min() == DEEP).all()
            continue
        assert (raw == DEEP).all(), path.name
        found = read_picture(path, formats=formats, window=(0, 4095))
        assert found.dtype == np.uint8
        assert np.abs(found - DEEP / 4095 * 255).max() <= 0.5
        assert (read_picture(path, formats=formats, window=(4095, 0)) == 255 - found).mean() > 0.9
        narrow = read_picture(path, formats=formats, window=(1000, 2000))
        assert (narrow[DEEP <= 1000] == 0).all()
        assert (narrow[DEEP >= 2000] == 255).all()


def test_a_window_holds_for_eight_bits_too_and_changes_nothing_where_none_is_stated(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    assert (read_picture(tmp_path / "a.png") == GREY).all()
    assert (read_picture(tmp_path / "a.png", window=(0, 255)) == GREY).all()
    assert (read_picture(tmp_path / "a.png", window=(255, 0)) == 255 - GREY).all()


BEYOND = r"its highest level is {}, which the window {} exceeds; leave it empty for this picture, or give one within its levels"


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "1"])
@pytest.mark.parametrize("form", ["png", "tif", "bmp", "jpg"])
def test_a_window_that_eight_bits_cannot_reach_does_not_make_the_picture_dark(tmp_path, mode, form):
    if (form == "jpg" and mode not in ("L", "RGB")) or (form == "bmp" and mode in ("LA", "RGBA")):
        return
    path, formats = tmp_path / f"a.{form}", ("PNG", "TIFF", "BMP", "JPEG")
    Image.fromarray(GREY).convert(mode).save(path)
    for window in ((0, 4095), (4095, 0), (0, 256), (300, 400)):
        with pytest.raises(UsageError, match=BEYOND.format(255, f"{window[0]},{window[1]}")) as refused:
            read_picture(path, formats=formats, window=window)
        assert str(refused.value).startswith(f"{path}: ")
    assert (read_picture(path, formats=formats, window=(0, 255)) == read_picture(path, formats=formats)).all()


def test_a_window_may_reach_to_the_highest_level_of_the_file(tmp_path):
    """12-bit levels in 16 bits take one of either; 12 bits, of PGM, one of 12."""
    formats = ("PNG", "TIFF", "PPM")
    for path in write_deep(tmp_path):
        highest = 4095 if path.name == "a.pgm" else 65535
        assert read_picture(path, formats=formats, window=(0, 4095)).any()
        assert read_picture(path, formats=formats, window=(0, highest)).any()
        if highest == 4095:
            with pytest.raises(UsageError, match=BEYOND.format(4095, "0,65535")):
                read_picture(path, formats=formats, window=(0, 65535))
    few = tmp_path / "few.pgm"
    few.write_bytes(b"P5 10 6 100\n" + (GREY // 3).tobytes())  # Pillow stretches them to 0..255
    assert (read_picture(few, formats=formats, window=(0, 85)) == GREY // 3 * 3).all()
    with pytest.raises(UsageError, match=BEYOND.format(100, "0,255")):
        read_picture(few, formats=formats, window=(0, 255))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_are_stretched_to_eight(tmp_path, bits):
    data = bytes([0b00011011]) * (2 * 6) if bits == 2 else bytes([0x0F]) * 12
    found = read_picture(write_chunks(tmp_path / "a.png", bits, 0, data, 12 * 8 // bits // 6, 6))
    assert found.min() == 0
    assert found.max() == 255


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "L", "RGB", "I;16"])
def test_transparent_pixels_are_refused_and_opaque_alpha_is_read(tmp_path, mode):
    """A mask that is drawn in the transparency alone would be one grey level."""
    if mode in ("LA", "RGBA"):
        picture = Image.fromarray(GREY).convert(mode)
        picture.putalpha(Image.fromarray(np.where(GREY > 127, 255, 254).astype(np.uint8)))
        picture.save(tmp_path / "a.png")
        picture.putalpha(255)
        picture.save(tmp_path / "b.png")
    else:  # one level or colour is transparent: one that is there, one that is not
        grey = np.where(GREY == 7, 8, GREY)
        grey[0, 0] = 5
        picture = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(grey).convert(mode)
        for name, level in (("a.png", 5), ("b.png", 7)):
            clear = {"RGB": (level,) * 3, "I;16": level * 257}.get(mode, level)
            picture.save(tmp_path / name, transparency=clear)
    with pytest.raises(UsageError, match="a.png: transparent pixels, which would be lost"):
        read_picture(tmp_path / "a.png", deep=True)
    assert read_picture(tmp_path / "b.png", deep=True).shape == GREY.shape
