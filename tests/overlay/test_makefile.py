"""`make -C overlay`: what it says without AMD's tools, and the whole way with tools that only pretend."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dry_run import HERE, scenario, tcl_list
from strop.overlay.boards import BOARDS, table_text
from strop.overlay.manifest import kernel_source_digest, read_manifest, verify_files

ROOT = HERE.parents[1]
SYSTEM = "/usr/bin:/bin"  # AMD's tools come by their own settings, from elsewhere


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder that stands first on the path: empty, so neither Vivado nor Vitis HLS is there."""
    if shutil.which("make", path=SYSTEM) is None or any(shutil.which(name, path=SYSTEM) for name in PRETENDED):
        pytest.skip(f"needs make, and none of AMD's tools, in {SYSTEM}")
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def make(root: Path, tools: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make in overlay/ of a tree, with `tools` before the system on the path."""
    environment = {"PATH": f"{tools}:{SYSTEM}", "LC_ALL": "C", "HOME": os.environ.get("HOME", "/")}
    command = ["make", "--no-print-directory", "-C", str(root / "overlay"), f"PYTHON={sys.executable}"]
    return subprocess.run(
        [*command, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_without_tools_it_says_what_is_missing(tools: Path, tmp_path: Path) -> None:
    """Protects who has no Vivado: what is missing, how it is found, that a finished overlay does; and exit code 2."""
    ran = make(ROOT, tools, "BOARD=pynq-z2", f"BUILD={tmp_path / 'build'}")
    assert ran.returncode == 2
    assert "Missing: Vivado (vivado) and Vitis HLS (v++ with vitis-run, or vitis_hls)." in ran.stderr
    assert "settings64.sh" in ran.stderr and "strop overlay install FILE.zip" in ran.stderr
    (tools / "vitis_hls").write_text("#!/bin/sh\nexit 9\n", encoding="utf-8")
    (tools / "vitis_hls").chmod(0o755)
    ran = make(ROOT, tools, "BOARD=pynq-z2", f"BUILD={tmp_path / 'build'}")
    assert ran.returncode == 2 and "Missing: Vivado (vivado).\n" in ran.stderr
    assert not (tmp_path / "build").exists()


def test_a_wrong_board_is_told_the_right_ones(tools: Path) -> None:
    """Protects who mistypes or forgets the board: before anything is built."""
    ran = make(ROOT, tools, "BOARD=pynq-z3")
    assert ran.returncode == 2 and "there is no board 'pynq-z3'; known boards: pynq-z1" in ran.stderr
    ran = make(ROOT, tools)
    assert ran.returncode == 2 and "say for which board, for example BOARD=pynq-z2" in ran.stderr


def test_the_board_table_is_printed(tools: Path) -> None:
    """Protects `make -C overlay boards`, which needs neither tools nor an installation."""
    ran = make(ROOT, tools, "boards")
    assert (ran.returncode, ran.stdout) == (0, table_text() + "\n")


@pytest.mark.usefixtures("tclsh")
def test_a_dry_run_needs_no_installation(tools: Path) -> None:
    """Protects `make -C overlay dry-run`, and that it says what it is not."""
    ran = make(ROOT, tools, "dry-run", "BOARD=kv260")
    assert ran.returncode == 0, ran.stderr
    assert "interface memory_0/M00_AXI zynq_ultra_ps_e_0/S_AXI_HP0_FPD" in ran.stdout
    assert ran.stdout.endswith("against a mock of Vivado: passed\nNothing was synthesized.\n")


PRETENDED = {
    # the two commands of Vitis HLS's unified flow: a log, and an IP with the description that Vivado reads
    "v++": 'echo "v++ $*" >> LOG\n',
    "vitis-run": 'echo "vitis-run $*" >> LOG\nfor last; do :; done\nmkdir -p "$last/hls/impl/ip"\n'
    'echo "<xilinx:xilinxVersion>2024.1</xilinx:xilinxVersion>" > "$last/hls/impl/ip/component.xml"\n',
    # vivado -mode batch -source SCRIPT -tclargs ARGUMENTS
    "vivado": 'echo "vivado $*" >> LOG\nscript=$4\nshift 5\nexec tclsh "MOCK" "SCENARIO" "RECORD" "$script" "$@"\n',
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what a build reads, so that nothing pretended lands in this tree."""
    copy = tmp_path / "tree"
    skipped = shutil.ignore_patterns("__pycache__", "*.so", "*.o")
    for folder in ("hls", "overlay"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=skipped)
        (copy / ".src" / "strop").mkdir(parents=True, exist_ok=True)
        (copy / ".src" / "strop" / folder).symlink_to(f"../../{folder}")
    return copy


def pretend(tools: Path, folder: Path, board: str, **changes: object) -> Path:
    """Put pretended tools on the path, for a Vivado as `scenario` describes it. Returns their log."""
    log = folder / "log.txt"
    (folder / "scenario.tcl").write_text(tcl_list(scenario(BOARDS[board]) | changes), encoding="utf-8")
    places = {
        "LOG": log,
        "MOCK": HERE / "vivado_mock.tcl",
        "SCENARIO": folder / "scenario.tcl",
        "RECORD": folder / "r.txt",
    }
    for name, text in PRETENDED.items():
        for word, path in places.items():
            text = text.replace(word, str(path))
        (tools / name).write_text(f"#!/bin/sh\nset -e\n{text}", encoding="utf-8")
        (tools / name).chmod(0o755)
    return log


@pytest.mark.usefixtures("tclsh")
def test_the_whole_way_with_pretended_tools(tools: Path, tree: Path, tmp_path: Path) -> None:
    """Protects how the steps hang together: HLS for the right kernel, Vivado, checks, zip; nothing done twice."""
    log = pretend(tools, tmp_path, "pynq-z1")
    ran = make(tree, tools, "BOARD=pynq-z1")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    steps = [line.split()[0] for line in log.read_text(encoding="utf-8").splitlines()]
    assert steps == ["v++", "vitis-run", "vivado"]
    assert "vitis/pynq-z2.cfg" in log.read_text(encoding="utf-8")  # the PYNQ-Z1 takes its kernel
    built = tree / "build" / "overlay" / "pynq-z1"
    manifest = read_manifest(built / "strop.json")
    assert (manifest.board, manifest.kernel_digest) == ("pynq-z1", kernel_source_digest())
    assert verify_files(built, manifest) == []
    assert ran.stdout.splitlines()[-1].endswith(f"strop-overlay-pynq-z1-c{manifest.contract_version}.zip")

    assert make(tree, tools, "BOARD=pynq-z1").returncode == 0
    assert len(log.read_text(encoding="utf-8").splitlines()) == 3, "nothing had changed"
    assert make(tree, tools, "BOARD=pynq-z2", "BUILD=../build/other").returncode == 0
    assert [line.split()[0] for line in log.read_text(encoding="utf-8").splitlines()[3:]] == ["vivado"], "one kernel"
    with (tree / "hls" / "site.hpp").open("a", encoding="utf-8") as source:
        source.write("// edited\n")
    assert make(tree, tools, "BOARD=pynq-z1").returncode == 0
    steps = [line.split()[0] for line in log.read_text(encoding="utf-8").splitlines()]
    assert steps[4:] == ["v++", "vitis-run", "vivado"]
    assert read_manifest(built / "strop.json").kernel_digest != kernel_source_digest()


@pytest.mark.usefixtures("tclsh")
def test_missed_timing_leaves_no_overlay(tools: Path, tree: Path, tmp_path: Path) -> None:
    """Protects the end of the way: a build that failed is neither packed nor taken for finished by the next make."""
    pretend(tools, tmp_path, "kv260", setup_slack=-0.3)
    for _ in range(2):
        ran = make(tree, tools, "BOARD=kv260")
        assert ran.returncode == 2 and "the worst setup slack is -0.3 ns" in ran.stderr
    built = tree / "build" / "overlay" / "kv260"
    assert not (built / "strop.bit").exists() and not list(built.glob("*.zip"))
