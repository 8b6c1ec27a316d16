"""The roofline: a picture, and the two numbers of its points."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from strop.host.models import build_model
from strop.host.roofline import intensity, plot_roofline, rate
from strop.runtime.errors import InputError
from strop.runtime.estimate import LayerCost, boards, estimate


def test_a_roofline_is_a_png_of_three_panels(tmp_path: Path) -> None:
    """Protects the picture of a network with many layers, and of the smallest."""
    pytest.importorskip("matplotlib")
    for name in ("resnet8", "lenet5"):
        path = plot_roofline(estimate(build_model(name, (1, 28, 28), 10), "zcu104", 16), tmp_path / f"{name}.png")
        data = path.read_bytes()
        assert data.startswith(b"\x89PNG\r\n\x1a\n") and struct.unpack(">II", data[16:24]) == (1440, 540)


def test_the_coordinates_of_a_point() -> None:
    """Protects the axes: multiply-adds a byte, and a second at the board's clock."""
    cost = LayerCost("conv1", "forward", macs=6000, array_cycles=100, dram_bytes=300, cycles=200, bound="loads")
    board = boards()["pynq-z2"]
    assert intensity(cost) == 20.0
    assert rate(cost, board) == 6000 / (200 / 100e6)


def test_no_roofline_where_it_cannot_be_written(tmp_path: Path) -> None:
    """Protects users from a picture that ends up nowhere."""
    pytest.importorskip("matplotlib")
    found = estimate(build_model("lenet5", (1, 28, 28), 10), "kv260", 16)
    with pytest.raises(InputError, match=r"\.png"):
        plot_roofline(found, tmp_path / "roof.pdf")
