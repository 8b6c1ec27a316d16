"""Which strop this is."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent  # where this lies in a source tree; in an installation, nothing of it


def strop_version() -> str:
    """Return the version: the installed package's, else that of the source tree this runs from, else "unknown"."""
    try:
        return version("strop")
    except PackageNotFoundError:
        pass
    try:
        text = (SOURCES / "pyproject.toml").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return "unknown"
    found = re.search(r'^name = "strop"\nversion = "([^"]+)"$', text, re.MULTILINE)
    return found[1] if found else "unknown"
