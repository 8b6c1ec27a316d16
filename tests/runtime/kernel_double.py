"""A stand-in for the compiled kernel, some of whose functions are replaced."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from strop.runtime import _kernel


class KernelDouble:
    """The kernel's library with `replaced` in the place of its own functions."""

    def __init__(self, **replaced: Any) -> None:
        own = {name: getattr(_kernel.lib, name) for name in dir(_kernel.lib) if name.lower().startswith("strop_")}
        self.ffi = _kernel.ffi
        self.lib = SimpleNamespace(**{**own, **replaced})
