"""Overlays are found, verified and installed: whole, right ones only, and never at the cost of the earlier one."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from overlay_files import contents, write_overlay, write_zip
from strop.overlay.boards import BOARDS
from strop.overlay.manifest import BITSTREAM, HARDWARE, MANIFEST, file_sha256, read_manifest, write_manifest
from strop.runtime import overlay_store
from strop.runtime.contract import C
from strop.runtime.errors import ContractMismatch, InputError, OverlayCorrupt, OverlayError, OverlayMissing
from strop.runtime.overlay_store import find_overlay, install_overlay, list_overlays, stores, verify_overlay


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The first of three stores, none of which exists yet; the others are in tmp_path as well."""
    monkeypatch.setenv("STROP_OVERLAYS", str(tmp_path / "named"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(overlay_store, "SYSTEM_STORE", tmp_path / "system")
    return tmp_path / "named"


def forge(folder, name, data):
    """Change a file of an overlay and have the manifest agree, as somebody would who means it."""
    (folder / name).write_bytes(data)
    made = read_manifest(folder / MANIFEST)
    write_manifest(folder / MANIFEST, replace(made, files={**made.files, name: file_sha256(folder / name)}))


def test_stores_and_their_order(store, tmp_path, monkeypatch):
    """Protects the places that are documented: the variable, the user's data, the system's, in this order."""
    assert stores() == (store, tmp_path / "data" / "strop" / "overlays", tmp_path / "system")
    monkeypatch.delenv("STROP_OVERLAYS")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")  # which the XDG specification wants ignored
    monkeypatch.setenv("HOME", str(tmp_path))
    assert stores() == (tmp_path / ".local" / "share" / "strop" / "overlays", tmp_path / "system")
    monkeypatch.setenv("STROP_OVERLAYS", "~/mine")
    assert stores()[0] == tmp_path / "mine"


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("packed", [False, True])
def test_an_installed_overlay_is_found_and_verified(board, packed, store, tmp_path):
    """Protects the whole way for each board, from a folder and from a .zip: the same three files, and no others."""
    source = write_overlay(tmp_path / "build", board)
    before = contents(source)
    (source / "timing.rpt").write_text("a report", encoding="utf-8")
    installed = install_overlay(write_zip(source, tmp_path / "overlay.zip") if packed else source)
    assert installed == find_overlay(board) == verify_overlay(store / board, board)
    assert installed.bitstream == store / board / BITSTREAM and installed.bitstream.is_file()
    assert contents(store) == {f"{board}/{name}": data for name, data in before.items()}
    assert stat.S_IMODE((store / board).stat().st_mode) == 0o777 & ~_umask()
    assert "that of this strop" in installed.facts()["kernel"] and installed.of_these_sources


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_an_earlier_store_hides_a_later_one(store, tmp_path):
    """Protects a user's own overlay from the system's, and the list that says which of them is used."""
    write_overlay(tmp_path / "system" / "pynq-z2")
    assert find_overlay("pynq-z2").folder == tmp_path / "system" / "pynq-z2"
    install_overlay(write_overlay(tmp_path / "build"))
    write_overlay(tmp_path / "system" / "kv260", "zcu104")
    (tmp_path / "system" / "toaster").mkdir()
    (tmp_path / "system" / ".incoming.00000000.part").mkdir()
    assert find_overlay("pynq-z2").folder == store / "pynq-z2"
    found = [(entry.folder, entry.used, type(entry.problem).__name__) for entry in list_overlays()]
    assert found == [
        (store / "pynq-z2", True, "NoneType"),
        (tmp_path / "system" / "kv260", True, "OverlayError"),
        (tmp_path / "system" / "pynq-z2", False, "NoneType"),
        (tmp_path / "system" / "toaster", False, "InputError"),
    ]


def test_nothing_installed_says_how(store):
    """Protects the first contact: which folders were looked at, how to build one, how to install one."""
    assert list_overlays() == []
    with pytest.raises(OverlayMissing) as caught:
        find_overlay("kv260")
    for word in (str(store), "make -C overlay BOARD=kv260", "strop overlay install", "strop overlay fetch"):
        assert word in str(caught.value)
    for ask in (find_overlay, lambda name: verify_overlay(store, name)):
        with pytest.raises(InputError, match=r"no board 'toaster'.*pynq-z1, pynq-z2"):
            ask("toaster")


def test_a_broken_first_store_is_told_and_not_skipped(store, tmp_path):
    """Protects from a quiet turn to another overlay: the one that a user put first counts, whole or not."""
    write_overlay(tmp_path / "system" / "pynq-z2")
    write_overlay(store / "pynq-z2")
    (store / "pynq-z2" / MANIFEST).write_text("{", encoding="utf-8")
    with pytest.raises(OverlayCorrupt, match="is no JSON"):
        find_overlay("pynq-z2")
    (store / "pynq-z2" / MANIFEST).unlink()
    with pytest.raises(OverlayMissing, match=MANIFEST):
        find_overlay("pynq-z2")


def flip_a_bit(folder):
    data = bytearray((folder / BITSTREAM).read_bytes())
    data[-1] ^= 1
    (folder / BITSTREAM).write_bytes(data)


def cut(folder):
    (folder / BITSTREAM).write_bytes((folder / BITSTREAM).read_bytes()[:-1])


def other_contract(folder):
    made = read_manifest(folder / MANIFEST)
    write_manifest(folder / MANIFEST, replace(made, contract_version=C.CONTRACT_VERSION + 1))


def other_numerics(folder):
    made = read_manifest(folder / MANIFEST)
    write_manifest(folder / MANIFEST, replace(made, numerics_version=C.NUMERICS_VERSION + 1))


def moved_register(folder):
    text = (folder / HARDWARE).read_text(encoding="utf-8")
    offset = f'VALUE="{C.REG_STEPS}"'
    assert text.count(offset) == 1
    forge(folder, HARDWARE, text.replace(offset, f'VALUE="{C.REG_STEPS + 0x100}"').encode())


DAMAGES = {
    "a flipped bit": (flip_a_bit, OverlayCorrupt, "strop.bit has sha256"),
    "a cut file": (cut, OverlayCorrupt, "strop.bit has sha256"),
    "no JSON": (lambda f: (f / MANIFEST).write_text("{"), OverlayCorrupt, "strop.json: is no JSON"),
    "deep JSON": (lambda f: (f / MANIFEST).write_text("[" * 100_000), OverlayCorrupt, "damaged|recursion|JSON"),
    "an .hwh that is no XML": (lambda f: forge(f, HARDWARE, b"<EDK"), OverlayCorrupt, "strop.hwh: is no .hwh"),
    "another register": (moved_register, OverlayError, "register steps lies at 0x150; the contract says 0x50"),
    "another contract": (other_contract, ContractMismatch, f"contract {C.CONTRACT_VERSION + 1}, .*make -C overlay"),
    "another numerics": (other_numerics, ContractMismatch, f"numerics {C.NUMERICS_VERSION + 1};"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_and_costs_nothing(damage, store, tmp_path):
    """Protects boards from wrong bitstreams: what is wrong is typed and named, and the earlier overlay stays."""
    install_overlay(write_overlay(tmp_path / "good", built="2029-01-01"))
    before = contents(store)
    source = write_overlay(tmp_path / "build")
    harm, kind, words = DAMAGES[damage]
    harm(source)
    with pytest.raises(kind, match=words) as caught:
        verify_overlay(source, "pynq-z2")
    assert type(caught.value) is kind and str(source) in str(caught.value)
    archive = write_zip(source, tmp_path / "overlay.zip")
    for arriving in (source, archive):
        with pytest.raises(kind, match=words) as caught:
            install_overlay(arriving)
        assert str(arriving) in str(caught.value) and ".incoming" not in str(caught.value)
        assert contents(store) == before and [path.name for path in store.iterdir()] == ["pynq-z2"]


@pytest.mark.parametrize("name", [BITSTREAM, HARDWARE, MANIFEST])
def test_a_missing_file_is_named(name, store, tmp_path):
    """Protects from half a folder: each of the three files is asked for, in a source and in a store."""
    source = write_overlay(tmp_path / "build")
    (source / name).unlink()
    with pytest.raises(OverlayMissing, match=f"holds no {name}; an overlay is a folder with"):
        install_overlay(source)
    with pytest.raises(OverlayMissing if name == MANIFEST else OverlayCorrupt, match=name):
        verify_overlay(source, "pynq-z2")
    assert contents(store) == {}


def test_another_boards_overlay(store, tmp_path):
    """Protects a board from its neighbour's bitstream: by the manifest, by the command's word, and by the design."""
    source = write_overlay(tmp_path / "build", "pynq-z1")
    with pytest.raises(OverlayError, match="is an overlay for pynq-z1, not for pynq-z2"):
        install_overlay(source, "pynq-z2")
    with pytest.raises(InputError, match="no board 'toaster'"):
        install_overlay(source, "toaster")
    assert install_overlay(source, "pynq-z1").board == "pynq-z1"
    shutil.copytree(store / "pynq-z1", store / "pynq-z2")
    with pytest.raises(OverlayError, match="is an overlay for pynq-z1"):
        verify_overlay(store / "pynq-z2", "pynq-z2")
    mixed = write_overlay(tmp_path / "mixed", "pynq-z2", design="kv260")
    with pytest.raises(OverlayError, match="the PS is zynq_ultra_ps_e; .* has processing_system7"):
        install_overlay(mixed)
    unheard_of = write_overlay(tmp_path / "unheard", "pynq-z2")
    made = read_manifest(unheard_of / MANIFEST)
    write_manifest(unheard_of / MANIFEST, replace(made, board="../../toaster"))
    with pytest.raises(InputError, match="no board"):
        install_overlay(unheard_of)


def test_another_kernel_of_the_same_contract_is_taken(store, tmp_path):
    """Protects faster kernels: other sources with the same contract and numerics are right, and told apart."""
    installed = install_overlay(write_overlay(tmp_path / "build", kernel_digest="ab" * 32))
    assert not installed.of_these_sources and "another one than this strop holds" in installed.facts()["kernel"]


def test_a_large_file_is_refused_before_it_is_read(store, tmp_path, monkeypatch):
    """Protects a board's memory and time: a file of a size that no overlay has is neither hashed nor parsed."""
    source = write_overlay(tmp_path / "build")
    with (source / HARDWARE).open("r+b") as file:
        file.truncate(1 << 30)  # sparse
    monkeypatch.setattr(overlay_store, "verify_files", lambda *_: pytest.fail("it was read"))
    with pytest.raises(OverlayCorrupt, match=r"strop.hwh has 1,073,741,824 bytes"):
        verify_overlay(source, "pynq-z2")
    with pytest.raises(OverlayError, match="bytes that are allowed"):
        install_overlay(source)
    with (source / MANIFEST).open("r+b") as file:
        file.truncate(1 << 30)
    with pytest.raises(OverlayCorrupt, match=r"strop.json: has 1,073,741,824 bytes"):
        verify_overlay(source, "pynq-z2")


def test_no_such_source(store, tmp_path):
    """Protects the caller's typing: what does not exist is an `InputError` that says what was expected."""
    with pytest.raises(
        InputError, match=r"nowhere does not exist; name a folder with strop.json, strop.hwh, strop.bit"
    ):
        install_overlay(tmp_path / "nowhere")


def test_a_store_that_cannot_be(store, tmp_path, monkeypatch):
    """Protects from a traceback where the store lies on a file: the error names store, variable and remedy."""
    source = write_overlay(tmp_path / "build")
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("STROP_OVERLAYS", str(tmp_path / "file" / "below"))
    with pytest.raises(OverlayError, match=r"cannot install into .*file/below: .*set STROP_OVERLAYS"):
        install_overlay(source)
    assert list_overlays() == []


@pytest.fixture
def as_nobody():
    """A folder that everybody may enter; the user is `nobody` while the test runs, since root may write anywhere."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    if os.geteuid() != os.getuid():
        os.seteuid(os.getuid())
    shutil.rmtree(folder)


def test_a_read_only_store(as_nobody, store, monkeypatch):
    """Protects users without rights: permission denied comes as `OverlayError`, and the overlay there stays usable."""
    monkeypatch.setenv("STROP_OVERLAYS", str(as_nobody / "store"))
    install_overlay(write_overlay(as_nobody / "build"))
    before = contents(as_nobody / "store")
    (as_nobody / "store").chmod(0o555)
    if os.getuid() == 0:
        os.seteuid(65534)
    with pytest.raises(OverlayError, match="Permission denied.*set STROP_OVERLAYS.*sudo"):
        install_overlay(as_nobody / "build")
    os.seteuid(os.getuid())  # who may not write here may not read strop's own files either, in some checkouts
    assert contents(as_nobody / "store") == before
    assert verify_overlay(as_nobody / "store" / "pynq-z2", "pynq-z2").board == "pynq-z2"


def test_an_unreadable_source(as_nobody, store, monkeypatch):
    """Protects the remedy: a source that this user may not read is the trouble, not the store."""
    monkeypatch.setenv("STROP_OVERLAYS", str(as_nobody / "store"))
    source = write_overlay(as_nobody / "build")
    archive = write_zip(source, as_nobody / "overlay.zip")
    (as_nobody / "store").mkdir()
    (as_nobody / "store").chmod(0o777)
    (source / BITSTREAM).chmod(0)
    archive.chmod(0)
    if os.getuid() == 0:
        os.seteuid(65534)
    for arriving in (source, archive):
        with pytest.raises(OverlayError, match="Permission denied.*make it readable"):
            install_overlay(arriving)


KILLED = """
import os, signal, sys
from pathlib import Path
from strop.runtime import overlay_store

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(overlay_store, sys.argv[2], die)
overlay_store.install_overlay(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("where", ["verify_files", "put_in_place"])
def test_a_kill_in_the_middle_of_an_install(where, store, tmp_path):
    """Protects against a power cut: the earlier overlay is whole and found, and the next install leaves no remains."""
    install_overlay(write_overlay(tmp_path / "good", built="2029-01-01"))
    before = contents(store)
    source = write_overlay(tmp_path / "build")
    done = subprocess.run([sys.executable, "-c", KILLED, str(source), where], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert {name: data for name, data in contents(store).items() if ".incoming" not in name} == before
    assert len(contents(store)) == 6  # and the copy that was being made
    assert verify_overlay(find_overlay("pynq-z2").folder, "pynq-z2").manifest.built == "2029-01-01"
    assert install_overlay(source).manifest.built == "2030-01-31"
    assert [path.name for path in store.iterdir()] == ["pynq-z2"]
