"""`strop import`: an ONNX file becomes a checkpoint that other commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from onnx_files import OnnxFile, onnx
from tiny_models import tiny_dataset


def written(tmp_path: Path) -> tuple[Path, Path]:
    """Write a network and data for it; return both paths."""
    file = OnnxFile(seed=5)
    file.conv(1, 4, pads=[1, 1, 1, 1]), file.batch_norm(4), file.node("Relu")
    file.node("MaxPool", kernel_shape=[2, 2], strides=[2, 2]), file.head(64)
    data = tiny_dataset(60)
    np.savez(tmp_path / "data.npz", x_train=data.images, y_train=data.labels, x_test=data.images, y_test=data.labels)
    return file.save(tmp_path), tmp_path / "data.npz"


def test_import_evaluate_and_train_on(cli: Any, tmp_path: Path) -> None:
    """Protects the way from somebody's file to `strop evaluate` and `strop export`."""
    network, data = written(tmp_path)
    target = tmp_path / "net.safetensors"
    words = ["import", str(network), "--data", str(data), "-o", str(target), "--mean", "0.4", "--std", "0.3"]
    ran = cli(*words, "--json")
    assert ran.code == 0, ran.err
    found = ran.document
    assert found["schema"] == "strop.import/1" and found["restated"]["agreement"] == 1.0
    assert found["quantized"]["agreement"] > 0.8
    evaluated = cli("evaluate", str(target), "--data", str(data), "--json")
    assert evaluated.document["accuracy"] == found["quantized"]["accuracy_after"]
    again = cli(*words)
    assert again.code == 4 and "--force" in again.err
    assert "in strop's layers" in cli(*words, "--force").out
    out = tmp_path / "out.onnx"
    assert cli("export", str(target), "--format", "onnx", "-o", str(out)).code == 0
    assert onnx.load(str(out)).producer_name == "strop"


def test_what_is_read_is_not_replaced(cli: Any, tmp_path: Path) -> None:
    """Protects the user's network and data from -o with --force, also by another name."""
    network, data = written(tmp_path)
    (tmp_path / "link").symlink_to(data)
    before = [path.read_bytes() for path in (network, data)]
    for target in (network, data, tmp_path / "link"):
        for words in ((), ("--force",)):
            ran = cli("import", str(network), "--data", str(data), "-o", str(target), *words)
            assert ran.code == 4 and "name another file" in ran.err
    assert [path.read_bytes() for path in (network, data)] == before


def test_what_cannot_be_imported(cli: Any, tmp_path: Path) -> None:
    """Protects from half an import: every obstacle on stderr, no checkpoint, the exit code of bad input."""
    _, data = written(tmp_path)
    file = OnnxFile()
    file.conv(1, 4, dilations=[2, 2]), file.node("LpNormalization"), file.head(64)
    ran = cli("import", str(file.save(tmp_path)), "--data", str(data), "-o", str(tmp_path / "net.safetensors"))
    assert ran.code == 4 and "dilation" in ran.err and "LpNormalization" in ran.err
    assert not (tmp_path / "net.safetensors").exists()
    for words in (["--mean", "dark"], ["--input-shape", "8x8"], ["--calibration", "1"]):
        assert cli("import", "net.onnx", "--data", str(data), "-o", "x.safetensors", *words).code == 2
