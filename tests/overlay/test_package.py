"""Packaging: from what Vivado leaves to a zip that can be installed, and everything that must stop it."""

from __future__ import annotations

import datetime
import re
import zipfile
from pathlib import Path

import pytest

from strop.overlay import package as module
from strop.overlay.boards import BOARDS
from strop.overlay.hwh import HwhError
from strop.overlay.manifest import file_sha256, kernel_source_digest, read_manifest, verify_files
from strop.overlay.package import PackageError, main, package
from strop.overlay.registers import contract_versions
from test_hwh import hwh_text

FACTS = """vivado 2024.1
vitis_hls 2023.2
setup_slack_ns 0.25
hold_slack_ns 0.01
luts 31415
flip_flops 27182
dsps 161
brams 99.5
urams 0
"""
TODAY = datetime.date(2030, 1, 31)


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A folder as a build for the PYNQ-Z2 leaves it."""
    folder = tmp_path / "built"
    folder.mkdir()
    (folder / "strop.bit").write_bytes(bytes(range(256)) * 100)
    (folder / "strop.hwh").write_text(hwh_text(BOARDS["pynq-z2"]), encoding="utf-8")
    (folder / "facts.txt").write_text(FACTS, encoding="utf-8")
    (folder / "kernel.sha256").write_text(kernel_source_digest() + "\n", encoding="utf-8")
    return folder


def test_the_zip_holds_an_overlay_and_nothing_else(built: Path, tmp_path: Path) -> None:
    """Protects what users install: three files, the manifest true of the other two and of the kernel."""
    contract, numerics = contract_versions()
    archive = package(BOARDS["pynq-z2"], built, TODAY)
    assert archive == built / f"strop-overlay-pynq-z2-c{contract}.zip"
    with zipfile.ZipFile(archive) as opened:
        assert opened.namelist() == ["strop.bit", "strop.hwh", "strop.json"]
        opened.extractall(tmp_path / "installed")
    manifest = read_manifest(tmp_path / "installed" / "strop.json")
    assert verify_files(tmp_path / "installed", manifest) == []
    assert (manifest.board, manifest.part, manifest.clock_mhz) == ("pynq-z2", "xc7z020clg400-1", 100.0)
    assert (manifest.contract_version, manifest.numerics_version) == (contract, numerics)
    assert manifest.kernel_digest == kernel_source_digest()
    assert manifest.tools == {"vivado": "2024.1", "vitis_hls": "2023.2"}
    assert (manifest.timing_slack_ns, manifest.built) == (0.25, "2030-01-31")
    assert manifest.utilization == {"luts": 31415, "flip_flops": 27182, "dsps": 161, "brams": 99.5, "urams": 0}


def test_equal_builds_give_equal_zips(built: Path) -> None:
    """Protects the sha256 that is published with a zip: it does not depend on when the files were written."""
    first = file_sha256(package(BOARDS["pynq-z2"], built, TODAY))
    for path in built.iterdir():
        path.touch()
    assert file_sha256(package(BOARDS["pynq-z2"], built, TODAY)) == first
    (built / "strop.bit").write_bytes(b"another")
    assert file_sha256(package(BOARDS["pynq-z2"], built, TODAY)) != first


@pytest.mark.parametrize("name", ["strop.bit", "strop.hwh", "facts.txt", "kernel.sha256"])
def test_a_missing_file_is_named(name: str, built: Path) -> None:
    """Protects against packing half a build."""
    (built / name).unlink()
    with pytest.raises(PackageError, match=f"{name} is missing; `make -C overlay BOARD=pynq-z2` makes it"):
        package(BOARDS["pynq-z2"], built, TODAY)


def test_a_design_that_differs_is_refused(built: Path) -> None:
    """Protects boards from an overlay for another one, and from one without its interrupt: all that differs is told."""
    with pytest.raises(PackageError, match="is not a design for ZCU104:\n  the PS is processing_system7") as error:
        package(BOARDS["zcu104"], built, TODAY)
    assert len(str(error.value).splitlines()) > 3
    (built / "strop.hwh").write_text(
        hwh_text(BOARDS["pynq-z2"]).replace('INSTANCE="axi_intc_0" PORT="intr"', 'INSTANCE="x" PORT="y"'),
        encoding="utf-8",
    )
    with pytest.raises(PackageError, match="the kernel's interrupt does not reach the PS"):
        package(BOARDS["pynq-z2"], built, TODAY)
    (built / "strop.hwh").write_text("<html/>", encoding="utf-8")
    with pytest.raises(HwhError, match="is no .hwh"):
        package(BOARDS["pynq-z2"], built, TODAY)
    assert not list(built.glob("*.zip")) and not (built / "strop.json").exists()


def test_sources_that_changed_since_are_refused(built: Path) -> None:
    """Protects the manifest's digest: it is that of what was synthesized, not of what lies there now."""
    (built / "kernel.sha256").write_text("0" * 64 + "\n", encoding="utf-8")
    with pytest.raises(PackageError, match="the kernel's sources changed since they were synthesized.*build again"):
        package(BOARDS["pynq-z2"], built, TODAY)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("luts 31415\n", "", r"lacks \['luts'\]"),
        ("urams 0\n", "urams 0\nspeed 3\n", r"unknown \['speed'\]"),
        ("luts 31415", "luts many", "luts is 'many'; a number was expected"),
        ("luts 31415", "luts", "facts.txt:5: 'luts' is no name and value"),
        ("setup_slack_ns 0.25", "setup_slack_ns -0.25", "timing_slack_ns is -0.25"),
        ("hold_slack_ns 0.01", "hold_slack_ns -0.01", "hold timing is not met"),
    ],
)
def test_facts_that_cannot_be_right_are_refused(old: str, new: str, message: str, built: Path) -> None:
    """Protects the manifest from a report that was misread, and boards from missed timing."""
    (built / "facts.txt").write_text(FACTS.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        package(BOARDS["pynq-z2"], built, TODAY)
    assert not list(built.glob("*.zip"))


def test_the_command_prints_the_sha256(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Protects what a person publishes: the printed digest is the zip's."""
    assert main(["pynq-z2", str(built)]) == 0
    said = re.fullmatch(r"([0-9a-f]{64})  (.*\.zip)\n", capsys.readouterr().out)
    assert said is not None and file_sha256(Path(said[2])) == said[1]
    assert main(["pynq-z2", str(built / "nothing")]) == 1
    assert "strop: " in capsys.readouterr().err
    assert main(["pynq-z9", str(built)]) == 2
    assert "known boards" in capsys.readouterr().err


def test_built_is_todays_date(built: Path) -> None:
    """Protects the date in the manifest: the command takes it from the clock, in UTC."""
    before = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    assert module.main(["pynq-z2", str(built)]) == 0
    after = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    assert before <= read_manifest(built / "strop.json").built <= after
