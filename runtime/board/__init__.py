"""The board: the kernel in programmable logic, driven through the `pynq` package.

Nothing here was run on a board. It is run against the emulated board (runtime/emulated_board/), through pynq's own
Overlay, MMIO, allocate and interrupt code.

`pynq` is imported by the modules below, so import them only where a board is asked for.
"""
