"""The boards that the installed pynq can drive: pynq 4 dropped Zynq-7000 and fails on its overlays; pynq 3 has both."""

from __future__ import annotations

import pynq

KINDS = ["pynq-z2", "zcu104"] if pynq.__version__.startswith("3.") else ["zcu104", "kv260"]
