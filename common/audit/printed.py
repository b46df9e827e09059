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

# How a value may have become the printed one, from strict to lenient; each way includes those before it: rounded to the
# digits printed; cut off after them; at most one unit of the last digit away, as after rounding up, or twice. So 95.91
# may be printed as 96.0; 96.11 may not, though its rounded 96.1 differs by one in the last digit: no rounding leads there.
WAYS = ("rounded", "truncated", "near")
MOST_IMAGES = 1_000_000  # of an enlarged data set: a larger number is taken for a mistake
SCALES = {"percent": 100, "fraction": 1, "count": 1}  # printed number -> value: 96.0 % is 0.96


@dataclass(frozen=True)
class Printed:
    """A number as printed. `value` and `step`, one unit of its last digit, are exact; percent are turned into fractions.

    Raises ValueError for an unknown unit and a text that is no decimal number.

    >>> printed = Printed("91.5", "percent")
    >>> printed.value, printed.step, printed.digits
    (Fraction(183, 200), Fraction(1, 1000), 1)
    >>> printed.counts(100), printed.counts(200)  # 91/100 = 91.0 %, 92/100 = 92.0 %; 183/200 = 91.5 %
    (range(92, 92), range(183, 184))
    """

    text: str  # decimal number: "96.0"; a correlation may be negative: "-0.12"
    unit: str  # one of SCALES

    def __post_init__(self) -> None:
        if self.unit not in SCALES:
            raise ValueError(f"unit {self.unit!r} is not one of {', '.join(SCALES)}")
        if not self.text.isascii() or not self.text.removeprefix("-").replace(".", "", 1).isdigit() or len(self.text) > 40:
            raise ValueError(f"{self.text!r} is not a decimal number such as 96.0")

    @cached_property
    def value(self) -> Fraction:
        """The printed number, percent as a fraction."""
        return Fraction(self.text) / SCALES[self.unit]

    @cached_property
    def step(self) -> Fraction:
        """One unit of the last printed digit, on the scale of `value`."""
        return Fraction(1, SCALES[self.unit] * 10**self.digits)

    @property
    def digits(self) -> int:
        """Decimals as printed."""
        return len(self.text.partition(".")[2])

    def bounds(self, way: str = "rounded") -> tuple[Fraction, Fraction]:
        """Smallest and largest value that prints so; the largest itself does not, if digits were cut off.

        Of a negative number digits are cut off towards 0 or away from it.
        """
        if way == "near" or (way == "truncated" and self.text.startswith("-")):
            return self.value - self.step, self.value + self.step
        return self.value - self.step / 2, self.value + (self.step / 2 if way == "rounded" else self.step)

    def holds(self, value: Fraction, way: str = "rounded") -> bool:
        """Whether the value prints so; both ways to round a tie are allowed."""
        low, high = self.bounds(way)
        return low <= value < high if way == "truncated" and self.value >= 0 else low <= value <= high

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
    """The claim's value as printed, trailing zeros included. ValueError if it has more decimals than `digits`, or no value.

    Exact for up to 15 significant digits, and for more where the printed number is the shortest text of a double, as
    programs print it.

    >>> print_claim(Claim("2", "CNN", "accuracy", 96.0, 2, "percent", "Table 2", {}))
    Printed(text='96.00', unit='percent')
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
    """A rational number with fixed decimals, halves rounded away from 0; no float on the way.

    >>> format_exact(Fraction(2, 3), 2), format_exact(Fraction(-1, 8), 2)
    ('0.67', '-0.13')
    """
    scaled = math.floor(abs(value) * 10**digits + Fraction(1, 2))
    whole, rest = divmod(scaled, 10**digits)
    return f"{'-' if value < 0 and scaled else ''}{whole}" + (f".{rest:0{digits}d}" if digits else "")


def format_chance(value: Fraction | float) -> str:
    """A probability as text.

    >>> format_chance(Fraction(137, 1000)), format_chance(3e-13)
    ('13.7 %', '3e-13')
    """
    return f"{float(value):.1%}".replace("%", " %") if value >= 0.001 else f"{float(value):.0e}"


def find_way(printed: Printed, n: int) -> tuple[str | None, range]:
    """(strictest of "rounded" and "truncated" for which some k/n prints so, these k); (None, empty) if there is none.

    2/3 is 66.7 % rounded and 66.6 % cut off:

    >>> find_way(Printed("66.7", "percent"), 3), find_way(Printed("66.6", "percent"), 3), find_way(Printed("66.5", "percent"), 3)
    (('rounded', range(2, 3)), ('truncated', range(2, 3)), (None, range(0, 0)))
    """
    for way in WAYS[:2]:
        if counts := printed.counts(n, way):
            return way, counts
    return None, range(0)


def describe_counts(printed: Printed, n: int) -> str:
    """The fractions of n that print so; without any, those on either side of the printed value.

    >>> describe_counts(Printed("91.5", "percent"), 100)
    '91/100 = 91.00, 92/100 = 92.00'
    """
    _, counts = find_way(printed, n)
    below = math.floor(printed.value * n)
    shown = counts or [k for k in (below, below + 1) if 0 <= k <= n]
    texts = [f"{k}/{n} = {printed.show(Fraction(k, n))}" for k in shown[:3]]
    return ", ".join(texts) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")


def find_denominators(numbers: Sequence[Printed], largest: int) -> list[int]:
    """Every n of 2..largest over which all numbers are attainable, by rounding or truncation.

    >>> find_denominators([Printed("33.3", "percent"), Printed("50.0", "percent")], 20)  # a third and a half
    [6, 12, 18]
    """
    return [n for n in range(2, largest + 1) if all(number.counts(n, "truncated") for number in numbers)]


def find_float32_fractions(printed: Printed, smallest: int, largest: int) -> list[tuple[int, int]] | None:
    """Every (k, n), smallest <= n <= largest, for which k/n as a 32-bit float is the printed number.

    Programs print accuracies so; the many digits often leave one denominator. A printed number that is not the shortest text
    of a 32-bit float in (0, 1) gives None.

    >>> find_float32_fractions(Printed("0.75", "fraction"), 2, 10)
    [(3, 4), (6, 8)]
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

    It is reached if no case is right with the worse one only: 2 / 2**difference, at most 1.
    McNemar Q. Psychometrika 1947;12:153-157.

    >>> bound_mcnemar_p(5), bound_mcnemar_p(6)  # 0.0625 and 0.03125: six cases more are needed for p < 0.05
    (Fraction(1, 16), Fraction(1, 32))
    """
    return min(Fraction(1), Fraction(2, 2 ** abs(difference)))


def compute_binomial_p(count: int, n: int, share: Fraction) -> Fraction:
    """Two-sided p of a binomial count: twice the probability of `count` or one further from the mean, at most 1, exactly.

    count: successes of n independent draws, each with probability `share`. Raises ValueError unless 0 <= count <= n and
    0 < share < 1.

    >>> compute_binomial_p(0, 10, Fraction(1, 2))  # 2 / 2**10
    Fraction(1, 512)
    """
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
    The original with the fewest variants is taken: all others leave even less. Raises ValueError unless 0 < originals <=
    enlarged <= MOST_IMAGES and 0 < test <= enlarged.

    Two originals of two variants each, two of the four drawn: the other one that is drawn is the sibling in one of three cases.

    >>> compute_no_sibling(2, 4, 2)
    Fraction(1, 3)
    """
    if not (0 < originals <= enlarged <= MOST_IMAGES and 0 < test <= enlarged):
        raise ValueError(f"0 < originals <= enlarged <= {MOST_IMAGES} and 0 < test <= enlarged are needed")
    siblings = enlarged // originals - 1
    return Fraction(math.perm(test - 1, siblings), math.perm(enlarged - 1, siblings))


def compute_variance(values: Sequence[Fraction], less: int) -> Fraction:
    """Sum of squared deviations from the mean over len(values) - less: the sample variance with less = 1, exactly.

    >>> compute_variance([Fraction(1), Fraction(3)], 1), compute_variance([Fraction(1), Fraction(3)], 0)
    (Fraction(2, 1), Fraction(1, 1))
    """
    mean = sum(values, Fraction(0)) / len(values)
    return sum(((value - mean) ** 2 for value in values), Fraction(0)) / (len(values) - less)
