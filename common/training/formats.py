"""What a weight file is, by its content: names of files lie, and a message that says what was given saves a search."""

import re
import zipfile
from pathlib import Path

from common.files import check_file

HOLDS_WEIGHTS = ("an HDF5 file", "a whole model of Keras", "a safetensors file", "a weight file of PyTorch", "a PyTorch file")
HDF5 = b"\x89HDF\r\n\x1a\n"
ZIP = b"PK\x03\x04"
STARTS = {
    HDF5: "an HDF5 file, as Keras writes weights",
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself: git lfs pull gets it",
    b"\x1f\x8b": "a file packed with gzip: unpack it",
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.": "a PyTorch file from before version 1.6",
    b"\x93NUMPY": "a NumPy array",
}


def name_format(path: Path) -> str:
    """What a file is, in words for messages; "" where its content says nothing. Nothing in it is interpreted.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "net.h5"
    ...     _ = path.write_bytes(b"<!DOCTYPE html><title>sign in</title>")
    ...     name_format(path)
    'a web page, not the file itself: does its address ask for a login?'
    """
    try:
        if path.is_dir():
            saved = (path / "saved_model.pb").exists()
            return "a SavedModel of TensorFlow: save its weights as .weights.h5" if saved else "a folder"
        check_file(path)
        with path.open("rb") as file:
            start = file.read(512)
        size = path.stat().st_size
        if start.startswith(ZIP):
            with zipfile.ZipFile(path) as archive:
                return _name_archive(archive.namelist())
    except Exception:  # zipfile raises whatever a damaged directory leads it to
        return ""
    if size == 0:
        return "an empty file"
    if re.match(rb"\s*<(!doctype|html|\?xml|head)", start, re.IGNORECASE):
        return "a web page, not the file itself: does its address ask for a login?"
    if is_safetensors(start, size):
        return "a safetensors file"
    return next((what for begin, what in STARTS.items() if start.startswith(begin)), "")


def is_safetensors(start: bytes, size: int) -> bool:
    """Whether a file of `size` bytes with this start is laid out as safetensors: the length of a JSON header, then the header."""
    return len(start) > 9 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= size - 8


def _name_archive(names: list[str]) -> str:
    if {"config.json", "metadata.json"} <= set(names):
        return "a whole model of Keras (.keras)"
    if any(re.fullmatch(r"[^/]+/data\.pkl", name) for name in names):
        script = any(re.fullmatch(r"[^/]+/constants\.pkl", name) for name in names)
        return "a TorchScript program: save the network's state_dict()" if script else "a weight file of PyTorch"
    return "NumPy arrays (.npz)" if names and all(name.endswith(".npy") for name in names) else "a zip archive"
