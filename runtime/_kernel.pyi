"""The compiled emulator: what build_emulator.py declares. cffi makes its members at run time, so they have no types."""

from typing import Any

ffi: Any
lib: Any
