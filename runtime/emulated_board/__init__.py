"""The emulated board: a `pynq.Device` whose registers and memory are served by the compiled kernel.

What is real: pynq's Overlay, MMIO, allocate, register_map, Clocks, Interrupt and UioController, its .hwh parser, and
the kernel's C++. What is emulated: bus, memory, caches, the kernel's AXI-Lite port, axi_intc, Linux's UIO node. What
it cannot show: timing, bandwidth, AXI protocol errors, synthesis, XRT's own behaviour.

`pynq` is imported by the modules below.
"""
