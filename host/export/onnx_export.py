"""`export_onnx`: a model as an ONNX file."""

from __future__ import annotations

from pathlib import Path

from strop.host.atomic_file import why_not_writable, write_atomically
from strop.host.checked import file_path
from strop.host.checkpoint import Checkpoint
from strop.host.export.onnx_network import onnx_network
from strop.host.model import Model
from strop.runtime.errors import InputError


def export_onnx(model: Model | Checkpoint, path: str | Path) -> Path:
    """Write a model, or a checkpoint that was read, as an ONNX file with QDQ nodes; return its path.

    An earlier file at `path` stays until the new one is whole. Raises `InputError` where onnx is not installed, a layer
    was never trained, or `path` cannot be written.
    """
    found = model.checkpoint() if isinstance(model, Model) else model
    target = file_path(path)
    reason = why_not_writable(target)
    if reason is not None:
        raise InputError(f"cannot write {path}: {reason}")
    parts = list(onnx_network(found))
    try:
        return write_atomically(target, parts)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
