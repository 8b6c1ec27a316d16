"""The reference device: every operation in NumPy, from hls/NUMERICS.md and not from the kernel. The oracle, and slow.

In the order to read them, with the sections of NUMERICS.md:

    arithmetic    rounding, saturation, dither, saturation-rate control   1.1, 1.4, 1.5
    windows       sliding windows over a feature map, and their transpose
    convolution   forward, input gradient, weight gradient                1.3, 1.7, 1.14
    l1bn          L1 batch normalization, forward and backward            1.3, 1.7, 1.12
    loss          softmax cross-entropy and its error                     1.6
    output_loss   losses without softmax                                  1.17
    pooling       max and average pooling, upsampling                     1.3, 1.7, 1.10, 1.16
    activation    activations by table                                    1.15
    sgd           update of the masters, int8 weight view, elastic pull   1.8, 1.13
    arena         typed views of the device's memory
    limits        which words of a command are beyond the contract
    operations    one function an opcode: command fields to arrays and back; further ones in convolution_operations,
                  map_operations, loss_operations, update_operations; what they share in command_access
    device        ReferenceDevice: runs programs
"""

from __future__ import annotations

from strop.runtime.reference.device import ReferenceDevice

__all__ = ["ReferenceDevice"]
