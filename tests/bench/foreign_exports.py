"""Networks of other libraries and their own ONNX exporters, imported: who made it, and how strop's answers compare.

    python tests/bench/foreign_exports.py [--record FILE.json]

Needs beside strop[onnx] whichever of these are to be measured: torch and torchvision (torch.onnx, both exporters,
random weights), scikit-learn with skl2onnx (an MLP, trained), keras (its own export, on the torch backend; random
weights).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from strop.host import Dataset, load_dataset
from strop.host.export.onnx_export import export_onnx
from strop.host.export.onnx_runtime import compare_with_onnxruntime
from strop.host.importing import UnsupportedNodes, import_onnx

os.environ.setdefault("KERAS_BACKEND", "torch")
Made = tuple[Path, Dataset, dict[str, Any]]  # the file, images of its size, and how it takes them


def images(shape: tuple[int, int, int], classes: int, count: int = 64) -> Dataset:
    """Return Fashion-MNIST's pictures in another size and number of channels; their labels mean nothing there."""
    small = load_dataset("fashion-mnist-subset", "test").subset(range(count))
    factor = -(-shape[1] // 28)
    large = small.images.repeat(factor, axis=2).repeat(factor, axis=3)[:, :, : shape[1], : shape[2]]
    names = tuple(str(label) for label in range(classes))
    return Dataset(np.ascontiguousarray(large.repeat(shape[0], axis=1)), small.labels, names, "fashion")


def warmed(network: Any, shape: tuple[int, int, int]) -> Any:
    """Return a torch network in eval mode whose running statistics are those of images."""
    import torch

    torch.manual_seed(0)
    network.train()
    data = images(shape, 10, 32)
    with torch.no_grad():
        for _ in range(20):
            network(torch.from_numpy(data.images.copy()).float() / 255)
    return network.eval()


def torchvision_network(name: str, side: int, dynamo: bool) -> Callable[[Path], Made]:
    """Return what exports a network of torchvision with random weights."""

    def make(folder: Path) -> Made:
        import torch
        import torchvision

        torch.manual_seed(0)
        options = {"init_weights": True} if name in ("vgg11_bn", "googlenet") else {}
        network = warmed(getattr(torchvision.models, name)(num_classes=10, **options), (3, side, side))
        path = folder / "net.onnx"
        torch.onnx.export(network, torch.zeros(1, 3, side, side), str(path), dynamo=dynamo)
        return path, images((3, side, side), 10), {}

    return make


def sklearn_mlp(folder: Path) -> Made:
    """Export a trained scikit-learn MLP by skl2onnx."""
    from skl2onnx import to_onnx
    from sklearn.neural_network import MLPClassifier

    train = load_dataset("fashion-mnist-subset", "train")
    x = train.images.reshape(len(train), -1).astype(np.float32) / 255
    mlp = MLPClassifier((64, 32), max_iter=20, random_state=0).fit(x, train.labels)
    path = folder / "net.onnx"
    path.write_bytes(to_onnx(mlp, x[:1], options={"zipmap": False}).SerializeToString())
    return path, load_dataset("fashion-mnist-subset", "test"), {"input_shape": (1, 28, 28)}


def keras_network(folder: Path) -> Made:
    """Export a small Keras network with channels last, by keras's own exporter."""
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            *(layers.Conv2D(8, 3, padding="same", use_bias=False), layers.BatchNormalization(), layers.ReLU()),
            *(layers.MaxPooling2D(), layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")),
            *(layers.Flatten(), layers.Dropout(0.2), layers.Dense(10, activation="softmax")),
        ]
    )
    path = folder / "net.onnx"
    network(np.zeros((1, 28, 28, 1), np.float32))  # its exporter wants a network that was called
    network.export(str(path), format="onnx", verbose=False)
    return path, images((1, 28, 28), 10), {}


MAKERS: dict[str, tuple[str, Callable[[Path], Made]]] = {
    "scikit-learn MLP, skl2onnx": ("skl2onnx", sklearn_mlp),
    "Keras CNN, keras export": ("keras", keras_network),
    "ResNet-18, torch.onnx (tracing)": ("torchvision", torchvision_network("resnet18", 64, False)),
    "ResNet-18, torch.onnx (dynamo)": ("torchvision", torchvision_network("resnet18", 64, True)),
    "MobileNetV2, torch.onnx (tracing)": ("torchvision", torchvision_network("mobilenet_v2", 64, False)),
    "SqueezeNet 1.1, torch.onnx (tracing)": ("torchvision", torchvision_network("squeezenet1_1", 64, False)),
    "VGG-11, torch.onnx (tracing)": ("torchvision", torchvision_network("vgg11_bn", 32, False)),
    "DenseNet-121, torch.onnx (tracing)": ("torchvision", torchvision_network("densenet121", 64, False)),
    "MobileNetV3 small (squeeze-and-excitation)": ("torchvision", torchvision_network("mobilenet_v3_small", 64, False)),
}


def main() -> None:
    """Make, import, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="part of the names to run")
    parser.add_argument("--record", type=Path)
    arguments = parser.parse_args()
    found = {}
    for name, (package, make) in MAKERS.items():
        if arguments.only not in name or importlib.util.find_spec(package) is None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            found[name] = one(make, Path(folder))
            found[name]["seconds"] = round(time.perf_counter() - started, 1)
        print(f"{name}: {found[name]}", flush=True)
    if arguments.record is not None:
        arguments.record.write_text(json.dumps(found, indent=2) + "\n")


def one(make: Callable[[Path], Made], folder: Path) -> dict[str, Any]:
    """Return the figures of one network; of one that cannot be imported, how many obstacles there are and the first."""
    path, data, options = make(folder)
    try:
        imported = import_onnx(path, calibration=data, test=data, **options)
    except UnsupportedNodes as error:
        return {"obstacles": len(error.obstacles), "first": str(error.obstacles[0])}
    report = imported.report
    assert report.restated is not None
    out = compare_with_onnxruntime(imported.model, export_onnx(imported.model, folder / "out.onnx"), data.images)
    return {
        "layers": report.layers,
        "parameters": report.parameters,
        "float in strop's layers agrees": report.restated.agreement,
        "logits within": report.difference,
        "int8 agrees": report.quantized.agreement,
        "exported: equal logits": out.equal_logits,
    }


if __name__ == "__main__":
    main()
