"""From a level to a readable file: axi_intc and the UIO node."""

from __future__ import annotations

import os
import select
import tty

from strop.runtime.emulated_board.interrupts import AxiInterruptController, UioNode

ISR, IPR, IER, IAR, SIE, CIE, MER = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x1C


class Line:
    """A line whose level a test sets, and a count of what came through."""

    def __init__(self) -> None:
        self.level, self.raised = False, 0
        self.controller = AxiInterruptController(lambda: self.level, self.count)

    def count(self) -> None:
        self.raised += 1


def test_only_an_enabled_interrupt_passes() -> None:
    """Protects the driver's set-up: without line and master enable nothing comes."""
    line = Line()
    line.level = True
    line.controller.update()
    assert (line.controller.read(ISR), line.controller.read(IPR), line.raised) == (1, 0, 0)
    line.controller.write(MER, 3)
    assert line.raised == 0
    line.controller.write(SIE, 1)
    assert (line.controller.read(IPR), line.raised) == (1, 1)
    line.controller.write(CIE, 1)
    assert (line.controller.read(IER), line.controller.read(IPR)) == (0, 0)


def test_a_level_that_stays_is_pending_again_after_its_acknowledgement() -> None:
    """Protects the driver's order of things: acknowledged while the kernel still raises it, it is latched again."""
    line = Line()
    line.controller.write(MER, 3)
    line.controller.write(IER, 1)
    line.level = True
    line.controller.update()
    line.controller.write(IAR, 1)
    assert line.controller.read(ISR) == 1
    line.level = False
    line.controller.write(IAR, 1)
    assert line.controller.read(ISR) == 0


def test_the_node_gives_one_interrupt_for_each_enabling() -> None:
    """Protects the semantics of UIO: it is off until a write turns it on, and off again once it came."""
    node = UioNode()
    with open(node.path, "r+b", buffering=0) as uio:
        tty.setraw(uio)
        node.fire()
        assert not select.select([uio], [], [], 0.05)[0]
        for count in (1, 2):
            uio.write(bytes([0, 0, 0, 1]))
            node.fire()
            node.fire()
            assert select.select([uio], [], [], 1)[0]
            assert os.read(uio.fileno(), 64) == count.to_bytes(4, "little")
