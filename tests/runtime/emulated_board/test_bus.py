"""The bus: every address has one unit, or none."""

from __future__ import annotations

import pytest

from strop.runtime.emulated_board.bus import Bus, Window, Words
from strop.runtime.errors import BusFault


def test_a_unit_answers_in_its_window_and_nothing_beside_it() -> None:
    """Protects from a wrong address that seems to work: the first byte behind a window is a fault."""
    first, second = Words({4: 7}), Words({})
    bus = Bus([Window(0x1000, 16, first)])
    bus.load([Window(0x2000, 8, second)])
    assert bus.read(0x1004) == 7
    bus.write(0x2004, 2**32 + 5)
    assert bus.read(0x2004) == second.read(4) == 5
    for address in (0xFFC, 0x1010, 0x2008, 0):
        with pytest.raises(BusFault, match=f"nothing answers at bus address {address:#010x}"):
            bus.read(address)
        with pytest.raises(BusFault):
            bus.write(address, 1)


def test_loading_replaces_the_overlay_and_leaves_the_processor() -> None:
    """Protects a second download: units of the first are gone."""
    bus = Bus([Window(0x1000, 16, Words({}))])
    bus.load([Window(0x2000, 8, Words({}))])
    bus.load([Window(0x3000, 8, Words({}))])
    assert bus.read(0x1000) == bus.read(0x3000) == 0
    with pytest.raises(BusFault):
        bus.read(0x2000)
