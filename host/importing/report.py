"""What an import found and made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.host.model import Model
from strop.host.quantization.float_network import FloatNetwork


@dataclass(frozen=True)
class Agreement:
    """Two answers to the same images: how often the labels agree, and both accuracies, 0 to 1 (None without labels)."""

    samples: int
    agreement: float
    accuracy_before: float | None
    accuracy_after: float | None

    @staticmethod
    def of(before: NDArray[Any], after: NDArray[Any], labels: NDArray[Any] | None) -> Agreement:
        """Compare logits [n, classes] of both."""
        one, other = before.argmax(axis=1), after.argmax(axis=1)
        right = [None, None] if labels is None else [float(np.mean(o == labels)) for o in (one, other)]
        return Agreement(len(one), float(np.mean(one == other)), right[0], right[1])


@dataclass(frozen=True)
class ImportReport:
    """How an import went.

    original: who computed the original ("ONNX Runtime 1.20", ...), "" if nothing could. restated: the original against
    the float network in strop's layers, on the calibration images, and `difference`, the largest of their logits; what
    lies between is the input's border and rounding. quantized: the original (without it the float network) against
    int8, on the test images, else on the calibration images. statistics: what L1BN normalizes by (`quantize`).
    """

    source: str
    layers: int
    parameters: int
    original: str
    restated: Agreement | None
    difference: float | None
    quantized: Agreement
    on_test_images: bool
    statistics: str
    notes: tuple[str, ...]

    def lines(self) -> list[tuple[str, str]]:
        """Return names and values for people."""
        where = "test images" if self.on_test_images else "calibration images"
        found = [("from", self.source), ("network", f"{self.layers} layers, {self.parameters:,} parameters")]
        if self.restated is not None and self.difference is not None:
            same = f"{self.restated.agreement:.2%} of {self.restated.samples:,} answers as {self.original}"
            found.append(("in strop's layers", f"{same}, logits within {self.difference:.2g}"))
        measured = self.quantized
        if measured.accuracy_before is not None and measured.accuracy_after is not None:
            found.append(("accuracy, float", f"{measured.accuracy_before:.2%} on {measured.samples:,} {where}"))
            found.append(("accuracy, int8", f"{measured.accuracy_after:.2%}"))
        found.append(("int8 agrees", f"{measured.agreement:.2%} of {measured.samples:,} {where}"))
        found += [("note", note) for note in self.notes]
        return found


@dataclass(frozen=True, eq=False)
class Imported:
    """A network in strop: the model, which predicts and trains, its float form, and the report."""

    model: Model
    network: FloatNetwork
    report: ImportReport
