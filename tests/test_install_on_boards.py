"""What `pip install strop` would do on each board's image: nothing compiled, nothing replaced that the image brings.

PyPI has no wheels of numpy and cffi for 32-bit ARM, and pynq holds numpy below 2. So what an image brings must satisfy
strop's requirements, and all else must come as wheels. pip says which wheels there are for a board's Python; the walk
over requirements is here, because pip judges environment markers by the Python that runs it. No image was booted here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Image:
    """A board's image: its Python, processor and glibc (2.x), and releases that it brings, by name."""

    boards: str
    python: str
    arch: str
    glibc: int
    brings: Mapping[str, str] = field(hash=False)

    def __str__(self) -> str:
        return self.boards


# Sources: the lists of packages that Xilinx/PYNQ's sdbuild/ubuntu/{jammy,noble} take from Ubuntu (python3-cffi, and
# python3-scipy with the numpy that it needs; a venv sees them by --system-site-packages), at the releases of Ubuntu
# 22.04; what sdbuild/packages/python_packages_{jammy,noble}/requirements.txt pins goes before. Kria-PYNQ's install.sh
# lays the same list into Ubuntu 22.04. Pygments is not pinned for 22.04: taken as missing there.
OF_JAMMY = {"numpy": "1.21.5", "cffi": "1.15.0", "pycparser": "2.19", "typing-extensions": "4.3.0"}
OF_NOBLE = {"numpy": "1.26.4", "cffi": "2.1.0", "pycparser": "2.23", "typing-extensions": "4.16.0"}
IMAGES = (
    Image("PYNQ-Z1 and PYNQ-Z2 (pynq 3.1, Ubuntu 22.04)", "3.10", "armv7l", 35, OF_JAMMY),
    Image("KV260 (Kria-PYNQ 3.0, Ubuntu 22.04)", "3.10", "aarch64", 35, OF_JAMMY),
    Image("ZCU104 (pynq 4.0, Ubuntu 24.04)", "3.12", "aarch64", 39, {**OF_NOBLE, "pygments": "2.20.0"}),
)
PYNQ_Z2 = IMAGES[0]


@dataclass(frozen=True)
class Fetched:
    """A wheel that pip would fetch: its name, release, file, and what it requires itself."""

    name: str
    version: str
    file: str
    requires: tuple[str, ...]


class NoWheelError(Exception):
    """pip finds no wheel that fits; the words are pip's."""


Fetch = Callable[[list[str], Image], list[Fetched]]


def pip_would_fetch(requirements: list[str], image: Image) -> list[Fetched]:
    """Ask pip for the wheels that satisfy `requirements` on the image. Raises `NoWheelError`."""
    platforms = [f"manylinux_2_{minor}_{image.arch}" for minor in range(image.glibc, 16, -1)]
    platforms += [f"manylinux2014_{image.arch}", f"linux_{image.arch}"]
    abis = ["cp" + image.python.replace(".", ""), "abi3", "none"]
    options = [f"--platform={name}" for name in platforms] + [f"--abi={name}" for name in abis]
    # pip wants a target with these, and --dry-run leaves it alone
    options += [f"--python-version={image.python}", "--implementation=cp", "--only-binary=:all:", "--target=unused"]
    done = pip_install(*options, *requirements)
    if done.returncode != 0:
        without = re.search(r"No matching distribution found for .*", done.stderr)
        assert without is not None, done.stderr
        raise NoWheelError(without[0])
    return [
        Fetched(
            item["metadata"]["name"],
            item["metadata"]["version"],
            item["download_info"]["url"].rpartition("/")[2],
            tuple(item["metadata"].get("requires_dist", [])),
        )
        for item in json.loads(done.stdout)["install"]
    ]


def pip_install(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Let pip say in JSON what it would install, apart from what those packages require."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--report=-", "--no-deps"]
    return subprocess.run(
        [*command, "--ignore-installed", "--retries=1", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def applies(requirement: Requirement, image: Image) -> bool:
    """Return whether a requirement is one on the image, and none of an extra."""
    environment = {"python_version": image.python, "python_full_version": f"{image.python}.0", "extra": ""}
    environment |= {
        "platform_machine": image.arch,
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
    }
    environment |= {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
    return requirement.marker is None or requirement.marker.evaluate(environment)


def install(requirements: Iterable[str], image: Image, fetch: Fetch) -> tuple[list[str], dict[str, Fetched]]:
    """Return in words what an installation on the image would compile or replace, and the wheels that it would fetch.

    Level by level: what the image brings is compared and asked no further, the rest is fetched with what it requires.
    """
    problems: list[str] = []
    fetched: dict[str, Fetched] = {}
    level = [("strop", Requirement(text)) for text in requirements]
    while level:
        wanted: list[str] = []
        for asking, requirement in level:
            name = canonicalize_name(requirement.name)
            if not applies(requirement, image):
                continue
            there = image.brings.get(name) or (fetched[name].version if name in fetched else None)
            if there is None:
                wanted.append(f"{requirement.name}{requirement.specifier}")
            elif not requirement.specifier.contains(there, prereleases=True):
                problems.append(f"{asking} requires {requirement}, and there is {name} {there}: pip would replace it")
        level = []
        try:
            new = fetch(wanted, image) if wanted else []
        except NoWheelError as error:
            problems.append(f"pip would compile on {image}, or find nothing, of {', '.join(wanted)}: {error}")
            break
        for wheel in new:
            fetched[canonicalize_name(wheel.name)] = wheel
            level += [(wheel.name, Requirement(text)) for text in wheel.requires]
    return problems, fetched


def requirements_of_strop() -> list[str]:
    """Return what pyproject.toml says that strop requires, extras apart."""
    listed = re.search(r"^dependencies = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M | re.S)
    assert listed is not None
    return re.findall(r'"([^"]+)"', listed[1])


@pytest.fixture(scope="module")
def index() -> None:
    """A package index that pip reaches; outside the gate the tests that need one are skipped without."""
    done = pip_install("--only-binary=:all:", "rich")
    if done.returncode != 0 and not os.environ.get("CI"):
        pytest.skip(f"pip reaches no package index: {done.stderr}")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("index")
@pytest.mark.parametrize("image", IMAGES, ids=str)
def test_strop_installs_from_wheels_and_replaces_nothing(image: Image) -> None:
    """Protects boards: the whole closure is what the image brings, or wheels; numpy, cffi and the rest stay."""
    problems, fetched = install(requirements_of_strop(), image, pip_would_fetch)
    print(*sorted(wheel.file for wheel in fetched.values()), sep="\n")
    assert problems == []
    assert {"safetensors", "rich", "markdown-it-py", "mdurl"} <= set(fetched)
    assert not set(fetched) & set(image.brings)
    assert all(wheel.file.endswith((f"{image.arch}.whl", "-none-any.whl")) for wheel in fetched.values())


@pytest.mark.slow
@pytest.mark.usefixtures("index")
def test_what_has_no_wheel_is_reported() -> None:
    """Protects the test above: a package that PyPI holds as source alone is a problem, and named."""
    problems, _ = install(["rich>=13", "pynq==4.0.0"], PYNQ_Z2, pip_would_fetch)
    assert len(problems) == 1
    assert "pynq==4.0.0" in problems[0] and "No matching distribution found" in problems[0]


def nothing_fetched(requirements: list[str], image: Image) -> list[Fetched]:
    """A package index with a pure wheel of everything, at release 1.0, that requires nothing."""
    return [
        Fetched(name := re.split(r"[<>=]", text)[0], "1.0", f"{name}-1.0-none-any.whl", ()) for text in requirements
    ]


@pytest.mark.parametrize("image", IMAGES, ids=str)
def test_what_the_image_brings_satisfies_strop(image: Image) -> None:
    """Protects boards where there is no index to ask: numpy and cffi of the image are new enough for strop."""
    problems, fetched = install(requirements_of_strop(), image, nothing_fetched)
    assert problems == []
    assert not {"numpy", "cffi"} & set(fetched)


def test_a_newer_numpy_would_be_reported() -> None:
    """Protects the test above: a requirement that Ubuntu 22.04's numpy does not meet is a problem, and named."""
    problems, _ = install(["numpy>=1.26", "cffi>=1.15"], PYNQ_Z2, nothing_fetched)
    assert problems == ["strop requires numpy>=1.26, and there is numpy 1.21.5: pip would replace it"]


def test_requirements_of_requirements_count() -> None:
    """Protects the closure: what a fetched wheel asks of the image, or of another wheel, is compared too."""

    def with_requirements(requirements: list[str], image: Image) -> list[Fetched]:
        asks = {"rich": ("numpy>=2", "safetensors>=3"), "safetensors": ("cffi<1",)}
        wheels = nothing_fetched(requirements, image)
        return [Fetched(wheel.name, wheel.version, wheel.file, asks[wheel.name]) for wheel in wheels]

    problems, _ = install(["safetensors>=0.4", "rich>=13"], PYNQ_Z2, with_requirements)
    assert [problem.partition(":")[0] for problem in problems] == [
        "safetensors requires cffi<1, and there is cffi 1.15.0",
        "rich requires numpy>=2, and there is numpy 1.21.5",
        "rich requires safetensors>=3, and there is safetensors 1.0",
    ]


def test_markers_are_judged_for_the_board() -> None:
    """Protects the closure from this machine's Python: what Python 3.10 on 32-bit ARM requires counts there alone."""
    only = 'numpy>=2; python_version < "3.11" and platform_machine == "armv7l"'
    found = [install([only, 'cffi>=99; extra == "test"'], image, nothing_fetched)[0] for image in IMAGES]
    assert [len(problems) for problems in found] == [1, 0, 0]
