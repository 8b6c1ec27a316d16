"""The memory benchmark: what its two measures see, and that strop takes the promised share."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

import memory

pytest.importorskip("torch")  # what strop is compared with; its processes import it


def test_peak_growth_sees_what_was_freed_and_settle_forgets_it():
    """A block that lived for a moment counts in the peak; after `settle` only what is still held does."""
    growth = memory.PeakGrowth()
    block = np.ones(32 << 20, np.uint8)
    kept = np.ones(8 << 20, np.uint8)
    del block
    assert 39 << 20 < growth.peak() < 44 << 20
    growth.settle()
    assert 7 << 20 < growth.peak() < 12 << 20
    assert kept[0] == 1


def test_tensor_bytes_grow_by_the_maps_of_a_sample():
    """Sixteen more samples need at least their float32 maps, input to activation, and not many times that."""
    graph = memory.tiny()
    few, many = (memory.tensor_bytes(graph, *memory.samples(graph, batch)) for batch in (16, 32))
    maps = 64 + 2 * 4 * 6 * 6 + 4 * 3 * 3 + 2 * 8 + 10  # input, convolution, activation, pooled, fully connected twice
    assert 4 * maps <= (many - few) / 16 <= 5 * 4 * maps


def test_a_failed_measurement_is_an_error():
    """No row is made of a process that ended badly."""
    with pytest.raises(subprocess.CalledProcessError):
        memory.in_fresh_process("strop", "lenet6", 16)


def test_table_shows_both_ratios():
    """MiB, and PyTorch over strop."""
    row = memory.table([("n", 2, {"planned": 1 << 20, "process": 2 << 20}, {"tensors": 5 << 20, "process": 7 << 20})])
    assert row.splitlines()[-1] == "| n, 2 | 1.00 | 5.00 | 5.00 | 2.00 | 7.00 | 3.50 |"


@pytest.mark.slow
@pytest.mark.parametrize("batch", [128, 16])
def test_lenet5_takes_a_small_share_of_the_memory(batch):
    """The promise, a third; also at mini-batch 16, where weights and momenta outweigh the maps."""
    ours, theirs = (memory.in_fresh_process(what, "lenet5", batch) for what in ("strop", "torch"))
    assert memory.SHARE * ours["process"] <= theirs["process"]
    assert ours["planned"] < theirs["tensors"]
