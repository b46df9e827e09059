"""Reading a small XML file that may be damaged or hostile."""

from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from common.errors import UsageError

MAX_XML_BYTES = 2**20  # a case of DDTI has up to 7 kB
MAX_DEPTH = 50


def read_xml(path: Path, root: str) -> ElementTree.Element:
    """The element `root` of an XML file of at most 1 MiB.

    Raises UsageError: unreadable, too large, not XML, another root, nested too deep, or with a document type declaration,
    which alone could define entities (and so blow up a small file or name other files).
    """
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    depth = 0

    def refuse(*_: object) -> None:
        raise UsageError(f"{path}: has a document type declaration; these files need none")

    def start(name: str, attributes: dict) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise UsageError(f"{path}: more than {MAX_DEPTH} elements inside each other")
        builder.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    try:
        if not path.is_file():
            raise UsageError(f"{path}: no such file")
        if path.stat().st_size > MAX_XML_BYTES:
            raise UsageError(f"{path}: {path.stat().st_size} bytes are too many for such a file")
        parser.Parse(path.read_bytes(), True)
        element = builder.close()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    except (expat.ExpatError, LookupError, ValueError) as error:  # the latter two: encodings that Python does not know
        raise UsageError(f"{path}: damaged XML ({error})") from None
    if element.tag != root:
        raise UsageError(f"{path}: {element.tag[:60]!r} where <{root}> is expected")
    return element


def find_text(element: ElementTree.Element, tag: str) -> str:
    """Text of the first child of that tag without outer spaces; '' where there is none."""
    return (element.findtext(tag) or "").strip()
