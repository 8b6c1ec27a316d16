"""What users install: the source archive is complete, the wheel built from it works alone, and a compiler is optional.

Nothing is fetched: the build uses this environment's setuptools and cffi, and the fresh environment borrows its
libraries.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS = ("hls", "overlay", "runtime", "host", "service")
LEFT_OUT = {"__pycache__"}

pytestmark = pytest.mark.slow

TINY_RUN = """
import numpy as np
from strop.hls import SOURCE_FOLDER
from strop.runtime.contract import REPORT, C, Registers
from strop.runtime.device import open_device

for name in {names}:
    device = open_device(name)
    device.allocate(4096)
    device.write(0, np.array([C.OP_COUNT], np.uint32))
    slots = dict(slots=1024, slot_stride=64, slot_count=1, first_slot=0)
    report = device.run(Registers(program=0, commands=1, steps=1, report=2048, **slots))
    assert report["status"] == C.STATUS_UNKNOWN_OPCODE, report
    device.close()
print(SOURCE_FOLDER)
"""


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command outside the repository's own import path."""
    clean = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "STROP_REQUIRE_KERNEL"}}
    return subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def build_wheel(source: Path, target: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Build a wheel of a copy of `source` into `target` with this environment's tools; -v shows the compiler's."""
    copy = shutil.copytree(source, target.parent / "source")
    command = ["pip", "--no-cache-dir", "wheel", "-v", copy, "--no-deps", "--no-build-isolation", "--wheel-dir", target]
    return run(sys.executable, "-m", *command, cwd=target.parent, **environment)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source archive: what a user has who downloads it."""
    folder = tmp_path_factory.mktemp("packaging")
    clone = folder / "clone"
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    clone.mkdir()
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    for floor in FLOORS:
        if (ROOT / floor).is_dir():
            shutil.copytree(ROOT / floor, clone / floor, ignore=ignored)
    make = "from setuptools import build_meta; build_meta.build_sdist('..')"
    done = run(sys.executable, "-c", make, cwd=clone)
    assert done.returncode == 0, done.stderr
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(folder)
    return folder / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def wheel(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from the source archive, emulator included."""
    target = tmp_path_factory.mktemp("wheel") / "out"
    done = build_wheel(unpacked, target, STROP_REQUIRE_KERNEL="1")
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = target.glob("*.whl")
    return built


def fresh_environment(folder: Path, wheel: Path) -> Path:
    """Return the Python of a new environment with the wheel in it, and this environment's libraries behind it."""
    assert run(sys.executable, "-m", "venv", folder, cwd=folder.parent).returncode == 0
    python = folder / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).stdout.strip())
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    done = run(python, "-m", "pip", "install", "--no-deps", wheel, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    return python


def test_the_wheel_holds_every_file(wheel: Path) -> None:
    """Protects installed users from a file that only the repository has: code, contract, C++, data, licences."""
    held = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        f"strop/{path.relative_to(ROOT).as_posix()}"
        for floor in FLOORS
        for path in (ROOT / floor).rglob("*")
        if path.is_file() and path.suffix != ".so" and not LEFT_OUT & set(path.parts)
    }
    assert expected - held == set()
    assert "strop/runtime/_kernel.abi3.so" in held


def test_one_wheel_serves_every_python(wheel: Path) -> None:
    """Protects the stable ABI: the tag says CPython 3.10 and newer, and the kernel was compiled for that."""
    assert "-cp310-abi3-" in wheel.name


def test_the_wheel_works_alone(wheel: Path, tmp_path: Path) -> None:
    """Protects the installation: outside the repository both devices open and run, and the command is there."""
    python = fresh_environment(tmp_path / "fresh", wheel)
    done = run(python, "-c", TINY_RUN.format(names=("emulator", "reference")), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(tmp_path / "fresh")
    command = run(python.parent / "strop", "--help", cwd=tmp_path)
    assert command.returncode == 0, command.stderr


def test_without_a_compiler_the_reference_remains(unpacked: Path, tmp_path: Path) -> None:
    """Protects machines without a compiler: the installation succeeds, says what is missing, and the reference runs."""
    done = build_wheel(unpacked, tmp_path / "out", CXX="false", CC="false")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the emulator was NOT compiled" in done.stdout + done.stderr
    (built,) = (tmp_path / "out").glob("*.whl")
    assert not [name for name in zipfile.ZipFile(built).namelist() if name.endswith(".so")]
    python = fresh_environment(tmp_path / "fresh", built)
    done = run(python, "-c", TINY_RUN.format(names=("reference",)), cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_required_kernel_is_not_optional(unpacked: Path, tmp_path: Path) -> None:
    """Protects the gate: with STROP_REQUIRE_KERNEL=1 a compiler that fails is an error, never a silent fallback."""
    done = build_wheel(unpacked, tmp_path / "out", CXX="false", CC="false", STROP_REQUIRE_KERNEL="1")
    assert done.returncode != 0
