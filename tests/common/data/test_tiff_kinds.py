"""TIFF has more kinds than Pillow reads, and some that it misreads: each gives its own pixels or is refused as what it is."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from common.data.pictures import read_picture, read_size
from common.errors import UsageError

RAMP = np.arange(16 * 8).reshape(8, 16)
COLOUR = np.stack([RAMP, 255 - RAMP, RAMP // 2], axis=-1)
PALETTE = [level * 257 for level in range(256)] * 3
CODES = {1: "B", 3: "H", 4: "I"}
MISREAD = r"a TIFF of a kind that is not read \({}.*\); save it as 8- or 16-bit grey or 8-bit RGB"
UNREAD = "a TIFF of a kind that is not read, or damaged; save it as 8- or 16-bit grey or 8-bit RGB"
DEEP_COLOUR = "16 bits a colour, which would be cut to 8; export it as 8-bit grey or RGB"


def write_tiff(path: Path, planes: list[bytes], bits: list[int], photometric: int, order="<", **tags) -> Path:
    """An uncompressed TIFF of RAMP's size by its tags. planes: one, or one a sample; tags: named by their
    number (t339). Pillow writes few kinds."""
    height, width = RAMP.shape
    found: dict[int, list[int]] = {256: [width], 257: [height], 258: bits, 259: [1], 262: [photometric], 277: [len(bits)]}
    found |= {278: [height], 284: [2 if len(planes) > 1 else 1]} | {int(name[1:]): value for name, value in tags.items()}
    found |= {273: [0] * len(planes), 279: [len(plane) for plane in planes]}
    kinds = {tag: 4 if tag in (273, 279) else 3 for tag in found}
    start = 8 + 2 + 12 * len(found) + 4
    room = [struct.calcsize(f"{len(value)}{CODES[kinds[tag]]}") for tag, value in found.items()]
    ends = np.cumsum([start + sum(size for size in room if size > 4), *map(len, planes)])
    found[273] = ends[:-1].tolist()
    entries, beyond = b"", b""
    for tag, value in sorted(found.items()):
        content = struct.pack(f"{order}{len(value)}{CODES[kinds[tag]]}", *value)
        where = content.ljust(4, b"\0")
        if len(content) > 4:
            where = struct.pack(f"{order}I", start + len(beyond))
            beyond += content
        entries += struct.pack(f"{order}HHI", tag, kinds[tag], len(value)) + where
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(found))
    path.write_bytes(head + entries + bytes(4) + beyond + b"".join(planes))
    return path


def pack(levels: np.ndarray, bits: int) -> bytes:
    """Levels of few bits or of 12, rows to whole bytes."""
    spread = (levels[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(spread.reshape(len(levels), -1).astype(np.uint8), axis=1).tobytes()


def read(path: Path, **more) -> np.ndarray:
    return read_picture(path, formats=("PNG", "TIFF"), **more)


@pytest.mark.parametrize("alpha", [None, 0, 1, 2])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("count", ["one for all", "one each"])
def test_deep_colours_are_refused_in_planes_as_they_are_side_by_side(tmp_path, order, alpha, count):
    """Uncompressed planes became noise of bytes."""
    colours = COLOUR * 257 if alpha is None else np.dstack([COLOUR * 257, np.full(RAMP.shape, 65535)])
    deep = np.moveaxis(colours, -1, 0).astype(f"{order}u2")
    more = {} if alpha is None else {"t338": [alpha]}
    bits = [16] * len(deep)
    if count == "one for all":
        more |= {"t277": [len(deep)]}
        bits = [16]
    planar = write_tiff(tmp_path / "a.tif", [plane.tobytes() for plane in deep], bits, 2, order, **more)
    mixed = write_tiff(tmp_path / "b.tif", [np.moveaxis(deep, 0, -1).tobytes()], bits, 2, order, **more)
    for path in (planar, mixed):
        for ways in ({}, {"deep": True}, {"window": (0, 255)}, {"colours": True}):
            with pytest.raises(UsageError, match=DEEP_COLOUR if alpha is None else f"{DEEP_COLOUR}|{UNREAD}"):
                read(path, **ways)


@pytest.mark.parametrize("alpha", [None, 2])
def test_planes_of_eight_bits_are_read(tmp_path, alpha):
    colours = COLOUR if alpha is None else np.dstack([COLOUR, np.full(RAMP.shape, 255)])
    planes = [plane.astype(np.uint8).tobytes() for plane in np.moveaxis(colours, -1, 0)]
    path = write_tiff(tmp_path / "a.tif", planes, [8] * len(planes), 2, **({} if alpha is None else {"t338": [alpha]}))
    np.testing.assert_array_equal(read(path, colours=True), COLOUR)


@pytest.mark.parametrize("photometric", [0, 1, 3])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("planar", [1, 2])
def test_grey_is_read_as_it_is_meant_or_refused(tmp_path, photometric, bits, order, planar):
    """Of a single plane said to lie apart, white-is-zero came out inverted."""
    highest = 2**bits - 1
    levels = RAMP * 257 % (highest + 1)
    data = levels.astype(f"{order}u2").tobytes() if bits == 16 else pack(levels, bits)
    more = {"t320": [level * 65535 // highest for level in range(highest + 1)] * 3} if photometric == 3 else {}
    expected = highest - levels if photometric == 0 else levels
    if bits <= 8:
        expected = np.rint(expected * (255 / highest))
    deep = photometric == 1 and (bits == 16 or order == "<")
    known = bits <= 8 or deep or (photometric, bits, order) == (0, 16, "<")
    if planar == 2:  # Pillow takes one letter of its word for the kind
        known = bits == 8 and photometric > 0 or (bits, photometric) == (1, 1)
    path = write_tiff(tmp_path / "a.tif", [data], [bits], photometric, order, t284=[planar], **more)
    if known:
        np.testing.assert_allclose(read(path, deep=True), expected, atol=1 if photometric == 3 else 0)
    else:
        with pytest.raises(UsageError, match=r"a TIFF of a kind that is not read"):
            read(path, deep=True)


@pytest.mark.parametrize("samples", [1, 3])
def test_signed_levels_of_eight_bits_are_no_unsigned_ones(tmp_path, samples):
    data = np.repeat((RAMP - 64).astype(np.int8), samples).tobytes()
    path = write_tiff(tmp_path / "a.tif", [data], [8] * samples, 2 if samples == 3 else 1, t339=[2] * samples)
    for ways in ({}, {"deep": True}, {"window": (0, 255)}):
        with pytest.raises(UsageError, match=MISREAD.format("signed levels") if samples == 1 else UNREAD):
            read(path, **ways)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("packed", [False, True])
def test_signed_levels_of_sixteen_bits_keep_their_bytes_in_order(tmp_path, order, packed):
    """Compressed and with the high byte first, Pillow exchanges the two."""
    for levels in (RAMP, RAMP - 100):
        data = levels.astype(f"{order}i2").tobytes()
        plane, compression = (zlib.compress(data), 8) if packed else (data, 1)
        path = write_tiff(tmp_path / "a.tif", [plane], [16], 1, order, t339=[2], t259=[compression])
        if packed and order == ">":
            with pytest.raises(UsageError, match=MISREAD.format("signed levels, compressed")):
                read(path, deep=True)
        elif levels.min() < 0:
            with pytest.raises(UsageError, match="grey levels from -100 to 27, beyond 16 bits"):
                read(path, deep=True)
        else:
            np.testing.assert_array_equal(read(path, deep=True), levels)


def test_grey_and_alpha_in_planes_are_refused_and_side_by_side_read(tmp_path):
    both = np.dstack([RAMP, np.full(RAMP.shape, 255)]).astype(np.uint8)
    np.testing.assert_array_equal(read(write_tiff(tmp_path / "a.tif", [both.tobytes()], [8, 8], 1, t338=[2])), RAMP)
    path = write_tiff(tmp_path / "b.tif", [both[..., 0].tobytes(), both[..., 1].tobytes()], [8, 8], 1, t338=[2])
    with pytest.raises(UsageError, match=MISREAD.format("grey and alpha in separate planes")):
        read(path)


def test_a_palette_of_eight_bits_does_not_become_black(tmp_path):
    data = RAMP.astype(np.uint8).tobytes()
    np.testing.assert_array_equal(read(write_tiff(tmp_path / "a.tif", [data], [8], 3, t320=PALETTE)), RAMP)
    path = write_tiff(tmp_path / "b.tif", [data], [8], 3, t320=[level // 257 for level in PALETTE])
    with pytest.raises(UsageError, match=MISREAD.format("a palette of 8 bits a colour")):
        read(path)


UNKNOWN = {
    "float16": ([16], 1, "<", {"t339": [3]}), "float64": ([64], 1, "<", {"t339": [3]}),
    "grey and alpha of 16 bits": ([16, 16], 1, "<", {"t338": [2]}), "white is zero, high byte first": ([16], 0, ">", {}),
    "JPEG 2000": ([8], 1, "<", {"t259": [34712]}), "complex": ([64], 1, "<", {"t339": [6]}),
    "bits of a palette, low bit first": ([4], 3, "<", {"t266": [2], "t320": PALETTE[:16] * 3}),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_tiff_that_is_not_read_is_called_one(tmp_path, name):
    bits, photometric, order, tags = UNKNOWN[name]
    path = write_tiff(tmp_path / "a.tif", [bytes(RAMP.size * sum(bits) // 8)], bits, photometric, order, **tags)
    with pytest.raises(UsageError, match=UNREAD) as refused:
        read(path)
    assert str(refused.value) == f"{path}: {UNREAD}"
    with pytest.raises(UsageError, match="a.tif: not a JPEG or PNG picture"):  # where no TIFF is taken
        read_picture(path)
    if name != "bits of a palette, low bit first":  # whose header is known
        with pytest.raises(UsageError, match=UNREAD):
            read_size(path, ("TIFF",))
    (tmp_path / "b.tif").write_text("no picture")
    with pytest.raises(UsageError, match="b.tif: not a PNG or TIFF picture"):
        read(tmp_path / "b.tif")
