"""A transposed convolution is the transpose of a convolution: against a scatter written here, and against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from op_programs import run_op, site
from strop.runtime.contract import C
from strop.runtime.device import Device

# K channels in, C out; map in, filter, stride, padding, rows and columns added to the output; groups; batch
LAYERS = {
    "up by 2": (6, 10, (5, 4), (4, 4), (2, 2), (1, 1), (0, 0), 1, 3),
    "output padding": (5, 3, (4, 6), (3, 3), (2, 2), (1, 1), (1, 1), 1, 17),
    "gaps": (3, 7, (3, 5), (2, 1), (3, 4), (0, 0), (0, 0), 1, 2),
    "uneven": (4, 5, (6, 3), (5, 2), (1, 3), (3, 1), (0, 2), 1, 2),
    "groups": (6, 9, (5, 5), (3, 3), (2, 1), (1, 1), (1, 0), 3, 2),
    "depthwise": (7, 7, (4, 5), (4, 4), (2, 2), (1, 1), (0, 0), 7, 2),
    "from one position": (20, 6, (1, 1), (4, 3), (1, 1), (0, 0), (0, 0), 1, 5),
}
SHIFT = 3


def fields_of(name: str) -> dict[str, int]:
    """Return the fields of the convolution whose transpose the layer is: it reads C channels and makes K."""
    k, c, (p, q), (r, s), (stride_h, stride_w), (top, left), (added_h, added_w), groups, batch = LAYERS[name]
    fields = {"channels_in": c, "channels_out": k, "height_out": p, "width_out": q, "kernel_h": r, "kernel_w": s}
    fields |= {"stride_h": stride_h, "stride_w": stride_w, "pad_top": top, "pad_left": left, "groups": groups}
    fields |= {"height_in": (p - 1) * stride_h + r - 2 * top + added_h}
    return {**fields, "width_in": (q - 1) * stride_w + s - 2 * left + added_w, "batch": batch}


def operands(f: dict[str, int]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return input [K, N, P, Q], output's gradient [C, N, H, W] and weights [K, C/groups, R, S], all small."""
    rng = np.random.default_rng(f["channels_in"])
    shape = (f["channels_out"], f["channels_in"] // f["groups"], f["kernel_h"], f["kernel_w"])
    x = rng.integers(-60, 61, (f["channels_out"], f["batch"], f["height_out"], f["width_out"]))
    gradient = rng.integers(-60, 61, (f["channels_in"], f["batch"], f["height_in"], f["width_in"]))
    return x, gradient, rng.integers(-9, 10, shape)


def scattered(x: NDArray[Any], w: NDArray[Any], f: dict[str, int]) -> NDArray[np.int64]:
    """Return what each input value, times each of its filter's taps, adds up to: int64 [C, N, H, W]."""
    k, n, p, q = x.shape
    sums = np.zeros((f["channels_in"], n, f["height_in"], f["width_in"]), np.int64)
    of_group = f["channels_in"] // f["groups"]
    for source, c, y, z, r, s in np.ndindex(k, of_group, p, q, f["kernel_h"], f["kernel_w"]):
        row, column = y * f["stride_h"] + r - f["pad_top"], z * f["stride_w"] + s - f["pad_left"]
        if 0 <= row < f["height_in"] and 0 <= column < f["width_in"]:
            channel = source // (k // f["groups"]) * of_group + c
            sums[channel, :, row, column] += x[source, :, y, z] * w[source, c, r, s]
    return sums


def forward(device: Device, f: dict[str, int], x: NDArray[Any], w: NDArray[Any], shift: int) -> dict[str, NDArray[Any]]:
    """Run the forward pass with a shift that is known."""
    exponents = {"source_exponent": 5, "weight_exponent": np.full(len(w), 9)}
    inputs = {"source": x, "weights": w, **exponents, "site": site(shift)}
    return run_op(device, C.OP_CONV_INPUT_GRADIENT, {**f, "flags": C.FLAG_TRANSPOSED}, inputs)


def weight_gradient(device: Device, f: dict[str, int], x: NDArray[Any], gradient: NDArray[Any]) -> NDArray[Any]:
    """Run the weight gradient; return it [K, C/groups, R, S]."""
    inputs = {"source": x, "source_exponent": 5, "source_2": gradient, "source_2_exponent": 2}
    got = run_op(device, C.OP_CONV_WEIGHT_GRADIENT, {**f, "flags": C.FLAG_TRANSPOSED}, inputs)
    assert (got["target_exponent"] == 7).all()
    return got["target"]


@pytest.mark.parametrize("name", LAYERS)
def test_forward_is_a_scatter(device: Device, name: str) -> None:
    """Protects the forward pass: every tap of every value to its place, rounded to nearest, an exponent a channel."""
    f = fields_of(name)
    x, _, w = operands(f)
    got = forward(device, f, x, w, SHIFT)
    sums = scattered(x, w, f)
    assert np.array_equal(got["target"], np.clip((sums + (1 << SHIFT - 1)) >> SHIFT, -127, 127))
    assert np.array_equal(got["target_exponent"], np.full(f["channels_in"], 5 + 9 - SHIFT))


@pytest.mark.parametrize("name", LAYERS)
def test_input_gradient_is_the_transpose_of_forward(device: Device, name: str) -> None:
    """Protects the backward pass: <forward(x), g> = <x, input gradient(g)> = <w, weight gradient>, exactly."""
    f = fields_of(name)
    x, gradient, w = operands(f)
    x, gradient, w = np.sign(x), np.sign(gradient) * (gradient % 5 == 0), np.sign(w)  # so that no sum saturates
    exponents = {"source_exponent": 5, "weight_exponent": np.full(len(w), 9)}
    inputs = {"source": gradient, "weights": w, **exponents, "site": site(0), "dither": [7]}
    inputs["site"][5] = 5 + 9  # reference: what arrives has the exponent of the last step
    got = run_op(device, C.OP_CONV_FORWARD, {**f, "flags": C.FLAG_TRANSPOSED}, inputs)
    assert got["target_exponent"].tolist() == [5 + 9]
    assert np.abs(got["target"]).max() < 127
    product = int((scattered(x, w, f) * gradient).sum())
    assert int((got["target"].astype(np.int64) * x).sum()) == product
    assert int((weight_gradient(device, f, x, gradient).astype(np.int64) * w).sum()) == product


@pytest.mark.parametrize("name", LAYERS)
def test_pytorch_agrees(device: Device, name: str) -> None:
    """Protects the meaning of the layer's fields: conv_transpose2d and its gradients, on integers in float64."""
    torch = pytest.importorskip("torch")
    f = fields_of(name)
    x, gradient, w = operands(f)

    def tensor(array: NDArray[Any]) -> Any:
        return torch.tensor(array, dtype=torch.float64, requires_grad=True)

    source, weights = tensor(x.transpose(1, 0, 2, 3)), tensor(w)
    *_, stride, padding, added, groups, _ = LAYERS[name]
    out = torch.nn.functional.conv_transpose2d(source, weights, None, stride, padding, added, groups)
    sums = out.detach().numpy().transpose(1, 0, 2, 3).astype(np.int64)
    got = forward(device, f, x, w, SHIFT)
    assert np.array_equal(got["target"], np.clip((sums + (1 << SHIFT - 1)) >> SHIFT, -127, 127))
    out.backward(tensor(gradient.transpose(1, 0, 2, 3)).detach())
    assert np.array_equal(weight_gradient(device, f, x, gradient), weights.grad.numpy().astype(np.int64))


@pytest.mark.parametrize("first", [True, False])
def test_saturation_control_is_a_forward_passs(device: Device, first: bool) -> None:
    """Protects the rate 2^-11 of the forward pass, and that with FIXED the site stays and an unset one stops."""
    f = fields_of("up by 2")
    x, _, w = operands(f)
    start = site() if first else site(1)
    inputs = {"source": x, "weights": w, "source_exponent": 5, "weight_exponent": np.full(len(w), 9), "site": start}
    got = run_op(device, C.OP_CONV_INPUT_GRADIENT, {**f, "flags": C.FLAG_TRANSPOSED}, inputs)
    sums = np.abs(scattered(x, w, f))
    shift = max(0, int(sums.max()).bit_length() - 7) if first else 1
    over, half = int((sums > 127 << shift).sum()), int((sums > (127 << shift) >> 1).sum())
    follows = shift if first else shift + 1
    assert first or over > sums.size >> 11
    assert got["site"][:6].tolist() == [1, follows, shift, over, half, 0]
    fixed = {**f, "flags": C.FLAG_TRANSPOSED | C.FLAG_FIXED}
    again = run_op(device, C.OP_CONV_INPUT_GRADIENT, fixed, {**inputs, "site": got["site"]})
    assert np.array_equal(again["site"], got["site"]) and np.array_equal(again["target"], got["target"])
    stopped = run_op(device, C.OP_CONV_INPUT_GRADIENT, fixed, {**inputs, "site": site()})
    assert stopped["report"][0] == C.STATUS_SITE_UNSET
