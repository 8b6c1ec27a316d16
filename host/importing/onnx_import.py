"""`import_onnx`: an ONNX file to a model in int8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from strop.host.checked import file_path
from strop.host.data.dataset import Dataset
from strop.host.importing.errors import ModelImportError
from strop.host.importing.importer import Original, prepared, to_model
from strop.host.importing.onnx_reader import Layout, read_onnx
from strop.host.importing.pixels import Normalization
from strop.host.importing.report import Imported
from strop.host.quantization import OnStage
from strop.runtime.device import Device
from strop.runtime.graph import Shape

RUN_BATCH = 128


def import_onnx(
    path: str | Path,
    *,
    calibration: NDArray[np.uint8] | Dataset,
    test: Dataset | None = None,
    mean: ArrayLike = 0.0,
    std: ArrayLike = 1.0,
    scale: float = 1.0 / 255.0,
    input_shape: Shape | None = None,
    output: str | None = None,
    classes: tuple[str, ...] | None = None,
    statistics: str = "auto",
    border: str = "exact",
    device: str | Device = "auto",
    threads: int | None = None,
    on_stage: OnStage | None = None,
) -> Imported:
    """Return the network of an ONNX file as a model that predicts in int8 and trains on.

    calibration: images uint8 [n, C, H, W] as the network will see them, some hundreds; without labels will do. Of a
    `Dataset` 512 are taken, the same each time (`Dataset.take` with seed 0). test: what to measure float and int8 on,
    other images than those; without it they are measured on the calibration images. mean, std, scale: the network takes
    (pixel * scale - mean) / std, pixels from 0 to 255; one number, or one a channel. input_shape: (channels, height,
    width) where the file takes flat samples or leaves it open. output: the value that is the logits; by default the
    first output that is no label, less a softmax. classes: their names; by default those of the data. statistics:
    "float", "int8" (`quantization.quantize`), or "auto", what answers more like the float network. border: "exact" puts
    a layer in front of a first convolution whose padding would not be the network's zero otherwise; "nearest" pads with
    black or mid-grey. on_stage: called with what is done, how far, and of how much.

    Raises `UnsupportedNodes`, with every node that has no counterpart in strop, `ModelImportError` for files that
    cannot be imported or run, and what `quantize` and `Model` raise. There is no half of an import.
    """
    path = file_path(path)
    operations, name, layout = read_onnx(path, input_shape=input_shape, output=output)
    normalization = Normalization.of(operations.input[0], mean, std, scale)
    original, runner = _original(path, name, layout, normalization)
    return to_model(
        operations,
        str(path),
        normalization=normalization,
        calibration=calibration,
        test=test,
        classes=classes,
        original=original,
        runner=runner,
        device=device,
        threads=threads,
        statistics=statistics,
        border=border,
        on_stage=on_stage,
    )


def _original(path: Path, name: str, layout: Layout, normalization: Normalization) -> tuple[Original | None, str]:
    """Return what runs the file itself up to the value `name`, and its name; None and why where there is nothing."""
    try:
        import onnxruntime
    except ImportError:
        return None, "onnxruntime is not installed"
    from strop.host.importing.onnx_file import require_onnx

    onnx = require_onnx()
    try:
        model = onnx.load(str(path))
        if name not in {entry.name for entry in model.graph.output}:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as error:
        if type(error).__name__ == "NotImplemented":  # valid, but of types that its kernels do not have
            return None, f"ONNX Runtime cannot run the file ({' '.join(str(error).split())[:200]})"
        raise ModelImportError(f"ONNX Runtime cannot run {path}: {' '.join(str(error).split())[:300]}") from error

    def run(images: NDArray[np.uint8]) -> NDArray[Any]:
        size = layout.samples or RUN_BATCH
        parts = []
        for start in range(0, len(images), size):
            part = images[start : start + size]
            full = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)]) if layout.samples else part
            try:
                found = session.run([name], {layout.name: layout.of(prepared(full, normalization))})[0]
                parts.append(np.asarray(found).reshape(len(full), -1)[: len(part)])
            except Exception as error:  # its own classes, by what went wrong
                raise ModelImportError(
                    f"ONNX Runtime cannot run {path} on {len(full)} images: {' '.join(str(error).split())[:300]}; "
                    "export it for any number of samples"
                ) from error
        return np.concatenate(parts)

    return run, f"ONNX Runtime {onnxruntime.__version__}"
