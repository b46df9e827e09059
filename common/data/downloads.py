"""Downloads with checksum, and archives that are unpacked only if no member leaves the folder."""

import contextlib
import http.client
import re
import shutil
import socket
import stat
import threading
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from common.data.folder import resolve_inside
from common.errors import UsageError, quote, shorten
from common.files import check_file, hash_file, put_in_place, replace_file

BLOCK = 1 << 20
ATTEMPTS = 3  # connections per download call without any progress before it gives up
TIMEOUT = 30  # seconds without an answer
MOST_SECONDS_OF_HEADERS = 60.0
LEAST_SPEED, WINDOW = 1000, 60.0  # bytes a second, over so many seconds
MOST_SECONDS = 12 * 3600.0  # for one file; the next call goes on from there
MAX_ARCHIVE_BYTES = 64 << 30  # unpacked
MAX_ARCHIVE_MEMBERS = 1_000_000
MAX_COMPRESSION = 1032  # the most that deflate can reach


def download(url: str, path: Path, sha256: str, size: int, *, page: str = "") -> Path:
    """Download a file, resuming from path.part where an earlier attempt stopped, and check its size and sha256.

    An existing file with the right checksum is left alone. The file appears under its name only when it is whole and
    right. page: where a person finds the file. Raises UsageError that names page, address, checksum and folder.
    """

    def fail(reason: str) -> UsageError:
        return UsageError(
            f"{path.name}: {reason}; to get it by hand: page {page or url}, address {url}, "
            f"check sha256 {sha256} ({size} bytes), put it into {path.parent}"
        )

    _check_address(url)
    if path.exists():
        if path.stat().st_size == size and hash_file(path) == sha256:
            return path
        raise fail("the file is there already but has another checksum; move it away first")
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if part.exists() and part.stat().st_size > size:
            part.unlink()
        have = part.stat().st_size if part.exists() else 0
        if shutil.disk_usage(path.parent).free < size - have:
            raise fail(f"the disk has no room for {size - have} more bytes")
        _fetch(url, part, size, fail)
        if hash_file(part) != sha256:
            part.unlink()
            raise fail("the downloaded file has another checksum and was removed: the offered file has changed")
        put_in_place(part, path)
    except OSError as error:
        raise fail(f"cannot be written: {error.strerror or error}") from None
    return path


def _fetch(url: str, part: Path, size: int, fail: Callable[[str], UsageError]) -> None:
    """Append to `part` until it has `size` bytes."""
    started, failures, furthest = time.monotonic(), 0, 0
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(part.stem, total=size)
        while (have := part.stat().st_size if part.exists() else 0) < size:
            try:
                _receive(url, part, have, size, started, lambda done: progress.update(task, completed=done))
                reason = "the connection ended early"
            except urllib.error.HTTPError as error:
                if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    raise fail(f"the server answers {error.code} {shorten(str(error.reason), 120)}") from None
                part.unlink(missing_ok=True)
                reason = "the offered file is smaller than expected"
            except _Slow as error:
                have = part.stat().st_size if part.exists() else 0
                raise fail(f"{error} at {have} of {size} bytes; the same command goes on from there") from None
            except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
                reason = f"no connection: {_explain(error)}"
            except ValueError as error:
                raise fail(str(error)) from None
            have = part.stat().st_size if part.exists() else 0
            failures = 0 if have > furthest else failures + 1
            furthest = max(have, furthest)
            if failures >= ATTEMPTS:
                raise fail(f"{reason} at {have} of {size} bytes; the same command goes on from there")
    if not console.is_terminal:
        console.print(f"{part.stem}: {size / 1e6:.1f} MB in {time.monotonic() - started:.0f} s", highlight=False)


def _receive(url: str, part: Path, have: int, size: int, started: float, show: Callable[[int], None]) -> None:
    """One connection: append what it gives. Starts again from 0 where the server does not resume.

    Raises ValueError, before anything is written, for an answer that says it is a page or has another size.
    """
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with _open(request) as answer:
        resumed = answer.status == 206
        if resumed and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise ValueError("the server resumes at another place than asked")
        have = have if resumed else 0
        _check_offer(answer, size - have)
        with open(part, "ab" if resumed else "wb") as file:
            for block in _iterate_blocks(answer, started):
                if have + len(block) > size:
                    raise ValueError(f"the offered file is larger than {size} bytes")
                file.write(block)
                have += len(block)
                show(have)


class _Slow(Exception):
    """A server that gives too little in a time, or takes too long in all: another attempt would not end sooner."""


@contextlib.contextmanager
def _open(request: urllib.request.Request) -> Iterator[http.client.HTTPResponse]:
    """The answer to a request. A server that gives its headers drop by drop is cut off, too."""
    opened: list[socket.socket] = []

    def keep(connection: type[http.client.HTTPConnection]) -> Callable[..., http.client.HTTPConnection]:
        class Kept(connection):  # type: ignore[misc,valid-type]
            def connect(self) -> None:
                super().connect()
                opened.append(self.sock)

        return Kept

    class Plain(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(keep(http.client.HTTPConnection), req)

    class Secure(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(keep(http.client.HTTPSConnection), req)

    late = threading.Event()

    def cut() -> None:
        late.set()
        for kept in opened:
            with contextlib.suppress(OSError):
                kept.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(MOST_SECONDS_OF_HEADERS, cut)
    timer.daemon = True
    timer.start()
    try:
        opener = urllib.request.build_opener(Plain, Secure)
        answer = opener.open(request, timeout=TIMEOUT)
        if late.is_set():  # what is left of the headers is read as if they were whole
            raise TimeoutError
    except (OSError, http.client.HTTPException):
        if late.is_set():
            raise _Slow(f"no answer in {MOST_SECONDS_OF_HEADERS:.0f} s") from None
        raise
    finally:
        timer.cancel()
    with answer:
        yield answer


def _iterate_blocks(answer: http.client.HTTPResponse, started: float) -> Iterator[bytes]:
    """What a server gives. Raises _Slow for less than LEAST_SPEED over WINDOW seconds, and after MOST_SECONDS since `started`."""
    begun, received = time.monotonic(), 0
    while block := answer.read1(BLOCK):
        yield block
        now, received = time.monotonic(), received + len(block)
        if now - started > MOST_SECONDS:
            raise _Slow(f"not done in {MOST_SECONDS / 3600:.1f} hours")
        if now - begun >= WINDOW:
            if received < LEAST_SPEED * WINDOW:
                raise _Slow(f"slower than {LEAST_SPEED / 1000:.0f} kB/s")
            begun, received = now, 0


def _check_offer(answer: http.client.HTTPResponse, expected: int) -> None:
    """Raise ValueError for an answer whose headers say that it is something else."""
    stated, kind = answer.headers.get("Content-Length", ""), answer.headers.get_content_type()
    length = int(stated) if re.fullmatch("[0-9]{1,18}", stated) else None
    if length == expected or (length is None and kind != "text/html"):
        return
    what = "a web page" if length is None else "smaller than expected" if length < expected else f"larger than {expected} bytes"
    came = "" if length is None else f": {length} bytes of {quote(kind, 40)} came instead of {expected}"
    raise ValueError(f"the offered file is {what}{came}")


def _explain(error: BaseException) -> str:
    return shorten(str(getattr(error, "reason", None) or error or type(error).__name__), 120)


def extract_zip(
    path: Path, folder: Path, *, max_bytes: int = MAX_ARCHIVE_BYTES, max_members: int = MAX_ARCHIVE_MEMBERS
) -> list[Path]:
    """Unpack a zip archive below `folder` and return the files; existing files are replaced.

    All members are checked before the first is written. Raises UsageError for a damaged archive, names that leave the
    folder, links and devices, encryption, double names, more than max_members, more than max_bytes unpacked or than the
    disk has free, and a compression that no image reaches.
    """
    try:
        check_file(path)
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_members(path, folder, members, max_bytes, max_members)
            folder.mkdir(parents=True, exist_ok=True)
            return [_extract_member(archive, member, folder) for member in members if not member.is_dir()]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise UsageError(f"{path}: damaged or unsupported zip archive: {shorten(str(error), 120)}; download it again") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be unpacked into {folder}: {error.strerror or error}") from None


def _check_members(path: Path, folder: Path, members: list[zipfile.ZipInfo], max_bytes: int, max_members: int) -> None:
    if len(members) > max_members:
        raise UsageError(f"{path}: {len(members)} members, more than {max_members}; not unpacked")
    total = sum(member.file_size for member in members)
    if total > max_bytes:
        raise UsageError(f"{path}: claims {total} bytes unpacked, more than {max_bytes}; not unpacked")
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if total > shutil.disk_usage(existing).free:
        raise UsageError(f"{path}: needs {total} bytes, more than the disk of {folder} has free; not unpacked")
    names = set()
    for member in members:
        try:
            resolve_inside(folder, member.filename)
        except UsageError as error:
            raise UsageError(f"{path}: not unpacked: {error}") from None
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UsageError(f"{path}: member {member.filename[:200]!r} is a link or device; not unpacked")
        if member.flag_bits & 1:
            raise UsageError(f"{path}: member {member.filename[:200]!r} is encrypted; not unpacked")
        if member.file_size > MAX_COMPRESSION * member.compress_size + 1024:
            raise UsageError(f"{path}: member {member.filename[:200]!r} claims a compression that no image reaches; not unpacked")
        name = member.filename.rstrip("/").casefold()
        if name in names:
            raise UsageError(f"{path}: member {member.filename[:200]!r} occurs twice; not unpacked")
        names.add(name)


def _extract_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> Path:
    target = resolve_inside(folder, member.filename)
    # The archive's reader gives no more than the claimed size and checks the CRC.
    with replace_file(target) as part, archive.open(member) as source, open(part, "wb") as file:
        shutil.copyfileobj(source, file, BLOCK)
    return target


def fetch(url: str, path: Path, max_bytes: int, by_hand: str) -> None:
    """Stream a file that states neither size nor checksum beforehand into `path`, up to max_bytes.

    What came must be verified by its content. Raises UsageError that ends with `by_hand`: how to get it without this program.
    """
    _check_address(url)
    started = time.monotonic()
    try:
        with _open(urllib.request.Request(url)) as answer, replace_file(path) as part, part.open("wb") as file:
            if answer.headers.get_content_type() == "text/html":
                raise UsageError(f"{url}: a web page came instead of the file; {by_hand}")
            for block in _iterate_blocks(answer, started):
                file.write(block)
                if file.tell() > max_bytes:
                    raise UsageError(f"{url}: more than {max_bytes} bytes; {by_hand}")
            missing = int(answer.headers.get("Content-Length") or file.tell()) - file.tell()
            if missing:
                raise UsageError(f"{url}: the connection ended {missing} bytes early; {by_hand}")
    except (OSError, http.client.HTTPException, ValueError, _Slow) as error:
        raise UsageError(f"{url}: {_explain(error)}; {by_hand}") from None


def _check_address(url: str) -> None:
    if not url.startswith(("https://", "http://")):
        raise UsageError(f"{quote(url, 200)}: only http and https addresses are fetched")
    if not url.isprintable() or " " in url:
        raise UsageError(f"{quote(url, 200)}: an address with spaces, line breaks or control characters; correct it")
