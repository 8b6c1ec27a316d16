"""The examinations of `strop doctor`, one function each. None of them raises: what is wrong is their result."""

from __future__ import annotations

import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import numpy as np

from strop.hls import SOURCE_FOLDER
from strop.host.data import load_fashion_mnist
from strop.host.selftest import CaseResult, run_cases
from strop.overlay.boards import BOARDS
from strop.runtime.contract import C
from strop.runtime.device import open_device
from strop.runtime.emulator import available_cores, supported_instruction_sets
from strop.runtime.errors import StropError
from strop.runtime.overlay_store import list_overlays

Status = Literal["ok", "warning", "missing"]

LEAST_FREE_BYTES = 200 * 2**20
INSTALL_COMPILER = "sudo apt-get install g++ python3-dev"
FPGA_MANAGERS = Path("/sys/class/fpga_manager")
BOARD_MODEL = Path("/proc/device-tree/model")


@dataclass(frozen=True)
class Check:
    """One line of the doctor. `remedy` is what to type, empty where nothing needs to be done."""

    name: str
    status: Status
    detail: str
    remedy: str = ""
    enables_training: bool = False


def examine() -> Iterator[Check]:
    """Yield the examinations' results, in the order in which they help each other."""
    yield check_python()
    yield check_numpy()
    yield from check_kernel()
    yield check_compiler()
    yield check_package("matplotlib", "plots (--plot)")
    yield check_package("pillow", "image files and folders", module="PIL")
    yield check_fashion_mnist()
    yield check_pynq()
    yield check_board()
    yield from check_overlays()
    yield check_disk()
    yield self_test()


def check_python() -> Check:
    """The interpreter and the machine."""
    return Check("python", "ok", f"{platform.python_version()} on {platform.machine()}, {sys.executable}")


def check_numpy() -> Check:
    """numpy's version."""
    return Check("numpy", "ok", np.__version__)


def check_kernel() -> Iterator[Check]:
    """The compiled kernel, what it can use here, and whether it speaks this runtime's contract."""
    try:
        sets = supported_instruction_sets()
    except StropError as error:
        yield Check("compiled kernel", "missing", f"{error}; the reference still works, slowly", _kernel_remedy())
        return
    yield Check("compiled kernel", "ok", "the emulator is there")
    yield Check("instruction sets", "ok", f"{', '.join(sets)}; {sets[-1]} is used")
    named = os.environ.get("STROP_THREADS")
    cores = f"{available_cores()} core(s) usable"
    if named is not None and not (named.isdecimal() and int(named) > 0):
        yield Check("threads", "warning", f"STROP_THREADS is {named!r}, no number of threads", "unset STROP_THREADS")
    else:
        yield Check("threads", "ok", f"{cores}; STROP_THREADS says {named}" if named else cores)
    try:
        open_device("emulator", threads=1).close()
    except StropError as error:
        yield Check("versions", "missing", str(error), _install_again())
    else:
        agreed = f"contract {C.CONTRACT_VERSION}, numerics {C.NUMERICS_VERSION}: kernel and runtime agree"
        yield Check("versions", "ok", agreed)


def _install_again() -> str:
    """Return how to build the kernel again: exactly where the sources are at hand, else in words."""
    if (SOURCE_FOLDER.parent / "setup.py").is_file():
        return f"cd {SOURCE_FOLDER.parent} && {sys.executable} -m pip install --no-deps -e ."
    return f"{sys.executable} -m pip install --force-reinstall --no-deps .    (in the folder of strop's sources)"


def _kernel_remedy() -> str:
    return _install_again() if _compiler() else f"{INSTALL_COMPILER} && {_install_again()}"


def _compiler() -> str | None:
    candidates = (os.environ.get("CXX", "").split(" ")[0], "g++", "c++", "clang++")
    return next((found for name in candidates if name and (found := shutil.which(name))), None)


def check_compiler() -> Check:
    """A C++ compiler, which only an installation from sources needs."""
    path = _compiler()
    if path is None:
        return Check("C++ compiler", "warning", "none; needed to install from sources", INSTALL_COMPILER)
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return Check("C++ compiler", "warning", f"{path} does not run: {error}", INSTALL_COMPILER)
    return Check("C++ compiler", "ok", (done.stdout.splitlines() or [path])[0])


def check_package(name: str, purpose: str, module: str | None = None) -> Check:
    """An optional package."""
    if importlib.util.find_spec(module or name) is None:
        return Check(name, "missing", f"needed for {purpose}", f"{sys.executable} -m pip install {name}")
    try:
        return Check(name, "ok", metadata.version(name))
    except metadata.PackageNotFoundError:
        return Check(name, "ok", "installed, of unknown version")


def check_fashion_mnist() -> Check:
    """The whole Fashion-MNIST, from Debian's package or the folder that STROP_FASHION_MNIST names."""
    try:
        count = len(load_fashion_mnist("train")) + len(load_fashion_mnist("test"))
    except StropError as error:
        remedy = "sudo apt-get install dataset-fashion-mnist"
        return Check("Fashion-MNIST", "missing", f"{error} (which needs nothing)", remedy)
    return Check("Fashion-MNIST", "ok", f"{count:,} images (--data fashion-mnist)")


def check_pynq() -> Check:
    """The pynq package, which only a board needs."""
    if importlib.util.find_spec("pynq") is None:
        status: Status = "missing" if _boards() else "ok"
        remedy = f"{sys.executable} -m pip install pynq" if _boards() else ""
        return Check("pynq", status, "not installed; only a board needs it", remedy)
    try:
        return Check("pynq", "ok", metadata.version("pynq"))
    except metadata.PackageNotFoundError:
        return Check("pynq", "ok", "installed, of unknown version")


def check_overlays() -> Iterator[Check]:
    """The installed overlays, verified as before a board uses one. Nothing is programmed."""
    found = list_overlays()
    if not found and _boards():
        folder = (
            f"strop overlay install FOLDER    (one of {', '.join(BOARDS)}: build it with make -C overlay BOARD=...)"
        )
        yield Check("overlays", "missing", "none is installed; the board needs its own", folder)
    elif not found:
        yield Check("overlays", "ok", "none is installed; only a board needs one")
    for entry in found:
        name = f"overlay {entry.board}"
        if entry.overlay is None:
            yield Check(name, "warning", str(entry.problem), f"rm -r {shlex.quote(str(entry.folder))}")
            continue
        hidden = "" if entry.used else "; hidden by an earlier store"
        yield Check(name, "ok", f"verified, built {entry.overlay.manifest.built}, in {entry.folder}{hidden}")


def _boards() -> list[str]:
    return sorted(path.name for path in FPGA_MANAGERS.iterdir()) if FPGA_MANAGERS.is_dir() else []


def check_board() -> Check:
    """Programmable logic that Linux knows of. Nothing is opened or programmed."""
    if not _boards():
        return Check("FPGA board", "ok", "none here; the emulator and the reference compute what a board would")
    model = "a board"
    if BOARD_MODEL.is_file():
        model = BOARD_MODEL.read_bytes().rstrip(b"\0").decode("utf-8", "replace")
    return Check("FPGA board", "ok", f"{model}, {', '.join(_boards())}")


def check_disk() -> Check:
    """Room for checkpoints in the working folder."""
    folder = Path.cwd()
    free = shutil.disk_usage(folder).free
    detail = f"{free / 2**30:,.1f} GiB free in {folder}"
    if free < LEAST_FREE_BYTES:
        return Check("disk", "warning", detail, "free some space, or work in another folder")
    if not os.access(folder, os.W_OK):
        return Check("disk", "warning", f"{folder} cannot be written", "cd to a folder of your own")
    return Check("disk", "ok", detail)


def self_test() -> Check:
    """Train small networks on the emulator, or without one on the reference; compare with the known answers."""
    failed: list[str] = []
    for name in ("emulator", "reference"):
        try:
            results = _tested(name)
        except StropError as error:
            failed.append(f"{name}: {error}")
            continue
        wrong = [f"{result.case.name}: {result.wrong[0]}" for result in results if not result.equal]
        if wrong:
            detail = (
                f"the {name} is wrong in {len(wrong)} of {len(results)} cases ({wrong[0]}); do not trust this build"
            )
            return Check("self-test", "missing", detail, _install_again())
        detail = f"{len(results)} small trainings on the {name} equal the known answers"
        return Check("self-test", "ok", detail, enables_training=True)
    return Check("self-test", "missing", "; ".join(failed), _install_again())


def _tested(name: str) -> list[CaseResult]:
    device = open_device(name, threads=1)
    try:
        return list(run_cases(device))
    finally:
        device.close()
