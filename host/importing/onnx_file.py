"""Opening an ONNX file that nobody vouches for: every size and every path is looked at before memory is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.host.importing.errors import ModelImportError

LEAST_OPSET = 9
MAX_FILE_BYTES = (1 << 31) - 1  # what protobuf can hold
MAX_PARAMETERS = 1 << 28  # more than a board's memory takes; each has a master, a momentum and a gradient


def require_onnx() -> Any:
    """Return the package onnx. Raises `ModelImportError` where it is not installed."""
    try:
        import onnx
        import onnx.shape_inference
    except ImportError as error:
        raise ModelImportError(f"ONNX files need the package onnx ({error}): pip install 'strop[onnx]'") from error
    return onnx


def open_onnx(path: str | Path) -> Any:
    """Return the `ModelProto` of a file, checked by onnx's own checker; its external data stays where it is.

    Raises `ModelImportError` for what is no whole and valid ONNX file of an opset from 9 on.
    """
    onnx, path = require_onnx(), Path(path).expanduser()
    if not path.is_file():
        raise ModelImportError(f"{path} {'is no file' if path.exists() else 'does not exist'}; pass an .onnx file")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ModelImportError(f"{path} is larger than 2 GB, the most that an ONNX file can be")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's own class, by version
        raise ModelImportError(f"{path} is no ONNX file, or a truncated one ({error}); export it again") from error
    if not model.graph.node or not model.opset_import:
        raise ModelImportError(f"{path} holds no network: no node, or no opset; it is no ONNX file, or a truncated one")
    opset = opset_of(model)
    if opset < LEAST_OPSET:
        raise ModelImportError(
            f"{path} is of opset {opset}; allowed: {LEAST_OPSET} and newer: export it again, or convert it by "
            "onnx.version_converter.convert_version(model, 17)"
        )
    if len(model.functions):
        model = _inlined(onnx, path, model)
    _check_sizes(path, model)
    try:
        onnx.checker.check_model(_without_external(model))
    except Exception as error:
        raise ModelImportError(f"{path} breaks the rules of ONNX: {_first_lines(error)}; export it again") from error
    return model


def opset_of(model: Any) -> int:
    """Return the version of ONNX's own operators that a model is written in."""
    return max((int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)


def array_of(tensor: Any, folder: Path) -> NDArray[Any]:
    """Return the array of a `TensorProto`, which may lie in a file in `folder`. Raises `ModelImportError`."""
    onnx = require_onnx()
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        tensor = _loaded(tensor, folder)
    try:
        array = onnx.numpy_helper.to_array(tensor)
    except Exception as error:
        raise ModelImportError(f"the tensor {tensor.name!r} cannot be read: {_first_lines(error)}") from error
    return np.asarray(array)


def _check_sizes(path: Path, model: Any) -> None:
    total = 0
    for tensor in model.graph.initializer:
        dims = [int(d) for d in tensor.dims]
        if any(d < 0 for d in dims):
            raise ModelImportError(f"{path}: the initializer {tensor.name!r} has the shape {dims}; export it again")
        count = 1
        for d in dims:
            count *= d  # exact: Python's integers
        total += count
    if total > MAX_PARAMETERS:
        raise ModelImportError(f"{path} has {total:,} parameters; allowed: {MAX_PARAMETERS:,}: take a smaller network")


def _loaded(tensor: Any, folder: Path) -> Any:
    """Return a copy of a tensor with its external data in it; only from a regular file below `folder`."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    name = entries.get("location", "")
    file = (folder / name).resolve()
    if not name or not file.is_relative_to(folder.resolve()):
        raise ModelImportError(
            f"the tensor {tensor.name!r} lies in {name!r}, outside the folder of the ONNX file; that is not allowed"
        )
    if not file.is_file():
        raise ModelImportError(f"the tensor {tensor.name!r} lies in {name}, which is missing: put it beside the file")
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", file.stat().st_size))
    except ValueError:
        offset = length = -1
    if offset < 0 or length < 0 or offset + length > file.stat().st_size:
        raise ModelImportError(f"the tensor {tensor.name!r} lies beyond the end of {name}: the file is truncated")
    with file.open("rb") as stream:
        stream.seek(offset)
        raw = stream.read(length)
    copy = type(tensor)()
    copy.CopyFrom(tensor)
    copy.ClearField("external_data")
    copy.data_location = 0
    copy.raw_data = raw
    return copy


def _without_external(model: Any) -> Any:
    """Return a model that onnx's checker may look at: external data is checked here, where it is read."""
    if not any(tensor.external_data for tensor in model.graph.initializer):
        return model
    copy = type(model)()
    copy.CopyFrom(model)
    kept = [tensor for tensor in copy.graph.initializer if not tensor.external_data]
    outside = [tensor for tensor in copy.graph.initializer if tensor.external_data]
    onnx = require_onnx()
    for tensor in outside:
        copy.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    del copy.graph.initializer[:]
    copy.graph.initializer.extend(kept)
    return copy


def _inlined(onnx: Any, path: Path, model: Any) -> Any:
    try:
        from onnx import inliner

        return inliner.inline_local_functions(model)
    except Exception as error:
        raise ModelImportError(f"{path} has functions that cannot be inlined: {_first_lines(error)}") from error


def _first_lines(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:300] + " ..."
