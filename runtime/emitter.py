"""Collects the commands of one step with tensors by name; then places the tensors and fills the offsets in."""

from __future__ import annotations

import numpy as np

from strop.runtime.contract import COMMAND, C
from strop.runtime.errors import LimitError, MemoryPlanError
from strop.runtime.graph import Shape
from strop.runtime.planner import Placement, Tenant, align, place
from strop.runtime.program import LARGEST_ARENA, ArenaBase, Program, SlotLayout


class Emitter:
    """A program in the making, for mini-batches of `batch` of `network`."""

    def __init__(self, network: str, batch: int) -> None:
        self.network, self.batch = network, batch
        self.layers: list[str] = []
        self._commands: list[tuple[dict[str, int], dict[str, str]]] = []
        self._tensors: dict[str, int] = {}
        self._words: dict[str, int] = {}
        self._parts: dict[str, tuple[str, int]] = {}

    def feature_map(self, name: str, shape: Shape) -> str:
        """Declare an int8 feature map of C, H, W."""
        self._tensors[name] = -(-shape[0] // C.QUAD) * self.plane(shape)
        return name

    def pixel_map(self, name: str, shape: Shape) -> str:
        """Declare an int8 pixel map of C, H, W."""
        self._tensors[name] = shape[0] * self.plane(shape)
        return name

    def plane(self, shape: Shape) -> int:
        """Bytes from one quad of channels of a feature map to the next, or from one channel of a pixel map."""
        return -(-self.batch // C.IMAGE_GROUP) * shape[1] * shape[2] * C.WORD_BYTES

    def array(self, name: str, nbytes: int) -> str:
        """Declare any other tensor that lives between commands of one step."""
        self._tensors[name] = nbytes
        return name

    def words(self, name: str, count: int = 1) -> str:
        """Declare exponent words; they live as long as the program."""
        self._words[name] = count
        return name

    def part(self, name: str, whole: str, offset: int) -> str:
        """Declare what lies `offset` bytes into the tensor or the words `whole`: it lives as that does."""
        self._parts[name] = (whole, offset)
        return name

    def _found(self, name: str) -> tuple[str, int]:
        """Return the tensor or the words that hold `name`, and how far in."""
        offset = 0
        while name in self._parts:
            name, more = self._parts[name]
            offset += more
        return name, offset

    def emit(self, opcode: int, layer: str, fields: dict[str, int], names: dict[str, str]) -> None:
        """Append a command; `names` maps offset fields to tensors and words declared here."""
        if layer not in self.layers:
            self.layers.append(layer)
        base = {"opcode": opcode, "layer": self.layers.index(layer), "batch": self.batch, "groups": 1}
        ones = dict.fromkeys(("kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w"), 1)
        self._commands.append(({**ones, **base, **fields}, names))

    def finish(
        self,
        kind: str,
        slot: SlotLayout,
        base: ArenaBase,
        placed: dict[str, Placement] | None = None,
        result: str | None = None,
    ) -> Program:
        """Place everything, or take the placements of the same program for a larger mini-batch; return the program.

        result: the tensor that the last command writes, for the host to read.

        Raises `LimitError` for too many commands, `MemoryPlanError` where an offset would not fit its word.
        """
        if len(self._commands) > C.MAX_COMMANDS:
            raise LimitError(
                f"{self.network}: {len(self._commands)} commands a step; allowed: {C.MAX_COMMANDS}: take fewer layers"
            )
        offsets: dict[str, int] = {}
        at = 0
        for name, count in self._words.items():
            offsets[name] = base.workspace + at
            at += align(4 * count)
        if placed is None:
            used: dict[str, list[int]] = {name: [] for name in self._tensors}
            for index, (_, names) in enumerate(self._commands):
                for name, _ in map(self._found, names.values()):
                    if name in used:
                        used[name].append(index)
            placed, _ = place([Tenant(name, n, used[name][0], used[name][-1]) for name, n in self._tensors.items()])
        peak = max((placement.offset + align(placement.nbytes) for placement in placed.values()), default=0)
        offsets.update({name: base.workspace + at + placement.offset for name, placement in placed.items()})
        last = max([base.workspace + at + peak, *(value for fields, _ in self._commands for value in fields.values())])
        if last > LARGEST_ARENA:
            raise MemoryPlanError(
                f"{self.network} with mini-batches of {self.batch} needs {last:,} bytes or more; an arena has at most "
                f"{LARGEST_ARENA:,}: take a smaller mini-batch or a smaller network"
            )
        commands = np.zeros(len(self._commands), COMMAND)
        for record, (fields, names) in zip(commands, self._commands, strict=True):
            for field, value in fields.items():
                record[field] = value
            for field, name in names.items():
                whole, offset = self._found(name)
                record[field] = offsets[whole] + offset
        found = None if result is None else offsets[result]
        return Program(kind, self.batch, commands, tuple(self.layers), slot, placed, at + peak, found)
