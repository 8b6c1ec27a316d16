"""Which memory a program touches: every region that its commands read and write, as the contract has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from op_programs import regions
from strop.runtime.contract import COMMAND, OPCODE_NAMES, REPORT, C
from strop.runtime.planner import align
from strop.runtime.program import ArenaBase, Program
from strop.runtime.state import StateLayout


@dataclass(frozen=True)
class Access:
    """A command's use of one region: offset in the arena, or in the slot."""

    command: int
    field: str
    in_slot: bool
    offset: int
    nbytes: int
    read: bool
    written: bool

    def overlaps(self, other: Access) -> bool:
        """Whether both touch a byte."""
        apart = self.offset + self.nbytes <= other.offset or other.offset + other.nbytes <= self.offset
        return self.in_slot == other.in_slot and not apart


def accesses(program: Program) -> Iterator[Access]:
    """Yield every region of every command, in program order."""
    for index, command in enumerate(program.commands):
        fields = {name: int(command[name]) for name in COMMAND.names or () if name != "reserved"}
        for region in regions(fields["opcode"], fields):
            offset = 0 if region.name == "slot" else fields[region.name]
            nbytes, written = region.nbytes(fields.get(f"{region.name}_plane", 0)), region.written
            if fields["opcode"] == C.OP_CONV_INPUT_GRADIENT and region.name == "source_exponent":
                nbytes = 4  # of the K words it takes the first
            if fields["opcode"] == C.OP_CONV_FORWARD and fields["flags"] & C.FLAG_FIXED and region.name == "site":
                written = False
            yield Access(index, region.name, region.in_slot, offset, nbytes, region.read, written)


def base_for(layout: StateLayout) -> ArenaBase:
    """Return regions of an arena with room for the longest program of `layout`'s network."""
    report = layout.nbytes + 400 * COMMAND.itemsize
    return ArenaBase(layout.nbytes, report, report + align(REPORT.itemsize), report + 2**24)


def steps_of(program: Program) -> list[tuple[str, str]]:
    """Return (operation, layer) of every command."""
    return [(OPCODE_NAMES[int(c["opcode"])], program.layers[int(c["layer"])]) for c in program.commands]


def state_arrays(program: Program, layout: StateLayout, *, written: bool) -> set[str]:
    """Return the names of the state arrays that a program reads, or writes; fail where it touches a part of one."""
    at = {tensor.offset: tensor for tensor in layout.tensors.values()}
    found = set()
    for access in accesses(program):
        if not access.in_slot and access.offset < layout.nbytes:
            tensor = at[access.offset]
            assert access.nbytes == tensor.nbytes, f"{access} covers not the whole of {tensor.name}"
            if access.written if written else access.read:
                found.add(tensor.name)
    return found


def check_memory(program: Program, layout: StateLayout, base: ArenaBase, joint: bool = False) -> None:
    """Fail unless each command stays in its regions, aligned, and reads what exactly one command has written whole.

    joint: or what several have written, each a part of its own; or a part of what one has written.
    """
    end = base.workspace + program.workspace_bytes
    # by bytes of the workspace: the access that wrote it last
    writer = np.full(program.workspace_bytes, -1)
    history: list[Access] = []
    command: list[Access] = []
    for access in accesses(program):
        assert access.offset % (16 if joint and access.field.endswith("exponent") else C.ALIGN_BYTES) == 0, access
        assert access.nbytes > 0, access
        if command and command[0].command != access.command:
            command = []
        for other in command:
            if access.written or other.written:
                assert not access.overlaps(other), f"{access} and {other}"
        command.append(access)
        if access.in_slot:
            assert access.offset + access.nbytes <= program.slot.nbytes, access
            continue
        if access.offset < layout.nbytes:
            continue  # `state_arrays` looks at these
        assert base.workspace <= access.offset and access.offset + access.nbytes <= end, access
        part = slice(access.offset - base.workspace, access.offset - base.workspace + access.nbytes)
        if access.read:
            sources = np.unique(writer[part])
            if joint and sources.min() >= 0:
                shares = [int(np.count_nonzero(writer[part] == each)) for each in sources]
                whole = [share == history[int(each)].nbytes for share, each in zip(shares, sources, strict=True)]
                assert all(whole) or sources.size == 1, f"{access} reads a part of what {sources} wrote"
                continue
            assert sources.size == 1 and sources[0] >= 0, f"{access} reads what {sources} wrote"
            source = history[int(sources[0])]
            assert source.offset == access.offset, f"{access} after {source}"
            assert source.nbytes == access.nbytes or access.nbytes == 4, f"{access} after {source}"
        if access.written:
            writer[part] = len(history)
            history.append(access)
