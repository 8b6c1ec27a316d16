"""Golden runs: a program with its memory before and after, in one file that a C++ test bench reads with `fread`.

    python tests/hls/golden.py FILE...      run recorded programs on the reference device and compare

Layout, little-endian, without gaps:

    uint8[8]   magic               "STROPGLD"
    uint32     format              1
    uint32     contract version    STROP_CONTRACT_VERSION of the program
    uint32     numerics version    STROP_NUMERICS_VERSION of the expected bytes
    uint32[8]  registers           program, commands, steps, slots, slot_stride, slot_count, first_slot, report
    uint64     arena bytes
    uint32     number of initial segments; all other bytes of the arena start as 0
    uint32     number of expected segments
    then each initial segment, then each expected segment:
      uint64   offset in the arena
      uint64   length
      uint8[length]

After a run from the initial memory, every expected segment must be found in the arena. `strop_report.cycles` differs
between devices, so leave its bytes out of what is checked.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from strop.runtime.contract import C, Registers
from strop.runtime.device import Device
from strop.runtime.reference import ReferenceDevice

MAGIC = b"STROPGLD"
FORMAT = 1
_HEAD = struct.Struct("<8s3I8IQ2I")
_SEGMENT = struct.Struct("<QQ")
_WORTH_SKIPPING = 256  # zeros in a row that end a segment

Segment = tuple[int, NDArray[np.uint8]]  # offset, bytes


@dataclass(frozen=True)
class Golden:
    """A recorded run: how it starts, and what it must leave."""

    registers: Registers
    arena_bytes: int
    initial: list[Segment]
    expected: list[Segment]
    contract_version: int = C.CONTRACT_VERSION
    numerics_version: int = C.NUMERICS_VERSION

    def memory(self) -> NDArray[np.uint8]:
        """Return the arena before the run, uint8 [arena_bytes]."""
        arena = np.zeros(self.arena_bytes, np.uint8)
        for offset, data in self.initial:
            arena[offset : offset + data.size] = data
        return arena


def record(device: Device, registers: Registers, arena: NDArray[np.uint8], check: Sequence[tuple[int, int]]) -> Golden:
    """Run a program on `device` from the memory `arena`, uint8 [bytes]; expect what it leaves at each (offset, length).

    Raises `ValueError` if the program does not run to its end.
    """
    device.allocate(arena.size)
    device.write(0, arena)
    report = device.run(registers)
    if report["status"] != C.STATUS_OK:
        raise ValueError(f"the program to record stopped: {report}")
    expected = [(offset, device.read(offset, length)) for offset, length in check]
    return Golden(registers, arena.size, list(_segments(arena)), expected)


def write_golden(
    path: Path, device: Device, registers: Registers, arena: NDArray[np.uint8], check: Sequence[tuple[int, int]]
) -> Golden:
    """Record a run on `device` (see `record`) and write it to `path`; return it."""
    golden = record(device, registers, arena, check)
    with path.open("wb") as file:
        versions = (FORMAT, golden.contract_version, golden.numerics_version)
        counts = (len(golden.initial), len(golden.expected))
        file.write(_HEAD.pack(MAGIC, *versions, *astuple(registers), golden.arena_bytes, *counts))
        for offset, data in (*golden.initial, *golden.expected):
            file.write(_SEGMENT.pack(offset, data.size))
            file.write(data.tobytes())
    return golden


def read_golden(path: Path) -> Golden:
    """Read a recorded run. Raises `ValueError` for another magic or format, or a file of the wrong length."""
    with path.open("rb") as file:
        head = _HEAD.unpack(_exactly(file, _HEAD.size))
        if head[:2] != (MAGIC, FORMAT):
            raise ValueError(f"{path} begins with {head[:2]}; expected {(MAGIC, FORMAT)}")
        versions, registers, (nbytes, initial, expected) = head[2:4], Registers(*head[4:12]), head[12:]
        segments = [_read_segment(file) for _ in range(initial + expected)]
        if file.read(1):
            raise ValueError(f"{path} goes on after its last segment")
    return Golden(registers, nbytes, segments[:initial], segments[initial:], *versions)


def differences(golden: Golden, device: Device) -> list[str]:
    """Run `golden` on `device`; return a line for each expected segment that is not as recorded."""
    device.allocate(golden.arena_bytes)
    device.write(0, golden.memory())
    device.run(golden.registers)
    lines = []
    for offset, data in golden.expected:
        wrong = np.flatnonzero(device.read(offset, data.size) != data)
        if wrong.size:
            lines.append(f"{wrong.size} of {data.size} bytes at {offset} differ, the first at {offset + wrong[0]}")
    return lines


def _segments(arena: NDArray[np.uint8]) -> Iterator[Segment]:
    """Cut the arena into what is not zero; short runs of zeros stay inside a segment."""
    used = np.flatnonzero(arena)
    if not used.size:
        return
    breaks = np.flatnonzero(np.diff(used) > _WORTH_SKIPPING)
    firsts, lasts = used[np.r_[0, breaks + 1]], used[np.r_[breaks, used.size - 1]]
    for first, last in zip(firsts, lasts, strict=True):
        yield int(first), arena[first : last + 1].copy()


def _exactly(file: BinaryIO, nbytes: int) -> bytes:
    data = file.read(nbytes)
    if len(data) != nbytes:
        raise ValueError(f"{file.name} ends {nbytes - len(data)} bytes early")
    return data


def _read_segment(file: BinaryIO) -> Segment:
    offset, length = _SEGMENT.unpack(_exactly(file, _SEGMENT.size))
    return offset, np.frombuffer(_exactly(file, length), np.uint8)


def main(paths: list[str]) -> int:
    """Check each file on the reference device; return 1 if one differs."""
    failed = False
    for path in paths:
        golden = read_golden(Path(path))
        lines = differences(golden, ReferenceDevice())
        failed |= bool(lines)
        print(
            f"{path}: {golden.registers.commands} commands, {golden.registers.steps} steps:",
            *(lines or ["equal"]),
            sep="\n  ",
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
