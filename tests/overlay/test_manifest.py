"""strop.json, and the digest of what was synthesized."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from strop.hls import SOURCE_FOLDER
from strop.overlay.kernel_sources import kernel_sources
from strop.overlay.manifest import (
    FORMAT,
    Manifest,
    ManifestError,
    file_sha256,
    kernel_source_digest,
    read_manifest,
    verify_files,
    write_manifest,
)

DIGEST = "0123456789abcdef" * 4
GOOD: dict[str, Any] = {
    "board": "pynq-z2",
    "part": "xc7z020clg400-1",
    "clock_mhz": 100.0,
    "contract_version": 12,
    "numerics_version": 3,
    "kernel_digest": DIGEST,
    "tools": {"vivado": "2024.1"},
    "timing_slack_ns": 0.1,
    "utilization": {"luts": 1, "flip_flops": 2, "dsps": 3, "brams": 4.5, "urams": 0},
    "built": "2030-01-31",
    "files": {"strop.bit": DIGEST, "strop.hwh": DIGEST[::-1]},
}


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Protects every field, and that equal manifests give equal bytes."""
    path = tmp_path / "strop.json"
    manifest = Manifest(**GOOD)
    write_manifest(path, manifest)
    first = path.read_bytes()
    assert read_manifest(path) == manifest and manifest.format == FORMAT
    write_manifest(path, read_manifest(path))
    assert path.read_bytes() == first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "strop.overlay/2"}, "format 'strop.overlay/2'.*reads 'strop.overlay/1'"),
        ({"board": 7}, "board is 7; allowed: a text"),
        ({"contract_version": "3"}, "contract_version is '3'; allowed: a whole number"),
        ({"numerics_version": True}, "numerics_version is True; allowed: a whole number"),
        ({"clock_mhz": 0}, "clock_mhz is 0"),
        ({"clock_mhz": None}, "clock_mhz is None"),
        ({"timing_slack_ns": -0.001}, "timing_slack_ns is -0.001; allowed: 0 or more"),
        ({"timing_slack_ns": float("nan")}, "timing_slack_ns is nan"),
        ({"tools": ["vivado"]}, "tools is .*allowed: an object"),
        ({"tools": {"vivado": 2024.1}}, "tools: vivado is 2024.1"),
        ({"utilization": {"luts": 1}}, "utilization is"),
        ({"utilization": GOOD["utilization"] | {"dsps": "many"}}, "utilization: dsps is 'many'"),
        ({"kernel_digest": DIGEST[:-1]}, "kernel_digest is .*64 hexadecimal digits"),
        ({"built": "yesterday"}, "built is 'yesterday'"),
        ({"files": {"strop.bit": DIGEST, "../strop.hwh": DIGEST}}, "names a file '../strop.hwh'.*no paths"),
        ({"files": {"strop.bit": DIGEST, "/etc/passwd": DIGEST}}, "names a file '/etc/passwd'"),
        ({"files": {"strop.bit": DIGEST, "other.hwh": DIGEST}}, "names a file 'other.hwh'"),
        ({"files": {"strop.bit": DIGEST}}, "files is .*both strop.bit and strop.hwh"),
        ({"files": {"strop.bit": DIGEST, "strop.hwh": "0" * 63 + "x"}}, "files: strop.hwh is"),
    ],
)
def test_what_cannot_be_right_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Protects everything behind the door: built or read, a wrong manifest never exists."""
    path = tmp_path / "strop.json"
    path.write_text(json.dumps({**GOOD, "format": FORMAT, **change}), encoding="utf-8")
    with pytest.raises(ManifestError, match=f"strop.json: .*{message}"):
        read_manifest(path)
    with pytest.raises(ManifestError, match=message):
        Manifest(**{**GOOD, **change})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no JSON"),
        ("[]", "is no manifest"),
        ('{"board": "kv260"}', "does not say its format"),
        (json.dumps({**GOOD, "format": FORMAT, "size": 1}), r"unknown \['size'\]"),
        (json.dumps({name: GOOD[name] for name in GOOD if name != "part"} | {"format": FORMAT}), r"lacks \['part'\]"),
        ('{"format": "strop.overlay/9", "other": 1}', "strop.json: "),
    ],
)
def test_files_that_are_no_manifest_are_refused(text: str, message: str, tmp_path: Path) -> None:
    """Protects who points strop at another file: the error names the file and what it lacks."""
    path = tmp_path / "strop.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError, match=message):
        read_manifest(path)
    with pytest.raises(ManifestError, match="nothing.json: cannot be read: No such file"):
        read_manifest(tmp_path / "nothing.json")


def test_changed_and_missing_files_are_found(tmp_path: Path) -> None:
    """Protects a board from half an overlay, or from one that was damaged on its way."""
    for name in ("strop.bit", "strop.hwh"):
        (tmp_path / name).write_text(f"the {name}", encoding="utf-8")
    files = {name: file_sha256(tmp_path / name) for name in ("strop.bit", "strop.hwh")}
    manifest = dataclasses.replace(Manifest(**GOOD), files=files)
    assert verify_files(tmp_path, manifest) == []
    (tmp_path / "strop.hwh").write_text("the strop.hwH", encoding="utf-8")
    (tmp_path / "strop.bit").unlink()
    missing, changed = verify_files(tmp_path, manifest)
    assert missing == "strop.bit is missing"
    assert changed.startswith("strop.hwh has sha256 ") and files["strop.hwh"] in changed


def test_the_digest_covers_what_the_compiler_reads() -> None:
    """Protects the list of synthesized files: it is the one that a compiler makes with __SYNTHESIS__ defined."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    command = ["g++", "-std=c++14", "-D__SYNTHESIS__", "-MM", SOURCE_FOLDER / "kernel.cpp"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.replace("\\\n", " ").split()[1:]
    read = {Path(name).resolve().relative_to(SOURCE_FOLDER).as_posix() for name in listed}
    assert set(kernel_sources()) == read
    assert not any(name.startswith(("native/", "model/")) for name in read)


def test_the_digest_follows_the_sources(tmp_path: Path) -> None:
    """Protects the link from a bitstream to its sources: it sees an edit, and not what the emulator alone includes."""
    copy = tmp_path / "hls"
    shutil.copytree(SOURCE_FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = kernel_source_digest(copy)
    assert before == kernel_source_digest()
    with (copy / "native" / "lanes.hpp").open("a", encoding="utf-8") as emulator:
        emulator.write("// emulator\n")
    assert kernel_source_digest(copy) == before
    with (copy / "site.hpp").open("a", encoding="utf-8") as kernel:
        kernel.write("// kernel\n")
    assert kernel_source_digest(copy) != before


def test_a_missing_header_is_named(tmp_path: Path) -> None:
    """Protects against a digest over half of the sources."""
    (tmp_path / "kernel.cpp").write_text('#include "gone.hpp"\n', encoding="utf-8")
    with pytest.raises(FileNotFoundError, match=r"kernel.cpp includes 'gone.hpp'"):
        kernel_sources(tmp_path)


def test_conditions_are_followed_as_in_synthesis(tmp_path: Path) -> None:
    """Protects the little preprocessor: nested conditions, else branches, and conditions that it does not evaluate."""
    (tmp_path / "kernel.cpp").write_text(
        '#ifdef __SYNTHESIS__  // hardware\n#include "a.hpp"\n#else\n#include "no1.hpp"\n#endif\n'
        '#ifndef __SYNTHESIS__\n#if OTHER\n#include "no2.hpp"\n#endif\n#else\n#include "b.hpp"\n#endif\n'
        '#if OTHER\n#include "c.hpp"\n#else\n#include "d.hpp"\n#endif\n#include <vector>\n',
        encoding="utf-8",
    )
    for name in "abcd":
        (tmp_path / f"{name}.hpp").write_text('#include "a.hpp"\n', encoding="utf-8")
    assert kernel_sources(tmp_path) == ("a.hpp", "b.hpp", "c.hpp", "d.hpp", "kernel.cpp")
