"""The ONNX export under ONNX Runtime: the same integers as strop, logit for logit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onnx_files import onnx, some_images
from strop.host import Model
from strop.host.export.onnx_export import export_onnx
from strop.host.export.onnx_runtime import compare_with_onnxruntime, run_onnx
from strop.runtime.errors import InputError
from strop.runtime.graph import (
    L1BN,
    AveragePool2d,
    Bias,
    Concatenate,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    GlobalAveragePool,
    HardSwish,
    Layer,
    LeakyReLU,
    Linear,
    MaxPool2d,
    NetworkGraph,
    ReLU,
    ReLU6,
    Residual,
    Sigmoid,
    SiLU,
    Tanh,
    Upsample,
)
from tiny_models import CLASSES, tiny_dataset, tiny_model

CONV = Conv2d(8, padding=(1, 1))
STEM: tuple[Layer, ...] = (CONV, L1BN(4), ReLU())
NETWORKS: dict[str, tuple[Layer, ...]] = {
    "residual": (
        *STEM,
        Residual((CONV, L1BN(4), ReLU(), CONV, L1BN(5)), (Conv2d(8, (1, 1)), L1BN(2)), 3),
        *(ReLU(), Residual((CONV, L1BN(3)), (), 2), MaxPool2d((3, 3), (2, 2), (1, 1)), GlobalAveragePool(2), Linear(3)),
    ),
    "joined": (
        *STEM,
        Concatenate(((), (CONV, L1BN(4), ReLU()))),
        *(Conv2d(8, (1, 1)), AveragePool2d((2, 2), (2, 2)), L1BN(), ReLU()),
        *(AveragePool2d((3, 3), (1, 1), (1, 1)), Flatten(), Linear(6), L1BN(), ReLU(), Linear(3)),
    ),
    "raw joined": (
        CONV,
        Concatenate(((), (L1BN(4), ReLU(), Conv2d(4, (3, 3), padding=(1, 1))))),
        *(L1BN(4), ReLU(), GlobalAveragePool(1), Linear(3)),
    ),
    "tables": (
        *(CONV, L1BN(4), LeakyReLU(0.2, 4), CONV, L1BN(4), ReLU6(4), Conv2d(8, (1, 1), groups=4), L1BN(5), Tanh()),
        *(Conv2d(8, (1, 1)), L1BN(4), SiLU(4), Conv2d(8, (1, 1)), L1BN(4), HardSwish(4), Conv2d(8, (1, 1)), Bias(4)),
        *(Sigmoid(7), GlobalAveragePool(), Linear(3)),
    ),
    "generator": (
        *(Conv2d(8, (3, 3), (2, 2), (1, 1)), L1BN(4), ReLU(), ConvTranspose2d(4, (4, 4), (2, 2), (1, 1)), L1BN(4)),
        *(ReLU(), Upsample((2, 1)), Conv2d(4, (3, 3), (2, 2)), L1BN(3), ReLU(), Flatten(), Linear(3)),
    ),
}


def trained(layers: tuple[Layer, ...], border: int = 0) -> Model:
    """Return a model after a few steps, so that shifts and statistics are those of training."""
    model = Model.create(NetworkGraph("net", (1, 8, 8), layers, border), classes=CLASSES, seed=1, threads=1)
    model.fit(tiny_dataset(), steps=6, batch=20)
    return model


@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_runtime_computes_the_same_integers(name: str, tmp_path: Path) -> None:
    """Protects rounding, ties and clamps of every layer: no logit differs in any bit."""
    model = trained(NETWORKS[name], border=1 if name == "residual" else 0)
    found = compare_with_onnxruntime(
        model, export_onnx(model, tmp_path / "net.onnx"), some_images(64), np.zeros(64, int)
    )
    assert found.equal_logits == 1.0 and found.agreement == 1.0 and found.difference == 0.0
    assert found.accuracy == found.accuracy_onnx
    assert model.predict(some_images(64)).logits.std() > 0.01


def test_weights_are_int8_and_scales_are_powers_of_two(tmp_path: Path) -> None:
    """Protects what other runtimes look for: QDQ pairs with int8 weights."""
    model = trained(NETWORKS["residual"])
    found = onnx.load(str(export_onnx(model, tmp_path / "net.onnx")))
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in found.graph.initializer}
    scales = [arrays[n.input[1]] for n in found.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert all(np.frexp(scale)[0] == 0.5 for scale in scales)
    convolutions = [node for node in found.graph.node if node.op_type == "Conv"]
    makers = {node.output[0]: node for node in found.graph.node}
    assert len(convolutions) == 5
    assert all(arrays[makers[node.input[1]].input[0]].dtype == np.int8 for node in convolutions)
    assert {p.key: p.value for p in found.metadata_props}["state_sha256"] == model.digest()


def test_spare_outputs_stay_at_home(tmp_path: Path) -> None:
    """Protects users of an exported file from classes that there are not yet."""
    model = Model.create(
        NetworkGraph("net", (1, 8, 8), NETWORKS["joined"]), classes=CLASSES, spare_classes=2, threads=1
    )
    model.fit(tiny_dataset(), steps=2, batch=20)
    assert run_onnx(export_onnx(model, tmp_path / "net.onnx"), some_images(3)).shape == (3, 3)


def test_refusals(tmp_path: Path) -> None:
    """Protects from a file of a network without shifts, and from half-written files."""
    with pytest.raises(InputError, match="never trained"):
        export_onnx(tiny_model(), tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()
    model = trained(NETWORKS["joined"])
    with pytest.raises(InputError, match="cannot write"):
        export_onnx(model, tmp_path / "nowhere" / "net.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(InputError, match="cannot run"):
        compare_with_onnxruntime(model, tmp_path / "text.onnx", some_images(2))
