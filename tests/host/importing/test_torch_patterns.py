"""PyTorch modules in strop's layers: in float they must compute what PyTorch does, and stay as they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from onnx_files import some_images  # noqa: E402
from strop.host.importing import ModelImportError, UnsupportedNodes, import_torch  # noqa: E402
from strop.host.importing.assemble import assemble  # noqa: E402
from strop.host.importing.importer import prepared  # noqa: E402
from strop.host.importing.pixels import Normalization  # noqa: E402
from strop.host.importing.torch_reader import read_torch  # noqa: E402
from strop.host.quantization import float_logits  # noqa: E402

nn = torch.nn


class Block(nn.Module):  # type: ignore[misc, name-defined]
    """A residual block as users write it."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        same = stride == 1 and inputs == outputs
        self.shortcut = (
            nn.Identity() if same else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Any) -> Any:
        """Return the block's output."""
        y = torch.relu_(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += self.shortcut(x)
        return nn.functional.relu(y)


class Pooled(nn.Module):  # type: ignore[misc, name-defined]
    """The LeNet of tutorials: pooling before ReLU, view, dropout, log_softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.drop = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 6, 2), nn.Dropout(0.3)
        self.fc1, self.fc2 = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        """Return log-probabilities."""
        x = nn.functional.relu(nn.functional.max_pool2d(self.conv1(x), 2))
        x = nn.functional.relu(nn.functional.max_pool2d(self.conv2(x), 2))
        x = self.drop(nn.functional.relu(self.fc1(x.view(x.size(0), -1))))
        return nn.functional.log_softmax(self.fc2(x), dim=1)


def modules() -> dict[str, Any]:
    """Return modules of many kinds."""
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
    return {
        "residual": nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), Block(4, 4, 1), Block(4, 6, 2), *head
        ),
        "pooled": Pooled(),
        "mobile": nn.Sequential(
            *(nn.Conv2d(1, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU6()),
            *(
                nn.Conv2d(4, 4, 3, 1, "same", groups=4),
                nn.BatchNorm2d(4),
                nn.Hardswish(),
                nn.Conv2d(4, 6, 1),
                nn.SiLU(),
            ),
            *head,
        ),
        "generator": nn.Sequential(
            *(nn.ZeroPad2d(1), nn.Conv2d(1, 4, 3, 2), nn.LeakyReLU(0.2), nn.ConvTranspose2d(4, 6, 4, 2, 1), nn.Tanh()),
            *(nn.Upsample(scale_factor=2), nn.AvgPool2d(2), nn.Conv2d(6, 6, 1), nn.Sigmoid(), *head),
        ),
    }


@pytest.mark.parametrize("name", ["residual", "pooled", "mobile", "generator"])
def test_float_logits_are_those_of_pytorch(name: str) -> None:
    """Protects the function of modules, running statistics included; modules keep their mode."""
    torch.manual_seed(0)
    module = modules()[name]
    module.train()
    normalization, images = Normalization.of(1, 0.4, 0.3, 1 / 255), some_images(16)
    x = torch.from_numpy(prepared(images, normalization))
    for _ in range(3):
        module(x * 1.5)  # so that running statistics are not those of a new module
    operations, flat = read_torch(module, x[:2])
    assert module.training and not flat
    module.eval()
    with torch.no_grad():
        theirs = module(x).numpy()
    if name == "pooled":  # log_softmax shifts the logits of a sample alike
        theirs = theirs - theirs.mean(axis=1, keepdims=True)
    network = assemble(operations, normalization, name)
    ours = float_logits(network, images)
    if name == "pooled":
        ours = ours - ours.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert theirs.std() > 0.01


def test_all_obstacles_at_once() -> None:
    """Protects a user from one obstacle after the other; a node is named by its module."""
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3, dilation=2), nn.GELU(), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(64, 3)
    )
    with pytest.raises(UnsupportedNodes) as raised:
        import_torch(module, torch.zeros(2, 1, 8, 8), calibration=some_images(4))
    assert [o.op for o in raised.value.obstacles] == ["conv2d", "gelu", "group_norm"]
    assert raised.value.obstacles[2].node.startswith("2 ")


def test_casts_to_whole_numbers_are_refused() -> None:
    """Protects from a cast that cuts what lies between."""

    class Cast(nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return x.to(torch.int32).to(torch.float32).mean((2, 3))

    with pytest.raises(UnsupportedNodes, match="makes torch.int32 of values"):
        read_torch(Cast(), torch.zeros(2, 1, 8, 8))


def test_what_is_no_module_and_what_cannot_be_traced() -> None:
    """Protects from tracebacks of the tracer."""

    class Branching(nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return x if x.sum() > 0 else -x

    for module, example in (
        (np.sin, torch.zeros(2, 1, 8, 8)),
        (nn.ReLU(), "image"),
        (Branching(), torch.zeros(2, 1, 8, 8)),
    ):
        with pytest.raises(ModelImportError):
            import_torch(module, example, calibration=some_images(4))


def test_a_module_that_takes_one_number_of_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects from PyTorch's own exceptions: what is traced with two images may not run with more."""

    class Fixed(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(64, 3)

        def forward(self, x: Any) -> Any:
            return self.head(x.view(2, 64))

    module = Fixed().train()
    with pytest.raises(ModelImportError, match="Fixed cannot be run on images .*any number"):
        import_torch(module, torch.zeros(2, 1, 8, 8), calibration=some_images(8))
    assert module.training


def test_a_module_predicts_in_int8() -> None:
    """Protects the whole way, report included."""
    torch.manual_seed(0)
    imported = import_torch(modules()["residual"], torch.zeros(2, 1, 8, 8), calibration=some_images(64))
    assert imported.report.restated is not None and imported.report.restated.agreement == 1.0
    assert imported.report.quantized.agreement > 0.8 and imported.report.original.startswith("PyTorch")
