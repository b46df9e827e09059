"""Pipes, devices, sockets and folders in the place of a file: refused in one line by every reader, never opened."""

import os
import signal
import socket

import pytest

from common.audit.table_files import read_table_file
from common.data.csv_files import read_csv_table, read_header
from common.data.downloads import extract_zip
from common.data.folder import read_lines
from common.data.metaimage import read_header as read_volume_header
from common.data.nifti import read_nifti_header
from common.data.pictures import read_picture, read_size
from common.errors import UsageError
from common.files import load_json
from common.records.paper import load_paper
from common.records.predictions import read_predictions
from common.records.provenance import read_commands
from common.records.results import read_results
from common.training.keras_files import read_layers
from common.training.torch_files import read_torch_file
from replications.glioma_inceptionv3.sources.nrrd import read_header as read_nrrd_header
from replications.lung_hip_compare.sources.luna16 import list_patches
from replications.thyroid_ensemble.sources.ddti import read_xml

READERS = {
    "CSV": ("a.csv", lambda path: read_csv_table(path, {"path": str})),
    "head of a CSV": ("a.csv", read_header),
    "list": ("a.txt", read_lines),
    "patches": ("traindatalabels.txt", lambda path: list_patches(path.parent, "train")),
    "TOML": ("paper.toml", load_paper),
    "audited table": ("a.csv", read_table_file),
    "workbook": ("a.xlsx", read_table_file),
    "JSON": ("a.json", load_json),
    "results": ("results.json", read_results),
    "commands": ("commands.json", read_commands),
    "predictions": ("predictions.csv.gz", read_predictions),
    "picture": ("a.png", read_picture),
    "size of a picture": ("a.png", read_size),
    "MetaImage": ("a.mhd", read_volume_header),
    "NIfTI": ("a.nii.gz", read_nifti_header),
    "NRRD": ("a.nrrd", lambda path: read_nrrd_header(path, path.parent)),
    "XML": ("a.xml", lambda path: read_xml(path, "case")),
    "zip": ("a.zip", lambda path: extract_zip(path, path.parent / "out")),
    "Keras": ("a.h5", lambda path: read_layers(path, {})),
    "PyTorch": ("a.pth", read_torch_file),
    "safetensors": ("a.safetensors", read_torch_file),
}


def put_socket(path):
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


PUT = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "socket": put_socket,
    "folder": lambda path: path.mkdir(),
}


@pytest.fixture
def hurry():
    """Waiting for a pipe, or reading a device to its end, ends the test."""
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("waited for a file that is none"))
    signal.alarm(10)
    yield
    signal.alarm(0)


@pytest.mark.parametrize("kind", PUT)
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_is_refused(hurry, tmp_path, monkeypatch, name, kind):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    file, read = READERS[name]
    PUT[kind](tmp_path.relative_to(tmp_path) / file)
    with pytest.raises(UsageError) as caught:
        read(tmp_path / file)
    assert str(caught.value).isprintable()
    assert file in str(caught.value)
    assert list(tmp_path.iterdir()) == [tmp_path / file]
