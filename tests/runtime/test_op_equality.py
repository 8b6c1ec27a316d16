"""Emulator and reference are equal to the byte, op by op: both were written from NUMERICS.md, neither from the other.

Every instruction set and thread count of the emulator runs the same commands. Shapes are unlike each other and fit no
tile.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import op_cases
import op_cases_losses
from op_cases import Case
from op_programs import assert_equal, regions, run_op, site, slot_head
from strop.runtime.contract import C
from strop.runtime.reference import ReferenceDevice

quick = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
idle_lines = st.integers(0, 2)


def compare(emulators: list[Any], case: Case, slack: int = 1) -> None:
    """Run a command everywhere; fail at the first byte that differs."""
    opcode, fields, inputs = case
    expected = run_op(ReferenceDevice(), opcode, fields, inputs, slack=slack)
    assert expected["report"][0] == C.STATUS_OK
    for emulator in emulators:
        assert_equal(expected, run_op(emulator, opcode, fields, inputs, slack=slack), emulator.description)


@quick
@given(case=op_cases.conv_commands(), slack=idle_lines)
def test_convolution(emulators: list[Any], case: Case, slack: int) -> None:
    """Protects the MAC array: every phase, stride, padding, group; transposed; pixel maps; sites; logits."""
    compare(emulators, case, slack)


@quick
@given(case=op_cases.l1bn_forwards(), slack=idle_lines)
def test_l1bn_forward(emulators: list[Any], case: Case, slack: int) -> None:
    """Protects statistics, their running averages, the multiplier's clipping and the activation."""
    compare(emulators, case, slack)


@quick
@given(case=op_cases.l1bn_backwards(), slack=idle_lines)
def test_l1bn_backward(emulators: list[Any], case: Case, slack: int) -> None:
    """Protects Eq. 17 to 20, the mask, the control and the dither."""
    compare(emulators, case, slack)


@quick
@given(case=op_cases.max_pools(), slack=idle_lines)
def test_max_pool(emulators: list[Any], case: Case, slack: int) -> None:
    """Protects the first of equal maxima, windows that overlap or leave the map, and saturated sums."""
    compare(emulators, case, slack)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("pad", [0, 1])
def test_max_pool_at_the_edges(emulators: list[Any], kernel: int, stride: int, pad: int) -> None:
    """Protects common pools up to the last window that still touches the map: the rest of it takes no part."""
    rng = np.random.default_rng(kernel)
    for height, width in [(1, 1), (2, 1), (1, 3), (3, 2), (4, 5), (7, 6), (9, 33), (16, 17)]:
        f = {"batch": 3, "channels_in": 2, "height_in": height, "width_in": width, "pad_top": pad, "pad_left": pad}
        f |= {"kernel_h": kernel, "kernel_w": kernel, "stride_h": stride, "stride_w": stride}
        f |= {"height_out": (height + pad - 1) // stride + 1, "width_out": (width + pad - 1) // stride + 1}
        y8 = rng.integers(-127, 50, (2, 3, height, width))
        e8 = rng.integers(-60, 60, (2, 3, f["height_out"], f["width_out"]))
        compare(emulators, (C.OP_MAX_POOL_FORWARD, f, {"source": y8, "source_exponent": 3}))
        compare(emulators, (C.OP_MAX_POOL_BACKWARD, f, {"source": e8, "source_exponent": 5, "source_2": y8}))


@quick
@given(case=op_cases.layout_changes(), slack=idle_lines)
def test_flatten_and_global_average_pool(emulators: list[Any], case: Case, slack: int) -> None:
    """Protects the transposition, and mean and reciprocal for every area."""
    compare(emulators, case, slack)


@quick
@given(case=op_cases.input_conversions(), slack=idle_lines)
def test_input_conversion(emulators: list[Any], case: Case, slack: int) -> None:
    """Protects all 256 pixel values and the black border."""
    compare(emulators, case, slack)


@quick
@given(case=op_cases_losses.losses(), slack=idle_lines)
def test_softmax_cross_entropy(emulators: list[Any], case: Case, slack: int) -> None:
    """Protects tables, division, loss, correct count and logit error, by labels and by soft targets."""
    compare(emulators, case, slack)


@quick
@given(case=op_cases_losses.losses())
def test_one_hot_targets_are_labels(emulators: list[Any], case: Case) -> None:
    """Protects soft targets: all of a sample's on its label give every byte that the label itself gives."""
    opcode, fields, inputs = case
    by_label = {**fields, "flags": fields["flags"] & C.FLAG_SOURCE_IN_SLOT}
    by_target = {**by_label, "flags": by_label["flags"] | C.FLAG_SOFT}
    one_hot = 32768 * (np.arange(fields["channels_out"])[:, None] == inputs["labels"])
    for device in (ReferenceDevice(), *emulators):
        expected = run_op(device, opcode, by_label, inputs)
        assert_equal(expected, run_op(device, opcode, by_target, {**inputs, "source_2": one_hot}), device.description)


def test_every_entry_of_the_loss_tables(emulators: list[Any]) -> None:
    """Protects both tables of the kernel: each distance of the exponential, each fraction of the logarithm."""
    inputs = {"source_exponent": 4, "labels": [0], "slot": slot_head(), "dither": [1]}
    for i in range(256):  # one sample a command: the slot holds only the sum of the losses
        distance = np.array([0, -i])
        equals = np.where(np.arange(511) <= 255 + i, 0, -(2**20))  # 256 + i equal classes, whose logarithm is entry i
        for logits in (distance, equals):
            fields = {"batch": 1, "channels_out": len(logits)}
            compare(emulators, (C.OP_SOFTMAX_CROSS_ENTROPY, fields, {**inputs, "source": logits}))


@quick
@given(case=op_cases_losses.output_losses(), slack=idle_lines)
def test_losses_of_each_output(emulators: list[Any], case: Case, slack: int) -> None:
    """Protects the losses without softmax: clipping, both signs, sums of 64 bits, right outputs, the error."""
    compare(emulators, case, slack)


def test_every_entry_of_the_sigmoid_tables(emulators: list[Any]) -> None:
    """Protects both tables of the kernel, which the reference computes: each distance, on either side, and beyond."""
    count = 1024  # samples alike: their dithers take every value of the bits that an error loses, so no entry hides
    inputs = {"source_exponent": 4, "slot": slot_head(), "dither": [1], "source_2": [[9000] * count]}
    for z4 in range(-258, 259):
        fields = {"batch": count, "channels_out": 1}
        compare(emulators, (C.OP_SIGMOID_CROSS_ENTROPY, fields, {**inputs, "source": [[z4] * count]}))


@pytest.mark.parametrize("shift", [0, 1, 15, 16, 17, 19, 22, 24])
def test_dither_at_every_kind_of_shift(emulators: list[Any], shift: int) -> None:
    """Protects both branches of the dithered shift on sums large enough to leave something: 16 bits and beyond."""
    rng = np.random.default_rng(shift)
    fields = square(61, 7, 1031, 1, 1)
    inputs = {
        "source": rng.choice([-127, 127], (1031, 61)),
        "weights": rng.integers(1, 128, (1031, 7)) * rng.choice([-1, 1], 7),
        "source_exponent": np.zeros(1031),
        "weight_exponent": np.zeros(1031),
        "site": site(shift),
        "dither": [99 + shift],
    }
    inputs["source"][:, ::2] = 127  # half of the sums are near 2^23
    compare(emulators, (C.OP_CONV_INPUT_GRADIENT, fields, inputs))


@quick
@given(case=op_cases.residual_sums(), slack=idle_lines)
def test_residual_sums(emulators: list[Any], case: Case, slack: int) -> None:
    """Protects the sum's rounding and clamp, its mask, and the gradients of a map that was read twice."""
    compare(emulators, case, slack)


@quick
@given(case=op_cases.updates(), slack=idle_lines)
def test_sgd_and_weight_view(emulators: list[Any], case: Case, slack: int) -> None:
    """Protects 64-bit products, the clipped shift, saturation and the exponents of the view."""
    compare(emulators, case, slack)


@quick
@given(case=op_cases.pulls())
def test_elastic_pull(emulators: list[Any], case: Case) -> None:
    """Protects 33-bit distances, every shift, none, and saturation."""
    compare(emulators, case)


def square(
    batch: int, c: int, k: int, side: int, kernel: int, stride: int = 1, pad: int = 0, groups: int = 1
) -> dict[str, int]:
    """Return the fields of a convolution with all sizes square."""
    out = (side + 2 * pad - kernel) // stride + 1
    fields = {"batch": batch, "channels_in": c, "channels_out": k, "groups": groups}
    for name, value in (("in", side), ("out", out)):
        fields |= {f"height_{name}": value, f"width_{name}": value}
    fields |= {"kernel_h": kernel, "kernel_w": kernel, "stride_h": stride, "stride_w": stride}
    return {**fields, "pad_top": pad, "pad_left": pad}


LAYERS = {
    "LeNet-5 conv1": square(37, 1, 6, 32, 5),
    "LeNet-5 conv1, pixels": {**square(37, 1, 6, 32, 5), "flags": C.FLAG_PIXELS},
    "LeNet-5 conv2": square(37, 6, 16, 14, 5),
    "LeNet-5 fc1": {**square(131, 16, 120, 5, 5), "flags": C.FLAG_FLAT},
    "VGG": square(3, 67, 131, 13, 3, pad=1),
    "stride 2": square(5, 35, 70, 15, 3, stride=2, pad=1),
    "1x1": square(7, 129, 65, 6, 1),
    "depthwise": square(9, 75, 75, 11, 3, pad=1, groups=75),
    "groups of three": square(18, 33, 66, 9, 3, pad=1, groups=11),
    "last group alone": square(18, 24, 6, 9, 3, groups=3),  # two groups of eight channels are merged, the third is left
    # several tiles, whose weights stay on chip; of the last group's filters only the first chunks' exist
    "short last group in many tiles": square(18, 55, 5, 33, 5, stride=4, groups=5),
    "largest filter": square(2, 3, 5, 31, 15, stride=4, pad=7),
    "one pixel": square(1, 1, 1, 1, 1),
    "largest map of a Linear": {**square(304, 2, 3, 15, 15), "flags": C.FLAG_FLAT},  # 19 groups exceed what is on chip
    "wide fc": square(19, 2049, 33, 1, 1),
    "dither wraps": square(70, 2, 3, 31, 1),  # more than 65536 elements a channel
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_networks(emulators: list[Any], name: str) -> None:
    """Protects sizes that need several tiles: all ops of a trained layer, on the shapes of real networks."""
    f = LAYERS[name]
    rng = np.random.default_rng(len(name))
    k = f["channels_out"]

    def tensor(opcode: int, field: str) -> Any:
        shape = next(region.shape for region in regions(opcode, f) if region.name == field)
        return np.clip(np.rint(rng.normal(0, 45, shape)), -127, 127).astype(np.int8)

    weights = {"weights": tensor(C.OP_CONV_FORWARD, "weights"), "weight_exponent": rng.integers(5, 12, k)}
    control = {"site": site(), "dither": [1234567]}
    a8, e8 = tensor(C.OP_CONV_FORWARD, "source"), tensor(C.OP_CONV_INPUT_GRADIENT, "source")
    e_dx = {"source_exponent": rng.integers(5, 12, k)}
    compare(emulators, (C.OP_CONV_FORWARD, f, {"source": a8, "source_exponent": 3, **weights, **control}))
    if not f.get("flags", 0) & C.FLAG_PIXELS:
        compare(emulators, (C.OP_CONV_INPUT_GRADIENT, f, {"source": e8, **e_dx, **weights, **control}))
    gradient = {"source": e8, **e_dx, "source_2": a8, "source_2_exponent": 3}
    compare(emulators, (C.OP_CONV_WEIGHT_GRADIENT, f, gradient))

    bn = {**f, "flags": 0, "activation": C.ACTIVATION_RELU, "exponent": 3}
    x8 = tensor(C.OP_L1BN_FORWARD, "source")
    parameters = {name: rng.integers(-(2**20), 2**21, k) for name in ("gamma", "beta", "running_mu", "running_sigma")}
    forward = {"source": x8, **e_dx, **parameters, "running_steps": [3]}
    compare(emulators, (C.OP_L1BN_FORWARD, bn, forward))
    made = run_op(ReferenceDevice(), C.OP_L1BN_FORWARD, bn, forward)
    maps = {"source": e8, "source_2": x8, "source_3": made["target"], "statistics": made["statistics"]}
    backward = {**maps, "source_exponent": 9, "source_2_exponent": e_dx["source_exponent"], **control}
    compare(emulators, (C.OP_L1BN_BACKWARD, bn, backward))

    rows, columns = k, int(np.prod(weights["weights"].shape[1:]))
    master, momentum, dw = (rng.integers(-(2**b), 2**b, (rows, columns)) for b in (26, 24, 22))
    sgd = {name: f[name] for name in ("channels_in", "channels_out", "groups", "kernel_h", "kernel_w")} | {
        "rows": rows,
        "columns": columns,
        "fraction_bits": 24,
        "momentum_decay": 26,
        "batch_mantissa": 1,
        "batch_shift": 7,
    }
    flags = f.get("flags", 0) | C.FLAG_VIEW | C.FLAG_VIEW_PER_ROW | C.FLAG_EXPONENT_PER_ROW
    state = {"master": master, "momentum": momentum, "gradient": dw, "gradient_exponent": rng.integers(5, 25, rows)}
    compare(emulators, (C.OP_SGD, {**sgd, "flags": flags}, {**state, "slot": slot_head()}))
