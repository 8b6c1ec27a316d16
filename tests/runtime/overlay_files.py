"""Overlays for tests, as a build would leave them: right in every respect, or wrong in the one that a test is about."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from strop.overlay.boards import board as board_named
from strop.overlay.manifest import (
    BITSTREAM,
    HARDWARE,
    MANIFEST,
    UTILIZATION,
    Manifest,
    file_sha256,
    kernel_source_digest,
    write_manifest,
)
from strop.runtime.contract import C
from strop.runtime.emulated_board.hwh import bit_bytes, hwh_text

NAMES = (BITSTREAM, HARDWARE, MANIFEST)


def write_overlay(folder: Path, board: str = "pynq-z2", *, design: str | None = None, **changes: Any) -> Path:
    """Write an overlay for `board` into a new folder; return the folder.

    design: the board that its .hwh is of, if another. changes: fields of the manifest; its digests are always right.
    """
    folder.mkdir(parents=True)
    spec = board_named(board)
    (folder / BITSTREAM).write_bytes(bit_bytes(spec))
    (folder / HARDWARE).write_text(hwh_text(board_named(design or board)), encoding="utf-8")
    fields: dict[str, Any] = {
        "board": board,
        "part": spec.part,
        "clock_mhz": float(spec.clock_mhz),
        "contract_version": C.CONTRACT_VERSION,
        "numerics_version": C.NUMERICS_VERSION,
        "kernel_digest": kernel_source_digest(),
        "tools": {"vivado": "2024.1"},
        "timing_slack_ns": 0.25,
        "utilization": dict.fromkeys(UTILIZATION, 1),
        "built": "2030-01-31",
        "files": {name: file_sha256(folder / name) for name in (BITSTREAM, HARDWARE)},
    }
    write_manifest(folder / MANIFEST, Manifest(**{**fields, **changes}))
    return folder


def write_zip(folder: Path, path: Path, prefix: str = "") -> Path:
    """Pack the files of an overlay's folder into a .zip at `path`, their names behind `prefix`; return the path."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in NAMES:
            archive.write(folder / name, prefix + name)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder, by their path in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
