"""What overlay/README.md says is what the code says."""

from __future__ import annotations

import re

from dry_run import SCRIPTS
from strop.overlay.boards import BOARDS

FOLDER = SCRIPTS.parent
README = (FOLDER / "README.md").read_text(encoding="utf-8")


def test_the_boards_are_those_of_the_table() -> None:
    """Protects who chooses a board by the README: part, clock, array, ports, and what nobody has verified."""
    rows = re.findall(
        r"^\| `([\w-]+)` \| ([\w-]+) \| (.*?) \| (\d+) MHz \| ([\d,]+) MAC/cycle \| 4 x (\d+) bits \| (.*?) \|$",
        README,
        re.MULTILINE,
    )
    assert [row[0] for row in rows] == list(BOARDS)
    for name, part, kernel, clock, macs, bits, image in rows:
        spec = BOARDS[name]
        assert (part, clock, macs) == (spec.part, str(spec.clock_mhz), f"{spec.array_macs:,}")
        assert int(bits) == 8 * spec.port_bytes and len(spec.memory_ports) == 4
        assert kernel == ("own" if spec.hls_board == name else f"that of `{spec.hls_board}`")
        assert spec.image.startswith(image.removesuffix(" [unverified]"))
        assert image.endswith("[unverified]") == ("image" in spec.unverified)


def test_every_file_is_named() -> None:
    """Protects the way in: a newcomer finds each file of the folder in the README."""
    named = {name.rpartition("/")[2] for name in re.findall(r"`([\w./]+)`", README)}
    files = {path.name for path in [*FOLDER.glob("*.py"), *FOLDER.glob("*.json"), *SCRIPTS.iterdir()]}
    assert files - named == {"__init__.py"}


def test_what_was_not_run_is_said() -> None:
    """Protects readers from taking a mock for Vivado: scripts, Makefile and README say it in these words."""
    for path in (FOLDER / "README.md", FOLDER / "Makefile", SCRIPTS / "build.tcl"):
        assert "Not run here:" in path.read_text(encoding="utf-8").replace("*", ""), path.name
