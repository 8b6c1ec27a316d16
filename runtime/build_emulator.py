"""Describe the compiled emulator and cycle model, `strop.runtime._kernel`: the training kernel's own C++ behind cffi.

setup.py runs this file from the repository root. Nothing at run time imports it.
"""

from __future__ import annotations

import os
import runpy
from typing import Any

import cffi

_hls = runpy.run_path("hls/__init__.py")  # at build time there is no strop.hls to import


def _files(*endings: str) -> list[str]:
    """Return the files of hls/ and the folders in it with one of the endings, in a stable order."""
    return sorted(
        os.path.join(folder, name) for folder, _, names in os.walk("hls") for name in names if name.endswith(endings)
    )


ffibuilder: Any = cffi.FFI()
ffibuilder.cdef(_hls["contract"]())
ffibuilder.cdef(_hls["emulator_api"]())
ffibuilder.cdef(_hls["model_api"]())
ffibuilder.set_source(
    "strop.runtime._kernel",
    '#include "contract.h"\nextern "C" {\n#include "native/emulator.h"\n#include "native/model.h"\n}\n',
    source_extension=".cpp",
    sources=_files(".cpp"),
    depends=_files(".h", ".hpp", ".inc"),
    include_dirs=["hls"],
    language="c++",
    # No -march: the leaf loops are compiled for several instruction sets and chosen at run time, so a wheel travels.
    extra_compile_args=[
        *("-std=c++14", "-O3", "-g0", "-fvisibility=hidden", "-pthread"),
        *("-Wno-unknown-pragmas", "-Wno-unused-label"),  # pragmas and loop labels are for Vitis HLS
    ],
    extra_link_args=["-pthread"],
    optional=os.environ.get("STROP_REQUIRE_KERNEL") != "1",
)
