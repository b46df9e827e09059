"""A network that a training stored, opened again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from common.errors import UsageError
from common.training.formats import name_format


def open_network(path: Path, registered: Mapping[str, Any] | None = None) -> keras.Model:
    """A stored network, without its optimiser; registered: layers of a package's own by their Keras names.

    Raises UsageError for a file that Keras cannot read.
    """
    try:
        return keras.saving.load_model(path, custom_objects=dict(registered or {}), compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever a foreign file leads it to
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        kind = name_format(path)
        what = f"it is {kind}" if kind and "whole model" not in kind else first[:300]
        raise UsageError(f"{path}: cannot be read by Keras {keras.__version__} ({what})") from None
