"""The ready patches from a web server: unpacked whole, or nothing stays."""

import http.server
import threading
import zipfile
from pathlib import Path

import pytest
from lung_hip_samples import prepare

from common.errors import UsageError
from replications.lung_hip_compare import data
from replications.lung_hip_compare.config import PAPER
from replications.lung_hip_compare.sources import acquire


@pytest.fixture
def server(tmp_path):
    """A local web server of tmp_path/site; gives its address and folder."""
    folder = tmp_path / "site"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **options):
            super().__init__(*args, directory=str(folder), **options)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}", folder
        running.shutdown()


def pack(path: Path, folder: Path, top: str):
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            if file.is_file():
                archive.write(file, f"{top}/{file.relative_to(folder)}")


def test_download_unpacks_the_patches(server, patches, tmp_path):
    address, site = server
    pack(site / "archive.zip", patches.path, "LungCancerDetection-36e7980/src/data")
    acquire.download_patches(tmp_path / "new", f"{address}/archive.zip")
    assert len(list((tmp_path / "new" / "luna16_patches").glob("train/*.jpg"))) == 40
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["luna16_patches"]
    acquire.download_patches(tmp_path / "new", "http://127.0.0.1:9/never-asked")  # there already
    assert len(prepare("LUNA16", data.find_sources(tmp_path / "new")["luna"], PAPER, tmp_path / "data").cases) == 60


@pytest.mark.parametrize("fault", ["404", "no zip", "another repository", "leaves the folder", "too large"])
def test_download_that_fails_leaves_nothing(server, patches, tmp_path, fault, monkeypatch):
    address, site = server
    if fault == "no zip":
        (site / "archive.zip").write_bytes(b"<html>rate limit</html>")
    elif fault == "another repository":
        pack(site / "archive.zip", patches.path, "Other/files")
    elif fault == "leaves the folder":
        pack(site / "archive.zip", patches.path, "../../LungCancerDetection/src/data")
    elif fault == "too large":
        monkeypatch.setattr(acquire, "MAX_ARCHIVE_BYTES", 1000)
        pack(site / "archive.zip", patches.path, "LungCancerDetection/src/data")
    with pytest.raises(UsageError) as caught:
        acquire.download_patches(tmp_path / "new", f"{address}/archive.zip")
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "new").iterdir()) == []
