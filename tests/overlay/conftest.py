"""A Tcl interpreter, where there is one."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture
def tclsh() -> str:
    """The path of tclsh; tests that need it are skipped where it is missing."""
    found = shutil.which("tclsh")
    if found is None:
        pytest.skip("needs tclsh; on Debian and Ubuntu: sudo apt-get install tcl")
    return found
