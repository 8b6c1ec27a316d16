"""`import_torch`: a PyTorch module to a model in int8."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from strop.host.data.dataset import Dataset
from strop.host.importing.errors import ModelImportError
from strop.host.importing.importer import Original, prepared, to_model
from strop.host.importing.pixels import Normalization
from strop.host.importing.report import Imported
from strop.host.importing.torch_reader import read_torch, require_torch
from strop.host.quantization import OnStage
from strop.runtime.device import Device
from strop.runtime.graph import Shape

RUN_BATCH = 128


def import_torch(
    module: Any,
    example_input: Any,
    *,
    calibration: NDArray[np.uint8] | Dataset,
    test: Dataset | None = None,
    mean: ArrayLike = 0.0,
    std: ArrayLike = 1.0,
    scale: float = 1.0 / 255.0,
    input_shape: Shape | None = None,
    classes: tuple[str, ...] | None = None,
    statistics: str = "auto",
    border: str = "exact",
    device: str | Device = "auto",
    threads: int | None = None,
    on_stage: OnStage | None = None,
) -> Imported:
    """Return a `torch.nn.Module` as a model that predicts in int8 and trains on.

    example_input: a tensor [n, C, H, W] (or [n, features]) of the size that the module takes; its values do not matter.
    All else as in `import_onnx`. The module stays as it is. Raises as `import_onnx`.
    """
    operations, flat = read_torch(module, example_input, input_shape)
    normalization = Normalization.of(operations.input[0], mean, std, scale)
    return to_model(
        operations,
        type(module).__name__,
        normalization=normalization,
        calibration=calibration,
        test=test,
        classes=classes,
        original=_original(module, flat, normalization),
        runner=f"PyTorch {require_torch().__version__}",
        device=device,
        threads=threads,
        statistics=statistics,
        border=border,
        on_stage=on_stage,
    )


def _original(module: Any, flat: bool, normalization: Normalization) -> Original:
    torch = require_torch()
    first = next(iter(module.parameters()), torch.zeros(1))

    def run(images: NDArray[np.uint8]) -> NDArray[Any]:
        modes = {name: part.training for name, part in module.named_modules()}
        module.eval()
        try:
            with torch.no_grad():
                parts = []
                for start in range(0, len(images), RUN_BATCH):
                    x = torch.from_numpy(prepared(images[start : start + RUN_BATCH], normalization))
                    x = x.to(first.device, first.dtype)
                    parts.append(module(x.flatten(1) if flat else x).float().cpu().numpy().reshape(len(x), -1))
        except Exception as error:
            raise ModelImportError(
                f"{type(module).__name__} cannot be run on images {list(images.shape)}, {RUN_BATCH} at a time: "
                f"{' '.join(str(error).split())[:300]}; it must take any number of them"
            ) from error
        finally:
            for name, part in module.named_modules():
                part.training = modes[name]
        return np.concatenate(parts)

    return run
