"""What pyproject.toml cannot say: which folders are packages, and that the compiled emulator is optional."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

ROOT = Path(__file__).resolve().parent
FLOORS = ("hls", "overlay", "runtime", "host", "service")

REMEDY = """
strop: the emulator was NOT compiled, so only the slow NumPy reference will work.
  Reason: {reason}
  What the compiler said stands above.
  Remedy: install a C++14 compiler and Python's headers, then reinstall. On Debian and Ubuntu:
            sudo apt-get install g++ python3-dev
            pip install --force-reinstall --no-deps .
  To make this an error: set STROP_REQUIRE_KERNEL=1.
"""


def find_packages() -> dict[str, str]:
    """Return every package and its folder: each folder with an __init__.py, by its path below `strop`."""
    found: dict[str, str] = {}
    for floor in FLOORS:
        for init in sorted((ROOT / floor).rglob("__init__.py")):
            folder = init.parent.relative_to(ROOT)
            found[".".join(("strop", *folder.parts))] = folder.as_posix()
    return found


class BuildEmulator(build_ext):
    """Compile the emulator; on a machine that cannot, say so and let the installation go on without it."""

    def build_extension(self, ext: Extension) -> None:
        try:
            super().build_extension(ext)
        except (BaseError, CCompilerError, OSError) as error:
            if os.environ.get("STROP_REQUIRE_KERNEL") == "1":
                raise
            print(REMEDY.format(reason=textwrap.shorten(str(error), 200)), file=sys.stderr)


if __name__ == "__main__":
    PACKAGES = find_packages()
    setup(
        packages=list(PACKAGES),
        package_dir=PACKAGES,
        cffi_modules=["runtime/build_emulator.py:ffibuilder"],
        cmdclass={"build_ext": BuildEmulator},
        options={"bdist_wheel": {"py_limited_api": "cp310"}},  # one wheel serves every Python from 3.10
    )
