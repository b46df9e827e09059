"""Ids of patients as a person reads them: one spelling for what looks the same, and which spellings may be meant as one.

A table that went through a spreadsheet, two operating systems or several hands spells one patient in several ways. Differences
that no reader sees are taken away; those that a reader sees (P07 and p7) are a question to whoever knows the patients.
"""

import re
import unicodedata
from collections.abc import Iterable

# Compatibility forms that look like the plain letters. Superscripts, fractions and circled letters are read as something else.
PLAIN_FORMS = ("<wide>", "<narrow>", "<noBreak>", "<compat>", "<font>", "<initial>", "<medial>", "<final>", "<isolated>")
# Nothing to see, though Unicode does not call them format characters: joiners, fillers, variation selectors.
UNSEEN = "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0" + "".join(map(chr, [*range(0x180B, 0x1810), *range(0xFE00, 0xFE10)]))
BLANK = "\u2800"  # a braille cell without dots
# Cyrillic and Greek capitals and small letters that look like Latin ones.
LOOKALIKES = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеѕіјорсухΑΒΕΖΗΙΚΜΝΟΡΤΥΧο",
    "ABESIJKMHOPCTYXaesijopcyxABEZHIKMNOPTYXo",
)
QUOTES = str.maketrans("\u2018\u2019\u02bc\u201c\u201d", "'''\"\"")


def normalise_patient(text: str) -> str:
    """One spelling for all that a person reads as the same id; '' where there is nothing to read.

    Unicode composition (NFC), full-width and other forms of plain letters, every kind of space (runs of them become one, outer
    ones go), whatever is invisible (zero-width, soft hyphen, byte order mark, direction marks, variation selectors), all dashes,
    quotes, and Cyrillic or Greek letters among Latin ones or digits that look like Latin ones.

    >>> spellings = ["Jos\u00e9 1", "Jose\u0301\u00a01", "\ufeffJos\u00e9\u200b  1 ", "\uff2aos\u00e9\u20091"]
    >>> {normalise_patient(spelling) for spelling in spellings} == {"Jos\u00e9 1"}
    True
    >>> normalise_patient("\u0410\u20117"), normalise_patient("\u0410\u043d\u043d\u0430") == "\u0410\u043d\u043d\u0430"
    ('A-7', True)
    """
    letters = []
    for letter in text:
        category = unicodedata.category(letter)
        if letter.isspace() or category in ("Zs", "Zl", "Zp") or letter == BLANK:
            letters.append(" ")
        elif category == "Pd" or letter == "\u2212":
            letters.append("-")
        elif category != "Cf" and letter not in UNSEEN and not 0xE0100 <= ord(letter) <= 0xE01EF:
            plain = unicodedata.decomposition(letter).startswith(PLAIN_FORMS)
            letters.append(unicodedata.normalize("NFKC", letter) if plain else letter)
    composed = unicodedata.normalize("NFC", " ".join("".join(letters).split())).translate(QUOTES)
    translated = composed.translate(LOOKALIKES)
    return translated if translated.isascii() else composed


def find_doubtful(ids: Iterable[str]) -> list[list[str]]:
    """Groups of ids, two or more each, that differ only by case, leading zeros or a trailing `.0`, all sorted.

    ids: as `normalise_patient` gives them.

    >>> find_doubtful(["P07", "p7", "P8", "12", "12.0", "012", "1.05"])
    [['012', '12', '12.0'], ['P07', 'p7']]
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(set(ids)):
        number = re.sub(r"(?<=[0-9])\.0+$", "", name.casefold())
        groups.setdefault(re.sub(r"(?<![0-9])(?<![0-9]\.)0+(?=[0-9])", "", number), []).append(name)
    return sorted(group for group in groups.values() if len(group) > 1)
