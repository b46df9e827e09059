"""One way to damage a file on purpose: every damage follows from the content and a number, and can be had again by itself."""

import re
import zlib
from collections.abc import Callable

import numpy as np

WORDS = [b"\n", b"\r", b'"', b",", b";", b"-", b"..", b"/", b"\0", b"\xff", b"=", b" ", b"\x1b[2J", b"\xe2\x80\xae", b"[" * 5000]
NUMBERS = [
    b"0", b"-1", b"9" * 30, b"9" * 5000, b"1e308", b"1e999", b"nan", b"-inf", b"0x10", b"1_0", b"2147483648",
    b"-9223372036854775809",
]  # fmt: skip
NUMBER = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?")
COUNTS = (1, 1, 1, 1, 2, 3, 5)  # of small changes
WINDOW = 300  # bytes in which a number of a text is looked for


def mutate(content: bytes, number: int) -> bytes:
    """The content, damaged in the way of that number; number 0 leaves nothing of it.

    One in eight is cut, swapped, or repeated as a whole or in large blocks; all others, and some of those, are changed in one to
    five small places.
    """
    if number == 0:
        return b""
    random = np.random.default_rng(number)
    changed = bytearray(content)
    large = random.random() < 1 / 8
    if large:
        LARGE[random.integers(len(LARGE))](changed, random)
    if not large or random.random() < 0.5:
        for _ in range(COUNTS[random.integers(len(COUNTS))]):
            SMALL[random.integers(len(SMALL))](changed, random)
    return bytes(changed)


def _place(changed: bytearray, random: np.random.Generator) -> int:
    return int(random.integers(0, len(changed) + 1))


def flip_bit(changed: bytearray, random: np.random.Generator) -> None:
    if changed:
        changed[random.integers(len(changed))] ^= 1 << int(random.integers(8))


def set_byte(changed: bytearray, random: np.random.Generator) -> None:
    place = _place(changed, random)
    changed[place : place + 1] = random.bytes(1)


def delete(changed: bytearray, random: np.random.Generator) -> None:
    place = _place(changed, random)
    del changed[place : place + int(random.integers(1, 9))]


def insert(changed: bytearray, random: np.random.Generator) -> None:
    place = _place(changed, random)
    changed[place:place] = random.bytes(int(random.integers(1, 9)))


def copy_piece(changed: bytearray, random: np.random.Generator) -> None:
    place, start = _place(changed, random), _place(changed, random)
    changed[place:place] = changed[start : start + 4 * int(random.integers(1, 9))]


def put_word(changed: bytearray, random: np.random.Generator) -> None:
    place = _place(changed, random)
    changed[place : place + int(random.integers(1, 9))] = WORDS[random.integers(len(WORDS))]


def put_extreme(changed: bytearray, random: np.random.Generator) -> None:
    """A binary integer of 1, 2, 4 or 8 bytes becomes its least, its largest or nearly so."""
    place, bits = _place(changed, random), 8 * 2 ** int(random.integers(4))
    value = [0, 1, 2**bits - 1, 2**bits - 2, 2 ** (bits - 1), 2 ** (bits - 1) - 1][random.integers(6)]
    order = "little" if random.integers(2) else "big"
    changed[place : place + bits // 8] = value.to_bytes(bits // 8, order)


def put_number(changed: bytearray, random: np.random.Generator) -> None:
    """A number that stands in a text becomes an awkward one; a word goes in where there is none."""
    place = _place(changed, random)
    found = NUMBER.search(changed, place, place + WINDOW)
    if found is None:
        return put_word(changed, random)
    changed[slice(*found.span())] = NUMBERS[random.integers(len(NUMBERS))]


def truncate(changed: bytearray, random: np.random.Generator) -> None:
    del changed[_place(changed, random) :]


def repeat_block(changed: bytearray, random: np.random.Generator) -> None:
    """A block of any length stands twice or three times, one after the other."""
    start, end = sorted((_place(changed, random), _place(changed, random)))
    changed[end:end] = changed[start:end] * int(random.integers(1, 3))


def swap_ends(changed: bytearray, random: np.random.Generator) -> None:
    """Header and body change places."""
    place = _place(changed, random)
    changed[:] = changed[place:] + changed[:place]


def blank_block(changed: bytearray, random: np.random.Generator) -> None:
    """A block of zeros, as a file system leaves it after a crash."""
    start, end = sorted((_place(changed, random), _place(changed, random)))
    changed[start:end] = bytes(end - start)


Way = Callable[[bytearray, np.random.Generator], None]
SMALL: tuple[Way, ...] = (flip_bit, set_byte, delete, insert, copy_piece, put_word, put_extreme, put_number)
LARGE: tuple[Way, ...] = (truncate, truncate, repeat_block, swap_ends, blank_block)


def renew_checksums(content: bytes) -> bytes:
    """A PNG file whose chunks have the checksums of what is in them now: else hardly any change gets past them."""
    changed, place = bytearray(content), 8
    while place + 12 <= len(changed):
        end = place + 8 + int.from_bytes(changed[place : place + 4])
        changed[end : end + 4] = zlib.crc32(changed[place + 4 : end]).to_bytes(4)
        place = end + 4
    return bytes(changed[: len(content)])
