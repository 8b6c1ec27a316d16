"""Checkpoints: what goes in comes out, what is damaged is noticed, and what was there survives a failed write."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors

from strop.host import atomic_file
from strop.host.checkpoint import (
    Checkpoint,
    check_destination,
    read_checkpoint,
    read_manifest,
    state_digest,
    write_checkpoint,
)
from strop.host.cursor import FitCursor, TrainingSettings, mark
from strop.host.models import initial_state
from strop.host.schedules import Cosine
from strop.host.version import strop_version
from strop.runtime.contract import C
from strop.runtime.errors import CheckpointCorrupt, CheckpointError, CheckpointMismatch
from strop.runtime.hyperparameters import Hyperparameters
from tiny_models import CLASSES, HISTORY, tiny_dataset, tiny_graph

SETTINGS = TrainingSettings(2, Hyperparameters(0.5, 0.001), frozenset({"conv1"}))
CURSOR = FitCursor(
    SETTINGS, 0.1, Cosine(), 7, 10, 2, mark(tiny_dataset()), 4, {"batch": "auto"}, {"batch": "x"}, done=3
)
CHECKPOINT = Checkpoint(tiny_graph(), initial_state(tiny_graph(), 1), CLASSES, 33, SETTINGS, CURSOR, HISTORY)
NEVER_FIT = replace(CHECKPOINT, cursor=None, history=None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that holds CHECKPOINT."""
    return write_checkpoint(tmp_path / "tiny.safetensors", CHECKPOINT)


def same(a: Checkpoint, b: Checkpoint) -> bool:
    """Whether two checkpoints hold the same, arrays compared by dtype, shape and bytes."""
    facts = [(c.graph, c.classes, c.steps, c.settings, c.cursor, c.history, c.state.keys()) for c in (a, b)]
    return facts[0] == facts[1] and state_digest(a.state) == state_digest(b.state)


def header_of(path: Path) -> dict[str, Any]:
    """The JSON header of a safetensors file."""
    data = path.read_bytes()
    header: dict[str, Any] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return header


def with_header(path: Path, header: Any) -> None:
    """Replace the header of a safetensors file."""
    data = path.read_bytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + int.from_bytes(data[:8], "little") :])


def with_manifest(path: Path, change: Callable[[dict[str, Any]], object], sign: bool = True) -> None:
    """Edit the manifest in a checkpoint, as somebody who also renews its digest would."""
    header = header_of(path)
    manifest = json.loads(header["__metadata__"]["strop.manifest"])
    change(manifest)
    text = json.dumps(manifest, sort_keys=True)
    header["__metadata__"]["strop.manifest"] = text
    if sign:
        header["__metadata__"]["strop.manifest.sha256"] = hashlib.sha256(text.encode()).hexdigest()
    with_header(path, header)


@pytest.mark.parametrize("checkpoint", [CHECKPOINT, NEVER_FIT])
def test_what_goes_in_comes_out(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Protects everything that training goes on from."""
    loaded = read_checkpoint(write_checkpoint(tmp_path / "file", checkpoint))
    assert same(loaded, checkpoint)
    assert all(array.flags.writeable and array.dtype.isnative for array in loaded.state.values())


def test_any_reader_of_safetensors_can_read_it(path: Path) -> None:
    """Protects exchange: the arrays lie under their names, and the manifest is JSON in the metadata."""
    with safetensors.safe_open(path, "np") as file:
        assert {name for name in file.keys() if not name.startswith("history.")} == CHECKPOINT.state.keys()  # noqa: SIM118
        assert np.array_equal(file.get_tensor("conv1.weight"), CHECKPOINT.state["conv1.weight"])
        manifest = json.loads(file.metadata()["strop.manifest"])
    assert manifest == read_manifest(path)
    assert manifest["numerics_version"] == C.NUMERICS_VERSION
    assert manifest["strop_version"] == strop_version()
    assert manifest["state_digest"] == state_digest(CHECKPOINT.state)
    assert manifest["network_digest"] == tiny_graph().digest()
    weight = CHECKPOINT.state["conv1.weight"]
    assert manifest["tensors"]["conv1.weight"] == {
        "dtype": "int32",
        "shape": [4, 1, 3, 3],
        "sha256": hashlib.sha256(weight.tobytes()).hexdigest(),
    }
    assert (manifest["fit"]["epoch"], manifest["fit"]["step_in_epoch"]) == (1, 1)


def test_state_digest_depends_on_everything() -> None:
    """Protects the digest that two runs are compared by: a value, a name, a shape and a dtype each change it."""
    state = {"a": np.arange(4, dtype=np.int32), "b": np.zeros(1, np.uint32)}
    others = [
        {**state, "a": np.array([0, 1, 2, 4], np.int32)},
        {"c": state["a"], "b": state["b"]},
        {**state, "a": state["a"].reshape(2, 2)},
        {**state, "a": state["a"].view(np.uint32)},
        {"a": state["a"]},
    ]
    assert len({state_digest(s) for s in [state, *others]}) == 6
    assert state_digest(dict(reversed(state.items()))) == state_digest(state)
    assert state_digest({**state, "a": state["a"].astype(">i4")}) == state_digest(state)


def test_every_edited_byte_is_noticed(path: Path) -> None:
    """Protects against a bad disk: any one flipped bit is refused, or changes nothing of what is loaded."""
    good = path.read_bytes()
    dice = random.Random(0)
    header = 8 + int.from_bytes(good[:8], "little")
    places = [*range(12), *dice.sample(range(header), 150), *dice.sample(range(header, len(good)), 50), len(good) - 1]
    refused = 0
    for place in places:
        damaged = bytearray(good)
        damaged[place] ^= 1 << dice.randrange(8)
        path.write_bytes(damaged)
        try:
            assert same(read_checkpoint(path), CHECKPOINT), f"byte {place}"
        except CheckpointError:
            refused += 1
    assert refused > 0.9 * len(places)


def test_every_truncation_is_noticed(path: Path) -> None:
    """Protects against a copy that was broken off: every shorter file is refused as a checkpoint."""
    good = path.read_bytes()
    for length in [*range(12), *random.Random(0).sample(range(len(good)), 60), len(good) - 1]:
        path.write_bytes(good[:length])
        with pytest.raises(CheckpointError):
            read_checkpoint(path)


def test_a_damaged_tensor_is_named(path: Path) -> None:
    """Protects the person who looks for the damage."""
    good, header = path.read_bytes(), header_of(path)
    data_at = 8 + int.from_bytes(good[:8], "little")
    for name in ("conv1.weight", "bn2.running_sigma", "history.step.result"):
        damaged = bytearray(good)
        damaged[data_at + header[name]["data_offsets"][0]] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(CheckpointCorrupt, match=f"{name} do not match"):
            read_checkpoint(path)
    last = max((n for n in header if n != "__metadata__"), key=lambda n: int(header[n]["data_offsets"][1]))
    path.write_bytes(good[:-1])
    with pytest.raises(CheckpointCorrupt, match=f"truncated: {last} ends"):
        read_checkpoint(path)


def test_headers_are_not_believed(path: Path) -> None:
    """Protects small boards: a header's claims of size are compared with the file before memory is taken."""
    good = header_of(path)

    def tensor(**changes: Any) -> dict[str, Any]:
        return {**good, "conv1.weight": {**good["conv1.weight"], **changes}}

    for header in (
        tensor(data_offsets=[0, 1 << 60]),
        tensor(data_offsets=[-144, 0]),
        tensor(data_offsets=[0.5, 144.5]),
        tensor(data_offsets=[0]),
        tensor(shape=[1 << 40]),
        tensor(shape=None),
        tensor(dtype="F16"),
        {**good, "conv1.weight": None},
        {k: v for k, v in good.items() if k != "conv1.weight"},
        {**good, "conv9.weight": good["conv1.weight"]},
    ):
        with_header(path, header)
        with pytest.raises(CheckpointCorrupt):
            read_checkpoint(path)
    for claimed in (1 << 63, 17 << 20):
        path.write_bytes(claimed.to_bytes(8, "little") + b"{}")
        with pytest.raises(CheckpointError):
            read_checkpoint(path)
    path.write_bytes((1 << 20).to_bytes(8, "little") + b"[" * (1 << 20))
    with pytest.raises(CheckpointError):
        read_checkpoint(path)


def test_manifests_that_strop_does_not_write_are_refused(path: Path) -> None:
    """Protects against an editor with good intentions, even one who renews the digest."""
    good = path.read_bytes()
    with_manifest(path, lambda m: m["fit"].update(learning_rate=0.2), sign=False)
    with pytest.raises(CheckpointCorrupt, match="manifest does not match its digest"):
        read_checkpoint(path)
    edits: list[Callable[[dict[str, Any]], object]] = [
        lambda m: m.pop("network"),
        lambda m: m["network"]["layers"].pop(),
        lambda m: m["network"].update(border=3),
        lambda m: m.update(state_digest="0" * 64),
        lambda m: m["fit"].update(done=2),
        lambda m: m["fit"].update(schedule={"kind": "x"}),
        lambda m: m.update(history=None),
        lambda m: m["settings"].update(momentum=[]),
        lambda m: m.update(classes=["a"]),
        lambda m: m.update(classes=["a", "b", "c", "d"]),
        lambda m: m.update(classes=[]),
        lambda m: m.update(tensors=[]),
    ]
    for edit in edits:
        path.write_bytes(good)
        with_manifest(path, edit)
        with pytest.raises(CheckpointCorrupt):
            read_checkpoint(path)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m.update(steps=-5), "steps is -5"),
        (lambda m: m.update(steps=2), "steps is 2"),  # its fit has trained 3
        (lambda m: m.update(steps="7"), "steps is '7'"),
        (lambda m: m["settings"].update(batch=-3), r"[^.]settings\.batch is -3"),
        (lambda m: m["settings"].update(batch=1 << 30), r"[^.]settings\.batch is 1073741824"),
        (lambda m: m["settings"].update(frozen=["nope"]), r"[^.]settings\.frozen names 'nope'.* conv1, fc1, fc2"),
        (lambda m: m["fit"]["settings"].update(batch=1), r"fit\.settings\.batch is 1"),
        (lambda m: m["fit"]["settings"].update(frozen=["bn1"]), r"fit\.settings\.frozen names 'bn1'"),
        (lambda m: m["settings"].update(momentum=1.0), "momentum is 1.0; allowed"),
        (lambda m: m.pop("steps"), "lacks 'steps'"),
    ],
)
def test_fields_that_cannot_be_are_named(edit: Callable[[dict[str, Any]], object], message: str, path: Path) -> None:
    """Protects a later fit from a strange failure: the file and the field are told when it is loaded."""
    with_manifest(path, edit)
    with pytest.raises(CheckpointCorrupt, match=f"tiny.safetensors.*{message}"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda n: n["layers"][2].update(kind="gelu"), "layer of kind 'gelu'; this strop has .*relu.*that wrote it"),
        (lambda n: n["layers"][0].update(channels=1 << 20), "beyond the limits of this strop: tiny, layer conv1"),
    ],
)
def test_networks_of_later_versions_are_no_damage(edit: Callable[[Any], object], message: str, path: Path) -> None:
    """Protects who has two versions of strop: the file is whole, the other strop can load it."""
    with_manifest(path, lambda m: edit(m["network"]))
    with pytest.raises(CheckpointMismatch, match=message):
        read_checkpoint(path)


def test_other_versions_are_named(path: Path) -> None:
    """Protects the promise of equal bytes: what another arithmetic made is refused, and both versions are told."""
    good = path.read_bytes()
    for key in ("numerics_version", "format_version"):
        path.write_bytes(good)
        with_manifest(path, lambda m, key=key: m.update({key: 99}))  # type: ignore[misc]
        ours = C.NUMERICS_VERSION if key.startswith("numerics") else 1
        with pytest.raises(CheckpointMismatch, match=f"{key.replace('_', ' ')} 99; this strop has {ours}"):
            read_checkpoint(path)


def test_another_network_is_named(path: Path) -> None:
    """Protects who asked for one network and got a file of another: both are told."""
    assert same(read_checkpoint(path, tiny_graph()), CHECKPOINT)
    ours, theirs = tiny_graph().digest()[:12], tiny_graph(9).digest()[:12]
    with pytest.raises(CheckpointMismatch, match=f"{ours}.*{theirs}"):
        read_checkpoint(path, tiny_graph(9))


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00" + bytes(200), bytes(8), b"\x02" + bytes(7) + b"[]"]
)
def test_what_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    """Protects users who name the wrong file."""
    (tmp_path / "file").write_bytes(content)
    for read in (read_checkpoint, read_manifest):
        with pytest.raises(CheckpointError):
            read(tmp_path / "file")


def test_safetensors_of_others_are_refused(tmp_path: Path) -> None:
    """Protects users who name a file of weights from elsewhere."""
    from safetensors.numpy import save_file

    save_file({"conv1.weight": np.zeros(3, np.int32)}, tmp_path / "file", {"format": "pt"})
    with pytest.raises(CheckpointError, match="is not a strop checkpoint"):
        read_checkpoint(tmp_path / "file")


def test_missing_files_and_folders_are_told(tmp_path: Path) -> None:
    """Protects users from a bare FileNotFoundError."""
    with pytest.raises(CheckpointError, match="cannot read the checkpoint .*No such file"):
        read_checkpoint(tmp_path / "missing")
    with pytest.raises(CheckpointError, match="cannot read the checkpoint .*directory"):
        read_checkpoint(tmp_path)
    for function in (check_destination, lambda path: write_checkpoint(path, CHECKPOINT)):
        with pytest.raises(CheckpointError, match="mkdir -p"):
            function(tmp_path / "missing" / "file")
        with pytest.raises(CheckpointError, match="is a folder"):
            function(tmp_path)


def test_a_full_disk_leaves_the_earlier_checkpoint(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the good checkpoint: the disk is full half-way, the message says so, and the file is as it was."""
    write = os.write

    def full(descriptor: int, data: Any) -> int:
        if len(data) < 1000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[: len(data) // 2])

    monkeypatch.setattr(atomic_file.os, "write", full)
    with pytest.raises(CheckpointError, match="No space left on device; an earlier one there is as it was"):
        write_checkpoint(path, NEVER_FIT)
    assert same(read_checkpoint(path), CHECKPOINT)
    assert os.listdir(path.parent) == [path.name]


def test_tensors_over_one_another_are_refused(path: Path) -> None:
    """Protects memory: a small file whose tensors all lie in one place would take as much as it claims to hold."""
    header = header_of(path)
    names = [name for name in header if name != "__metadata__" and header[name]["shape"] == [4]]
    header[names[1]]["data_offsets"] = header[names[0]]["data_offsets"]
    with_header(path, header)
    with pytest.raises(CheckpointCorrupt, match="lie over one another"):
        read_checkpoint(path)
