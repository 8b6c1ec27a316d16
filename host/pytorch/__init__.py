"""strop's side of PyTorch: L1 batch normalization as a layer, and float32 twins of strop's networks.

Needs PyTorch, `pip install 'strop[torch]'`; nothing else in strop imports this folder. Modules of others come in by
`importing/torch_reader.py`, which imports torch when it is called.

| file | holds |
|---|---|
| `l1_normalize.py` | the equations, forward and backward, as an autograd function |
| `l1_batch_norm.py` | `L1BatchNorm1d`, `L1BatchNorm2d`: drop-in layers |
| `convert.py` | `convert_l1bn`: every batch norm of a model becomes L1BN |
| `l1_statistics.py` | running statistics, measured layer by layer |
| `fold.py` | `fold_l1bn`: L1BN into the layer before it, for inference |
| `float_twin.py` | `float_twin`: a `NetworkGraph` in float32 |
| `twin_layers.py` | the module of each kind of layer |
| `twin_state.py` | a twin's parameters and statistics as strop's integers, and back |
"""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError(f"strop.host.pytorch needs PyTorch ({error}): pip install 'strop[torch]'") from error

from strop.host.pytorch.convert import Conversion, ConvertedLayer, convert_l1bn
from strop.host.pytorch.float_twin import FloatTwin, float_twin
from strop.host.pytorch.fold import fold_l1bn
from strop.host.pytorch.l1_batch_norm import L1BatchNorm1d, L1BatchNorm2d
from strop.host.pytorch.twin_state import network_from_twin, real_state, state_from_twin

__all__ = [
    "Conversion",
    "ConvertedLayer",
    "FloatTwin",
    "L1BatchNorm1d",
    "L1BatchNorm2d",
    "convert_l1bn",
    "float_twin",
    "fold_l1bn",
    "network_from_twin",
    "real_state",
    "state_from_twin",
]
