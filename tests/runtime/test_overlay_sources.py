"""Overlays from archives and the network: nothing that arrives is believed; every wait and every size has an end."""

from __future__ import annotations

import http.server
import io
import struct
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from overlay_files import NAMES, contents, write_overlay, write_zip
from strop.overlay.manifest import BITSTREAM, MANIFEST, file_sha256
from strop.runtime import overlay_sources
from strop.runtime.errors import InputError, OverlayCorrupt, OverlayError
from strop.runtime.overlay_sources import MAX_DOWNLOAD, download
from strop.runtime.overlay_store import fetch_overlay, install_overlay

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    """The store, with an earlier overlay in it that nothing in these tests may harm."""
    monkeypatch.setenv("STROP_OVERLAYS", str(tmp_path / "store"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    install_overlay(write_overlay(tmp_path / "earlier", built="2029-01-01"))
    before = contents(tmp_path / "store")
    yield tmp_path / "store"
    now = contents(tmp_path / "store")
    assert now.keys() == before.keys() and [path.name for path in (tmp_path / "store").iterdir()] == ["pynq-z2"]
    if b"2030-01-31" not in now[f"pynq-z2/{MANIFEST}"]:
        assert now == before


@pytest.fixture
def archive(tmp_path) -> Path:
    """A right overlay in a .zip."""
    return write_zip(write_overlay(tmp_path / "build"), tmp_path / "strop-pynq-z2.zip")


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """Serve HTTP on this machine with `answer` to each GET; yield the address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/strop.zip"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sends(data: bytes, length: int | None = None, status: int = 200) -> Answer:
    """An answer of `data`, whose Content-Length says `length` (that of data if None, none at all if negative)."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        if length is None or length >= 0:
            request.send_header("Content-Length", str(len(data) if length is None else length))
        request.end_headers()
        request.wfile.write(data)

    return answer


def test_an_overlay_is_fetched(archive, store):
    """Protects the whole way over a real connection: progress to the end, digest in either case, then installed."""
    seen: list[tuple[int, int | None]] = []
    data = archive.read_bytes()
    with serving(sends(data)) as url:
        got = fetch_overlay(url, file_sha256(archive).upper(), on_progress=lambda *so_far: seen.append(so_far))
    assert got.manifest.built == "2030-01-31" and got.folder == store / "pynq-z2"
    assert seen[-1] == (len(data), len(data))


def test_without_a_length_it_works_too(archive):
    """Protects servers that stream: the end of the connection is the end, and the digest decides."""
    seen: list[tuple[int, int | None]] = []
    with serving(sends(archive.read_bytes(), length=-1)) as url:
        fetch_overlay(url, file_sha256(archive), board="pynq-z2", on_progress=lambda *so_far: seen.append(so_far))
    assert seen[-1] == (archive.stat().st_size, None)


def test_a_local_file_is_fetched(archive, tmp_path):
    """Protects air-gapped boards: file:// is a URL too; what is no file there is refused, also a pipe."""
    assert fetch_overlay(archive.as_uri(), file_sha256(archive)).manifest.built == "2030-01-31"
    for path in (tmp_path, tmp_path / "nothing.zip"):
        with pytest.raises(OverlayError, match="is no file"):
            fetch_overlay(path.as_uri(), "ab" * 32)


def test_a_redirection_is_followed_but_not_into_this_machine(archive):
    """Protects against a server that would have strop read local files; among web addresses it may send us on."""
    for target, expected in ((archive.as_uri(), "not allowed|redirect"), ("ftp://127.0.0.1/x.zip", "unknown url type")):

        def answer(request: http.server.BaseHTTPRequestHandler, target: str = target) -> None:
            request.send_response(302)
            request.send_header("Location", target)
            request.end_headers()

        with serving(answer) as url, pytest.raises(OverlayError, match=expected):
            fetch_overlay(url, file_sha256(archive))
    with serving(sends(archive.read_bytes())) as there:

        def onward(request: http.server.BaseHTTPRequestHandler) -> None:
            request.send_response(302)
            request.send_header("Location", there)
            request.end_headers()

        with serving(onward) as url:
            assert fetch_overlay(url, file_sha256(archive)).manifest.built == "2030-01-31"


def test_a_truncated_download(archive):
    """Protects against a connection that breaks off: told as such, with how much came, and nothing is unpacked."""
    data = archive.read_bytes()
    with serving(sends(data[:-10], length=len(data))) as url, pytest.raises(OverlayError) as caught:
        fetch_overlay(url, file_sha256(archive))
    assert f"broke off after {len(data) - 10:,} of {len(data):,} bytes" in str(caught.value)


def test_a_wrong_hash_is_not_unpacked(archive, monkeypatch):
    """Protects against a replaced file: both digests are told, and no byte of it reaches zipfile."""
    monkeypatch.setattr("strop.runtime.overlay_store.unpack", lambda *_: pytest.fail("it was unpacked"))
    with serving(sends(archive.read_bytes())) as url, pytest.raises(OverlayCorrupt) as caught:
        fetch_overlay(url, "ab" * 32)
    assert file_sha256(archive) in str(caught.value) and "ab" * 32 in str(caught.value)


def test_a_download_without_end(monkeypatch):
    """Protects the disk: what declares too much is refused at once, what declares nothing is cut at the limit."""
    with (
        serving(sends(b"", length=MAX_DOWNLOAD + 1)) as url,
        pytest.raises(OverlayError, match="bytes that are allowed"),
    ):
        fetch_overlay(url, "ab" * 32)
    monkeypatch.setattr(overlay_sources, "MAX_DOWNLOAD", 1 << 20)

    def endless(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            while True:
                request.wfile.write(bytes(1 << 16))
        except OSError:  # the other side has had enough
            pass

    target = io.BytesIO()
    with serving(endless) as url, pytest.raises(OverlayError, match="more than the 1,048,576 bytes"):
        download(url, "ab" * 32, target)
    assert len(target.getvalue()) <= 1 << 20


@pytest.mark.parametrize("pause", [0.05, 30.0])
def test_a_server_that_drips_or_sleeps(pause):
    """Protects from waiting for ever: a byte now and then ends at the time-out as well as silence does."""
    done = threading.Event()

    def slow(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        try:
            while not done.wait(pause):
                request.wfile.write(b"x")
        except OSError:
            pass

    begin = time.monotonic()
    with serving(slow) as url:
        with pytest.raises(OverlayError, match="timed out|in the time allowed"):
            fetch_overlay(url, "ab" * 32, timeout_s=0.5)
        done.set()
    assert time.monotonic() - begin < 5


def test_no_server_and_no_such_file():
    """Protects the message: the reason of the network or the server's answer, and what to do instead."""
    with serving(sends(b"gone", status=404)) as url, pytest.raises(OverlayError, match="answers 404 .*install FILE"):
        fetch_overlay(url, "ab" * 32)
    with pytest.raises(OverlayError, match="refused.*check the address"):  # the server is gone by now
        fetch_overlay(url, "ab" * 32)

    def nonsense(request: http.server.BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"this is no HTTP\r\n\r\n")

    with serving(nonsense) as url, pytest.raises(OverlayError, match="this is no HTTP"):
        fetch_overlay(url, "ab" * 32)


@pytest.mark.parametrize("url", ["strop.zip", "ftp://127.0.0.1/strop.zip", "data:,strop", "C:\\strop.zip", ""])
def test_only_web_addresses_and_files(url):
    """Protects the caller's typing: another kind of address is an `InputError` before anything is opened."""
    with pytest.raises(InputError, match="allowed: URLs that begin with https, http, file"):
        fetch_overlay(url, "ab" * 32)


@pytest.mark.parametrize("sha256", ["", "ab", "xy" * 32, "ab" * 32 + "\n"])
def test_a_sha256_is_needed(sha256):
    """Protects from a fetch without a digest to hold it to."""
    with pytest.raises(InputError, match="64 hexadecimal digits"):
        fetch_overlay("http://127.0.0.1:9/strop.zip", sha256)


def pack(path: Path, members: dict[str, bytes], **how: int) -> Path:
    with zipfile.ZipFile(path, "w", how.get("compression", zipfile.ZIP_DEFLATED)) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


@pytest.mark.parametrize("prefix", ["../", "/tmp/", "pynq-z2/", "..\\", "a/../../"])
def test_paths_in_an_archive_are_refused(prefix, tmp_path, archive):
    """Protects every other folder of the machine: a member with a path is refused, and named, before it is opened."""
    wrong = write_zip(tmp_path / "build", tmp_path / "wrong.zip", prefix)
    with pytest.raises(OverlayError, match="without folders, and nothing else"):
        install_overlay(wrong)
    assert not (tmp_path / "store" / BITSTREAM).exists() and not (tmp_path / BITSTREAM).exists()


@pytest.mark.parametrize(
    "names", [(), NAMES[:2], (*NAMES, "README.md"), (*NAMES, "strop.bit/"), tuple(f"{i}" for i in range(1000))]
)
def test_other_members_are_refused(names, tmp_path):
    """Protects from what nobody asked for: an archive holds the three files, no fewer and no more."""
    with pytest.raises(OverlayError, match="the archive of an overlay holds") as caught:
        install_overlay(pack(tmp_path / "wrong.zip", dict.fromkeys(names, b"x")))
    assert len(str(caught.value)) < 500


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_twice_is_refused(tmp_path, archive):
    """Protects from an archive of which two readers see two things."""
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(BITSTREAM, b"another")
    with pytest.raises(OverlayError, match="the archive of an overlay holds"):
        install_overlay(archive)


def test_a_bomb_is_refused_before_memory_or_disk_is_taken(tmp_path, monkeypatch):
    """Protects a board with 512 MiB: 200 MiB in 200 kB are refused by what the archive declares, in little memory."""
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        with file.open(BITSTREAM, "w") as member:
            for _ in range(200):
                member.write(bytes(1 << 20))
        for name in NAMES[1:]:
            file.writestr(name, b"x")
    monkeypatch.setattr(overlay_sources, "_copy", lambda *_: pytest.fail("something was unpacked"))
    tracemalloc.start()
    try:
        with pytest.raises(OverlayError, match="strop.bit has more than the 67,108,864 bytes"):
            install_overlay(tmp_path / "bomb.zip")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_bomb_that_lies_about_its_size(tmp_path, store):
    """Protects from a declared size that is too small: no more than the declared bytes are inflated, then it fails."""
    path = pack(tmp_path / "liar.zip", {BITSTREAM: bytes(100 << 20), NAMES[1]: b"x", MANIFEST: b"x"})
    data = bytearray(path.read_bytes())
    for signature, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        where = data.index(signature)
        data[where + at : where + at + 4] = struct.pack("<I", 1000)
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(OverlayCorrupt, match="no whole zip archive"):
            install_overlay(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_directory_without_end_is_not_read(tmp_path):
    """Protects memory from the archive's own directory: a million members are refused before they are listed."""
    path = tmp_path / "many.zip"
    record = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, *[0] * 6, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"x"
    directory = record * 20000
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 20000, 20000, len(directory), 0, 0)
    path.write_bytes(directory + end)
    with pytest.raises(OverlayError, match="a zip directory of 940,000 bytes; allowed are 262,144"):
        install_overlay(path)


def test_unusual_compression_is_refused(tmp_path):
    """Protects boards from decompressors with large dictionaries: stored and deflated are enough."""
    path = pack(tmp_path / "lzma.zip", dict.fromkeys(NAMES, b"x"), compression=zipfile.ZIP_LZMA)
    with pytest.raises(OverlayError, match="is not stored or deflated"):
        install_overlay(path)


@pytest.mark.parametrize("position", [0.02, 0.5, 0.98])
@pytest.mark.parametrize("harm", ["cut", "zeros"])
def test_damaged_archives(position, harm, tmp_path, archive):
    """Protects from zipfile's own exceptions: an archive damaged anywhere is an `OverlayError`, whatever it trips."""
    data = bytearray(archive.read_bytes())
    at = int(len(data) * position)
    if harm == "cut":
        del data[at:]
    else:
        data[at : at + 40] = bytes(len(data[at : at + 40]))
    archive.write_bytes(data)
    with pytest.raises(OverlayError) as caught:
        install_overlay(archive)
    assert str(archive) in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"PK", b"no zip at all" * 10000])
def test_no_archive_at_all(data, tmp_path):
    """Protects the message: a file that is something else is said to be no whole zip archive."""
    (tmp_path / "overlay.zip").write_bytes(data)
    with pytest.raises(OverlayCorrupt, match="is no whole zip archive"):
        install_overlay(tmp_path / "overlay.zip")


def test_an_encrypted_member(tmp_path, archive):
    """Protects from a prompt that never comes: an encrypted archive is refused in words."""
    data = bytearray(archive.read_bytes())
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        where = data.index(signature)
        data[where + at] |= 1
    archive.write_bytes(data)
    with pytest.raises(OverlayCorrupt, match="encrypted"):
        install_overlay(archive)
