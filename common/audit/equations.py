"""Printed sums, differences and ratios: "0.0412 / 0.5160 * 100 = 8.1", in exact interval arithmetic.

A number with decimals stands for all values that print so, in one of `printed.WAYS`; a whole number is exact. An equation is
possible if its two sides have a value in common. A number that stands in it twice is taken as two, so that a wrong equation may
pass but a right one never fails.
"""

import ast
from collections.abc import Mapping
from fractions import Fraction
from itertools import product

from common.audit.printed import Printed

Interval = tuple[Fraction, Fraction]
LONGEST = 300  # characters of an equation
OPERATIONS = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
}


def solve_equation(text: str, names: Mapping[str, Printed] | None = None, way: str = "rounded") -> tuple[Interval, Interval]:
    """(left side, right side) as intervals. `names`: what names in the text stand for. `way`: how every number may have come
    about; a divisor that could then be 0 is taken as rounded.

    Raises ValueError, saying what is wrong, for anything but numbers, names, + - * / and brackets on both sides of one "=",
    and for a division by an interval that holds 0.

    0.5 stands for 0.45 to 0.55 and 2 for itself; 1.0 for 0.95 to 1.05:

    >>> left, right = solve_equation("0.5 * 2 = 1.0")
    >>> left, right, overlap(left, right)
    ((Fraction(9, 10), Fraction(11, 10)), (Fraction(19, 20), Fraction(21, 20)), True)
    >>> [overlap(*solve_equation("0.5 * 2 = 1.3", way=way)) for way in ("rounded", "near")]  # near: 0.8 to 1.2, and 1.2 to 1.4
    [False, True]
    """
    sides = text.split("=")
    if len(sides) != 2 or len(text) > LONGEST:
        raise ValueError(f"an equation of at most {LONGEST} characters with one '=' is needed")
    left, right = (_parse(side.strip()) for side in sides)
    names = names or {}
    return _evaluate(left, sides[0].strip(), names, way), _evaluate(right, sides[1].strip(), names, way)


def list_numbers(text: str) -> list[str]:
    """The numbers in an equation as they are written, from left to right. Raises ValueError for what is no equation.

    >>> list_numbers("130 + 101 + 0.50 = 231.5")
    ['130', '101', '0.50', '231.5']
    """
    sides = [side.strip() for side in text.split("=")]
    nodes = [(i, node, side) for i, side in enumerate(sides) for node in ast.walk(_parse(side)) if isinstance(node, ast.Constant)]
    nodes.sort(key=lambda found: (found[0], found[1].col_offset))
    return [ast.get_source_segment(side, node) or "" for _, node, side in nodes]


def list_names(text: str) -> list[str]:
    """The names in an equation, each once, in the order in which they are met. Raises ValueError for what is no equation.

    >>> list_names("train + test = 110")
    ['train', 'test']
    """
    nodes = [node for side in text.split("=") for node in ast.walk(_parse(side.strip()))]
    return list(dict.fromkeys(node.id for node in nodes if isinstance(node, ast.Name)))


def overlap(a: Interval, b: Interval) -> bool:
    """Whether two closed intervals (low, high) have a value in common; an end is enough.

    >>> one, two, three = Fraction(1), Fraction(2), Fraction(3)
    >>> overlap((one, two), (two, three)), overlap((one, one), (two, three))
    (True, False)
    """
    return a[0] <= b[1] and b[0] <= a[1]


def _parse(side: str) -> ast.expr:
    try:
        return ast.parse(side, mode="eval").body
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError(f"{side!r} is not a sum, difference, product or ratio of numbers") from None


def _evaluate(node: ast.expr, source: str, names: Mapping[str, Printed], way: str) -> Interval:
    if isinstance(node, ast.Constant):
        return _bound(Printed(ast.get_source_segment(source, node) or "", "count"), way)
    if isinstance(node, ast.Name):
        if node.id not in names:
            raise ValueError(f"{node.id!r} is not a metric of the row" if names else f"{node.id!r} is not a number")
        return _bound(names[node.id], way)
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS:
        a, b = (_evaluate(part, source, names, way) for part in (node.left, node.right))
        if isinstance(node.op, ast.Div) and b[0] <= 0 <= b[1]:
            b = _evaluate(node.right, source, names, "rounded")
            if b[0] <= 0 <= b[1]:
                raise ValueError("division by zero")
        ends = [OPERATIONS[type(node.op)](x, y) for x, y in product(a, b)]
        return min(ends), max(ends)
    raise ValueError(f"{ast.unparse(node)!r} is not allowed: only numbers, names, + - * / and brackets are")


def _bound(number: Printed, way: str) -> Interval:
    return number.bounds(way) if number.digits else (number.value, number.value)
