"""Downloads that resume and are checked, servers that misbehave, and archives that would leave the folder."""

import hashlib
import http.server
import io
import re
import threading
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from common.data.downloads import download, extract_zip
from common.errors import UsageError

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    """Serves `content` with byte ranges, as the class attributes say."""

    content = CONTENT
    ranges = True  # answer Range with 206
    breaks: list[int] = []  # per request: bytes after which the connection ends
    requests: list[str | None] = []  # the Range headers received
    shifted = 0  # a server that resumes at the wrong place

    def do_GET(self):
        cls = type(self)
        wanted = self.headers.get("Range")
        cls.requests.append(wanted)
        if self.path != "/data.bin":
            self.send_error(404)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and cls.ranges else 0
        if start >= len(cls.content) > 0:
            self.send_error(416)
            return
        part = cls.content[start + cls.shifted :]
        self.send_response(206 if wanted and cls.ranges else 200)
        if wanted and cls.ranges:
            self.send_header("Content-Range", f"bytes {start + cls.shifted}-{len(cls.content) - 1}/{len(cls.content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part[: cls.breaks.pop(0) if cls.breaks else len(part)])

    def log_message(self, *_):
        pass


@contextmanager
def serve(**attributes):
    handler = type("Handler", (Server,), {"requests": [], "breaks": [], **attributes})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/data.bin", handler
        finally:
            server.shutdown()
            thread.join()


def test_download_is_checked_and_not_repeated(tmp_path, capsys):
    with serve() as (url, handler):
        path = download(url, tmp_path / "sub/data.bin", SHA256, len(CONTENT))
        assert path.read_bytes() == CONTENT
        assert [file.name for file in path.parent.iterdir()] == ["data.bin"]
        assert capsys.readouterr().err.strip().count("\n") == 0  # one line where the output is no terminal
        download(url, path, SHA256, len(CONTENT))
        assert handler.requests == [None]
        path.write_bytes(b"something else")
        with pytest.raises(UsageError, match="there already but has another checksum"):
            download(url, path, SHA256, len(CONTENT))
        assert path.read_bytes() == b"something else"


def test_broken_connection_is_resumed_at_once(tmp_path):
    with serve(breaks=[100_000, 150_000]) as (url, handler):
        path = download(url, tmp_path / "data.bin", SHA256, len(CONTENT))
        assert path.read_bytes() == CONTENT
        assert handler.requests == [None, "bytes=100000-", "bytes=250000-"]


def test_interrupted_download_goes_on_in_the_next_run(tmp_path):
    path, part = tmp_path / "data.bin", tmp_path / "data.bin.part"
    with serve(breaks=[70_000, 0, 0, 0]) as (url, handler):
        with pytest.raises(UsageError, match="at 70000 of 300000 bytes; the same command goes on from there"):
            download(url, path, SHA256, len(CONTENT))
        assert part.read_bytes() == CONTENT[:70_000]
        assert not path.exists()
        handler.requests.clear()
        handler.breaks.clear()
        download(url, path, SHA256, len(CONTENT))
        assert handler.requests == ["bytes=70000-"]
    assert path.read_bytes() == CONTENT
    assert not part.exists()


def test_server_without_ranges_is_read_from_the_start(tmp_path):
    path = tmp_path / "data.bin"
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:1000])
    with serve(ranges=False) as (url, handler):
        download(url, path, SHA256, len(CONTENT))
        assert handler.requests == ["bytes=1000-"]
    assert path.read_bytes() == CONTENT
    breaks = [50_000, 20_000, 49_000, 10_000, 5]
    with serve(ranges=False, breaks=breaks) as (url, _), pytest.raises(UsageError, match="goes on from there"):
        download(url, tmp_path / "b.bin", SHA256, len(CONTENT))


def test_wrong_checksum_leaves_nothing(tmp_path):
    with serve(content=CONTENT[:-1] + b"?") as (url, _):
        with pytest.raises(UsageError, match="another checksum and was removed") as caught:
            download(url, tmp_path / "data.bin", SHA256, len(CONTENT), page="https://example.org/data")
        message = str(caught.value)
        for part in ("page https://example.org/data", f"address {url}", f"sha256 {SHA256}", f"put it into {tmp_path}"):
            assert part in message
        assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


def test_damaged_part_does_not_survive(tmp_path):
    (tmp_path / "data.bin.part").write_bytes(b"x" * 1000)
    with serve() as (url, _):
        with pytest.raises(UsageError, match="another checksum"):
            download(url, tmp_path / "data.bin", SHA256, len(CONTENT))
        assert list(tmp_path.iterdir()) == []
        (tmp_path / "data.bin.part").write_bytes(b"x" * 400_000)  # longer than the file can be
        assert download(url, tmp_path / "data.bin", SHA256, len(CONTENT)).read_bytes() == CONTENT


def test_whole_part_is_only_checked(tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    with serve() as (url, handler):
        download(url, tmp_path / "data.bin", SHA256, len(CONTENT))
        assert handler.requests == []


def test_servers_that_misbehave(tmp_path):
    path = tmp_path / "data.bin"
    with serve() as (url, _):
        with pytest.raises(UsageError, match="the server answers 404"):
            download(url.replace("data.bin", "other.bin"), path, SHA256, len(CONTENT))
        with pytest.raises(UsageError, match="larger than 1000 bytes"):
            download(url, path, SHA256, 1000)
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:5])
    with serve(shifted=3) as (url, _), pytest.raises(UsageError, match="resumes at another place"):
        download(url, path, SHA256, len(CONTENT))
    with serve(content=CONTENT[:1000]) as (url, _), pytest.raises(UsageError, match="smaller|ended early"):
        download(url, path, SHA256, len(CONTENT))
    with pytest.raises(UsageError, match="no connection"):
        download(url, path, SHA256, len(CONTENT))  # nobody listens any more
    for address in ("file:///etc/passwd", "ftp://127.0.0.1/x"):
        with pytest.raises(UsageError, match="only http and https"):
            download(address, path, SHA256, len(CONTENT))
    with serve() as (url, _), pytest.raises(UsageError, match="the disk has no room"):
        download(url, tmp_path / "big.bin", SHA256, 1 << 60)
    (tmp_path / "folder").write_text("a file where the folder should be")
    with serve() as (url, _), pytest.raises(UsageError, match="cannot be written"):
        download(url, tmp_path / "folder/data.bin", SHA256, len(CONTENT))
    assert not path.exists()


# --- archives


def make_zip(path: Path, members: dict, compression=zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def make_link(name: str, target: str) -> tuple[zipfile.ZipInfo, str]:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = 0o120777 << 16
    return info, target


def rewrite(path: Path, old: bytes, new: bytes, count: int = -1) -> Path:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, count))
    return path


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_archive_is_unpacked(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"train/": "", "train/1.png": b"one", "test/2.png": b"two"})
    files = extract_zip(path, tmp_path / "out")
    assert [file.relative_to(tmp_path / "out").as_posix() for file in files] == ["train/1.png", "test/2.png"]
    assert [file.read_bytes() for file in files] == [b"one", b"two"]
    assert extract_zip(path, tmp_path / "out") == files  # again: replaced
    assert sorted(file.name for file in (tmp_path / "out").rglob("*") if file.is_file()) == ["1.png", "2.png"]


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil", "..\\evil", "C:\\evil", "C:evil"])
def test_archive_names_that_leave_the_folder_are_refused(tmp_path, name):
    path = make_zip(tmp_path / "a.zip", {"good": "x", name: "y"})
    fault = "leaves the data folder" if ".." in name else "is an absolute path"
    with pytest.raises(UsageError, match=rf"a\.zip: not unpacked: .*{fault}"):
        extract_zip(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.rglob("*evil*"))


def test_archive_links_bombs_and_doubles_are_refused(tmp_path):
    out = tmp_path / "out"
    link = tmp_path / "link.zip"
    with zipfile.ZipFile(link, "w") as archive:
        archive.writestr(*make_link("inside", "/etc"))
        archive.writestr("inside/passwd", "x")
    with pytest.raises(UsageError, match="'inside' is a link or device"):
        extract_zip(link, out)
    bomb = make_zip(tmp_path / "bomb.zip", {f"{number}": bytes(1 << 20) for number in range(20)})
    with pytest.raises(UsageError, match="claims 20971520 bytes unpacked, more than 10000000"):
        extract_zip(bomb, out, max_bytes=10_000_000)
    with pytest.raises(UsageError, match="20 members, more than 10"):
        extract_zip(bomb, out, max_members=10)
    double = make_zip(tmp_path / "double.zip", {"first": "1", "other": "2"})
    with pytest.raises(UsageError, match="occurs twice"):
        extract_zip(rewrite(double, b"other", b"first"), out)
    with pytest.raises(UsageError, match="occurs twice"):
        extract_zip(make_zip(tmp_path / "case.zip", {"A.png": "1", "a.png": "2"}), out)
    assert not out.exists()


def test_archives_that_lie_or_are_damaged(tmp_path):
    out = tmp_path / "out"
    size = (1234).to_bytes(4, "little")
    lying = make_zip(tmp_path / "lie.zip", {"a": np.random.default_rng(0).bytes(1234)}, zipfile.ZIP_STORED)
    rewrite(lying, size + size, size + (4_000_000_000).to_bytes(4, "little"))
    with pytest.raises(UsageError, match="claims a compression that no image reaches"):
        extract_zip(lying, out)
    small = make_zip(tmp_path / "small.zip", {"a": bytes(100_000)})  # claims less than it holds
    rewrite(small, (100_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    with pytest.raises(UsageError, match="damaged"):
        extract_zip(small, out)
    content = np.random.default_rng(1).bytes(2000)
    flipped = rewrite(make_zip(tmp_path / "f.zip", {"a": content}, zipfile.ZIP_STORED), content, content[::-1])
    with pytest.raises(UsageError, match="damaged.*CRC"):
        extract_zip(flipped, out)
    assert not (out / "a").exists()
    encrypted = make_zip(tmp_path / "e.zip", {"a": "x"})
    data = bytearray(encrypted.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    data[data.index(b"PK\3\4") + 6] |= 1
    encrypted.write_bytes(data)
    with pytest.raises(UsageError, match="encrypted"):
        extract_zip(encrypted, out)
    for number, junk in enumerate((b"", b"PK\5\6", bytes(1000), content)):
        with pytest.raises(UsageError, match="damaged"):
            extract_zip(write(tmp_path / f"junk{number}.zip", junk), out)
    with pytest.raises(UsageError, match="cannot be unpacked"):
        extract_zip(tmp_path / "none.zip", out)
    with pytest.raises(UsageError, match="cannot be unpacked"):
        extract_zip(make_zip(tmp_path / "clash.zip", {"a": "file", "a/b": "below a file"}), out)


def test_truncated_and_flipped_archives_never_escape_as_another_error(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"folder/{number}.txt", "text " * 50)
    good, rng, messages = buffer.getvalue(), np.random.default_rng(0), []
    for number in range(300):
        data = bytearray(good)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            data[place] = rng.integers(0, 256)
        path = write(tmp_path / "a.zip", bytes(data[: rng.integers(20, len(data) + 1)] if number % 2 else data))
        try:
            extract_zip(path, tmp_path / "out", max_bytes=1 << 20)
        except UsageError as error:
            messages.append(str(error))
    assert not any("\n" in message for message in messages)
    assert len(messages) > 100
    assert {file.name for file in tmp_path.iterdir()} <= {"a.zip", "out"}
