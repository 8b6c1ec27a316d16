"""From a foreign network's operations to a model: normalization, float network, int8, and what both answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strop.host.checked import device_of
from strop.host.data.dataset import Dataset
from strop.host.importing.assemble import assemble
from strop.host.importing.errors import ModelImportError
from strop.host.importing.operations import OperationGraph
from strop.host.importing.pixels import Normalization
from strop.host.importing.report import Agreement, Imported, ImportReport
from strop.host.model import Model
from strop.host.quantization import Calibration, FloatNetwork, OnStage, Quantized, check_images, float_logits, quantize
from strop.runtime.device import Device
from strop.runtime.errors import InputError

PART = 1024  # images asked at once
CALIBRATION_IMAGES = 512  # of a data set
Original = Callable[[NDArray[np.uint8]], NDArray[Any]]  # images uint8 to logits


def to_model(
    operations: OperationGraph,
    source: str,
    *,
    normalization: Normalization,
    calibration: NDArray[np.uint8] | Dataset,
    test: Dataset | None,
    classes: tuple[str, ...] | None,
    original: Original | None,
    runner: str,
    device: str | Device,
    threads: int | None,
    statistics: str,
    border: str,
    on_stage: OnStage | None,
) -> Imported:
    """Return the model of `operations`; `runner` names `original`, or says why there is none.

    Raises `ModelImportError` and what making a model raises.
    """
    told = on_stage or (lambda *_: None)
    images = calibration_images(calibration)
    names = classes or (test.classes if test is not None else None)
    names = names or (calibration.classes if isinstance(calibration, Dataset) else None)
    if border not in ("exact", "nearest"):
        raise InputError(f'border is {border!r}; allowed: "exact", "nearest"')
    check_images(images, operations.input, source)
    network = assemble(operations, normalization.fitted(images), source, border == "exact")
    graph = network.graph
    if names is not None and len(names) != graph.classes:
        raise ModelImportError(
            f"{source} has {graph.classes} outputs, and the data {len(names)} classes: {', '.join(names[:8])}; pass "
            "classes= with their names, in the order of the outputs"
        )
    if test is not None and test.image_shape != graph.input:
        raise InputError(f"the test images are {list(test.image_shape)}; {source} takes {list(graph.input)}")
    opened = device_of(device, threads)
    try:
        model, best, measured = _best(network, images, opened, isinstance(device, str), names, statistics, told)
        told("compare", 0, 1)
        restated, difference, quantized = _compared(network, model, measured, images, test, original, source)
        told("compare", 1, 1)
    except BaseException:
        if isinstance(device, str):
            opened.close()
        raise
    unseen = (
        () if original is not None else (f"{runner}: float is strop's own reading of it, not compared with another",)
    )
    notes = (*network.notes, *unseen)
    report = ImportReport(
        source=source,
        layers=len(graph.nodes),
        parameters=network.parameters,
        original=runner if original is not None else "",
        restated=restated,
        difference=difference,
        quantized=quantized,
        on_test_images=test is not None,
        statistics=best,
        notes=tuple(dict.fromkeys(notes)),
    )
    return Imported(model, network, report)


def calibration_images(given: NDArray[np.uint8] | Dataset) -> NDArray[np.uint8]:
    """Return images to calibrate with: all of an array, of a data set at most 512 (`Dataset.take` with seed 0)."""
    if isinstance(given, Dataset):
        given = given if len(given) <= CALIBRATION_IMAGES else given.take(CALIBRATION_IMAGES, 0)
        return np.asarray(given.images[:])
    return np.asarray(given)


def _compared(
    network: FloatNetwork,
    model: Model,
    measured: Calibration,
    images: NDArray[np.uint8],
    test: Dataset | None,
    original: Original | None,
    source: str,
) -> tuple[Agreement | None, float | None, Agreement]:
    """Return how far the original is the float network, in answers and in logits, and how far float is int8."""
    ours, restated, difference = measured.logits, None, None
    theirs = ours if original is None else original(images)
    if theirs.shape != ours.shape:
        raise ModelImportError(
            f"{source} itself gives logits {list(theirs.shape)}, and what strop reads of it {list(ours.shape)}: export "
            "it again, with one output a class"
        )
    if original is not None:
        restated = Agreement.of(theirs, ours, None)
        difference = float(np.abs(theirs - ours).max()) if _are_logits(theirs) else None
    if test is None:
        before, shown, labels = theirs, images, None
    else:
        before = _in_parts(original or (lambda part: float_logits(network, part)), test.images)
        shown, labels = test.images, test.labels
    after = _in_parts(lambda part: model.predict(part).logits, shown)
    return restated, difference, Agreement.of(before, after, labels)


def _best(
    network: FloatNetwork,
    images: NDArray[np.uint8],
    device: Device,
    owned: bool,
    names: tuple[str, ...] | None,
    statistics: str,
    on_stage: OnStage,
) -> tuple[Model, str, Calibration]:
    """Return the model by `statistics`; "auto" tries both and keeps what answers more like the float network.

    With it which one that is, and what calibration measured.
    """
    found: list[tuple[float, str, Quantized]] = []
    measured: Calibration | None = None
    for kind in ("float", "int8") if statistics == "auto" else (statistics,):
        made = quantize(network, images, device, statistics=kind, measured=measured, on_stage=on_stage)
        measured = made.calibration
        model = Model(made.graph, made.state, classes=names, device=device)
        answers, wanted = model.predict(images).logits, measured.logits
        found.append((float(np.mean((_centred(answers) - _centred(wanted)) ** 2)), kind, made))
    _, kind, made = min(found, key=lambda entry: entry[0])
    model = Model(made.graph, made.state, classes=names, device=device)
    model._owns_device = owned
    return model, kind, made.calibration


def _in_parts(answer: Original, images: Any) -> NDArray[Any]:
    """Return the logits of images that may be a stream: not all of them are in memory at once."""
    return np.concatenate([answer(np.asarray(images[i : i + PART])) for i in range(0, len(images), PART)])


def _centred(logits: NDArray[Any]) -> NDArray[Any]:
    """Return logits less their mean, which no softmax sees."""
    return np.asarray(logits - logits.mean(axis=1, keepdims=True))


def _are_logits(values: NDArray[Any]) -> bool:
    return not (values.min() >= 0 and np.allclose(values.sum(axis=1), 1.0, atol=1e-3))


def prepared(images: NDArray[np.uint8], normalization: Normalization) -> NDArray[np.float32]:
    """Return images as the original takes them: (p * scale - mean) / std, float32 [n, C, H, W]."""
    mean, std = (part[:, None, None] for part in (normalization.mean, normalization.std))
    return ((images * normalization.scale - mean) / std).astype(np.float32)
