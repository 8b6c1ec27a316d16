"""`export_onnx`: a model as an ONNX file."""

from __future__ import annotations

from pathlib import Path

from strop.host.checkpoint import Checkpoint
from strop.host.export import export_checkpoint
from strop.host.model import Model


def export_onnx(model: Model | Checkpoint, path: str | Path) -> Path:
    """Write a model, or a checkpoint that was read, as an ONNX file with QDQ nodes; return its path.

    An earlier file at `path` stays until the new one is whole. Raises `InputError` where onnx is not installed, a layer
    was never trained, or `path` cannot be written.
    """
    return export_checkpoint(model.checkpoint() if isinstance(model, Model) else model, "onnx", path)
