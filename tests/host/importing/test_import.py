"""The whole way: a file becomes a model that answers as before, trains on, and goes out again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnx_files import OnnxFile, some_images
from strop.host import Model, quantization
from strop.host.checked import device_of
from strop.host.export.onnx_export import export_onnx
from strop.host.export.onnx_runtime import compare_with_onnxruntime
from strop.host.importing import Imported, ModelImportError, import_onnx, importer
from strop.host.quantization import float_logits
from strop.runtime.device import open_device
from strop.runtime.errors import DeviceError
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


@pytest.mark.parametrize("statistics", ["float", "int8", "auto"])
def test_the_same_file_gives_the_same_bytes_on_every_device(statistics: str, tmp_path: Path) -> None:
    """Protects repeatability on one machine: emulator with one thread and with two, and the reference."""
    digests = {
        imported(tmp_path, statistics=statistics, device=device, threads=threads).model.digest()
        for device, threads in (("emulator", 1), ("emulator", 2), ("reference", None))
    }
    assert len(digests) == 1


def test_a_data_set_calibrates_with_512_images(tmp_path: Path) -> None:
    """Protects from hours of calibration with a whole training set; the same each time. Arrays are used whole."""
    file = OnnxFile(seed=5)
    residual(file)
    path, data = file.save(tmp_path), tiny_dataset(600)
    made = [
        import_onnx(path, calibration=given, mean=0.4, std=0.3, statistics="float")
        for given in (data, data.take(512, 0), data.images)
    ]
    assert [found.report.quantized.samples for found in made] == [512, 512, 600]
    assert made[0].model.digest() == made[1].model.digest()


@pytest.mark.parametrize("with_test", [False, True])
def test_the_float_network_is_measured_once(with_test: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects from waiting for what calibration knows already, also where two kinds of statistics are tried."""
    passes: list[int] = []

    def counted(network: Any, images: Any, watch: Any = None) -> Any:
        passes.append(len(images))
        return float_logits(network, images, watch)

    for module in (importer, quantization.calibration):
        monkeypatch.setattr(module, "float_logits", counted)
    file = OnnxFile(seed=5)
    residual(file)
    data = tiny_dataset(30)
    import_onnx(file.save(tmp_path), calibration=data.images, test=data if with_test else None, mean=0.4, std=0.3)
    assert passes == [30, 30], "means, then deviations"


def fixed_size(file: OnnxFile) -> None:
    """A network that flattens to a number of samples: strop reads it, and nothing runs it on more."""
    file.conv(1, 4), file.node("Relu"), file.node("Reshape", file.constant([1, 144], np.int64))
    file.node("Gemm", file.weights(3, 144), transB=1)


def test_a_file_that_does_not_run_leaves_no_device_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects from the runtime's own exceptions, and the board from an import that failed late."""
    opened: list[Any] = []

    def remembered(device: Any, threads: Any) -> Any:
        opened.append(device_of(device, threads))
        return opened[-1]

    monkeypatch.setattr(importer, "device_of", remembered)
    file = OnnxFile()
    fixed_size(file)
    with pytest.raises(ModelImportError, match="ONNX Runtime cannot run .* on 24 images"):
        import_onnx(file.save(tmp_path), calibration=some_images(), device="emulator", threads=1)
    with pytest.raises(DeviceError, match="closed"):
        opened[0].allocate(64)
    mine = open_device("emulator", 1)
    with pytest.raises(ModelImportError, match="24 images"):
        import_onnx(tmp_path / "net.onnx", calibration=some_images(), device=mine)
    mine.allocate(64)


def test_averages_of_images_and_a_linear_layer(tmp_path: Path) -> None:
    """Protects networks without anything to normalize on their way into int8."""
    file = OnnxFile(shape=("N", 3, 8, 8))
    file.node("GlobalAveragePool"), file.head(3)
    images = some_images(64, (3, 8, 8))
    images[::2, 0] //= 3
    found = import_onnx(file.save(tmp_path), calibration=images)
    assert found.report.restated is not None and found.report.restated.agreement == 1.0
    assert [layer.kind for layer in found.model.graph.layers] == ["global_average_pool", "linear"]


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
