"""Bring your own model, there and back: PyTorch, ONNX, strop's int8, fine-tuning on shifted images, ONNX, ONNX Runtime.

    python tests/bench/round_trip.py [--data fashion-mnist] [--steps 400] [--shift contrast] [--record FILE.json]

A ResNet-8 as a user would write it, with nn.BatchNorm2d, is trained in float with PyTorch and exported to ONNX. strop
imports the file, fine-tunes in int8 on images that have shifted, and exports; ONNX Runtime runs what came out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from strop.host import Dataset, load_dataset
from strop.host.data import SHIFTS, shift_dataset
from strop.host.export.onnx_export import export_onnx
from strop.host.export.onnx_runtime import compare_with_onnxruntime
from strop.host.importing import import_onnx

MEAN, STD = 0.286, 0.353  # of Fashion-MNIST, as users write them


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output."""
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet8(nn.Module):
    """A stem, three blocks, and a Linear layer."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2))
        self.fc = nn.Linear(64, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        return self.fc(self.blocks(self.stem(x)).mean((2, 3)))


def train_float(model: nn.Module, data: Dataset, steps: int, seed: int) -> None:
    """Train with SGD, the learning rate falling to 0 by a cosine."""
    images = (torch.from_numpy(data.images.copy()).float() / 255 - MEAN) / STD
    labels = torch.from_numpy(data.labels.copy()).long()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(steps):
        rows = torch.randint(len(images), (128,), generator=generator)
        loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.eval()


def main() -> None:
    """Go round and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--fine-tuning", type=int, default=200, metavar="STEPS")
    parser.add_argument("--shift", choices=tuple(SHIFTS), default="contrast")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", type=Path)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    train, test = load_dataset(arguments.data, "train"), load_dataset(arguments.data, "test")
    started = time.perf_counter()
    network = ResNet8()
    train_float(network, train, arguments.steps, arguments.seed)
    print(f"float training: {time.perf_counter() - started:.0f} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        found = round_trip(network, train, test, arguments, Path(folder))
    for name, value in found.items():
        print(f"{name:<32} {value:.4f}" if isinstance(value, float) else f"{name:<32} {value}")
    if arguments.record is not None:
        arguments.record.write_text(json.dumps(found, indent=2) + "\n")


def round_trip(network: nn.Module, train: Dataset, test: Dataset, arguments: Any, folder: Path) -> dict[str, Any]:
    """Export, import, measure, fine-tune, export, run; return the figures."""
    file = folder / "resnet8.onnx"
    torch.onnx.export(
        *(network, torch.zeros(1, 1, 28, 28), str(file)),
        dynamo=False,
        input_names=["x"],
        dynamic_axes={"x": {0: "n"}},
    )
    imported = import_onnx(file, calibration=train.take(512, 0), test=test, mean=MEAN, std=STD)
    model, report = imported.model, imported.report
    measured, restated = report.quantized, report.restated
    assert restated is not None
    out = folder / "int8.onnx"
    before = compare_with_onnxruntime(model, export_onnx(model, out), test.images, test.labels)
    shifted = [shift_dataset(part, arguments.shift) for part in (train, test)]
    drifted = model.evaluate(shifted[1]).accuracy
    model.fit(shifted[0], steps=arguments.fine_tuning, batch=128, learning_rate=0.02, schedule="cosine")
    after = compare_with_onnxruntime(model, export_onnx(model, out), shifted[1].images, shifted[1].labels)
    return {
        "data": test.name,
        "float accuracy": measured.accuracy_before,
        "in strop's layers, agreement": restated.agreement,
        "int8 accuracy": measured.accuracy_after,
        "int8 agrees with float": measured.agreement,
        "statistics": report.statistics,
        "ONNX out: accuracy": before.accuracy_onnx,
        "ONNX out: agreement": before.agreement,
        "ONNX out: equal logits": before.equal_logits,
        f"{arguments.shift}: accuracy before": drifted,
        f"{arguments.shift}: accuracy after": after.accuracy,
        f"{arguments.shift}: ONNX accuracy": after.accuracy_onnx,
        f"{arguments.shift}: ONNX agreement": after.agreement,
        f"{arguments.shift}: equal logits": after.equal_logits,
        "file bytes": out.stat().st_size,
    }


if __name__ == "__main__":
    main()
