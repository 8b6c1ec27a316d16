"""The whole way: a file becomes a model that answers as before, trains on, and goes out again."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnx_files import OnnxFile, some_images
from strop.host import Model
from strop.host.export.onnx_export import export_onnx
from strop.host.export.onnx_runtime import compare_with_onnxruntime
from strop.host.importing import Imported, import_onnx
from test_onnx_patterns import activations, dense, generator, residual
from tiny_models import CLASSES, tiny_dataset


def imported(tmp_path: Path, **options: object) -> Imported:
    """Import a residual network whose last layer has been fitted to the tiny data by least squares."""
    file = OnnxFile(seed=5)
    residual(file)
    data = tiny_dataset(120)
    return import_onnx(file.save(tmp_path), calibration=data, test=data, mean=0.4, std=0.3, **options)  # type: ignore[arg-type]


def test_int8_answers_as_float_does(tmp_path: Path) -> None:
    """Protects accuracy through quantization: logits correlate, answers agree, the report says so."""
    found = imported(tmp_path)
    assert found.report.restated is not None and found.report.restated.agreement == 1.0
    assert found.report.quantized.agreement >= 0.9 and found.report.on_test_images
    assert found.model.classes == CLASSES
    names = [name for name, _ in found.report.lines()]
    assert names[:3] == ["from", "network", "in strop's layers"]


@pytest.mark.parametrize("pattern", [dense, activations, generator])
def test_every_kind_of_network_in_int8(pattern: object, tmp_path: Path) -> None:
    """Protects joint maps, tables and transposed convolutions on their way through int8 and out to ONNX."""
    file = OnnxFile(seed=2)
    pattern(file)  # type: ignore[operator]
    found = import_onnx(file.save(tmp_path), calibration=some_images(64), mean=0.4, std=0.3)
    logits = found.model.predict(some_images(64)).logits
    float_ = found.report.restated
    assert float_ is not None and float_.agreement >= 0.98
    assert found.report.quantized.agreement >= 0.75 and logits.std() > 0.01
    out = export_onnx(found.model, tmp_path / "out.onnx")
    assert compare_with_onnxruntime(found.model, out, some_images(64)).agreement == 1.0


def test_the_same_file_gives_the_same_bytes_on_every_device(tmp_path: Path) -> None:
    """Protects repeatability: emulator with one thread and with two, and the reference."""
    digests = {
        imported(tmp_path, statistics=kind, device=device, threads=threads).model.digest()
        for device, threads in (("emulator", 1), ("emulator", 2), ("reference", None))
        for kind in ("int8",)
    }
    assert len(digests) == 1


def test_it_trains_on_and_is_saved(tmp_path: Path) -> None:
    """Protects what an import is for: fine-tuning in int8 brings the loss down, a checkpoint brings the model back."""
    model = imported(tmp_path).model
    data = tiny_dataset(120)
    before = model.evaluate(data)
    model.fit(data, steps=40, batch=30, learning_rate=0.02)
    after = model.evaluate(data)
    assert after.loss < before.loss and after.accuracy >= max(0.8, before.accuracy)
    loaded = Model.load(model.save(tmp_path / "net.safetensors"))
    assert loaded.digest() == model.digest() and loaded.graph == model.graph
