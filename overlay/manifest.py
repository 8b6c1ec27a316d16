"""strop.json: what an overlay is, where it comes from, and the digests of its files.

An overlay is a folder with three files of fixed names: strop.bit, strop.hwh and strop.json.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from strop.overlay.kernel_sources import kernel_source_digest

__all__ = [
    "BITSTREAM",
    "FORMAT",
    "HARDWARE",
    "MANIFEST",
    "UTILIZATION",
    "Manifest",
    "ManifestError",
    "file_sha256",
    "kernel_source_digest",
    "read_manifest",
    "verify_files",
    "write_manifest",
]

FORMAT = "strop.overlay/1"
BITSTREAM = "strop.bit"
HARDWARE = "strop.hwh"  # one stem, or PYNQ does not find it
MANIFEST = "strop.json"
UTILIZATION = ("luts", "flip_flops", "dsps", "brams", "urams")


class ManifestError(ValueError):
    """A manifest that is missing, damaged, of another format, or that names what it must not."""


@dataclass(frozen=True)
class Manifest:
    """What an overlay's strop.json says. Raises ManifestError where a value cannot be right.

    clock_mhz: of the PL, as the tool reports it. kernel_digest: `kernel_source_digest()` of what was synthesized.
    timing_slack_ns: worst setup slack, never negative. utilization: parts used, by the names of the board table's
    budget. tools: name and version. built: ISO date. files: sha256 in hex of strop.bit and strop.hwh.
    """

    board: str
    part: str
    clock_mhz: float
    contract_version: int
    numerics_version: int
    kernel_digest: str
    tools: Mapping[str, str]
    timing_slack_ns: float
    utilization: Mapping[str, float]
    built: str
    files: Mapping[str, str]
    format: str = FORMAT

    def __post_init__(self) -> None:
        """Refuse what cannot be right, so that a manifest in hand can be trusted in its form."""
        if self.format != FORMAT:
            raise ManifestError(f"the manifest has format {self.format!r}; this version of strop reads {FORMAT!r}")
        for name in ("board", "part", "built", "kernel_digest"):
            _demand(isinstance(getattr(self, name), str), name, getattr(self, name), "a text")
        for name in ("contract_version", "numerics_version"):
            _demand(type(getattr(self, name)) is int, name, getattr(self, name), "a whole number")
        _demand(_is_number(self.clock_mhz) and self.clock_mhz > 0, "clock_mhz", self.clock_mhz, "a number above 0")
        slack = self.timing_slack_ns
        _demand(_is_number(slack) and slack >= 0, "timing_slack_ns", slack, "0 or more: the timing must have been met")
        for name in ("tools", "utilization", "files"):
            _demand(isinstance(getattr(self, name), Mapping), name, getattr(self, name), "an object")
        for name, version in self.tools.items():
            _demand(isinstance(version, str), f"tools: {name}", version, "a text")
        _demand(set(self.utilization) == set(UTILIZATION), "utilization", sorted(self.utilization), f"{UTILIZATION}")
        for name, used in self.utilization.items():
            _demand(_is_number(used) and used >= 0, f"utilization: {name}", used, "a number")
        _demand(_is_digest(self.kernel_digest), "kernel_digest", self.kernel_digest, "64 hexadecimal digits")
        _demand(bool(re.fullmatch(r"\d{4}-\d\d-\d\d", self.built)), "built", self.built, "a date such as 2030-01-31")
        for name, digest in self.files.items():
            if name not in (BITSTREAM, HARDWARE):
                raise ManifestError(
                    f"the manifest names a file {name!r}; allowed: {BITSTREAM} and {HARDWARE}, no paths"
                )
            _demand(_is_digest(digest), f"files: {name}", digest, "64 hexadecimal digits")
        _demand(len(self.files) == 2, "files", sorted(self.files), f"both {BITSTREAM} and {HARDWARE}")


def _demand(holds: bool, name: str, value: object, allowed: str) -> None:
    if not holds:
        raise ManifestError(f"the manifest's {name} is {value!r}; allowed: {allowed}")


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None


def read_manifest(path: Path) -> Manifest:
    """Return the manifest in a file. Raises ManifestError, which names the file."""
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ManifestError(f"{path}: is no JSON: {error}") from error
    names = {field.name for field in fields(Manifest)}
    if not isinstance(content, dict) or "format" not in content:
        raise ManifestError(f"{path}: is no manifest of an overlay: it does not say its format ({FORMAT!r})")
    if content["format"] == FORMAT and set(content) != names:
        raise ManifestError(f"{path}: lacks {sorted(names - set(content))}, has unknown {sorted(set(content) - names)}")
    try:
        return Manifest(**{name: value for name, value in content.items() if name in names})
    except (ManifestError, TypeError) as error:  # TypeError: another format, with other fields
        raise ManifestError(f"{path}: {error}") from None


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest as `read_manifest` reads it; equal manifests give equal bytes."""
    path.write_text(json.dumps(asdict(manifest), indent=2, sort_keys=True) + "\n", encoding="utf-8")


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def verify_files(folder: Path, manifest: Manifest) -> list[str]:
    """Return everything in which a folder's files differ from the manifest; an empty list is a whole overlay."""
    problems = []
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{name} is missing")
        elif (found := file_sha256(path)) != expected:
            problems.append(f"{name} has sha256 {found}, the manifest says {expected}")
    return problems
