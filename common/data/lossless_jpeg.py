"""Lossless JPEG (ITU-T T.81, process 14), as old archives of radiographs and DICOM files hold it.

The header is checked before a decoder sees the stream: of the decoders at hand one never crashed on damaged streams, and it
fills what is cut off with grey, so the end marker must be there.
"""

from dataclasses import dataclass

import numpy as np
from imagecodecs import jpeg8_decode

from common.errors import UsageError

MAX_PIXELS = 100_000_000
LEAST_SHARE = 64  # pixels that a byte may stand for: a flat picture takes a bit a pixel
START, END = b"\xff\xd8", b"\xff\xd9"
OTHER_FRAMES = {0xC0, 0xC1, 0xC2, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
FRAME, HUFFMAN, SCAN, RESTART = 0xC3, 0xC4, 0xDA, 0xDD


@dataclass(frozen=True)
class Header:
    """What a stream claims to be."""

    precision: int  # bits of a pixel, 8 to 16
    height: int
    width: int
    predictor: int  # 1 to 7 (T.81, table H.1)
    restart: int  # pixels between restarts, 0: none


def read_header(data: bytes, where: str) -> Header:
    """The header of a stream of one component. Raises UsageError that begins with `where` for anything that a decoder should not
    be given: no start or end, another process than lossless Huffman, sizes that do not fit the number of bytes."""

    def refuse(fault: str) -> UsageError:
        return UsageError(f"{where}: {fault}: not a lossless JPEG picture, damaged or cut short")

    if data[:2] != START:
        raise refuse("no start of a JPEG stream")
    if END not in data[-16:]:
        raise refuse("no end of the stream")
    frame = scan = b""
    tables = restart = 0
    place = 2
    while not scan:
        if place + 4 > len(data) or data[place] != 0xFF:
            raise refuse("its header is damaged")
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        content = data[place + 4 : place + 2 + length]
        if length < 2 or len(content) != length - 2 or marker in OTHER_FRAMES:
            raise refuse("another kind of JPEG" if marker in OTHER_FRAMES else "its header is damaged")
        if marker == FRAME:
            if frame:
                raise refuse("two pictures in one stream")
            frame = content
        tables += marker == HUFFMAN
        restart = int.from_bytes(content[:2], "big") if marker == RESTART else restart
        scan = content if marker == SCAN else b""
        place += 2 + length
    if len(frame) != 9 or len(scan) != 6 or frame[5] != 1 or scan[0] != 1 or frame[7] != 0x11 or not tables:
        raise refuse("not one component of grey levels")
    found = Header(frame[0], int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big"), scan[3], restart)
    if not 8 <= found.precision <= 16 or not 1 <= found.predictor <= 7 or scan[4] or scan[5]:
        raise refuse(f"precision {found.precision}, predictor {found.predictor}, or a point transform")
    pixels = found.height * found.width
    if not 0 < pixels <= MAX_PIXELS or len(data) * LEAST_SHARE < pixels:
        raise refuse(f"claims {found.height}x{found.width} pixels in {len(data)} bytes")
    return found


def decode_stream(data: bytes, where: str) -> tuple[np.ndarray, Header]:
    """(grey levels uint8 or uint16 (height, width), header), by T.81. Raises UsageError as `read_header`, and where the decoder
    finds a fault."""
    header = read_header(data, where)
    try:
        levels = jpeg8_decode(data)
    except Exception as error:  # the decoder's own error classes
        raise UsageError(f"{where}: damaged lossless JPEG ({' '.join(str(error).split())[:120]})") from None
    if levels.shape != (header.height, header.width):
        raise UsageError(f"{where}: {levels.shape} pixels were decoded, {header.height}x{header.width} announced: damaged")
    return levels, header
