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
from strop.host.quantization import OnStage, check_images, float_logits, quantize
from strop.runtime.device import Device
from strop.runtime.errors import InputError

PART = 1024  # images asked at once
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
    images = np.asarray(calibration.images[:] if isinstance(calibration, Dataset) else calibration)
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
        model, best = _best(network, images, opened, isinstance(device, str), names, statistics, told)
    except BaseException:
        if isinstance(device, str):
            opened.close()
        raise
    told("compare", 0, 1)
    restated = difference = None
    if original is not None:
        theirs, ours = original(images), float_logits(network, images)
        restated = Agreement.of(theirs, ours, None)
        difference = float(np.abs(theirs - ours).max()) if _are_logits(theirs) else None
    shown = test.images if test is not None else images
    before = _in_parts(original or (lambda part: float_logits(network, part)), shown)
    after = _in_parts(lambda part: model.predict(part).logits, shown)
    told("compare", 1, 1)
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
        quantized=Agreement.of(before, after, None if test is None else test.labels),
        on_test_images=test is not None,
        statistics=best,
        notes=tuple(dict.fromkeys(notes)),
    )
    return Imported(model, network, report)


def _best(
    network: Any,
    images: NDArray[np.uint8],
    device: Device,
    owned: bool,
    names: tuple[str, ...] | None,
    statistics: str,
    on_stage: OnStage,
) -> tuple[Model, str]:
    """Return the model by `statistics`; "auto" tries both and keeps what answers more like the float network."""
    found: list[tuple[float, str, Any]] = []
    for kind in ("float", "int8") if statistics == "auto" else (statistics,):
        made = quantize(network, images, device, statistics=kind, on_stage=on_stage)
        model = Model(made.graph, made.state, classes=names, device=device)
        answers = model.predict(images).logits
        wanted = made.calibration.logits
        found.append((float(np.mean((_centred(answers) - _centred(wanted)) ** 2)), kind, made))
    _, kind, made = min(found, key=lambda entry: entry[0])
    model = Model(made.graph, made.state, classes=names, device=device)
    model._owns_device = owned
    return model, kind


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
