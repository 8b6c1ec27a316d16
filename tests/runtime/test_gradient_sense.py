"""The integers train: each layer's integer gradient points where the float64 gradient of the same layer points.

Every layer is run by one command on a device; its float64 twin gets the same tensors, dequantized (q * 2^-exponent).
What is left is the rounding of the int8 result, whose size the cosine similarity bounds, and behind ReLU the mask: an
output that rounds to zero passes no gradient. `pytest -s` prints the figures.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from op_programs import run_op, site, slot_head
from strop.runtime.contract import C

Floats = NDArray[np.float64]
ONE = 1 << C.PARAMETER_FRACTION


def cosine(name: str, integer: Floats, exact: Floats, least: float) -> None:
    """Check and print the cosine similarity, and that the lengths agree to a tenth."""
    norms = float(np.linalg.norm(integer)), float(np.linalg.norm(exact))
    similarity = float(np.vdot(integer, exact)) / (norms[0] * norms[1])
    print(f"{name}: cosine {similarity:.5f}, length {norms[0] / norms[1]:.4f} of the float64 gradient's")
    assert similarity >= least
    assert 0.9 < norms[0] / norms[1] < 1.1


def dequantized(q: NDArray[Any], exponent: NDArray[Any]) -> Floats:
    """Return q * 2^-exponent; exponents belong to the first axis, or one to all."""
    scale = 2.0 ** -exponent.astype(np.float64)
    result: Floats = q * scale.reshape(-1, *[1] * (q.ndim - 1))
    return result


def activations(rng: np.random.Generator, *shape: int) -> NDArray[np.int8]:
    """Return what L1BN with ReLU leaves at exponent 3: half of it zero, the rest mostly below 3."""
    return np.clip(np.rint(rng.normal(0, 10, shape)), 0, 127).astype(np.int8)


def errors(rng: np.random.Generator, *shape: int) -> NDArray[np.int8]:
    """Return an error as backpropagation brings it: heavy-tailed, most of it small."""
    return np.clip(np.rint(rng.laplace(0, 12, shape)), -127, 127).astype(np.int8)


# ---- convolution -----------------------------------------------------------------------------------------------------

CONVOLUTIONS = {
    "conv 5x5": {"channels_in": 6, "channels_out": 16, "height_in": 14, "kernel_h": 5, "height_out": 10},
    "conv 3x3 padded": {
        "channels_in": 8,
        "channels_out": 12,
        "height_in": 9,
        "kernel_h": 3,
        "height_out": 9,
        "pad_top": 1,
    },
    "conv 3x3 stride 2": {
        "channels_in": 8,
        "channels_out": 6,
        "height_in": 11,
        "kernel_h": 3,
        "height_out": 6,
        "stride_h": 2,
        "pad_top": 1,
        "groups": 2,
    },
    "depthwise 3x3": {
        "channels_in": 9,
        "channels_out": 9,
        "height_in": 8,
        "kernel_h": 3,
        "height_out": 8,
        "pad_top": 1,
        "groups": 9,
    },
    "linear": {"channels_in": 120, "channels_out": 84, "height_in": 1, "kernel_h": 1, "height_out": 1},
}


def square(fields: dict[str, int]) -> dict[str, int]:
    """Return the fields with widths as heights."""
    widths = {"height_in": "width_in", "height_out": "width_out", "kernel_h": "kernel_w"}
    widths |= {"stride_h": "stride_w", "pad_top": "pad_left"}
    full = {"groups": 1, "stride_h": 1, "pad_top": 0, **fields}
    return {**full, **{width: full[height] for height, width in widths.items()}}


def float_conv_gradients(a: Floats, w: Floats, dx: Floats, f: dict[str, int]) -> tuple[Floats, Floats]:
    """Return the gradients of sum(dx * conv(a, w)) by a [C, N, H, W] and w [K, C/g, R, S], in float64."""
    stride, pad, groups, p = f["stride_h"], f["pad_top"], f["groups"], f["height_out"]
    padded = np.pad(a, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    da, dw = np.zeros_like(padded), np.zeros_like(w)
    (k, depth), per_group = w.shape[:2], w.shape[0] // groups
    for out in range(k):
        channels = slice(out // per_group * depth, (out // per_group + 1) * depth)
        for r in range(f["kernel_h"]):
            for s in range(f["kernel_w"]):
                window = (channels, slice(None), slice(r, r + p * stride, stride), slice(s, s + p * stride, stride))
                patch = padded[window][:, :, :p, :p]
                dw[out, :, r, s] = (patch * dx[out]).sum(axis=(1, 2, 3))
                da[window][:, :, :p, :p] += w[out, :, r, s][:, None, None, None] * dx[out]
    inner = slice(pad, pad + f["height_in"])
    return da[:, :, inner, inner], dw


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution(device: Any, name: str) -> None:
    """Protects both gradients of a convolution; each output channel has its own weight exponent, as L1BN allows."""
    f = square({"batch": 16, **CONVOLUTIONS[name]})
    k, kernel = f["channels_out"], (f["kernel_h"], f["kernel_w"])
    rng = np.random.default_rng(len(name))
    ew = rng.integers(7, 11, k)
    e_dx = 30 - ew  # so that e_dx + ew is one number
    inputs: dict[str, Any] = {
        "weights": np.clip(np.rint(rng.normal(0, 40, (k, f["channels_in"] // f["groups"], *kernel))), -127, 127),
        "weight_exponent": ew,
        "source": errors(rng, k, 16, f["height_out"], f["width_out"]),
        "source_exponent": e_dx,
        "source_2": activations(rng, f["channels_in"], 16, f["height_in"], f["width_in"]),
        "source_2_exponent": [3],
        "site": site(),
        "dither": [12345],
    }
    da, dw = float_conv_gradients(
        dequantized(inputs["source_2"], np.array([3])),
        dequantized(inputs["weights"], ew),
        dequantized(inputs["source"], e_dx),
        f,
    )
    got = run_op(device, C.OP_CONV_INPUT_GRADIENT, f, inputs)
    cosine(f"{name}, input gradient", dequantized(got["target"], got["target_exponent"]), da, 0.998)
    got = run_op(device, C.OP_CONV_WEIGHT_GRADIENT, f, inputs)
    assert np.array_equal(dequantized(got["target"], got["target_exponent"]), dw), "int32 sums are exact"


# ---- L1BN ------------------------------------------------------------------------------------------------------------


def float_l1bn(x: Floats, gamma: Floats, beta: Floats, lo: float, hi: float) -> tuple[Floats, Floats, Floats]:
    """Return y, x-hat and sigma of Eq. 5, 9, 10, 11 with epsilon 0, clamped to [lo, hi]; x is [K, m]."""
    centered = x - x.mean(axis=1, keepdims=True)
    sigma = np.abs(centered).mean(axis=1, keepdims=True)
    normalized = centered / sigma
    return np.clip(gamma[:, None] * normalized + beta[:, None], lo, hi), normalized, sigma


def float_l1bn_gradients(x: Floats, gamma: Floats, beta: Floats, passed: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the gradients of sum(passed * y), y not clamped, by x, gamma and beta: Eq. 17 to 20."""
    _, normalized, sigma = float_l1bn(x, gamma, beta, -np.inf, np.inf)

    def mean(values: Floats) -> Floats:
        result: Floats = values.mean(axis=1, keepdims=True)
        return result

    g, sign = gamma[:, None] * passed, np.sign(normalized)
    dx = (g - mean(g) - mean(g * normalized) * (sign - mean(sign))) / sigma
    return dx, (passed * normalized).sum(axis=1), passed.sum(axis=1)


@pytest.mark.parametrize("lo", [0.0, -15.875])
def test_the_float_gradient_of_l1bn_is_its_derivative(lo: float) -> None:
    """Protects the yardstick: Eq. 20 equals central differences of the float64 layer."""
    rng = np.random.default_rng(4)
    x, dy = rng.normal(1, 2, (2, 41)), rng.normal(0, 1, (2, 41))
    gamma, beta, h = np.array([1.5, -0.8]), np.array([0.3, 0.1]), 1e-6

    def value(x: Floats, gamma: Floats, beta: Floats) -> Floats:
        result: Floats = (dy * float_l1bn(x, gamma, beta, lo, 15.875)[0]).sum(axis=1)
        return result

    y = float_l1bn(x, gamma, beta, lo, 15.875)[0]
    dx, dgamma, dbeta = float_l1bn_gradients(x, gamma, beta, dy * ((lo < y) & (y < 15.875)))
    for i in range(x.shape[1]):
        step = h * (np.arange(41) == i)
        numeric = (value(x + step, gamma, beta) - value(x - step, gamma, beta)) / (2 * h)
        assert np.allclose(numeric, dx[:, i], atol=1e-6)
    assert np.allclose((value(x, gamma + h, beta) - value(x, gamma - h, beta)) / (2 * h), dgamma, atol=1e-6)
    assert np.allclose((value(x, gamma, beta + h) - value(x, gamma, beta - h)) / (2 * h), dbeta, atol=1e-6)


@pytest.mark.parametrize("activation", [C.ACTIVATION_RELU, C.ACTIVATION_NONE], ids=["relu", "no activation"])
@pytest.mark.parametrize("side", [1, 7])
def test_l1bn(device: Any, activation: int, side: int) -> None:
    """Protects Eq. 17 to 20 in integers, with the mask of the activation, for maps and fully-connected layers."""
    k, n = 10, 128 if side == 1 else 20
    rng = np.random.default_rng(side)
    f = {"batch": n, "channels_out": k, "height_out": side, "width_out": side, "activation": activation, "exponent": 3}
    mean, spread = rng.uniform(-20, 20, (k, 1)), rng.uniform(15, 40, (k, 1))
    x8 = np.clip(np.rint(rng.normal(mean, spread, (k, n * side * side))), -127, 127)
    gamma, beta = rng.uniform(0.5, 2, k), rng.normal(0, 0.5, k)
    ex = rng.integers(2, 8, k)
    forward: dict[str, Any] = {
        "source": x8,
        "source_exponent": ex,
        "gamma": np.rint(gamma * ONE),
        "beta": np.rint(beta * ONE),
        "running_mu": np.zeros(k),
        "running_sigma": np.zeros(k),
        "running_steps": [0],
    }
    made = run_op(device, C.OP_L1BN_FORWARD, f, forward)
    e8 = errors(rng, *made["target"].shape)
    backward = {
        "source": e8,
        "source_exponent": [9],
        "source_2": x8,
        "source_2_exponent": ex,
        "source_3": made["target"],
        "statistics": made["statistics"],
        "site": site(),
        "dither": [99],
    }
    got = run_op(device, C.OP_L1BN_BACKWARD, f, backward)
    kind = f"L1BN {'fully connected' if side == 1 else 'of a map'}, activation {activation}"
    integer = dequantized(got["target"].reshape(k, -1), got["target_exponent"])
    scale = dequantized(np.ones((k, 1)), got["target_exponent"])  # channels weigh alike, as in int8
    x, dy = dequantized(x8, ex), dequantized(e8.reshape(k, -1), np.array([9]))
    lo = 0.0 if activation == C.ACTIVATION_RELU else -127 / 8
    float_y = float_l1bn(x, gamma, beta, lo, 127 / 8)[0]
    integer_y = dequantized(made["target"].reshape(k, -1), made["target_exponent"])
    for whose, y, least in (("float64", float_y, 0.97), ("the same", integer_y, 0.997)):
        exact = float_l1bn_gradients(x, gamma, beta, np.where((lo < y) & (y < 127 / 8), dy, 0))
        cosine(f"{kind}, {whose} mask, input gradient", integer / scale, exact[0] / scale, least)
        cosine(f"{kind}, {whose} mask, gamma gradient", got["grad_gamma"] * 2.0**-9, exact[1], least)
        cosine(f"{kind}, {whose} mask, beta gradient", got["grad_beta"] * 2.0**-9, exact[2], least)


# ---- pooling and loss ------------------------------------------------------------------------------------------------


def test_max_pool(device: Any) -> None:
    """Protects the routing: with overlapping windows and no ties the gradient is exactly the float one."""
    rng = np.random.default_rng(8)
    f = square(
        {
            "batch": 3,
            "channels_in": 4,
            "height_in": 7,
            "height_out": 4,
            "kernel_h": 3,
            "stride_h": 2,
            "pad_top": 1,
        }
    )
    y8 = np.stack([rng.permutation(49).reshape(7, 7) - 20 for _ in range(12)]).reshape(4, 3, 7, 7)
    e8 = errors(rng, 4, 3, 4, 4) // 8  # sums of up to four stay inside int8
    got = run_op(
        device,
        C.OP_MAX_POOL_BACKWARD,
        f,
        {"source": e8, "source_exponent": [6], "source_2": y8, "source_2_exponent": [3]},
    )
    exact = np.zeros((4, 3, 7, 7))
    for c, n, p, q in np.ndindex(4, 3, 4, 4):
        top, left = max(0, 2 * p - 1), max(0, 2 * q - 1)
        window = y8[c, n, top : 2 * p + 2, left : 2 * q + 2]
        h, w = np.unravel_index(np.argmax(window), window.shape)
        exact[c, n, top + h, left + w] += e8[c, n, p, q] * 2.0**-6
    assert np.array_equal(dequantized(got["target"], got["target_exponent"]), exact)


@pytest.mark.parametrize("side", [(4, 4), (7, 5)])
def test_global_average_pool(device: Any, side: tuple[int, int]) -> None:
    """Protects the reciprocal, the dither and the exponent of the mean's gradient."""
    rng = np.random.default_rng(9)
    f = {"batch": 11, "channels_in": 13, "height_in": side[0], "width_in": side[1]}
    e8 = errors(rng, 13, 11, 1, 1)
    got = run_op(device, C.OP_GLOBAL_AVERAGE_POOL_BACKWARD, f, {"source": e8, "source_exponent": [5], "dither": [7]})
    exact = np.broadcast_to(e8 * 2.0**-5 / (side[0] * side[1]), got["target"].shape)
    integer = dequantized(got["target"], got["target_exponent"])
    cosine(f"global average of {side}, gradient", integer, exact, 0.998)


@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("spread", [0.3, 3.0])
def test_softmax(device: Any, classes: int, spread: float) -> None:
    """Protects the first error of the backward pass, and the reported loss, early and late in training."""
    rng = np.random.default_rng(classes)
    z = rng.normal(0, spread, (classes, 128))
    labels = rng.integers(0, classes, 128)
    logits = np.rint(z * 2.0**12)
    inputs = {"source": logits, "source_exponent": [12], "labels": labels, "slot": slot_head(), "dither": [5]}
    got = run_op(device, C.OP_SOFTMAX_CROSS_ENTROPY, {"batch": 128, "channels_out": classes}, inputs)
    p = np.exp(z - z.max(axis=0))
    p /= p.sum(axis=0)
    onehot = np.arange(classes)[:, None] == labels
    cosine(
        f"softmax of {classes}, spread {spread}, error",
        dequantized(got["target"], got["target_exponent"]),
        p - onehot,
        0.998,
    )
    exact = -np.log(p[labels, np.arange(128)]).mean()
    loss = got["slot"]["loss_sum"][0] / 65536 / 128
    print(f"softmax of {classes}, spread {spread}: loss {loss:.5f}, float64 {exact:.5f}")
    assert loss == pytest.approx(exact, abs=0.005)
    assert got["slot"]["correct"][0] == np.count_nonzero(z.argmax(axis=0) == labels)
