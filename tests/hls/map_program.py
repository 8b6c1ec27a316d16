"""Record the golden program of operations on maps that no network of record_golden.py holds.

Its commands make each map from the ones before; all of the memory they leave is compared.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from golden import write_golden
from strop.runtime.contract import COMMAND, REPORT, SLOT, C, Registers
from strop.runtime.planner import align
from strop.runtime.reference import ReferenceDevice

PER_ROW = C.FLAG_EXPONENT_PER_ROW
Shape = tuple[int, int]  # height, width


class MapProgram:
    """Commands over maps that lie one behind another; every map has an exponent word a channel."""

    def __init__(self, channels: int, batch: int) -> None:
        self.channels, self.batch = channels, batch
        self.commands = np.zeros(24, COMMAND)
        self.count = 0
        self.shapes: dict[str, Shape] = {}
        self.offsets: dict[str, int] = {}
        self.dither = self.commands.nbytes
        self.table = self.dither + C.ALIGN_BYTES
        self.report = self.table + 4 * C.TABLE_WORDS
        self.slot = self.report + align(REPORT.itemsize)
        self.maps = self.end = self.slot + align(SLOT.itemsize)

    @property
    def quads(self) -> int:
        """Quads of channels."""
        return -(-self.channels // C.QUAD)

    @property
    def groups(self) -> int:
        """Groups of images."""
        return -(-self.batch // C.IMAGE_GROUP)

    def map(self, name: str, shape: Shape) -> None:
        """Lay out a map and its exponents."""
        self.shapes[name], self.offsets[name] = shape, self.end
        self.end += C.ALIGN_BYTES + self.quads * self.plane(name)

    def plane(self, name: str) -> int:
        """Bytes of a quad of channels."""
        height, width = self.shapes[name]
        return self.groups * height * width * C.WORD_BYTES

    def add(self, opcode: int, source: str, target: str, shape: Shape, **fields: int | str) -> None:
        """Append a command from a map to a new one of `shape`; `source_2` names a second source."""
        self.map(target, shape)
        backward = opcode in (C.OP_AVERAGE_POOL_BACKWARD, C.OP_UPSAMPLE_BACKWARD)
        into, out = (shape, self.shapes[source]) if backward else (self.shapes[source], shape)
        values = {"opcode": opcode, "batch": self.batch, "groups": 1}
        values |= {"channels_in": self.channels, "channels_out": self.channels}
        values |= {"height_in": into[0], "width_in": into[1], "height_out": out[0], "width_out": out[1]}
        values |= dict.fromkeys(("kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w"), 1)
        values |= {"dither": self.dither, "table": self.table}
        for field, name in (("source", source), ("source_2", fields.pop("source_2", "")), ("target", target)):
            if name:
                at, plane = self.offsets[str(name)], self.plane(str(name))
                values |= {field: at + C.ALIGN_BYTES, f"{field}_plane": plane, f"{field}_exponent": at}
        for field, value in {**values, **fields}.items():
            self.commands[self.count][field] = value
        self.count += 1


def window(kernel: Shape, stride: Shape, pad: Shape = (0, 0)) -> dict[str, int]:
    """Return the fields of a window."""
    names = ("kernel_h", "kernel_w", "stride_h", "stride_w", "pad_top", "pad_left")
    return dict(zip(names, (*kernel, *stride, *pad), strict=True))


def map_program() -> MapProgram:
    """Return commands that use every loop of these operations; a quad and a half, an image group and a part of one."""
    p = MapProgram(6, 18)
    p.map("images", (5, 7))
    p.add(C.OP_ACTIVATION_FORWARD, "images", "activated", (5, 7), exponent=7)
    plain, overlapping = window((2, 2), (2, 2)), window((3, 3), (2, 2), (1, 1))
    p.add(C.OP_AVERAGE_POOL_FORWARD, "activated", "halved", (2, 3), **plain)
    p.add(C.OP_AVERAGE_POOL_FORWARD, "images", "pooled", (3, 4), flags=PER_ROW, **overlapping)
    oblong = window((5, 4), (2, 3), (2, 1))
    p.add(C.OP_AVERAGE_POOL_FORWARD, "activated", "oblong", (3, 2), **oblong)
    p.add(C.OP_UPSAMPLE_FORWARD, "pooled", "doubled", (6, 8), stride_h=2, stride_w=2)
    p.add(C.OP_UPSAMPLE_FORWARD, "halved", "enlarged", (6, 6), stride_h=3, stride_w=2)
    p.add(C.OP_UPSAMPLE_BACKWARD, "doubled", "undoubled", (3, 4), stride_h=2, stride_w=2)
    p.add(C.OP_UPSAMPLE_BACKWARD, "enlarged", "reduced", (2, 3), stride_h=3, stride_w=2)
    p.add(C.OP_AVERAGE_POOL_BACKWARD, "undoubled", "spread", (5, 7), flags=PER_ROW, **overlapping)
    p.add(C.OP_AVERAGE_POOL_BACKWARD, "reduced", "repeated", (5, 7), flags=PER_ROW, **plain)
    p.add(C.OP_AVERAGE_POOL_BACKWARD, "oblong", "unpooled", (5, 7), **oblong)
    gaps = window((1, 2), (2, 3))
    p.add(C.OP_AVERAGE_POOL_BACKWARD, "oblong", "with gaps", (5, 7), **gaps)
    p.add(C.OP_ADD_GRADIENT, "spread", "sum", (5, 7), source_2="repeated", flags=PER_ROW)
    p.add(C.OP_ADD_GRADIENT, "unpooled", "other sum", (5, 7), source_2="with gaps")
    p.add(C.OP_ACTIVATION_BACKWARD, "sum", "gradient", (5, 7), source_2="images")
    p.add(C.OP_GLOBAL_AVERAGE_POOL_FORWARD, "activated", "mean", (1, 1), exponent=3)
    return p


def row_program() -> MapProgram:
    """Return commands on rows that do not fit on chip whole."""
    p = MapProgram(3, 2)
    p.map("images", (2, 134))
    p.add(C.OP_UPSAMPLE_FORWARD, "images", "enlarged", (2, 268), stride_w=2)
    p.add(C.OP_UPSAMPLE_BACKWARD, "enlarged", "reduced", (2, 134), stride_w=2)
    p.add(C.OP_AVERAGE_POOL_FORWARD, "images", "halved", (1, 67), **window((2, 2), (2, 2)))
    p.add(C.OP_AVERAGE_POOL_BACKWARD, "halved", "repeated", (2, 134), **window((2, 2), (2, 2)))
    three = window((2, 3), (1, 1), (1, 1))
    p.add(C.OP_AVERAGE_POOL_FORWARD, "repeated", "smoothed", (2, 134), **three)
    p.add(C.OP_AVERAGE_POOL_BACKWARD, "smoothed", "unpooled", (2, 134), **three)
    return p


def sigmoid_table() -> np.ndarray:
    """Return the words of a sigmoid of x / 32, with exponent 7."""
    f = 1 / (1 + np.exp(-np.arange(-128, 128) / 32))
    slope = np.rint(256 * f * (1 - f)).astype(np.int32)
    return slope << 16 | np.minimum(np.rint(f * 128), 127).astype(np.int32)


def record_maps(p: MapProgram, path: Path, seed: int) -> None:
    """Write the golden file of the program on a map of random values."""
    rng = np.random.Generator(np.random.PCG64(seed))
    arena = np.zeros(align(p.end), np.uint8)
    arena[: p.dither] = p.commands.view(np.uint8)
    arena[p.dither : p.dither + 4] = np.array([12345], np.uint32).view(np.uint8)
    arena[p.table : p.report] = sigmoid_table().astype(np.int32).view(np.uint8)
    at, height, width = p.offsets["images"], *p.shapes["images"]
    words = arena[at + C.ALIGN_BYTES :][: p.quads * p.plane("images")].view(np.int8)
    words = words.reshape(p.quads, p.groups, height * width, C.IMAGE_GROUP, C.QUAD)
    for c in range(p.channels):
        for n in range(p.batch):
            values = (rng.integers(0, 2**32, height * width, np.uint32) >> 24).astype(np.uint8).view(np.int8)
            words[c // 4, n // 16, :, n % 16, c % 4] = np.maximum(values, -127)
    arena[at : at + 4 * p.channels] = np.arange(3, 3 + p.channels, dtype=np.int32).view(np.uint8)
    registers = Registers(
        program=0, commands=p.count, steps=2, slots=p.slot, slot_stride=C.ALIGN_BYTES, slot_count=1, first_slot=0,
        report=p.report,
    )  # fmt: skip
    check = [(p.dither, 4), (p.report, REPORT.fields["cycles"][1]), (p.maps, p.end - p.maps)]
    write_golden(path, ReferenceDevice(), registers, arena, check)
