"""Where overlays are installed, and what is checked before one is used: `<store>/<board>/strop.{bit,hwh,json}`.

Foreign errors end here: whatever is wrong with an overlay or a store is an `OverlayError` (a wrong contract or numerics
version a `ContractMismatch`) with its remedy.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from strop.overlay.boards import BOARDS, BoardSpec, UnknownBoard
from strop.overlay.boards import board as board_named
from strop.overlay.hwh import HwhError, check_hwh, read_hwh
from strop.overlay.manifest import (
    BITSTREAM,
    HARDWARE,
    MANIFEST,
    Manifest,
    ManifestError,
    kernel_source_digest,
    read_manifest,
    verify_files,
)
from strop.runtime.contract import C
from strop.runtime.errors import (
    ContractMismatch,
    DeviceError,
    InputError,
    OverlayCorrupt,
    OverlayError,
    OverlayMissing,
)
from strop.runtime.overlay_sources import LIMITS, OnProgress, copy_folder, download, unpack
from strop.runtime.whole_folder import hidden_folder, put_in_place

STORE_VARIABLE = "STROP_OVERLAYS"
SYSTEM_STORE = Path("/usr/local/share/strop/overlays")
AGAIN = "build or get it again, then: strop overlay install"


@dataclass(frozen=True)
class InstalledOverlay:
    """An overlay in a folder, and what its manifest says."""

    board: str
    folder: Path
    manifest: Manifest

    @property
    def bitstream(self) -> Path:
        """The .bit, which lies beside its .hwh as PYNQ wants it."""
        return self.folder / BITSTREAM

    @property
    def of_these_sources(self) -> bool:
        """Whether it was made from the very kernel that this strop holds. Another one may be right all the same."""
        return self.manifest.kernel_digest == kernel_source_digest()

    def facts(self) -> dict[str, str]:
        """Return what a person wants to know of it, by name."""
        made = self.manifest
        same = "that of this strop" if self.of_these_sources else "another one than this strop holds"
        return {
            "overlay": str(self.folder),
            "built": f"{made.built} with {', '.join(f'{name} {version}' for name, version in made.tools.items())}",
            "kernel": f"sha256 {made.kernel_digest[:16]}..., {same}",
            "clock": f"{made.clock_mhz:g} MHz, slack {made.timing_slack_ns:g} ns",
        }


@dataclass(frozen=True)
class ListedOverlay:
    """What `list_overlays` found in a folder: a verified overlay, or what is wrong with it.

    used: whether `find_overlay` would take it; the same board in an earlier store hides it.
    """

    board: str
    folder: Path
    used: bool
    overlay: InstalledOverlay | None
    problem: DeviceError | InputError | None


def stores() -> tuple[Path, ...]:
    """Return the folders in which overlays are looked for, in this order; the first one is installed into."""
    home = os.environ.get("XDG_DATA_HOME", "")
    data = Path(home) if os.path.isabs(home) else Path(os.path.expanduser("~/.local/share"))  # relative ones: by XDG
    found = [data / "strop" / "overlays", SYSTEM_STORE]
    named = os.environ.get(STORE_VARIABLE)
    if named:
        found.insert(0, Path(os.path.abspath(os.path.expanduser(named))))
    return tuple(found)


def find_overlay(board: str) -> InstalledOverlay:
    """Return the overlay that is installed for a board. Only its manifest is read: `verify_overlay` checks the rest.

    Raises `InputError` for an unknown board, `OverlayMissing`, `OverlayCorrupt`.
    """
    _spec(board)
    for store in stores():
        folder = store / board
        if folder.is_dir():
            return InstalledOverlay(board, folder, _manifest(folder, str(folder)))
    raise OverlayMissing(
        f"no overlay for {board} is installed in {', '.join(map(str, stores()))}. With Vivado one is built by `make -C "
        f"overlay BOARD={board}` in strop's sources; then `strop overlay install FOLDER`, or `strop overlay fetch URL "
        "--sha256 HEX` where somebody offers one"
    )


def verify_overlay(folder: Path, board: str) -> InstalledOverlay:
    """Return the overlay in a folder if it is whole and fits the board, the contract and the numerics of this strop.

    Raises `InputError` for an unknown board, `OverlayMissing`, `OverlayCorrupt` (damaged), `ContractMismatch`,
    `OverlayError` (of another board, or a design that the contract does not describe).
    """
    return _verify(folder, board, str(folder))


def install_overlay(source: Path, board: str | None = None) -> InstalledOverlay:
    """Verify the overlay in a folder or a .zip, and install it whole, in place of an earlier one for its board.

    The copy is what is verified, under a hidden name in the first store; only then it is put in place. Whatever goes
    wrong, an earlier overlay stays as it was. board: the one that it must be for; None takes the manifest's word.
    Raises what `verify_overlay` raises, `InputError` where `source` is nothing, `OverlayError` where the store cannot
    be written.
    """
    if source.is_dir():
        return _install(lambda staged: copy_folder(source, staged), str(source), board)
    if not source.is_file():
        raise InputError(f"{source} does not exist; name a folder with {', '.join(LIMITS)}, or a .zip archive of these")
    with _local_errors(str(source)):
        archive = source.open("rb")
    with archive:
        return _install(lambda staged: unpack(archive, str(source), staged), str(source), board)


def fetch_overlay(
    url: str,
    sha256: str,
    *,
    board: str | None = None,
    on_progress: OnProgress | None = None,
    timeout_s: float | None = None,
) -> InstalledOverlay:
    """Download a .zip of an overlay, and install it as `install_overlay` does, if its sha256 (hex) is the given one.

    Raises what `download` (overlay_sources.py) and `install_overlay` raise.
    """
    with ExitStack() as opened:
        with _local_errors(tempfile.gettempdir()):
            archive = opened.enter_context(tempfile.TemporaryFile())  # without a name: a kill leaves nothing behind
            download(url, sha256, archive, on_progress=on_progress, timeout_s=timeout_s)
        return _install(lambda staged: unpack(archive, url, staged), url, board)


def list_overlays() -> list[ListedOverlay]:
    """Return what lies in the stores, verified; what is wrong with an overlay is in its entry and not raised."""
    found: list[ListedOverlay] = []
    for store in stores():
        for folder in _folders(store):
            used = folder.name in BOARDS and all(entry.board != folder.name for entry in found)
            overlay: InstalledOverlay | None = None
            problem: DeviceError | InputError | None = None
            try:
                overlay = verify_overlay(folder, folder.name)
            except (DeviceError, InputError) as error:
                problem = error
            found.append(ListedOverlay(folder.name, folder, used, overlay, problem))
    return found


def _folders(store: Path) -> list[Path]:
    try:
        return sorted(path for path in store.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:  # most stores do not exist
        return []


def _install(fill: Callable[[Path], None], where: str, board: str | None) -> InstalledOverlay:
    """Fill a hidden folder of the first store, verify what is in it, put it in place."""
    store = stores()[0]
    with _store_errors(store):
        store.mkdir(parents=True, exist_ok=True)
        with hidden_folder(store) as staged:
            fill(staged)
            overlay = _verify(staged, board or _manifest(staged, where).board, where)
            put_in_place(staged, store / overlay.board)
    return InstalledOverlay(overlay.board, store / overlay.board, overlay.manifest)


def _verify(folder: Path, board: str, where: str) -> InstalledOverlay:
    """Verify what lies in `folder`; `where` is what it is called in messages."""
    spec = _spec(board)
    manifest = _manifest(folder, where)
    if manifest.board != board:
        raise OverlayError(
            f"{where} is an overlay for {manifest.board}, not for {board}; a board takes only its own: name that one"
        )
    if (manifest.contract_version, manifest.numerics_version) != (C.CONTRACT_VERSION, C.NUMERICS_VERSION):
        raise ContractMismatch(
            f"{where} speaks contract {manifest.contract_version}, numerics {manifest.numerics_version}; this strop "
            f"{C.CONTRACT_VERSION} and {C.NUMERICS_VERSION}: take the overlay of this version, or build it from these "
            f"sources (make -C overlay BOARD={board})"
        )
    with _local_errors(where):
        problems = [
            f"{name} has {size:,} bytes, more than an overlay has"
            for name in (BITSTREAM, HARDWARE)
            if (folder / name).is_file() and (size := (folder / name).stat().st_size) > LIMITS[name]
        ] or verify_files(folder, manifest)
    if problems:
        raise OverlayCorrupt(f"{where} is damaged: {'; '.join(problems)}. To mend it, {AGAIN}")
    _check_design(folder, spec, where)
    return InstalledOverlay(board, folder, manifest)


def _check_design(folder: Path, spec: BoardSpec, where: str) -> None:
    """Raise unless the .hwh describes the kernel as the contract and the board table do."""
    try:
        problems = check_hwh(read_hwh(folder / HARDWARE), spec)
    except (HwhError, RecursionError) as error:
        raise OverlayCorrupt(f"{where}: {_named(str(error), folder, where)}. To mend it, {AGAIN}") from error
    if problems:
        raise OverlayError(
            f"{where}: {HARDWARE} is not the design that this strop drives on {spec.title}: {'; '.join(problems)}. "
            f"Build it from these sources (make -C overlay BOARD={spec.name})"
        )


def _manifest(folder: Path, where: str) -> Manifest:
    path = folder / MANIFEST
    if not path.is_file():
        raise OverlayMissing(f"{where} holds no {MANIFEST}; an overlay is a folder with {', '.join(LIMITS)}")
    try:
        if path.stat().st_size > LIMITS[MANIFEST]:
            raise ManifestError(f"{path}: has {path.stat().st_size:,} bytes; allowed are {LIMITS[MANIFEST]:,}")
        return read_manifest(path)
    except (ManifestError, RecursionError, OSError) as error:
        raise OverlayCorrupt(f"{where}: {_named(str(error), folder, where)}. To mend it, {AGAIN}") from error


def _named(message: str, folder: Path, where: str) -> str:
    """Return a message that speaks of what the user named, and not of a hidden folder."""
    return message.replace(f"{folder}/", "") if str(folder) != where else message


def _spec(board: str) -> BoardSpec:
    try:
        return board_named(board)
    except UnknownBoard as error:
        raise InputError(str(error)) from None


@contextmanager
def _local_errors(where: str) -> Iterator[None]:
    """An OSError while reading an overlay, as `OverlayError`."""
    try:
        yield
    except OSError as error:
        raise OverlayError(f"{where}: {error}; make it readable for this user, or free some space") from error


@contextmanager
def _store_errors(store: Path) -> Iterator[None]:
    """An OSError while installing, as `OverlayError`."""
    try:
        yield
    except OSError as error:
        raise OverlayError(
            f"cannot install into {store}: {error}; set {STORE_VARIABLE} to a folder of your own with some space, or "
            "run as a user who may write there (on a board: sudo). An earlier overlay is as it was"
        ) from error
