"""Emulator and reference are equal to the byte: average pooling, upsampling and activations, as in test_op_equality."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given

import op_cases_maps
from op_cases import Case
from strop.runtime.contract import C
from test_op_equality import compare, idle_lines, quick


@quick
@given(case=op_cases_maps.average_pools(), slack=idle_lines)
def test_average_pool(emulators: list[Any], case: Case, slack: int) -> None:
    """Protects rounded means, padding that counts as 0, windows that overlap, leave the map or leave gaps."""
    compare(emulators, case, slack)


@pytest.mark.parametrize("kernel", [(15, 15), (15, 1), (3, 5)])
@pytest.mark.parametrize("stride", [1, 4])
def test_average_pool_of_the_largest_windows(emulators: list[Any], kernel: tuple[int, int], stride: int) -> None:
    """Protects sums of up to 225 values at the ends of int8, over rows that take several parts."""
    height, width = 16, 200
    f = {"batch": 17, "channels_in": 3, "height_in": height, "width_in": width, "stride_h": stride, "stride_w": stride}
    f |= {"kernel_h": kernel[0], "kernel_w": kernel[1], "pad_top": kernel[0] // 2, "pad_left": kernel[1] // 2}
    f |= {"height_out": (height - 1) // stride + 1, "width_out": (width - 1) // stride + 1}
    y8 = np.full((3, 17, height, width), -127)
    y8[1] = 127
    y8[2] = np.random.default_rng(kernel[1]).integers(-127, 128, (17, height, width))
    e8 = y8[:, :, : f["height_out"], : f["width_out"]]
    compare(emulators, (C.OP_AVERAGE_POOL_FORWARD, f, {"source": y8, "source_exponent": 3}))
    compare(emulators, (C.OP_AVERAGE_POOL_BACKWARD, f, {"source": e8, "source_exponent": 3, "dither": [7]}))


@quick
@given(case=op_cases_maps.upsamplings(), slack=idle_lines)
def test_upsampling(emulators: list[Any], case: Case, slack: int) -> None:
    """Protects blocks of every size, and the dithered sum over one."""
    compare(emulators, case, slack)


@quick
@given(case=op_cases_maps.activations(), slack=idle_lines)
def test_activations(emulators: list[Any], case: Case, slack: int) -> None:
    """Protects the table's layout, slopes of both signs, and the zeros of channels and images that do not exist."""
    compare(emulators, case, slack)
