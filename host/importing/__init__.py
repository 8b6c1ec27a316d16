"""Bring your own model: ONNX files and PyTorch modules as strop networks in int8.

    file or module -- a reader --> operations -- assemble --> float network -- quantize --> model

| file | holds |
|---|---|
| `onnx_reader.py`, `torch_reader.py` | two readers, node by node, which collect every obstacle |
| `operations.py`, `builder.py`, `simplify.py` | what both make: float operations, in one form |
| `assemble.py`, `chain.py`, `branches.py` | operations as strop's layers |
| `pixels.py` | mean, std and scale of the images, taken into the first layer |
| `importer.py`, `report.py` | from operations to a model, by `quantization/`; how the original, float and int8 agree |

The network in strop's layers with float parameters, and what it computes, are in `quantization/`.
"""

from __future__ import annotations

from strop.host.importing.errors import ModelImportError, Obstacle, UnsupportedNodes
from strop.host.importing.onnx_import import import_onnx
from strop.host.importing.report import Agreement, Imported, ImportReport
from strop.host.importing.torch_import import import_torch

__all__ = [
    "Agreement",
    "ImportReport",
    "Imported",
    "ModelImportError",
    "Obstacle",
    "UnsupportedNodes",
    "import_onnx",
    "import_torch",
]
