"""`strop overlay list|verify|install|fetch`: overlays, checked before any of them is used."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from strop.host.cli.arguments import Commands, add_command
from strop.host.cli.exit_codes import DEVICE, OK
from strop.host.cli.output import Output, console_for, is_terminal, printable
from strop.overlay.boards import BOARDS
from strop.runtime.errors import OverlayMissing
from strop.runtime.overlay_store import (
    InstalledOverlay,
    ListedOverlay,
    fetch_overlay,
    find_overlay,
    install_overlay,
    list_overlays,
    stores,
    verify_overlay,
)

EXAMPLE = """examples:
  strop overlay list
  strop overlay verify pynq-z2
  strop overlay install strop-pynq-z2.zip
  strop overlay fetch https://example.org/strop-pynq-z2.zip --sha256 HEX"""
HELP = {
    "list": "show which overlays are installed, and where",
    "verify": "check an installed overlay: digests, contract, design",
    "install": "verify an overlay in a folder or .zip, then install it",
    "fetch": "download an overlay's .zip, verify and install it",
}


def add_parser(commands: Commands) -> None:
    """Add `strop overlay` and what it can do."""
    help = "install and verify what turns a board's logic into the kernel"
    parser = add_command(commands, "overlay", help, EXAMPLE, run)
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    made = {name: add_command(actions, name, text, _example_of(name), run) for name, text in HELP.items()}
    boards = f"one of {', '.join(BOARDS)}"
    made["verify"].add_argument("board", nargs="?", metavar="BOARD", help=f"{boards} (default: all installed)")
    made["install"].add_argument("path", metavar="PATH", help="folder or .zip with strop.bit, strop.hwh, strop.json")
    made["fetch"].add_argument("url", metavar="URL", help="of a .zip: https://, http:// or file://")
    made["fetch"].add_argument(
        "--sha256", required=True, metavar="HEX", help="of the .zip, as its publisher states it; there is no default"
    )
    for name in ("install", "fetch"):
        made[name].add_argument("--board", metavar="BOARD", help=f"refuse an overlay for another than this: {boards}")


def _example_of(action: str) -> str:
    return "\n".join(["example:", *(line for line in EXAMPLE.splitlines() if f"overlay {action}" in line)])


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Do what the action says; return the exit code."""
    actions: dict[str, Callable[[argparse.Namespace, Output], int]] = {
        "list": _list,
        "verify": _verify,
        "install": _install,
        "fetch": _fetch,
    }
    return actions[arguments.action](arguments, output)


def _list(arguments: argparse.Namespace, output: Output) -> int:
    found = list_overlays()
    if found:
        output.table(("board", "state", "built", "folder"), [_row(entry) for entry in found])
    else:
        output.line("No overlay is installed. Looked in:")
        for store in stores():
            output.line(f"  {store}")
    for entry in found:
        if entry.problem is not None:
            output.note(str(entry.problem))
    output.document("strop.overlay-list/1", {"stores": stores(), "overlays": [_entry(entry) for entry in found]})
    return OK


def _row(entry: ListedOverlay) -> tuple[object, ...]:
    state = "verified" if entry.problem is None else type(entry.problem).__name__
    if not entry.used and entry.board in BOARDS:
        state += ", hidden by an earlier store"
    return entry.board, state, entry.overlay.manifest.built if entry.overlay else "", entry.folder


def _entry(entry: ListedOverlay) -> dict[str, Any]:
    problem = None
    if entry.problem is not None:
        problem = {"type": type(entry.problem).__name__, "message": str(entry.problem)}
    facts = None if entry.overlay is None else _document(entry.overlay)
    return {"board": entry.board, "folder": entry.folder, "used": entry.used, "problem": problem, "overlay": facts}


def _verify(arguments: argparse.Namespace, output: Output) -> int:
    """Verify one overlay, whose error ends the command, or all, each of which gets its line."""
    if arguments.board is not None:
        overlay = verify_overlay(find_overlay(arguments.board).folder, arguments.board)
        _show("verified", overlay, output)
        output.document("strop.overlay-verify/1", {"verified": True, "overlays": [_document(overlay)]})
        return OK
    found = list_overlays()
    if not found:
        raise OverlayMissing(
            f"no overlay is installed in {', '.join(map(str, stores()))}; `strop overlay install PATH` installs one"
        )
    for entry in found:
        if entry.overlay is not None:
            _show("verified", entry.overlay, output)
        else:
            output.line(f"{entry.board}: {entry.problem}", "red")
    verified = all(entry.problem is None for entry in found)
    output.document("strop.overlay-verify/1", {"verified": verified, "overlays": [_entry(entry) for entry in found]})
    return OK if verified else DEVICE


def _install(arguments: argparse.Namespace, output: Output) -> int:
    overlay = install_overlay(Path(arguments.path).expanduser(), arguments.board)
    return _installed(overlay, output)


def _fetch(arguments: argparse.Namespace, output: Output) -> int:
    with _transfer(arguments.url) as on_progress:
        overlay = fetch_overlay(arguments.url, arguments.sha256, board=arguments.board, on_progress=on_progress)
    return _installed(overlay, output)


def _installed(overlay: InstalledOverlay, output: Output) -> int:
    _show("verified and installed", overlay, output)
    output.document("strop.overlay-install/1", {"installed": _document(overlay)})
    return OK


def _show(what: str, overlay: InstalledOverlay, output: Output) -> None:
    output.line(f"{overlay.board}: {what}", "green")
    output.facts([(f"  {name}", value) for name, value in overlay.facts().items()])


def _document(overlay: InstalledOverlay) -> dict[str, Any]:
    made = overlay.manifest
    return {
        "board": overlay.board,
        "folder": overlay.folder,
        "built": made.built,
        "tools": dict(made.tools),
        "kernel_digest": made.kernel_digest,
        "of_these_sources": overlay.of_these_sources,
        "contract_version": made.contract_version,
        "numerics_version": made.numerics_version,
        "clock_mhz": made.clock_mhz,
        "files": dict(made.files),
    }


@contextmanager
def _transfer(url: str) -> Iterator[Callable[[int, int | None], None] | None]:
    """Yield what shows the bytes so far, a bar where stderr is a terminal; elsewhere a download is told by its end."""
    if not is_terminal(sys.stderr):
        yield None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(24), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console_for(sys.stderr)) as bar:
        task = bar.add_task(printable(url.rpartition("/")[2]), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
