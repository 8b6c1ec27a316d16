"""The training kernel's sources. Python needs one thing of them: the contract, as text that cffi can read."""

from __future__ import annotations

import re
from pathlib import Path

SOURCE_FOLDER = Path(__file__).resolve().parent


def contract() -> str:
    """Return contract.h without its preprocessor conditionals: definitions and structs, ready for `cffi.FFI.cdef`."""
    return _declarations("contract.h")


def emulator_api() -> str:
    """Return the emulator's C interface in the same form."""
    return _declarations("native/emulator.h")


def model_api() -> str:
    """Return the cycle model's C interface in the same form."""
    return _declarations("native/model.h")


def _declarations(header: str) -> str:
    text = (SOURCE_FOLDER / header).read_text(encoding="utf-8")
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    kept = [
        line for line in text.splitlines() if not re.match(r"\s*#\s*(include|ifndef|endif|define\s+\w+_H\s*$)", line)
    ]
    return "\n".join(line for line in kept if line.strip()) + "\n"
