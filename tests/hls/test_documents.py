"""What the kernel's README says of the contract is what the contract says."""

from __future__ import annotations

import re
from pathlib import Path

import strop.hls
from strop.runtime.contract import C

README = Path(strop.hls.__file__).with_name("README.md")


def test_register_table_is_the_contracts() -> None:
    """Protects readers who write a driver from the table: every register, at its offset, and no other."""
    rows = re.findall(r"^\| (0x[0-9A-F]{2}) \| ([A-Z_]+) \|", README.read_text(encoding="utf-8"), flags=re.MULTILINE)
    documented = {name: int(offset, 16) for offset, name in rows}
    assert documented == {name[4:]: value for name, value in vars(C).items() if name.startswith("REG_")}


def test_every_source_is_in_the_table_of_files() -> None:
    """Protects the way in: a file of the kernel that the README does not name cannot be found by a newcomer."""
    named = set(re.findall(r"`([a-z0-9_./]+)`", README.read_text(encoding="utf-8")))
    files = {path.name for path in README.parent.iterdir() if path.suffix in (".h", ".hpp", ".cpp")}
    assert files - named == set()
