"""EmulatedBoard: the `pynq.Device`, with everything that pynq asks of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pynq
import pynq.interrupt
from pynq.buffer import PynqBuffer
from pynqmetadata.frontends import Metadata

from strop.overlay.boards import BoardSpec
from strop.overlay.registers import KERNEL_VLNV
from strop.runtime.emulated_board.bus import Bus, Unit, Window, Words
from strop.runtime.emulated_board.dram import Dram
from strop.runtime.emulated_board.faults import Faults
from strop.runtime.emulated_board.hwh import INTC_VLNV, clock_registers
from strop.runtime.emulated_board.interrupts import AxiInterruptController, uio_node
from strop.runtime.emulated_board.kernel_port import KernelPort
from strop.runtime.emulated_board.register_window import RegisterWindow, register_window

try:
    from pynqmetadata.views.runtime import RuntimeMetadataParser  # pynq 4
except ImportError:
    from pynq.metadata.runtime_metadata_parser import RuntimeMetadataParser  # pynq 3

ARCHITECTURES = {"zynq7": "armv7l", "zynqmp": "aarch64"}
PS_WINDOW_BYTES = 0x1000
DRAM_BYTES = 64 << 20
# On a ZynqMP above 4 GiB, where both words of an address count.
DRAM_BASES = {"zynq7": 0x1000_0000, "zynqmp": 0x8_1000_0000}


class EmulatedBoard(pynq.Device):  # type: ignore[misc]  # pynq has no types
    """A board of the kind `spec`. `faults` may be set at any time.

    mapped: whether pynq sees registers as mapped memory, as on a board, or reads and writes them one by one. It has no
    `_probe_`, so pynq never takes it for a board of this machine; `make_active` makes it pynq's default.
    """

    def __init__(self, spec: BoardSpec, *, mapped: bool = True, dram_bytes: int = DRAM_BYTES) -> None:
        super().__init__(f"emulated-{spec.name}")
        self.emulated = True
        self.spec = spec
        self.name = spec.pynq_names[0]
        self.arch = ARCHITECTURES[spec.family]
        self.capabilities = {"MEMORY_MAPPED": True} if mapped else {"REGISTER_RW": True}
        self.faults = Faults()
        self.dram = Dram(dram_bytes, DRAM_BASES[spec.family])
        self.kernel = KernelPort(self.dram, spec.address_bits, self.faults)
        self.bus = Bus([Window(base, PS_WINDOW_BYTES, Words(words)) for base, words in clock_registers(spec).items()])
        self.downloads = 0

    def close(self) -> None:
        """Stop the kernel's threads."""
        self.kernel.close()

    # -- what Overlay asks ----------------------------------------------------------------------------------------
    def get_bitfile_metadata(self, bitfile_name: str, partial: bool = False) -> Any:
        """Return pynq's view of the .hwh beside the .bit."""
        return RuntimeMetadataParser(Metadata(input=str(Path(bitfile_name).with_suffix(".hwh"))))

    def download(self, bitstream: Any, parser: Any = None) -> None:
        """Load an overlay: its units answer from now on, the kernel is at rest."""
        self.bus.load([])  # until it is there, nothing of the logic answers
        if self.faults.failing_downloads:
            raise OSError("fpga manager: Operation timed out")
        self.program(parser)
        super().post_download(bitstream, parser, self.name)

    def program(self, parser: Any) -> None:
        """Put the units of a design on the bus."""
        self.downloads += 1
        self.kernel.reset()
        (pin,) = parser.interrupt_controllers.values()
        controller = AxiInterruptController(self.kernel.interrupts, uio_node(pin["raw_irq"]).fire)
        self.kernel.on_interrupt = controller.update
        units: dict[str, Unit] = {KERNEL_VLNV: self.kernel, INTC_VLNV: controller}
        self.bus.load(
            [
                Window(ip["phys_addr"], ip["addr_range"], units[ip["type"]])
                for ip in parser.ip_dict.values()
                if ip["type"] in units
            ]
        )

    def gen_cache(self, bitstream: Any, parser: Any = None) -> None:
        """Keep nothing: pynq would write a file for the next process."""

    # -- registers ------------------------------------------------------------------------------------------------
    def mmap(self, base_addr: int, length: int) -> RegisterWindow:
        """Return the words at a bus address (capability MEMORY_MAPPED)."""
        return register_window(self.bus, base_addr, length)

    def read_registers(self, address: int, length: int) -> bytes:
        """Return the bytes of words at a bus address (capability REGISTER_RW)."""
        return b"".join(self.bus.read(address + at).to_bytes(4, "little") for at in range(0, length, 4))

    def write_registers(self, address: int, data: bytes) -> None:
        """Write words at a bus address."""
        for at in range(0, len(data), 4):
            self.bus.write(address + at, int.from_bytes(bytes(data[at : at + 4]), "little"))

    # -- memory ---------------------------------------------------------------------------------------------------
    def allocate(self, shape: Any, dtype: Any = "u4", cacheable: int = 0, **_: Any) -> PynqBuffer:
        """Return a buffer of contiguous memory; its bytes are whatever was there."""
        taken = self.dram.allocate(int(np.prod(shape)) * np.dtype(dtype).itemsize, bool(cacheable))
        bo = BufferObject(self.dram, taken.address)
        return PynqBuffer(shape, dtype, buffer=taken.host.data, bo=bo, device=self, device_address=taken.address)

    def flush(self, bo: BufferObject, offset: int, vaddr: int, nbytes: int) -> None:
        """Write what the processor changed to memory: all of the buffer, as XrtDevice does."""
        if not self.faults.lost_flushes:
            self.dram.flush(bo.address)

    def invalidate(self, bo: BufferObject, offset: int, vaddr: int, nbytes: int) -> None:
        """Let the processor see memory: all of the buffer."""
        self.dram.invalidate(bo.address)


class BufferObject:
    """What XRT calls a buffer object: the memory is given back with the last reference to it."""

    def __init__(self, dram: Dram, address: int) -> None:
        self.address = address
        self._dram = dram

    def __del__(self) -> None:
        self._dram.free(self.address)


def make_active(board: EmulatedBoard) -> Callable[[], None]:
    """Make `board` the one that pynq uses by default: its PL state and interrupts know no other.

    Return what undoes it.
    """
    before = vars(pynq.Device).get("_active_device")
    look_up = pynq.interrupt.get_uio_irq
    pynq.Device.active_device = board
    _forget_clocks()
    pynq.interrupt.get_uio_irq = lambda irq: uio_node(irq).path  # pynq would look into /proc/interrupts

    def undo() -> None:
        pynq.interrupt.get_uio_irq = look_up
        _forget_clocks()
        if vars(pynq.Device).get("_active_device") is board:
            if before is None:
                del pynq.Device._active_device
            else:
                pynq.Device.active_device = before

    return undo


def _forget_clocks() -> None:
    """Let pynq's Clocks meet another device: they keep the first one."""
    if hasattr(pynq.Clocks, "_real_instance"):
        del pynq.Clocks._real_instance
