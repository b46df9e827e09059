"""On which line of a TOML file an entry stands, for error messages: the parser of the standard library does not say."""

import re

# Strings and comments, whose contents must not be taken for brackets or headers.
OPAQUE = re.compile(r'"""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*')


def find_entry_lines(text: str, name: str) -> list[int]:
    """Line (from 1) of each entry of the array of tables `name`, in the order in which a parser lists them.

    Both forms are found: [[name]] headers, and name = [{...}, {...}]. The text must be valid TOML.

    >>> find_entry_lines("[[claim]]\\n# [[claim]] in a comment\\n[[claim]]", "claim")
    [1, 3]
    """
    plain = _blank_opaque(text)
    starts = [match.start() for match in re.finditer(rf"^[ \t]*\[\[[ \t]*{name}[ \t]*\]\]", plain, re.MULTILINE)]
    if array := re.search(rf"^[ \t]*{name}[ \t]*=[ \t]*\[", plain, re.MULTILINE):
        depth = 1
        for place in range(array.end(), len(plain)):
            if depth == 1 and plain[place] == "{":
                starts.append(place)
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(plain[place], 0)
            if depth == 0:
                break
    return [plain.count("\n", 0, start) + 1 for start in starts]


def find_table_line(text: str, name: str) -> int | None:
    """Line (from 1) of the header [name]; None if the table is written in another form."""
    plain = _blank_opaque(text)
    header = re.search(rf"^[ \t]*\[[ \t]*{name}[ \t]*\]", plain, re.MULTILINE)
    return plain.count("\n", 0, header.start()) + 1 if header else None


def _blank_opaque(text: str) -> str:
    return OPAQUE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
