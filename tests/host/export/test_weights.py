"""Exported weights, used by arithmetic of this file's own: integers give equal logits, real numbers near ones."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors
from numpy.lib.stride_tricks import sliding_window_view
from safetensors.numpy import load_file

from small_networks import ADVERSARIAL, BRANCHES, DENSE, JOINT, RESIDUAL
from strop.host import Model, TrainingSettings, load_dataset
from strop.host.checkpoint import read_checkpoint
from strop.host.export import export_checkpoint
from strop.host.export.torch_names import torch_names
from strop.host.export.weights import _scaled
from strop.host.models import build_model
from strop.host.pretrained import pretrained_path
from strop.runtime.graph import L1BN, Conv2d, ConvTranspose2d, Flatten, Linear, NetworkGraph
from strop.runtime.hyperparameters import Hyperparameters
from strop.runtime.session import Minibatch

TRANSPOSED = NetworkGraph(
    "transposed",
    (1, 5, 4),
    (
        *(Conv2d(6, (3, 3)), L1BN(), ConvTranspose2d(8, (3, 2), (2, 1), (1, 0), (1, 0), groups=2), L1BN()),
        *(Flatten(), Linear(3)),
    ),
)
IMAGES = load_dataset("fashion-mnist-subset", "test").images[::20]


@pytest.fixture(scope="module")
def expected():
    """Logits float64 [n, 10] of the bundled LeNet-5."""
    with Model.load(pretrained_path(), device="emulator", threads=1) as model:
        return model.predict(IMAGES).logits


def exported(tmp_path, form):
    return load_file(export_checkpoint(pretrained_path(), form, tmp_path / "w.safetensors"))


def product(values, weights):
    """What a layer's weights make of maps [n, C, H, W]: [n, K, P, Q], in the arrays' own arithmetic."""
    if weights.ndim == 2:
        return (values.reshape(len(values), -1) @ weights.T)[:, :, np.newaxis, np.newaxis]
    windows = sliding_window_view(values, weights.shape[2:], axis=(2, 3))
    return np.einsum("ncpqrs,kcrs->nkpq", windows, weights)


def lenet5(values, layer):
    """LeNet-5 of `layer(values, name, name of its normalization)`, each with its activation; logits [n, 10]."""
    for number in (1, 2):
        values = layer(values, f"conv{number}", f"bn{number}")
        count, channels, height, width = values.shape
        values = values.reshape(count, channels, height // 2, 2, width // 2, 2).max(axis=(3, 5))
    for number in (1, 2):
        values = layer(values, f"fc{number}", f"bn{number + 2}")
    return layer(values, "fc3", None)[:, :, 0, 0]


def per_channel(values):
    return values[:, np.newaxis, np.newaxis]


def bordered(values, black):
    return np.pad(values, ((0, 0), (0, 0), (2, 2), (2, 2)), constant_values=black)


def test_integers_give_equal_logits(tmp_path, expected):
    """What the file says is all that inference needs."""
    file = {name: array.astype(np.int64) for name, array in exported(tmp_path, "safetensors-int8").items()}
    with safetensors.safe_open(tmp_path / "w.safetensors", "numpy") as opened:
        exponent = int(opened.metadata()["logits_exponent"])

    def layer(values, name, norm):
        acc = product(values, file[f"{name}.weight"])
        if norm is None:
            return acc + per_channel(file[f"{name}.bias"])
        shift = file[f"{name}.shift"]
        x8 = np.clip((acc + (1 << (shift - 1))) >> shift, -127, 127)
        y = (x8 * per_channel(file[f"{norm}.multiplier"]) + per_channel(file[f"{norm}.constant"])) >> 12
        return np.clip(y, file[f"{norm}.low"], 127)

    logits = lenet5(bordered(np.maximum(IMAGES.astype(np.int64) - 128, -127), -127), layer)
    assert np.array_equal(logits * 2.0**-exponent, expected)


def test_real_numbers_give_near_logits(tmp_path, expected):
    """Batch normalization as PyTorch computes it, and folded: both alike, and near the integers."""
    plain, folded = exported(tmp_path, "safetensors"), exported(tmp_path, "safetensors-folded")
    assert all(array.dtype == np.float32 for name, array in plain.items() if not name.endswith("tracked"))

    def with_norm(values, name, norm):
        acc = product(values, plain[f"{name}.weight"])
        if norm is None:
            return acc + per_channel(plain[f"{name}.bias"])
        mean, var, weight, bias = (plain[f"{norm}.{n}"] for n in ("running_mean", "running_var", "weight", "bias"))
        scaled = (acc - per_channel(mean)) / np.sqrt(per_channel(var) + 1e-5)
        return np.maximum(scaled * per_channel(weight) + per_channel(bias), 0)

    def without(values, name, norm):
        found = product(values, folded[f"{name}.weight"]) + per_channel(folded[f"{name}.bias"])
        return found if norm is None else np.maximum(found, 0)

    images = bordered((np.maximum(IMAGES.astype(np.float32) - 128, -127)) / 128, -127 / 128)
    a, b = lenet5(images, with_norm), lenet5(images, without)
    assert np.allclose(a, b, rtol=1e-3, atol=1e-3)
    spread = expected.std()
    assert np.abs(a - expected).mean() < 0.06 * spread, np.abs(a - expected).mean() / spread
    assert (a.argmax(1) == expected.argmax(1)).mean() > 0.9


def test_metadata_say_what_names_do_not(tmp_path):
    """Input, classes and origin travel with the numbers."""
    path = export_checkpoint(read_checkpoint(pretrained_path()), "safetensors", tmp_path / "w.safetensors")
    with safetensors.safe_open(path, "numpy") as file:
        facts = file.metadata()
    assert facts["network"] == "lenet5" and facts["classes"].split("\n")[-1] == "Ankle boot"
    assert facts["input"] == "[1, 28, 28], (pixel - 128) / 128, with a border of 2 pixels of -127/128"
    assert facts["batch_norm_eps"] == "1e-05" and len(facts["state_sha256"]) == 64


def test_a_resnet_has_torchvision_names():
    """So that a ResNet's file loads into torchvision's module of the same shape; others keep strop's names."""
    names = torch_names(build_model("resnet8", (3, 32, 32), 10))
    expected = {"conv1", "bn1", "fc"}
    for stage in (1, 2, 3):
        block = f"layer{stage}.0."
        expected |= {block + name for name in ("conv1", "bn1", "conv2", "bn2")}
        expected |= {block + name for name in ("downsample.0", "downsample.1")} if stage > 1 else set()
    assert set(names.values()) == expected and len(names) == len(expected) and names["conv1"] == "conv1"
    assert {"layer1.2.bn2", "layer3.0.conv2"} <= set(torch_names(build_model("resnet20", (3, 32, 32), 10)).values())
    chain = torch_names(build_model("lenet5", (1, 28, 28), 10))
    assert list(chain) == list(chain.values()) == ["conv1", "bn1", "conv2", "bn2", "fc1", "bn3", "fc2", "bn4", "fc3"]


@pytest.mark.parametrize("graph", [RESIDUAL, BRANCHES, DENSE, JOINT, ADVERSARIAL], ids=lambda graph: graph.name)
def test_every_parameter_is_in_the_file(tmp_path, graph):
    """Names are unique, and a real network's numbers fill the state's arrays: none is lost or written over."""
    images = np.random.Generator(np.random.PCG64(1)).integers(0, 256, (16, *graph.input), np.uint8)
    with Model.create(graph, device="emulator", threads=1) as model:
        targets = np.eye(graph.classes, dtype=np.int32)[np.arange(16) % graph.classes] << 15
        step = Minibatch(images, np.zeros(16, np.int32), 0.1, targets)
        model.train_on([step], TrainingSettings(16, Hyperparameters(loss="binary_cross_entropy")))
        saved, state = model.save(tmp_path / "m.safetensors"), model.state()
    file = load_file(export_checkpoint(saved, "safetensors", tmp_path / "w.safetensors"))
    kinds = {node.name: node.layer.kind for node in graph.nodes}
    held = sum(a.size for name, a in state.items() if name.endswith((".weight", ".bias", ".beta")))
    held += sum(3 * a.size + 1 for name, a in state.items() if name.endswith(".gamma") and kinds[name[:-6]] == "l1bn")
    assert sum(array.size for array in file.values()) == held
    folded = load_file(export_checkpoint(saved, "safetensors-folded", tmp_path / "f.safetensors"))
    assert {name for name, array in folded.items() if array.ndim > 1} == {n for n, a in file.items() if a.ndim > 1}


def test_a_transposed_convolution_is_folded_by_its_outputs():
    """Its weights are [C_in, C_out/groups, R, S]: the channel that is scaled is not the first axis."""
    node = next(node for node in TRANSPOSED.nodes if node.layer.kind == "conv_transpose2d")
    weights = np.ones(node.weight_shape)
    scaled = _scaled(node, weights, np.arange(float(node.output[0])))
    groups, per_input, per_output = node.layer.groups, weights.shape[0] // node.layer.groups, weights.shape[1]
    for row in range(weights.shape[0]):
        group = row // per_input
        assert scaled[row, :, 0, 0].tolist() == list(range(group * per_output, (group + 1) * per_output))
    assert groups == 2
