"""Which files are synthesized, and one digest of them: what a bitstream was made from.

From kernel.cpp on, #includes are followed as Vitis HLS follows them, with __SYNTHESIS__ defined. Conditions on anything
else are not evaluated: both branches count as reached.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from strop.hls import SOURCE_FOLDER

TOP_FILE = "kernel.cpp"
_SYNTHESIS = {"ifdef __SYNTHESIS__": True, "ifndef __SYNTHESIS__": False}


def kernel_sources(folder: Path = SOURCE_FOLDER) -> tuple[str, ...]:
    """Return the names of all synthesized files, relative to the kernel's folder, sorted."""
    folder = folder.resolve()
    found: set[str] = set()
    waiting = [folder / TOP_FILE]
    while waiting:
        source = waiting.pop()
        name = source.relative_to(folder).as_posix()
        if name not in found:
            found.add(name)
            waiting += [_resolve(folder, source, header) for header in _synthesized_includes(source)]
    return tuple(sorted(found))


def kernel_source_digest(folder: Path = SOURCE_FOLDER) -> str:
    """Return the sha256, in hex, over names and bytes of all synthesized files."""
    digest = hashlib.sha256()
    for name in kernel_sources(folder):
        data = (folder / name).read_bytes()
        digest.update(f"{name}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()


def _resolve(folder: Path, source: Path, header: str) -> Path:
    for base in (source.parent, folder):
        if (base / header).is_file():
            return (base / header).resolve()
    raise FileNotFoundError(f"{source} includes {header!r}, which is neither beside it nor in {folder}")


def _synthesized_includes(source: Path) -> list[str]:
    """Return what a file includes in quotes where __SYNTHESIS__ is defined."""
    reached: list[bool | None] = []  # an open condition a place; None: not about synthesis
    headers = []
    for line in source.read_text(encoding="utf-8").splitlines():
        directive = re.match(r"\s*#\s*(if|ifdef|ifndef|elif|else|endif|include)\b\s*(.*)", line)
        if directive is None:
            continue
        word, rest = directive[1], directive[2].split("//")[0].split("/*")[0].strip()
        if word in ("if", "ifdef", "ifndef"):
            reached.append(_SYNTHESIS.get(f"{word} {rest}"))
        elif word == "else":
            reached[-1] = None if reached[-1] is None else not reached[-1]
        elif word == "endif":
            reached.pop()
        elif word == "include" and rest.startswith('"') and False not in reached:
            headers.append(rest.strip('"'))
    return headers


if __name__ == "__main__":  # for the Makefile, which notes the digest before it starts the synthesis
    print(kernel_source_digest())
