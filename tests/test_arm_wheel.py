"""Wheels for the processors of the boards: cross-compiled, then installed and run by a real ARM Python under QEMU.

The Python, numpy and cffi are this distribution's for ARM, unpacked into a temporary folder; everything else comes from
wheels, fetched by that Python's own pip. QEMU's user-mode emulation is told to be the boards' processors (Cortex-A9 of
Zynq-7000, Cortex-A53 of ZynqMP). No ARM processor takes part, and no image of a board: what the images bring is held by
test_install_on_boards.py.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from strop.host.selftest import CASES, run_case
from strop.host.version import strop_version
from strop.runtime.emulator import EmulatorDevice

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / ".ci"
# What Ubuntu 22.04 has, the oldest system among the boards' images: glibc 2.35 and GCC 12's libraries.
NEWEST = {"GLIBC": (2, 35), "GLIBCXX": (3, 4, 30), "CXXABI": (1, 3, 13), "GCC": (12, 0, 0)}
LIBRARIES = {"libc.so.6", "libstdc++.so.6", "libgcc_s.so.1", "ld-linux-armhf.so.3", "ld-linux-aarch64.so.1"}


@dataclass(frozen=True)
class Processor:
    """A kind of ARM: its compilers' prefix, QEMU and the processor it plays, and marks of its ELF files."""

    arch: str
    triplet: str
    qemu: str
    cpu: str
    elf_class: int
    elf_machine: int


ZYNQ_7000 = Processor("armv7l", "arm-linux-gnueabihf", "qemu-arm", "cortex-a9", 1, 40)
ZYNQ_MP = Processor("aarch64", "aarch64-linux-gnu", "qemu-aarch64", "cortex-a53", 2, 183)
PROCESSORS = (ZYNQ_7000, ZYNQ_MP)


@dataclass(frozen=True)
class Installed:
    """strop on an ARM Python: the wheel, the command that runs that Python, its scripts, and what pip said."""

    wheel: Path
    python: tuple[str, ...]
    scripts: Path
    pip: subprocess.CompletedProcess[str]


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command without this Python's own variables, which would reach the ARM Python."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "LD_"))}
    return subprocess.run(
        [*map(str, command)],
        cwd="/",
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )


def build_wheel(arch: str, out: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run .ci/arm-wheel with this environment's build tools."""
    return run(SCRIPTS / "arm-wheel", arch, out, PYTHON=sys.executable, **environment)


def python_of(processor: Processor, root: Path) -> tuple[str, ...]:
    """Return the command that runs the ARM Python below `root`."""
    libraries = root / "usr" / "lib" / processor.triplet
    # numpy's BLAS is found through links that its packages' scripts would make
    path = ":".join(map(str, (libraries / "blas", libraries / "lapack", libraries, root / "lib" / processor.triplet)))
    settings = ("-E", f"LD_LIBRARY_PATH={path}", "-E", f"PYTHONHOME={root}/usr")
    return (processor.qemu, "-cpu", processor.cpu, "-L", str(root), *settings, str(root / "usr" / "bin" / "python3"))


def install(processor: Processor, folder: Path) -> Installed:
    """Build the wheel and an ARM Python in `folder`, and let that Python's pip install the one in the other."""
    root = folder / "root"
    unpacked = run(
        *(SCRIPTS / "arm-packages", processor.arch, root),
        *("python3-numpy", "python3-cffi", "python3-pip", "libstdc++6"),
    )
    if unpacked.returncode == 2 and not os.environ.get("CI"):
        pytest.skip(f"no packages for ARM: {unpacked.stderr}")
    assert unpacked.returncode == 0, unpacked.stderr
    built = build_wheel(processor.arch, folder / "wheel")
    assert built.returncode == 0, built.stdout + built.stderr
    print(built.stdout, end="")
    (wheel,) = (folder / "wheel").iterdir()
    python = python_of(processor, root)
    options = ("--only-binary=:all:", "--no-cache-dir", "--no-compile", "--no-warn-script-location")
    pip = run(*python, "-m", "pip", "install", *options, wheel, PIP_BREAK_SYSTEM_PACKAGES="1")
    return Installed(wheel, python, root / "usr" / "local" / "bin", pip)


@pytest.fixture(scope="module")
def installations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Installed]]:
    """strop on an ARM Python for each processor, both prepared at once."""
    needed = ["apt-get", "dpkg"]
    needed += [tool for p in PROCESSORS for tool in (f"{p.triplet}-g++", p.qemu)]
    missing = [tool for tool in needed if shutil.which(tool) is None]
    if missing:
        packages = "g++-arm-linux-gnueabihf g++-aarch64-linux-gnu qemu-user"
        pytest.skip(f"{', '.join(missing)} not installed; on Debian and Ubuntu: sudo apt-get install {packages}")
    folders = [tmp_path_factory.mktemp(processor.arch) for processor in PROCESSORS]
    with ThreadPoolExecutor() as pool:
        prepared = list(pool.map(install, PROCESSORS, folders))
    yield {processor.arch: installed for processor, installed in zip(PROCESSORS, prepared, strict=True)}
    for folder in folders:  # 200 MB, which pytest would keep for three runs
        shutil.rmtree(folder)


@pytest.fixture(params=PROCESSORS, ids=lambda processor: processor.arch)
def processor(request: pytest.FixtureRequest) -> Processor:
    """Each kind of ARM."""
    chosen: Processor = request.param
    return chosen


@pytest.fixture
def installed(processor: Processor, installations: dict[str, Installed]) -> Installed:
    """strop on that processor's Python."""
    return installations[processor.arch]


def strop(installed: Installed, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed `strop` command on the ARM Python."""
    return run(*installed.python, installed.scripts / "strop", *arguments)


def too_new(needed: Iterable[str]) -> list[str]:
    """Return which versioned symbols of system libraries (`GLIBC_2.34`) the oldest image does not have."""
    found = []
    for symbol in needed:
        library, _, version = symbol.partition("_")
        numbers = tuple(map(int, version.split(".")))
        if library not in NEWEST or numbers > NEWEST[library]:
            found.append(symbol)
    return found


@pytest.mark.slow
def test_the_wheel_is_for_that_processor(processor: Processor, installed: Installed) -> None:
    """Protects boards from a wheel under the right name with the wrong program in it: tag and ELF header agree."""
    tag = f"cp310-abi3-linux_{processor.arch}"
    assert installed.wheel.name == f"strop-{strop_version()}-{tag}.whl"
    archive = zipfile.ZipFile(installed.wheel)
    (description,) = (name for name in archive.namelist() if name.endswith(".dist-info/WHEEL"))
    assert f"Tag: {tag}\n" in archive.read(description).decode()
    (kernel,) = (name for name in archive.namelist() if ".so" in name)
    assert kernel == "strop/runtime/_kernel.abi3.so"
    header = archive.read(kernel)[:52]
    assert header[:6] == b"\x7fELF" + bytes([processor.elf_class, 1])  # 1: little endian
    assert int.from_bytes(header[18:20], "little") == processor.elf_machine
    if processor is ZYNQ_7000:
        assert int.from_bytes(header[36:40], "little") & 0x400  # arguments in floating-point registers: armhf


@pytest.mark.slow
def test_the_oldest_image_can_load_it(processor: Processor, installed: Installed, tmp_path: Path) -> None:
    """Protects boards from "version GLIBC_2.36 not found": the wheel asks for no library newer than Ubuntu 22.04's."""
    kernel = zipfile.ZipFile(installed.wheel).extract("strop/runtime/_kernel.abi3.so", tmp_path)
    told = run(f"{processor.triplet}-readelf", "--dynamic", "--version-info", "--wide", kernel).stdout
    assert set(re.findall(r"\(NEEDED\).*\[(.*)\]", told)) <= LIBRARIES
    needed = set(re.findall(r"Name: ([A-Z]+_[\d.]+)", told))
    assert any(symbol.startswith("GLIBC_") for symbol in needed)  # the list was read
    assert too_new(needed) == []


def test_a_newer_library_would_be_seen() -> None:
    """Protects the test above: newer versions, more digits and libraries that it does not know are all reported."""
    assert too_new(["GLIBC_2.4", "GLIBC_2.35", "GLIBCXX_3.4.30", "CXXABI_1.3", "GCC_3.5"]) == []
    newer = ["GLIBC_2.36", "GLIBC_2.35.1", "GLIBCXX_3.4.31", "CXXABI_1.3.14", "GFORTRAN_8"]
    assert too_new(newer) == newer


@pytest.mark.slow
def test_its_pip_installs_it_without_compiling(installed: Installed) -> None:
    """Protects "nothing is compiled on a board": an ARM pip takes the wheel and leaves numpy and cffi as they are."""
    assert installed.pip.returncode == 0, installed.pip.stdout + installed.pip.stderr
    (report,) = re.findall(r"^Successfully installed (.*)$", installed.pip.stdout, re.MULTILINE)
    names = {item.rpartition("-")[0] for item in report.split()}
    assert {"strop", "safetensors", "rich"} <= names
    assert not names & {"numpy", "cffi", "pycparser"}
    assert strop(installed, "--version").stdout.startswith(f"strop {strop_version()}, contract ")


@pytest.mark.slow
def test_the_other_processors_pip_refuses_it(installations: dict[str, Installed]) -> None:
    """Protects the tag: a 32-bit board is not given the 64-bit wheel."""
    zynq, other = installations["armv7l"], installations["aarch64"].wheel
    done = run(*zynq.python, "-m", "pip", "install", "--dry-run", "--no-deps", other, PIP_BREAK_SYSTEM_PACKAGES="1")
    assert done.returncode != 0
    assert "is not a supported wheel on this platform" in done.stderr


@pytest.mark.slow
def test_the_doctor_finds_the_compiled_kernel(processor: Processor, installed: Installed) -> None:
    """Protects a fresh board from the slow reference: the kernel loads into that Python, and says so."""
    done = strop(installed, "doctor", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert processor.arch in checks["python"]["detail"]
    assert [name for name in ("python", "numpy", "compiled kernel") if checks[name]["status"] != "ok"] == []
    assert (checks["self-test"]["status"], "on the emulator" in checks["self-test"]["detail"]) == ("ok", True)


@pytest.mark.slow
def test_it_trains_to_the_bytes_of_this_machine(installed: Installed) -> None:
    """Protects "the same bytes everywhere": the wheel's emulator gives this process's losses, states and logits."""
    done = strop(installed, "selftest", "--device", "emulator", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["device"].endswith(", neon")  # a Cortex-A53 has no dot products
    assert document["equal"] is True
    assert [case["name"] for case in document["cases"] if not case["equal"]] == []
    here = EmulatorDevice()
    mine = {case.name: json.loads(json.dumps(asdict(run_case(case, here).answer))) for case in CASES}
    here.close()
    assert {case["name"]: case["answer"] for case in document["cases"]} == mine
    assert len(mine["lenet5"]["state"]) == 64


@pytest.mark.parametrize("script", ["arm-wheel", "arm-packages"])
def test_an_unknown_processor_is_refused(script: str, tmp_path: Path) -> None:
    """Protects the user who types a processor's other name: the error says what is allowed, and exit code 2 comes."""
    done = run(SCRIPTS / script, "armhf", tmp_path / "out", *(["libc6"] if script == "arm-packages" else []))
    assert (done.returncode, done.stdout) == (2, "")
    assert "'armhf' is no processor of a board; allowed are armv7l (Zynq-7000) and aarch64 (ZynqMP)" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arch", ["armv7l", "aarch64"])
def test_a_missing_compiler_is_named(arch: str, tmp_path: Path) -> None:
    """Protects the user without cross compilers: told what to type, before anything is fetched or written."""
    (tmp_path / "bin").mkdir()
    (shell,) = filter(None, [shutil.which("sh")])
    done = run(shell, SCRIPTS / "arm-wheel", arch, tmp_path / "out", PATH=str(tmp_path / "bin"))
    triplet = {p.arch: p.triplet for p in PROCESSORS}[arch]
    assert (done.returncode, done.stdout) == (2, "")
    assert f"needs {triplet}-g++" in done.stderr
    assert f"sudo apt-get install g++-{triplet}\n" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("script", ["arm-wheel", "arm-packages"])
def test_missing_arguments_get_an_example(script: str) -> None:
    """Protects who types the bare command: it shows one that works."""
    done = run(SCRIPTS / script)
    assert done.returncode == 2
    assert f".ci/{script} armv7l " in done.stderr
