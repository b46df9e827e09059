"""A network that a training stored, opened again."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import keras

from common.errors import UsageError
from common.training.formats import name_format

ANEW = "the command that made the run makes it anew"
SHOWN = 200  # characters of what Keras says


def open_network(
    path: Path,
    registered: Mapping[str, Any] | None = None,
    *,
    shape: tuple[int | None, ...] | None = None,
    classes: int | None = None,
    what: str = "this run",
) -> keras.Model:
    """A stored network, without its optimiser; registered: layers of a package's own by their Keras names.

    shape: of a picture that it must take, (rows, columns, channels), None: any, or any square; classes: how many it must give
    (None: nothing is asked). what: whose network it must be, for the message. Raises UsageError for a file that Keras cannot
    read, and for another network.
    """
    network = _load(path, registered)
    if isinstance(network, keras.Sequential):  # a run stores functional models, whose layers can be looked into
        raise UsageError(f"{path}: not a network of {what}: it is a Sequential model; {ANEW}")
    given, gives = (getattr(network, name, None) for name in ("input_shape", "output_shape"))
    if (shape is not None and not _takes(given, shape)) or (classes is not None and gives != (None, classes)):
        refuse_network(network, path, what)
    return network


def _takes(given: Any, shape: tuple[int | None, ...]) -> bool:
    """Whether an input is one of pictures of this shape."""
    if not isinstance(given, tuple) or len(given) != 1 + len(shape):
        return False
    _, rows, columns, _ = given
    fits = all(wanted in (None, side) for wanted, side in zip(shape, given[1:], strict=True))
    return fits and (None not in shape or (rows is not None and rows == columns))


def refuse_network(network: keras.Model, path: Path, what: str = "this run") -> NoReturn:
    """Raise UsageError for another network than that of `what`."""
    given, gives = (str(getattr(network, name, "nothing"))[:100] for name in ("input_shape", "output_shape"))
    raise UsageError(f"{path}: not a network of {what}: it maps {given} to {gives}; {ANEW}")


@contextlib.contextmanager
def looking_into(path: Path, what: str = "this run") -> Iterator[None]:
    """While this is open, a UsageError about a stored network names its file, and says that it must be that of `what`."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{path}: not a network of {what}: {error}; {ANEW}") from None


def _load(path: Path, registered: Mapping[str, Any] | None) -> keras.Model:
    try:
        return keras.saving.load_model(path, custom_objects=dict(registered or {}), compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever a foreign file leads it to
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        kind = name_format(path)
        what = f"it is {kind}" if kind and "whole model" not in kind else first.replace(f"{path}", path.name)[:SHOWN]
        if "Lambda" in first:
            what = "a Lambda layer holds a program of its own, which is never run"
        elif first.startswith("File not found"):
            what = "no .keras archive, or a damaged one"
        raise UsageError(f"{path}: cannot be read by Keras {keras.__version__} ({what})") from None
