"""From what Vivado left to an overlay that can be installed: checks, strop.json, and one zip.

    python3 -m strop.overlay.package BOARD BUILD_FOLDER

BUILD_FOLDER holds strop.bit, strop.hwh and facts.txt (overlay/vivado/outputs.tcl), and kernel.sha256, the kernel's
digest as it was before synthesis began.
"""

from __future__ import annotations

import argparse
import datetime
import re
import sys
import zipfile
from pathlib import Path

from strop.overlay.boards import BoardSpec, UnknownBoard, board
from strop.overlay.hwh import HwhError, check_hwh, read_hwh
from strop.overlay.manifest import (
    BITSTREAM,
    HARDWARE,
    MANIFEST,
    UTILIZATION,
    Manifest,
    ManifestError,
    file_sha256,
    kernel_source_digest,
    write_manifest,
)
from strop.overlay.registers import contract_versions

FACTS = "facts.txt"
DIGEST = "kernel.sha256"
TOOLS = ("vivado", "vitis_hls")
SLACKS = ("setup_slack_ns", "hold_slack_ns")
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say: equal files give equal zips


class PackageError(ValueError):
    """A build folder that no overlay can be made from; the message says what is wrong with it."""


def package(spec: BoardSpec, folder: Path, built: datetime.date) -> Path:
    """Check what Vivado left for a board, write the manifest beside it, and return the zip of all three files.

    Raises PackageError, HwhError or ManifestError; nothing is written then.
    """
    for name in (BITSTREAM, HARDWARE, FACTS, DIGEST):
        if not (folder / name).is_file():
            raise PackageError(f"{folder / name} is missing; `make -C overlay BOARD={spec.name}` makes it")
    design = read_hwh(folder / HARDWARE)
    problems = check_hwh(design, spec)
    if problems:
        raise PackageError(f"{folder / HARDWARE} is not a design for {spec.title}:\n  " + "\n  ".join(problems))
    facts = read_facts(folder / FACTS)
    if float(facts["hold_slack_ns"]) < 0:
        raise PackageError(f"{folder / FACTS}: hold timing is not met: {facts['hold_slack_ns']} ns")
    synthesized = (folder / DIGEST).read_text(encoding="utf-8").strip()
    if synthesized != kernel_source_digest():
        raise PackageError(
            f"the kernel's sources changed since they were synthesized ({synthesized[:12]}..., now "
            f"{kernel_source_digest()[:12]}...); build again: make -C overlay BOARD={spec.name}"
        )
    contract_version, numerics_version = contract_versions()
    manifest = Manifest(
        board=spec.name,
        part=spec.part,
        clock_mhz=design.clock_mhz,
        contract_version=contract_version,
        numerics_version=numerics_version,
        kernel_digest=synthesized,
        tools={name: facts[name] for name in TOOLS},
        timing_slack_ns=float(facts["setup_slack_ns"]),
        utilization={name: float(facts[name]) for name in UTILIZATION},
        built=built.isoformat(),
        files={name: file_sha256(folder / name) for name in (BITSTREAM, HARDWARE)},
    )
    write_manifest(folder / MANIFEST, manifest)
    archive = folder / f"strop-overlay-{spec.name}-c{contract_version}.zip"
    _write_zip(archive, folder)
    return archive


def read_facts(path: Path) -> dict[str, str]:
    """Return what Vivado found, by name; numbers are still texts. Raises PackageError for anything but `name value`."""
    facts = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fact = re.fullmatch(r"(\w+) (\S.*)", line)
        if fact is None:
            raise PackageError(f"{path}:{number}: {line!r} is no name and value")
        facts[fact[1]] = fact[2]
    expected = {*TOOLS, *SLACKS, *UTILIZATION}
    if set(facts) != expected:
        raise PackageError(
            f"{path}: lacks {sorted(expected - set(facts))} and has unknown {sorted(set(facts) - expected)}"
        )
    for name in (*SLACKS, *UTILIZATION):
        if not re.fullmatch(r"-?\d+(\.\d+)?", facts[name]):
            raise PackageError(f"{path}: {name} is {facts[name]!r}; a number was expected")
    return facts


def _write_zip(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted((BITSTREAM, HARDWARE, MANIFEST)):
            entry = zipfile.ZipInfo(name, _ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, whatever this machine is
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, (folder / name).read_bytes())


def main(arguments: list[str] | None = None) -> int:
    """Package a build and print the zip's sha256. Returns the exit code: 1: a wrong build, 2: a wrong call."""
    parser = argparse.ArgumentParser(prog="python3 -m strop.overlay.package", description="package a built overlay")
    parser.add_argument("board")
    parser.add_argument("build_folder", type=Path)
    options = parser.parse_args(arguments)
    try:
        spec = board(options.board)
    except UnknownBoard as error:
        print(f"strop: {error}", file=sys.stderr)
        return 2
    try:
        archive = package(spec, options.build_folder, datetime.datetime.now(datetime.timezone.utc).date())
    except (PackageError, HwhError, ManifestError) as error:
        print(f"strop: {error}", file=sys.stderr)
        return 1
    print(f"{file_sha256(archive)}  {archive}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
