"""One cell of a printed table: a number with the digits that it is printed with, a standard deviation, a percent sign."""

import math
import re
from dataclasses import dataclass

MOST_CHARACTERS = 200  # of a cell that is looked at: a number is short
EMPTY = {"", "-", "--", "---", "n/a", "na", "nan", "n.a.", "nr", "n/r", "n.r.", "not reported", "none", "...", "…", "/", "?"}
MARKS = re.compile(r"[*_`†‡§¶#⁰¹²³⁴⁵⁶⁷⁸⁹ᵃᵇᶜᵈ\u200b\ufeff]")  # bold, italic, signs of footnotes; nothing that a number holds
MINUS = re.compile("[‐‑‒–—−]")
NUMBER = r"-?(?:[0-9]+(?:[.,·][0-9]+)?|[.,·][0-9]+)"
CELL = re.compile(
    rf"(?P<value>{NUMBER})\s*(?P<percent>%?)\s*"
    rf"(?:(?:±|\+/?-)\s*(?P<sd>{NUMBER})\s*(?P<sd_percent>%?)\s*|\(\s*(?P<sign>±|\+/?-)?\s*(?P<bracket>{NUMBER})\s*(?P<in_percent>%?)\s*\))?\s*"
    r"(?P<beside>[(\[][^()\[\]]*[)\]])?"
)
# An interval, a count, or the number of a reference.
BESIDE = re.compile(
    rf"\[[0-9]{{1,3}}\]|[(\[](?:95\s*%?\s*ci)?[\s:,]*{NUMBER}\s*%?\s*(?:-|to|,|;|/|\s)\s*{NUMBER}\s*%?\s*[)\]]", re.IGNORECASE
)
MOST_SD = 0.708  # of numbers between 0 and 1: two values, one 0 and one 1


@dataclass(frozen=True)
class Cell:
    """A printed number, digit by digit: with a point, and a digit before it."""

    text: str
    percent: bool = False
    sd: str = ""  # "" where none is given
    is_bracketed: bool = False  # the sd stands in brackets without a sign: taken for one, for want of another reading
    beside: str = ""  # what stands in brackets beside the number and is not read: "(0.90-0.96)", "(35/40)", "(44)"


def read_cell(printed: str) -> Cell | None:
    """The number in a cell; None where nothing is printed. Raises ValueError, with what is wrong, for anything else.

    Signs of footnotes and of bold print are passed over; a comma or a middle dot is a decimal point. A number in brackets is
    taken for a standard deviation if it has decimals and is small enough for one; else it may be a count, and is not read.

    >>> read_cell("**0.850**").text, read_cell("–"), read_cell("87,5 %").percent
    ('0.850', None, True)
    >>> read_cell("88 (44)").sd, read_cell("88 (44)").beside, read_cell("0·85").text
    ('', '(44)', '0.85')
    >>> read_cell("94.1 ± 1.2").sd, read_cell("94.1 (1.2)").sd, read_cell(".93 (.90-.96)").beside
    ('1.2', '1.2', '(.90-.96)')
    """
    if len(printed) > MOST_CHARACTERS:
        raise ValueError(f"{printed[:20]!r}... is too long for a number")
    text = " ".join(MINUS.sub("-", MARKS.sub("", printed)).split())
    if text.casefold() in EMPTY:
        return None
    found = CELL.fullmatch(text)
    if not found or len(found["value"]) > 30 or (found["beside"] and not BESIDE.fullmatch(found["beside"])):
        raise ValueError(f'{printed.strip()!r} is no number such as "0.850", "87.5%" or "94.1 ± 1.2"; "-" where none is printed')
    value, sd = _write_number(found["value"]), _write_number(found["sd"] or found["bracket"] or "")
    percent = "%" in (found["percent"], found["sd_percent"], found["in_percent"])
    beside, is_bracketed = found["beside"] or "", bool(found["bracket"] and not found["sign"])
    if is_bracketed and not _may_be_sd(value, sd, percent):
        if "." in sd and float(sd) > abs(float(value)):  # 35 (87.5): a count and its share
            raise ValueError(
                f'{printed.strip()!r}: the number in brackets is no standard deviation; leave it out, or write "94.1 ± 1.2"'
            )
        shown = f"({found['bracket']}{found['in_percent']})"
        sd, is_bracketed, beside = "", False, f"{shown} {beside}".strip()
        percent = "%" in found["percent"]  # 84 (42%) says nothing of the 84
    if sd.startswith("-"):
        raise ValueError(f"{printed.strip()!r}: a standard deviation cannot be negative")
    return Cell(value, percent, sd, is_bracketed, beside)


def _may_be_sd(value: str, sd: str, percent: bool) -> bool:
    """Whether a number in brackets can be a standard deviation: with decimals, and no larger than that of any two values with
    this mean, the root of 2 m (1 - m)."""
    scale = 100 if percent or abs(float(value)) > 1 else 1
    step = 10.0 ** -len(value.partition(".")[2]) / scale
    mean = abs(float(value)) / scale
    middle = min(max(0.5, mean - step), mean + step)
    most = math.sqrt(2 * max(0.0, middle * (1 - middle))) if mean <= 1 else MOST_SD
    return "." in sd and 0 <= float(sd) <= scale * most


def _write_number(text: str) -> str:
    """With a decimal point, and a digit before it."""
    return re.sub(r"^(-?)\.", r"\g<1>0.", re.sub("[,·]", ".", text))
