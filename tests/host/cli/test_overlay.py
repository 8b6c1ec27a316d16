"""`strop overlay`: what people and scripts get of overlays that are right, wrong, or not there."""

from __future__ import annotations

import io
import threading
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from overlay_files import write_overlay, write_zip
from strop.host.cli import health
from strop.host.cli import overlay as command
from strop.overlay.manifest import BITSTREAM, MANIFEST, file_sha256, read_manifest, write_manifest
from strop.runtime import overlay_store


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The store to install into, which does not exist yet, and no other."""
    monkeypatch.setenv("STROP_OVERLAYS", str(tmp_path / "store"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "nothing"))
    monkeypatch.setattr(overlay_store, "SYSTEM_STORE", tmp_path / "nothing")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "store"


@pytest.fixture
def build(tmp_path):
    """A right overlay for pynq-z2, as a build leaves it."""
    return write_overlay(tmp_path / "build")


@pytest.fixture
def address(build, tmp_path):
    """That overlay's .zip on a web server of this machine."""
    write_zip(build, tmp_path / "strop.zip")

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments) -> None:
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/strop.zip"
    server.shutdown()
    thread.join()
    server.server_close()


def test_install_list_verify(cli, store, build):
    """Protects the plain way: installed, listed as verified, verified by name and all together; documents agree."""
    ran = cli("overlay", "install", build, "--json")
    assert ran.code == 0 and ran.document["schema"] == "strop.overlay-install/1"
    assert ran.document["installed"]["folder"] == str(store / "pynq-z2")
    people = cli("overlay", "install", build, "--board", "pynq-z2")
    assert people.code == 0 and "pynq-z2: verified and installed" in people.out and "vivado 2024.1" in people.out
    listed = cli("overlay", "list", "--json").document["overlays"]
    assert [(o["board"], o["used"], o["problem"]) for o in listed] == [("pynq-z2", True, None)]
    assert "verified" in cli("overlay", "list").out and str(store / "pynq-z2") in cli("overlay", "list").out
    for words in (("pynq-z2",), ()):
        ran = cli("overlay", "verify", *words, "--json")
        assert ran.code == 0 and ran.document["verified"] is True and len(ran.document["overlays"]) == 1
        assert "pynq-z2: verified" in cli("overlay", "verify", *words).out


def test_damage_is_5(cli, store, build):
    """Protects scripts: a damaged overlay is exit code 5 from verify and install, and a listed problem from list."""
    cli("overlay", "install", build)
    (store / "pynq-z2" / BITSTREAM).write_bytes(b"other")
    one, every, listed = cli("overlay", "verify", "pynq-z2"), cli("overlay", "verify"), cli("overlay", "list")
    assert (one.code, every.code, listed.code) == (5, 5, 0)
    assert "strop.bit has sha256" in one.err and "strop.bit has sha256" in every.out
    assert "OverlayCorrupt" in listed.out and "strop.bit has sha256" in listed.err
    document = cli("overlay", "verify", "--json").document
    assert document["verified"] is False and document["overlays"][0]["problem"]["type"] == "OverlayCorrupt"
    (build / BITSTREAM).write_bytes(b"other")
    ran = cli("overlay", "install", build, "--json")
    assert ran.code == 5 and ran.document["error"]["type"] == "OverlayCorrupt"


def test_nothing_installed(cli, store):
    """Protects the first contact: list is no error and says where it looked; verify has nothing to vouch for."""
    ran = cli("overlay", "list")
    assert ran.code == 0 and "No overlay is installed" in ran.out and str(store) in ran.out
    assert cli("overlay", "list", "--json").document == {
        "schema": "strop.overlay-list/1",
        "stores": [str(path) for path in overlay_store.stores()],
        "overlays": [],
    }
    for words in ((), ("kv260",)):
        ran = cli("overlay", "verify", *words, "--json")
        assert ran.code == 5 and ran.document["error"]["type"] == "OverlayMissing"


def test_what_the_caller_gets_wrong_is_2_or_4(cli, store, build):
    """Protects the exit codes: a wrong command line, an unknown board, a path that does not exist, a wrong digest."""
    for words in ((), ("polish",), ("install",), ("fetch", "http://127.0.0.1/x.zip"), ("list", "pynq-z2")):
        assert cli("overlay", *words).code == 2, words
    assert cli("overlay", "verify", "toaster").code == 4
    assert cli("overlay", "install", build, "--board", "toaster").code == 4
    assert cli("overlay", "install", build / "nowhere").code == 4
    assert cli("overlay", "fetch", "strop.zip", "--sha256", "ab" * 32).code == 4
    assert cli("overlay", "fetch", "http://127.0.0.1/x.zip", "--sha256", "ab").code == 4


def test_fetch(cli, store, address, tmp_path):
    """Protects the network's door: fetched by its digest and installed; another digest, or another board, is 5."""
    sha256 = file_sha256(tmp_path / "strop.zip")
    wrong = cli("overlay", "fetch", address, "--sha256", "ab" * 32)
    assert wrong.code == 5 and sha256 in wrong.err and not (store / "pynq-z2").exists()
    assert cli("overlay", "fetch", address, "--sha256", sha256, "--board", "kv260").code == 5
    ran = cli("overlay", "fetch", address, "--sha256", sha256, "--json")
    assert ran.code == 0 and ran.document["installed"]["board"] == "pynq-z2" and ran.err == ""
    assert cli("overlay", "verify", "pynq-z2").code == 0


def test_a_terminal_gets_a_bar(cli, store, address, tmp_path, monkeypatch):
    """Protects both readers: the bar goes to the terminal, and stdout stays with the facts."""
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    ran = cli("overlay", "fetch", address, "--sha256", file_sha256(tmp_path / "strop.zip"))
    assert ran.code == 0 and "verified and installed" in ran.out and "\x1b" not in ran.out
    shown = terminal.getvalue()
    assert "strop.zip" in shown and "\x1b[" in shown and "\u2501" in shown and "kB" in shown


def test_each_action_explains_itself(cli):
    """Protects the help of the actions: each says what it does and shows an example that is its own."""
    for action in command.HELP:
        ran = cli("overlay", action, "--help")
        assert ran.code == 0 and f"  strop overlay {action}" in ran.out and ran.out.count("  strop overlay ") == 1


def test_the_doctor_tells_of_overlays(cli, store, build, monkeypatch, tmp_path):
    """Protects the one command that people run first: what is installed, what is wrong with it, what to type."""

    def found():
        return {check.name: check for check in health.check_overlays()}

    monkeypatch.setattr(health, "FPGA_MANAGERS", tmp_path / "fpga_manager")
    assert found()["overlays"].status == "ok"
    (tmp_path / "fpga_manager" / "fpga0").mkdir(parents=True)
    assert found()["overlays"].status == "missing" and "strop overlay install" in found()["overlays"].remedy
    cli("overlay", "install", build)
    assert list(found()) == ["overlay pynq-z2"] and found()["overlay pynq-z2"].status == "ok"
    made = read_manifest(store / "pynq-z2" / MANIFEST)
    write_manifest(store / "pynq-z2" / MANIFEST, replace(made, contract_version=1))
    check = found()["overlay pynq-z2"]
    assert check.status == "warning" and "contract 1" in check.detail
    assert check.remedy == f"rm -r {store / 'pynq-z2'}"
