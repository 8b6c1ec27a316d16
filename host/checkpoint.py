"""Checkpoints: one safetensors file with a network's whole state, how far its fit is, and digests of everything.

The arrays lie under their names in the state, those of the history under "history."; the manifest is JSON in the file's
metadata, beside its own digest. Nothing in a file is executed, and no size that it claims is believed before it was
compared with the file's.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from strop.host.atomic_file import why_not_writable, write_atomically
from strop.host.classes import check_rows
from strop.host.cursor import FitCursor, TrainingSettings
from strop.host.history import History
from strop.host.version import strop_version
from strop.runtime.contract import C
from strop.runtime.errors import CheckpointCorrupt, CheckpointError, CheckpointMismatch, LimitError, NetworkError
from strop.runtime.graph import LAYER_KINDS, NetworkGraph
from strop.runtime.state import StateLayout

FORMAT_VERSION = 1
LEARNER_FORMAT_VERSION = 2  # of files with a learner in them, which an earlier strop would not know how to go on with
MAX_HEADER_BYTES = 16 << 20
MANIFEST, MANIFEST_DIGEST = "strop.manifest", "strop.manifest.sha256"
HISTORY_PREFIX, LEARNER_PREFIX = "history.", "learner."
DTYPES = {
    name: np.dtype(kind)
    for name, kind in {"I32": "<i4", "U32": "<u4", "I64": "<i8", "F64": "<f8", "U8": "|u1", "U16": "<u2"}.items()
}

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class LearnerRecord:
    """A learner's part of a checkpoint (host/continual/): plain data, and arrays by name."""

    facts: dict[str, Any]
    arrays: Arrays


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: all that training needs to go on with the same next bytes, on any device.

    classes may be fewer than the network's outputs: the last ones are spare then (host/classes.py).
    """

    graph: NetworkGraph
    state: Arrays
    classes: tuple[str, ...]
    steps: int
    settings: TrainingSettings
    cursor: FitCursor | None
    history: History | None
    learner: LearnerRecord | None = None


def tensor_digest(array: NDArray[Any]) -> str:
    """Return sha256 (hex) of an array's bytes, little-endian, in C order."""
    return hashlib.sha256(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data).hexdigest()


def state_digest(state: Mapping[str, NDArray[Any]]) -> str:
    """Return sha256 (hex) of a state's lines "name dtype shape digest", one an array, sorted."""
    lines = [f"{name} {a.dtype.name} {list(a.shape)} {tensor_digest(a)}\n" for name, a in sorted(state.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def check_destination(path: str | Path) -> None:
    """Raise `CheckpointError` if no checkpoint could be written at `path`: better now than after hours of training."""
    reason = why_not_writable(path)
    if reason is not None:
        raise CheckpointError(f"cannot write a checkpoint to {path}: {reason}")


def write_checkpoint(path: str | Path, checkpoint: Checkpoint) -> Path:
    """Write `checkpoint` to `path` in one step; an earlier file there stays as it is until then. Return the path.

    Raises `CheckpointError` where that is not possible; the earlier file is intact then.
    """
    check_destination(path)
    arrays = {name: np.ascontiguousarray(array) for name, array in checkpoint.state.items()}
    if checkpoint.history is not None:
        arrays |= {HISTORY_PREFIX + name: array for name, array in checkpoint.history.arrays().items()}
    if checkpoint.learner is not None:
        learner = checkpoint.learner.arrays
        arrays |= {LEARNER_PREFIX + name: np.ascontiguousarray(array) for name, array in learner.items()}
    text = json.dumps(_manifest(checkpoint, arrays), sort_keys=True, allow_nan=False)
    if len(text) > MAX_HEADER_BYTES // 4:  # JSON in JSON takes more: quotes are escaped
        raise CheckpointError(
            f"the manifest has {len(text):,} characters; allowed: {MAX_HEADER_BYTES // 4:,}: shorten class names"
        )
    metadata = {MANIFEST: text, MANIFEST_DIGEST: hashlib.sha256(text.encode()).hexdigest()}
    data: bytes = safetensors.numpy.save(arrays, metadata)
    try:
        return write_atomically(path, [data])
    except OSError as error:
        raise CheckpointError(
            f"cannot write a checkpoint of {len(data):,} bytes to {path}: {error.strerror or error}; an earlier one "
            "there is as it was: make room or name another path, and save again"
        ) from error


def read_checkpoint(path: str | Path, graph: NetworkGraph | None = None) -> Checkpoint:
    """Read the checkpoint at `path`; with `graph`, only one of that network.

    Raises `CheckpointError` (no such file, no checkpoint), `CheckpointCorrupt` (naming the tensor),
    `CheckpointMismatch`.
    """
    try:
        with open(path, "rb") as file:
            header, data_at = _read_header(file, path)
            manifest = _read_manifest(header, path)
            _check_versions(manifest, path)
            return _read_body(file, header, data_at, manifest, graph, path)
    except OSError as error:
        raise CheckpointError(f"cannot read the checkpoint {path}: {error.strerror or error}") from error


def read_manifest(path: str | Path) -> dict[str, Any]:
    """Return a checkpoint's manifest; its own digest is checked, no tensor is read. Raises as `read_checkpoint`."""
    try:
        with open(path, "rb") as file:
            return _read_manifest(_read_header(file, path)[0], path)
    except OSError as error:
        raise CheckpointError(f"cannot read the checkpoint {path}: {error.strerror or error}") from error


def _manifest(checkpoint: Checkpoint, arrays: Arrays) -> dict[str, Any]:
    graph, cursor, history = checkpoint.graph, checkpoint.cursor, checkpoint.history
    version = FORMAT_VERSION if checkpoint.learner is None else LEARNER_FORMAT_VERSION
    data = {
        "format_version": version,
        "numerics_version": C.NUMERICS_VERSION,
        "contract_version": C.CONTRACT_VERSION,
        "strop_version": strop_version(),
        "network": graph.to_dict(),
        "network_digest": graph.digest(),
        "classes": list(checkpoint.classes),
        "steps": checkpoint.steps,
        "state_digest": state_digest(checkpoint.state),
        "settings": checkpoint.settings.to_dict(),
        "fit": None if cursor is None else cursor.to_dict(),
        "history": None if history is None else history.facts(),
        "tensors": {
            name: {"dtype": array.dtype.name, "shape": list(array.shape), "sha256": tensor_digest(array)}
            for name, array in arrays.items()
        },
    }
    return data if checkpoint.learner is None else {**data, "learner": checkpoint.learner.facts}


def _read_header(file: BinaryIO, path: str | Path) -> tuple[dict[str, Any], int]:
    """Return the safetensors header and where the data begin."""
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > MAX_HEADER_BYTES:
        raise CheckpointError(
            f"{path} is not a strop checkpoint: it does not begin with the header of a safetensors file"
        )
    if 8 + length > size:
        raise CheckpointCorrupt(f"{path} is truncated: its header ends at byte {8 + length}, the file at {size}")
    try:
        header = json.loads(file.read(length).decode())
    except (ValueError, RecursionError) as error:
        raise CheckpointCorrupt(f"{path}: the header is damaged, or this is no strop checkpoint ({error})") from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{path} is not a strop checkpoint: its header is no JSON object")
    return header, 8 + length


def _read_manifest(header: dict[str, Any], path: str | Path) -> dict[str, Any]:
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or not isinstance(metadata.get(MANIFEST), str):
        raise CheckpointError(f"{path} is not a strop checkpoint: its metadata have no {MANIFEST}")
    text: str = metadata[MANIFEST]
    try:
        if hashlib.sha256(text.encode()).hexdigest() != metadata.get(MANIFEST_DIGEST):
            raise CheckpointCorrupt(f"{path}: the manifest does not match its digest; take an earlier checkpoint")
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:  # also text that no UTF-8 can hold
        raise CheckpointCorrupt(f"{path}: the manifest is damaged ({error}); take an earlier checkpoint") from error
    if not isinstance(manifest, dict):
        raise CheckpointCorrupt(f"{path}: the manifest is no JSON object")
    return manifest


def _check_versions(manifest: dict[str, Any], path: str | Path) -> None:
    written = f"{path} was written by strop {manifest.get('strop_version')}"
    known = {
        "format_version": (FORMAT_VERSION, LEARNER_FORMAT_VERSION),
        "numerics_version": (C.NUMERICS_VERSION,),
    }
    for what, ours in known.items():
        theirs = manifest.get(what)
        if theirs not in ours:
            words = " and ".join(map(str, ours))
            raise CheckpointMismatch(
                f"{written} with {what.replace('_', ' ')} {theirs}; this strop has {words}: load it with the strop "
                "that wrote it, or train again"
            )


def _read_body(
    file: BinaryIO,
    header: dict[str, Any],
    data_at: int,
    manifest: dict[str, Any],
    expected: NetworkGraph | None,
    path: str | Path,
) -> Checkpoint:
    try:
        graph = _read_network(manifest, path)
        if expected is not None and expected.digest() != graph.digest():
            raise CheckpointMismatch(
                f"{path} holds {_name(graph)}, but {_name(expected)} was asked for: take a checkpoint of that network, "
                "or go on with the network that the file holds"
            )
        tensors: dict[str, Any] = manifest["tensors"]
        damaged = sorted((header.keys() - {"__metadata__"}) ^ tensors.keys())
        if damaged:
            raise CheckpointCorrupt(f"{path}: file and manifest do not both list the tensor {damaged[0]}")
        _check_places(header, path)
        arrays = {
            name: _read_tensor(file, name, header[name], tensors[name], data_at, path)
            for name in header
            if name in tensors
        }
        others = (HISTORY_PREFIX, LEARNER_PREFIX)
        state = {name: array for name, array in arrays.items() if not name.startswith(others)}
        if state_digest(state) != manifest["state_digest"]:
            raise CheckpointCorrupt(f"{path}: the state does not match its digest; take an earlier checkpoint")
        StateLayout(graph).check(state)
        return _assemble(graph, state, arrays, manifest, path)
    except KeyError as error:
        raise CheckpointCorrupt(f"{path}: the manifest is not one that strop writes: it lacks {error}") from error
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CheckpointCorrupt(f"{path}: the manifest is not one that strop writes: {error}") from error


def _read_network(manifest: dict[str, Any], path: str | Path) -> NetworkGraph:
    unknown = [layer["kind"] for layer in manifest["network"]["layers"] if layer["kind"] not in LAYER_KINDS]
    wrote = f"load it with the strop that wrote it ({manifest.get('strop_version')}), or train again"
    if unknown:
        raise CheckpointMismatch(
            f"{path} holds a network with a layer of kind {unknown[0]!r}; this strop has {', '.join(LAYER_KINDS)}: "
            f"{wrote}"
        )
    try:
        graph = NetworkGraph.from_dict(manifest["network"])
    except LimitError as error:
        raise CheckpointMismatch(f"{path} holds a network beyond the limits of this strop: {error}: {wrote}") from error
    except NetworkError as error:
        raise CheckpointCorrupt(f"{path}: the manifest's network is none: {error}") from error
    if graph.digest() != manifest["network_digest"]:
        raise CheckpointCorrupt(f"{path}: the network does not match its digest; take an earlier checkpoint")
    return graph


def _name(graph: NetworkGraph) -> str:
    return (
        f"the network {graph.name} (digest {graph.digest()[:12]}, input {list(graph.input)}, {graph.classes} classes)"
    )


def _check_places(header: dict[str, Any], path: str | Path) -> None:
    """Refuse tensors that lie over one another: read one by one they would take more memory than the file has bytes."""
    spans = sorted((*entry["data_offsets"], name) for name, entry in header.items() if name != "__metadata__")
    for (_, end, name), (start, _, following) in zip(spans, spans[1:], strict=False):
        if start < end:
            raise CheckpointCorrupt(f"{path}: {name} and {following} lie over one another")


def _read_tensor(
    file: BinaryIO, name: str, entry: dict[str, Any], listed: dict[str, Any], data_at: int, path: str | Path
) -> NDArray[Any]:
    """Read one tensor; its place and size must lie in the file before memory is taken for it."""
    shape, dtype = tuple(entry["shape"]), DTYPES.get(entry["dtype"])
    start, end = entry["data_offsets"]
    if dtype is None or (dtype.name, list(shape)) != (listed["dtype"], listed["shape"]):
        raise CheckpointCorrupt(f"{path}: {name} is {entry['dtype']}{list(shape)}, its manifest says {listed}")
    size = os.fstat(file.fileno()).st_size
    if (
        not all(isinstance(n, int) and n >= 0 for n in (*shape, start, end))
        or end - start != math.prod(shape) * dtype.itemsize
    ):
        raise CheckpointCorrupt(f"{path}: {name} of shape {list(shape)} cannot lie at bytes {start} to {end}")
    if data_at + end > size:
        raise CheckpointCorrupt(f"{path} is truncated: {name} ends at byte {data_at + end}, the file at {size}")
    file.seek(data_at + start)
    array = np.frombuffer(file.read(end - start), dtype).reshape(shape).astype(dtype.newbyteorder("="))
    if tensor_digest(array) != listed["sha256"]:
        raise CheckpointCorrupt(f"{path}: the bytes of {name} do not match their digest; take an earlier checkpoint")
    return array


def _assemble(
    graph: NetworkGraph, state: Arrays, arrays: Arrays, manifest: dict[str, Any], path: str | Path
) -> Checkpoint:
    cursor = None if manifest["fit"] is None else FitCursor.from_dict(manifest["fit"])
    history = None
    if manifest["history"] is not None:
        rows = {n.removeprefix(HISTORY_PREFIX): a for n, a in arrays.items() if n.startswith(HISTORY_PREFIX)}
        history = History.from_parts(manifest["history"], rows)
    classes = tuple(map(str, manifest["classes"]))
    check_rows(graph, state, len(classes))
    if not 1 <= len(classes) <= graph.classes or (
        cursor is not None and (history is None or len(history.steps) != cursor.done)
    ):
        raise ValueError(f"{len(classes)} classes, or a history that does not reach the fit's cursor")
    settings, steps = TrainingSettings.from_dict(manifest["settings"]), manifest["steps"]
    if type(steps) is not int or steps < (0 if cursor is None else cursor.done):
        raise CheckpointCorrupt(
            f"{path}: steps is {steps!r} in the manifest; it counts all training steps, the fit's too"
        )
    _check_settings("settings", settings, graph, path)
    if cursor is not None:
        _check_settings("fit.settings", cursor.settings, graph, path)
    learner = None
    if manifest.get("learner") is not None:
        prefix = LEARNER_PREFIX
        mine = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        learner = LearnerRecord(dict(manifest["learner"]), mine)
    return Checkpoint(graph, state, classes, steps, settings, cursor, history, learner)


def _check_settings(field: str, settings: TrainingSettings, graph: NetworkGraph, path: str | Path) -> None:
    least = settings.hyper.least_batch
    if not least <= settings.batch <= C.MAX_BATCH:
        raise CheckpointCorrupt(
            f"{path}: {field}.batch is {settings.batch} in the manifest; allowed: {least} to {C.MAX_BATCH}"
        )
    layers = [node.name for node in graph.weighted]
    unknown = sorted(settings.frozen.difference(layers))
    if unknown:
        raise CheckpointCorrupt(
            f"{path}: {field}.frozen names {unknown[0]!r} in the manifest; the network has {', '.join(layers)}"
        )
