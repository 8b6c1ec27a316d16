"""Post-training quantization: a float network in strop's layers, and the int8 model that calibration images make of it.

| file | holds |
|---|---|
| `float_network.py` | the network in strop's layers with float parameters: what every import goes through |
| `float_forward.py` | what it computes, in numpy |
| `calibration.py` | what images show of it: means, deviations, ranges |
| `grids.py` | the exponent of each activation |
| `post_training.py` | the state in fixed point, and its shifts |
"""

from __future__ import annotations

from strop.host.quantization.calibration import Calibration, calibrate
from strop.host.quantization.float_forward import float_logits
from strop.host.quantization.float_network import FloatNetwork
from strop.host.quantization.post_training import OnStage, Quantized, check_images, quantize

__all__ = [
    "Calibration",
    "FloatNetwork",
    "OnStage",
    "Quantized",
    "calibrate",
    "check_images",
    "float_logits",
    "quantize",
]
