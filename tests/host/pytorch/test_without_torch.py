"""Protects installations without PyTorch: strop works, and what needs PyTorch says how to get it."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
import strop.host, strop.runtime, strop.host.importing, strop.host.quantization
assert "torch" not in sys.modules, "something outside strop.host.pytorch imports torch"
sys.modules["torch"] = None  # as where it is not installed
try:
    import strop.host.pytorch
except ImportError as error:
    print(error)
"""


def test_the_error_names_the_extra() -> None:
    """Nothing but the package itself needs torch, and its absence is told with the remedy."""
    told = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout
    assert told.startswith("strop.host.pytorch needs PyTorch (") and "pip install 'strop[torch]'" in told
