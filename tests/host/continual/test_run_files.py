"""The files of a run: names that no two runs share, and records that stay when the rest goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from run_records import run_record
from strop.host.continual.run import progress_path
from strop.host.continual.run_files import RunFiles, records_in
from strop.runtime.errors import CheckpointError, CheckpointMismatch, DataError

SETTINGS = dict(run_record().settings)


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    return RunFiles(tmp_path, "A benchmark (données/x, 9 each)", "ewc:strength=0.5+replay", 9, 3)


def test_names(files):
    """Plain letters, whatever a data set is called; each part of the run is in the name."""
    assert files.record.name == "a-benchmark-donn-es-x-9-each-ewc-strength=0.5+replay-9-seed3.json"
    assert files.checkpoint.name == files.record.name.replace(".json", ".safetensors")
    assert progress_path(files.checkpoint).name == files.record.name.replace(".json", ".progress.json")
    assert RunFiles(files.folder, "b", "naive", None, 0).label == "naive-seed0"


def test_finished(files):
    """A record comes back if it is of the same settings; the run's checkpoint goes when it is there."""
    assert files.finished(SETTINGS) is None and not files.any
    files.checkpoint.write_bytes(b"x")
    progress_path(files.checkpoint).write_bytes(b"x")
    assert files.any
    files.finish(run_record())
    assert [path.name for path in files.folder.iterdir()] == [files.record.name]
    assert files.any and files.finished(SETTINGS) == run_record()
    with pytest.raises(CheckpointMismatch, match="batch was 32, now is 33"):
        files.finished({**SETTINGS, "batch": 33})
    files.record.write_text("no record")
    with pytest.raises(DataError, match="seed3.json"):
        files.finished(SETTINGS)


def test_broken_off(files):
    """A checkpoint alone cannot tell whose it is; with other settings the run is another."""
    assert not files.broken_off(SETTINGS)
    files.checkpoint.write_bytes(b"x")
    with pytest.raises(CheckpointError, match="cannot be read .*remove its checkpoint to begin anew"):
        files.broken_off(SETTINGS)
    for wrong in (b"[]", b"{}", b'{"settings": 3}', b"\xff"):
        progress_path(files.checkpoint).write_bytes(wrong)
        with pytest.raises(CheckpointError, match="cannot be read"):
            files.broken_off(SETTINGS)
    progress_path(files.checkpoint).write_text(json.dumps({"settings": SETTINGS}))
    assert files.broken_off(SETTINGS)
    with pytest.raises(CheckpointMismatch, match=r"frozen was \['conv1'\], now is none"):
        files.broken_off({**SETTINGS, "frozen": []})


def test_records_of_a_folder(files):
    """In the order of their names; runs under way are no records, and what is none is told of."""
    RunFiles(files.folder, "b", "naive", None, 1).finish(run_record(seed=1))
    RunFiles(files.folder, "b", "naive", None, 0).finish(run_record(seed=0))
    progress_path(files.checkpoint).write_text("{}")
    (files.folder / "other.json").write_text("{}")
    records, others = records_in(files.folder)
    assert [record.seed for record in records] == [0, 1]
    (other,) = others
    assert "other.json: no record of a run" in other
