"""Trained networks for other programs: a C header for microcontrollers, and files of weights. One registry of formats.

| format | file | holds |
|---|---|---|
| "c-header" | .h | integers and loops: inference in C99 with nothing to link, logits equal to strop's |
| "onnx" | .onnx | QDQ: int8 weights, uint8 images in; ONNX Runtime computes the same integers; needs onnx |
| "safetensors" | .safetensors | float32 weights and batch normalization under PyTorch's names |
| "safetensors-folded" | .safetensors | float32 weights and biases with batch normalization folded in |
| "safetensors-int8" | .safetensors | int8 weights with exponents, shifts, multipliers and constants |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from strop.host.atomic_file import why_not_writable, write_atomically
from strop.host.checked import file_path, not_a_source
from strop.host.checkpoint import Checkpoint, read_checkpoint
from strop.host.export.c_header import c_header
from strop.host.export.onnx_network import onnx_network
from strop.host.export.weights import float_weights, folded_weights, integer_weights
from strop.runtime.errors import InputError

__all__ = ["FORMATS", "Format", "export_checkpoint"]


@dataclass(frozen=True)
class Format:
    """What a format is for people, and what makes its file of a checkpoint, part by part.

    `make` raises `InputError`, among them `NetworkError` for layers that the format cannot say. It imports what is an
    optional dependency itself, when it is called.
    """

    about: str
    make: Callable[[Checkpoint], Iterable[bytes]]


FORMATS: dict[str, Format] = {
    "c-header": Format("a C99 header that infers in integers, with nothing to link", c_header),
    "onnx": Format("ONNX with QDQ nodes, for ONNX Runtime and its like (needs onnx)", onnx_network),
    "safetensors": Format("float32 weights under PyTorch's names", float_weights),
    "safetensors-folded": Format("float32 weights and biases, batch normalization folded in", folded_weights),
    "safetensors-int8": Format("int8 weights with exponents, shifts and multipliers", integer_weights),
}


def export_checkpoint(checkpoint: Checkpoint | str | Path, format: str, path: str | Path) -> Path:
    """Write the network of a checkpoint (or of the file of one) at `path` in one of `FORMATS`; return the path.

    An earlier file at `path` stays until the new one is whole. A model has to be saved first (`Model.save`). Raises
    `InputError` for an unknown format, a path that cannot be written or is the checkpoint's, a network that was never
    trained or that the format cannot say, and what `read_checkpoint` raises.
    """
    if format not in FORMATS:
        raise InputError(f"format {format!r} is unknown; allowed are {', '.join(FORMATS)}")
    target = file_path(path)
    reason = why_not_writable(target)
    if reason is not None:
        raise InputError(f"cannot write {path}: {reason}")
    if isinstance(checkpoint, Checkpoint):
        found = checkpoint
    else:
        source = file_path(checkpoint)
        not_a_source(target, source)
        found = read_checkpoint(source)
    parts = list(FORMATS[format].make(found))
    try:
        return write_atomically(target, parts)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
