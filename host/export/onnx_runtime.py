"""An exported ONNX file under ONNX Runtime, held against the model in strop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from strop.host.checked import file_path, pixels
from strop.host.model import Model
from strop.runtime.errors import InputError

BATCH = 256


@dataclass(frozen=True)
class Comparison:
    """strop's integers and ONNX Runtime on the same images.

    agreement: share of equal labels; equal_logits: share of samples whose logits are all equal; difference: the largest
    of two logits; accuracy and accuracy_onnx: None without labels.
    """

    samples: int
    agreement: float
    equal_logits: float
    difference: float
    accuracy: float | None
    accuracy_onnx: float | None


def run_onnx(path: str | Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the logits float32 [n, classes] that ONNX Runtime computes for images uint8 [n, C, H, W].

    Raises `InputError` where onnxruntime is not installed, or cannot run the file.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(f"running ONNX files needs onnxruntime ({error}): pip install 'strop[onnx]'") from error
    try:
        session = onnxruntime.InferenceSession(str(file_path(path)), providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        parts = [session.run(None, {name: images[i : i + BATCH]})[0] for i in range(0, len(images), BATCH)]
    except Exception as error:
        raise InputError(f"ONNX Runtime cannot run {path}: {' '.join(str(error).split())[:300]}") from error
    return np.concatenate(parts)


def compare_with_onnxruntime(
    model: Model, path: str | Path, images: NDArray[np.uint8], labels: ArrayLike | None = None
) -> Comparison:
    """Compare `model` with its export at `path` on images uint8 [n, C, H, W], with integer labels [n] or without."""
    images = pixels(images)
    ours, theirs = model.predict(images).logits, run_onnx(path, images)
    if len(images) == 0 or ours.shape != theirs.shape:
        raise InputError(f"{path} gives logits {list(theirs.shape)}, the model {list(ours.shape)}; is it its export?")
    one, other = ours.argmax(axis=1), theirs.argmax(axis=1)
    known: NDArray[Any] | None = None if labels is None else np.asarray(labels)
    right = [None, None] if known is None else [float(np.mean(found == known)) for found in (one, other)]
    equal = (ours.astype(np.float32) == theirs).all(axis=1)
    return Comparison(
        samples=len(images),
        agreement=float(np.mean(one == other)),
        equal_logits=float(np.mean(equal)),
        difference=float(np.abs(ours - theirs).max()),
        accuracy=right[0],
        accuracy_onnx=right[1],
    )
