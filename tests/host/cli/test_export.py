"""`strop export`: the file that the library writes, and what is refused before one is."""

from __future__ import annotations

import pytest

from strop.host.export import export_checkpoint


@pytest.mark.parametrize("form", ["c-header", "safetensors"])
def test_the_command(cli, tiny_checkpoint, form):
    """The command writes what the function writes, tells where, and replaces nothing unasked."""
    ran = cli("export", tiny_checkpoint, "--format", form, "-o", "out", "--json")
    assert ran.code == 0 and ran.document["schema"] == "strop.export/1" and ran.document["network"] == "tiny"
    with open("out", "rb") as file:
        written = file.read()
    assert written == export_checkpoint(tiny_checkpoint, form, "other").read_bytes()
    assert ran.document["file_bytes"] == len(written)
    again = cli("export", tiny_checkpoint, "--format", form, "-o", "out")
    assert again.code == 4 and "--force" in again.err
    assert cli("export", tiny_checkpoint, "--format", form, "-o", "out", "--force").code == 0
    for words in ((), ("--force",)):
        itself = cli("export", tiny_checkpoint, "--format", form, "-o", tiny_checkpoint, *words)
        assert itself.code == 4 and "name another file" in itself.err
    assert cli("export", tiny_checkpoint, "--format", "paper", "-o", "out").code == 2
