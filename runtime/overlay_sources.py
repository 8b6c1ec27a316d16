"""Overlays as they arrive: a folder, a zip archive, a URL. Nothing here believes what arrives; every size is bounded.

What is wrong with an overlay raises `OverlayError` or one of its kinds; OSError is left for what is written.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import io
import re
import struct
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit

from strop.overlay.manifest import BITSTREAM, HARDWARE, MANIFEST
from strop.runtime.errors import InputError, OverlayCorrupt, OverlayError, OverlayMissing

OnProgress = Callable[[int, int | None], None]

LIMITS = {MANIFEST: 1 << 20, HARDWARE: 8 << 20, BITSTREAM: 64 << 20}  # bytes; real ones have some 10^3, 10^6, 10^7
MAX_DOWNLOAD = 64 << 20
MAX_DIRECTORY = 256 << 10  # of a zip archive; also bounds each read of a member's data
CHUNK = 64 << 10
NETWORK_TIMEOUT_S = 30.0  # for a connection, and for each piece that comes
DOWNLOAD_TIMEOUT_S = 1800.0  # for all of it
SCHEMES = ("https", "http", "file")
ELSEWHERE = "or get the file another way and install it from there: strop overlay install FILE"
_DAMAGED = (  # what zipfile raises on damaged bytes; RuntimeError: an encrypted member
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError, OverflowError,
)  # fmt: skip


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def copy_folder(source: Path, target: Path) -> None:
    """Copy an overlay's three files from one folder to another. Raises `OverlayMissing`, `OverlayError`, OSError."""
    for name in LIMITS:
        if not (source / name).is_file():
            raise OverlayMissing(f"{source} holds no {name}; an overlay is a folder with {', '.join(LIMITS)}")
        try:
            file = (source / name).open("rb")
        except OSError as error:
            raise OverlayError(f"{source / name} cannot be read: {error.strerror}; make it readable first") from error
        with file:
            _copy(file, target / name, f"{source / name}")


def unpack(archive: BinaryIO, where: str, target: Path) -> None:
    """Unpack a zip archive of an overlay's three files, and nothing else, into a folder.

    Raises `OverlayError` for other files, paths or too much data, `OverlayCorrupt` for a damaged archive, OSError.
    """
    with _damage_translated(where), zipfile.ZipFile(_ShortReads(archive, where)) as opened:
        members = opened.infolist()
        names = [member.filename for member in members]
        if sorted(names) != sorted(LIMITS):
            shown = ", ".join(repr(name) for name in names[:5]) or "nothing"
            more = ", ..." if len(names) > 5 else ""
            raise OverlayError(
                f"{where} holds {shown}{more}; the archive of an overlay holds {', '.join(LIMITS)}, without folders, "
                "and nothing else"
            )
        for member in members:
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise OverlayError(f"{where}: {member.filename} is not stored or deflated: pack it with zip or Python")
            _check_size(f"{where}: {member.filename}", member.file_size, LIMITS[member.filename])
        for member in members:
            with opened.open(member) as file:
                _copy(file, target / member.filename, f"{where}: {member.filename}")


def download(
    url: str, sha256: str, target: BinaryIO, *, on_progress: OnProgress | None = None, timeout_s: float | None = None
) -> None:
    """Write what `url` (https, http or file) gives into `target` and go back to its start.

    sha256: of all its bytes, in hex; another one raises `OverlayCorrupt`. on_progress is called with the bytes so far
    and those to come, None where the server does not say. timeout_s: for all of it. Raises `InputError` for a URL or
    sha256 that cannot be one, `OverlayError` where nothing, too much or too slowly arrives.
    """
    if urlsplit(url).scheme not in SCHEMES:
        raise InputError(f"{url!r} cannot be fetched; allowed: URLs that begin with {', '.join(SCHEMES)}")
    if not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise InputError(f"{sha256!r} is no sha256: it has 64 hexadecimal digits, and stands where the URL was found")
    end = time.monotonic() + (DOWNLOAD_TIMEOUT_S if timeout_s is None else timeout_s)
    digest = hashlib.sha256()
    done = 0
    with _network_translated(url), _open_url(url, end - time.monotonic()) as (stream, length):
        _check_size(url, length or 0, MAX_DOWNLOAD)
        while piece := stream.read(CHUNK):
            done += len(piece)
            _check_size(url, done, MAX_DOWNLOAD)
            digest.update(piece)
            target.write(piece)
            if on_progress is not None:
                on_progress(done, length)
            if time.monotonic() > end:
                raise TimeoutError(f"{done:,} bytes came in the time allowed, and not the whole")
    if length is not None and done != length:
        raise OverlayError(
            f"cannot fetch {url}: it broke off after {done:,} of {length:,} bytes; try again, {ELSEWHERE}"
        )
    if digest.hexdigest() != sha256.lower():
        raise OverlayCorrupt(
            f"{url} has sha256 {digest.hexdigest()}, not {sha256.lower()}: nothing was installed. Compare the sha256 "
            "with where the URL was found; if it is right, the file was damaged or replaced"
        )
    target.seek(0)


class _ShortReads:
    """An archive that refuses long reads: zipfile reads a directory at whatever length the file claims for it."""

    def __init__(self, archive: BinaryIO, where: str) -> None:
        self._archive, self._where = archive, where
        self.seek, self.tell, self.seekable = archive.seek, archive.tell, archive.seekable

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            here = self.tell()
            size = self.seek(0, io.SEEK_END) - here
            self.seek(here)
        if size > MAX_DIRECTORY:
            raise OverlayError(f"{self._where}: a zip directory of {size:,} bytes; allowed are {MAX_DIRECTORY:,}")
        return self._archive.read(size)


def _copy(source: _Readable, target: Path, where: str) -> None:
    """Copy a stream into a new file, never more than its limit."""
    done = 0
    with target.open("xb") as file:
        while piece := source.read(CHUNK):
            done += len(piece)
            _check_size(where, done, LIMITS[target.name])
            file.write(piece)


def _check_size(where: str, size: int, limit: int) -> None:
    if size > limit:
        raise OverlayError(f"{where} has more than the {limit:,} bytes that are allowed; it is no overlay of strop")


@contextmanager
def _damage_translated(where: str) -> Iterator[None]:
    """What zipfile and zlib raise on damaged bytes, as `OverlayCorrupt`."""
    try:
        yield
    except OverlayError:
        raise
    except _DAMAGED as error:
        raise OverlayCorrupt(
            f"{where} is no whole zip archive ({error}): get it again, and compare its sha256"
        ) from error


@contextmanager
def _network_translated(url: str) -> Iterator[None]:
    """What the network raises, as `OverlayError`."""
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise  # not the network: the file that is written
        reason = str(error) or type(error).__name__
        if isinstance(error, urllib.error.HTTPError):
            reason = f"the server answers {error.code} {error.reason}"
        elif isinstance(error, urllib.error.URLError):
            reason = str(error.reason)
        raise OverlayError(f"cannot fetch {url}: {reason}; check the address and the network, {ELSEWHERE}") from error


@contextmanager
def _open_url(url: str, timeout_s: float) -> Iterator[tuple[_Readable, int | None]]:
    """Yield what `url` gives, in pieces as they come, and its length, None if it is not known."""
    if urlsplit(url).scheme == "file":
        path = Path(urllib.request.url2pathname(urlsplit(url).path))
        if not path.is_file():  # a pipe would have us wait for ever
            raise FileNotFoundError(f"{path} is no file")
        with path.open("rb") as file:
            yield file, path.stat().st_size
        return
    opener = urllib.request.OpenerDirector()  # of its own: no ftp and no file behind a redirection
    for handler in (
        *(urllib.request.ProxyHandler(), urllib.request.HTTPHandler(), urllib.request.HTTPSHandler()),
        *(urllib.request.HTTPRedirectHandler(), urllib.request.HTTPErrorProcessor()),
        *(urllib.request.HTTPDefaultErrorHandler(), urllib.request.UnknownHandler()),
    ):
        opener.add_handler(handler)
    opener.addheaders = [("User-Agent", "strop")]
    with opener.open(url, timeout=min(NETWORK_TIMEOUT_S, timeout_s)) as response:
        length = response.headers.get("Content-Length", "")
        yield _Pieces(response), int(length) if length.isdecimal() else None


class _Pieces:
    """An HTTP answer whose `read` returns what has come: the plain one waits until it has all that was asked for."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response

    def read(self, size: int, /) -> bytes:
        return self._response.read1(size)
