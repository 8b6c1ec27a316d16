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


def test_data_without_splits_are_divided(cli: Any, tmp_path: Path) -> None:
    """Protects from accuracies on what the network was calibrated with: no image is in both parts."""
    network, _ = written(tmp_path)
    data = tiny_dataset(60)
    np.savez(tmp_path / "whole.npz", images=data.images, labels=data.labels)
    words = ["import", str(network), "--data", str(tmp_path / "whole.npz"), "-o", str(tmp_path / "x"), "--json"]
    for more, calibrating in (((), 30), (("--calibration", "12"), 12)):
        ran = cli(*words, *more, "--force")
        assert ran.code == 0 and f"{calibrating} images calibrate, and the other {60 - calibrating}" in ran.err
        assert ran.document["restated"]["samples"] == calibrating
        assert ran.document["quantized"]["samples"] == 60 - calibrating and ran.document["on_test_images"]
    np.savez(tmp_path / "whole.npz", images=data.images[:3], labels=data.labels[:3])
    ran = cli(*words, "--force")
    assert ran.code == 4 and "at least 4" in ran.err


def test_missing_data_are_told_by_the_split_that_lacks(cli: Any, tmp_path: Path) -> None:
    """Protects from the error of a second attempt, which says that there is no whole."""
    network, _ = written(tmp_path)
    data = tiny_dataset(60)
    for have, lack in (("train", "test"), ("test", "train")):
        np.savez(tmp_path / "half.npz", **{f"x_{have}": data.images, f"y_{have}": data.labels})
        ran = cli("import", str(network), "--data", str(tmp_path / "half.npz"), "-o", str(tmp_path / "x"))
        assert ran.code == 4 and f"for '{lack}'" in ran.err


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
