"""Numbers as printed, and what can have given them: exact integer and rational arithmetic.

A printed ratio is attainable over n cases if k/n prints so for a whole number k: by rounding, or by cutting off digits.
Brown NJL, Heathers JAJ. The GRIM test. Soc Psychol Personal Sci 2017;8:363-369; for confusion matrices: Fazekas A,
Kovacs G. arXiv 2310.12527. Arguments that make no sense raise ValueError.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import cached_property

from common.records.paper import Claim

# How a value may have become the printed one, from strict to lenient; each way includes those before it. "near" is
# wrong by at most one unit of the last digit, as after rounding twice.
WAYS = ("rounded", "truncated", "near")
MOST_IMAGES = 1_000_000
SCALES = {"percent": 100, "fraction": 1, "count": 1}


@dataclass(frozen=True)
class Printed:
    """A number as printed. `value` and `step`, one unit of its last digit, are exact; percent are turned into fractions."""

    text: str  # decimal number without a sign: "96.0"
    unit: str  # one of SCALES

    def __post_init__(self) -> None:
        if self.unit not in SCALES:
            raise ValueError(f"unit {self.unit!r} is not one of {', '.join(SCALES)}")
        if not self.text.isascii() or not self.text.replace(".", "", 1).isdigit() or len(self.text) > 40:
            raise ValueError(f"{self.text!r} is not a decimal number such as 96.0")

    @cached_property
    def value(self) -> Fraction:
        return Fraction(self.text) / SCALES[self.unit]

    @cached_property
    def step(self) -> Fraction:
        return Fraction(1, SCALES[self.unit] * 10**self.digits)

    @property
    def digits(self) -> int:
        return len(self.text.partition(".")[2])

    def bounds(self, way: str = "rounded") -> tuple[Fraction, Fraction]:
        """Smallest and largest value that prints so; the largest itself does not, if digits were cut off."""
        if way == "near":
            return self.value - self.step, self.value + self.step
        return self.value - self.step / 2, self.value + (self.step / 2 if way == "rounded" else self.step)

    def holds(self, value: Fraction, way: str = "rounded") -> bool:
        """Whether the value prints so; both ways to round a tie are allowed."""
        low, high = self.bounds(way)
        return low <= value < high if way == "truncated" else low <= value <= high

    def counts(self, n: int, way: str = "rounded") -> range:
        """The whole numbers k of 0..n for which k/n prints so."""
        low, high = (bound * n for bound in self.bounds(way))
        last = math.ceil(high) - 1 if way == "truncated" else math.floor(high)
        return range(max(0, math.ceil(low)), min(n, last) + 1)

    def chance(self, n: int) -> Fraction:
        """Share of the numbers of this unit and these digits that some k/n gives by rounding: 1 means no test at all."""
        return min(Fraction(1), Fraction(n + 1) / (1 / self.step + 1))

    def show(self, value: Fraction) -> str:
        """A value in the printed unit, with one digit more."""
        return format_exact(value * SCALES[self.unit], self.digits + 1)


def print_claim(claim: Claim) -> Printed:
    """The claim's value as printed. ValueError if it has more decimals than `digits` says, or no value.

    Exact for up to 15 significant digits, and for more where the printed number is the shortest text of a double, as
    programs print it.
    """
    try:
        written = Decimal(repr(claim.value))
        text = f"{written.quantize(Decimal(1).scaleb(-claim.digits)):f}"
    except InvalidOperation:
        raise ValueError(f"value {claim.value} cannot be written with {claim.digits} decimals") from None
    if Decimal(text) != written:
        raise ValueError(f"value {claim.value} has more decimals than digits = {claim.digits}")
    return Printed(text, claim.unit)


def format_exact(value: Fraction, digits: int) -> str:
    """A rational number with fixed decimals, rounded half up; no float on the way."""
    scaled = math.floor(abs(value) * 10**digits + Fraction(1, 2))
    whole, rest = divmod(scaled, 10**digits)
    return f"{'-' if value < 0 and scaled else ''}{whole}" + (f".{rest:0{digits}d}" if digits else "")


def format_chance(value: Fraction | float) -> str:
    """A probability as text: "13.7 %", "3e-13"."""
    return f"{float(value):.1%}".replace("%", " %") if value >= 0.001 else f"{float(value):.0e}"


def find_way(printed: Printed, n: int) -> tuple[str | None, range]:
    """(strictest of "rounded" and "truncated" for which some k/n prints so, these k); (None, empty) if there is none."""
    for way in WAYS[:2]:
        if counts := printed.counts(n, way):
            return way, counts
    return None, range(0)


def describe_counts(printed: Printed, n: int) -> str:
    """The fractions of n that print so; without any, those on either side of the printed value."""
    _, counts = find_way(printed, n)
    below = math.floor(printed.value * n)
    shown = counts or [k for k in (below, below + 1) if 0 <= k <= n]
    texts = [f"{k}/{n} = {printed.show(Fraction(k, n))}" for k in shown[:3]]
    return ", ".join(texts) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")


def find_denominators(numbers: Sequence[Printed], largest: int) -> list[int]:
    """Every n of 2..largest over which all numbers are attainable, by rounding or truncation."""
    return [n for n in range(2, largest + 1) if all(number.counts(n, "truncated") for number in numbers)]


def find_float32_fractions(printed: Printed, smallest: int, largest: int) -> list[tuple[int, int]] | None:
    """Every (k, n), smallest <= n <= largest, for which k/n as a 32-bit float is the printed number.

    None if the printed number is not the text of a 32-bit float in (0, 1) at all.
    """
    number = float(printed.text)
    (nearest,) = struct.unpack("<f", struct.pack("<f", number))
    if not 0 < nearest < 1 or repr(nearest) != printed.text:
        return None
    (bits,) = struct.unpack("<I", struct.pack("<f", nearest))
    below, above = (Fraction(struct.unpack("<f", struct.pack("<I", bits + by))[0]) for by in (-1, 1))
    value = Fraction(nearest)
    # k/n becomes this float if it lies between the midpoints to its neighbours; n < 2**24 never meets a midpoint.
    low, high = (below + value) / 2, (value + above) / 2
    return [(k, n) for n in range(smallest, largest + 1) if low <= Fraction(k := round(value * n), n) <= high]


def bound_mcnemar_p(difference: int) -> Fraction:
    """Smallest possible two-sided p of the exact McNemar test if one classifier has `difference` more cases right.

    It is reached if no case is right with the worse one only: 2 / 2**difference. McNemar Q. Psychometrika 1947;12:153-157.
    """
    return min(Fraction(1), Fraction(2, 2 ** abs(difference)))


def compute_binomial_p(count: int, n: int, share: Fraction) -> Fraction:
    """Two-sided p (twice the smaller tail) that each of n independent draws with probability `share` gives `count`."""
    if not (0 <= count <= n and 0 < share < 1):
        raise ValueError(f"0 <= count <= n and a share between 0 and 1 are needed, not {count}, {n}, {share}")
    win, lose = share.numerator, share.denominator - share.numerator
    upper = count > share * n
    terms = range(count, n + 1) if upper else range(count + 1)
    tail = Fraction(sum(math.comb(n, k) * win**k * lose ** (n - k) for k in terms), share.denominator**n)
    return min(Fraction(1), 2 * tail)


def compute_no_sibling(originals: int, enlarged: int, test: int) -> Fraction:
    """Probability that a test image has no variant of its own original in training.

    `originals` were enlarged to `enlarged` images, equally often but for the remainder, and `test` of these drawn at random.
    The original with the fewest variants is taken: all others leave even less.
    """
    if not (0 < originals <= enlarged <= MOST_IMAGES and 0 < test <= enlarged):
        raise ValueError(f"0 < originals <= enlarged <= {MOST_IMAGES} and 0 < test <= enlarged are needed")
    siblings = enlarged // originals - 1
    return Fraction(math.perm(test - 1, siblings), math.perm(enlarged - 1, siblings))


def compute_variance(values: Sequence[Fraction], less: int) -> Fraction:
    """Sum of squared deviations from the mean over len(values) - less."""
    mean = sum(values, Fraction(0)) / len(values)
    return sum(((value - mean) ** 2 for value in values), Fraction(0)) / (len(values) - less)
