"""The networks of Table II (Wu et al., TNNLS 2018) and their batch-normalization layers, traced from the definitions.

A layer's m is the mini-batch times the map that it normalizes. Where the paper leaves the architecture or the
mini-batch open, the network's own paper decides; the functions say which.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from paper_costs import NormLayer
from strop.host.networks import lenet5
from strop.runtime.graph import L1BN


@dataclass(frozen=True)
class Network:
    """A network at its mini-batch: normalization layers in order; trained parameters, gamma and beta included."""

    name: str
    batch: int
    layers: tuple[NormLayer, ...]
    parameters: int

    @property
    def channels(self) -> int:
        """Normalized channels of all layers."""
        return sum(layer.channels for layer in self.layers)

    @property
    def values(self) -> int:
        """Normalized values of all layers in one mini-batch."""
        return sum(layer.channels * layer.values for layer in self.layers)


class Trace:
    """Follows square maps through a network, layer by layer, and notes norms and parameters."""

    def __init__(self, channels: int, side: int) -> None:
        self.channels, self.side = channels, side
        self.norms: list[tuple[int, int]] = []  # channels, positions
        self.parameters = 0

    def conv(
        self,
        channels: int,
        kernel: int,
        stride: int = 1,
        *,
        padding: int | None = None,
        groups: int = 1,
        bias: bool = False,
    ) -> Trace:
        """Convolve; the padding keeps the map's size at stride 1 unless it is given."""
        padding = (kernel - 1) // 2 if padding is None else padding
        self.parameters += channels * (self.channels // groups * kernel**2 + bias)
        self.side = (self.side + 2 * padding - kernel) // stride + 1
        self.channels = channels
        return self

    def deconv(self, channels: int, kernel: int, side: int) -> Trace:
        """Convolve transposed, to maps of `side`."""
        self.parameters += channels * self.channels * kernel**2
        self.channels, self.side = channels, side
        return self

    def norm(self) -> Trace:
        """Normalize what the last layer gave."""
        self.norms.append((self.channels, self.side**2))
        self.parameters += 2 * self.channels
        return self

    def pool(self, kernel: int, stride: int) -> Trace:
        """Pool without padding."""
        self.side = (self.side - kernel) // stride + 1
        return self

    def linear(self, features: int, *, bias: bool) -> Trace:
        """Connect fully."""
        self.parameters += features * (self.channels * self.side**2 + bias)
        self.channels, self.side = features, 1
        return self

    def network(self, name: str, batch: int) -> Network:
        """Return what was traced, at a mini-batch."""
        layers = tuple(NormLayer(channels, batch * positions) for channels, positions in self.norms)
        return Network(name, batch, layers, self.parameters)


def lenet5_network() -> Network:
    """LeNet-5 on Fashion-MNIST, as strop trains it; the paper's mini-batch."""
    graph, batch = lenet5(), 128
    layers = [
        NormLayer(node.output[0], batch * node.output[1] * node.output[2])
        for node in graph.nodes
        if isinstance(node.layer, L1BN)
    ]
    weights = sum(prod(node.weight_shape) for node in graph.weighted)
    parameters = weights + 2 * sum(layer.channels for layer in layers) + graph.classes
    return Network("LeNet-5", batch, tuple(layers), parameters)


def vgg7() -> Network:
    """2x128C3-MP2-2x256C3-MP2-2x512C3-MP2-1024FC-10 on SVHN; network and mini-batch of WAGE (Wu et al., ICLR 2018)."""
    trace = Trace(3, 32)
    for channels in (128, 256, 512):
        trace.conv(channels, 3).norm().conv(channels, 3).norm().pool(2, 2)
    return trace.linear(1024, bias=False).norm().linear(10, bias=True).network("VGG-7", 128)


def resnet_cifar(depth: int, bottleneck: bool) -> Network:
    """ResNet on CIFAR-10 (He et al., CVPR 2016): three stages, stem 16, mini-batch 128, a norm after each convolution.

    A bottleneck block is 1x1, 3x3 and 1x1 with four times the channels, and a projection wherever the shape changes; a
    basic block is two 3x3, and its shortcut has no parameters.
    """
    blocks = (depth - 2) // (9 if bottleneck else 6)
    trace = Trace(3, 32).conv(16, 3).norm()
    for stage, width in enumerate((16, 32, 64)):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            if bottleneck:
                came, side = trace.channels, trace.side
                trace.conv(width, 1).norm().conv(width, 3, stride).norm().conv(4 * width, 1).norm()
                if not block:
                    shortcut = Trace(came, side).conv(4 * width, 1, stride).norm()
                    trace.norms += shortcut.norms
                    trace.parameters += shortcut.parameters
            else:
                trace.conv(width, 3, stride).norm().conv(width, 3).norm()
    trace.pool(trace.side, 1).linear(10, bias=True)
    return trace.network(f"ResNet-{depth}, {'bottleneck' if bottleneck else 'basic'} blocks", 128)


def densenet_bc(depth: int, growth: int, classes: int, name: str) -> Network:
    """DenseNet-BC on CIFAR (Huang et al., CVPR 2017): 1x1 bottlenecks of 4 k, compression 1/2, mini-batch 64.

    That the paper's DenseNets are of this variant shows in its errors, 22.46 % and 4.09 %: Huang et al. have 22.27 %
    and 3.99 % for DenseNet-BC (L = 100, k = 12) and Wide-DenseNet-BC (L = 40, k = 48).
    """
    trace = Trace(3, 32).conv(2 * growth, 3)
    for block in range(3):
        if block:
            trace.norm().conv(trace.channels // 2, 1).pool(2, 2)
        for _ in range((depth - 4) // 6):
            came = trace.channels
            trace.norm().conv(4 * growth, 1).norm().conv(growth, 3)
            trace.channels = came + growth  # concatenation
    trace.norm().pool(trace.side, 1).linear(classes, bias=True)
    return trace.network(name, 64)


def alexnet() -> Network:
    """AlexNet on ImageNet (Krizhevsky et al., 2012), 224x224, mini-batch 256.

    The paper puts batch norm in the place of local response normalization, which follows the first two convolutions.
    """
    trace = Trace(3, 224)
    trace.conv(96, 11, 4, padding=2, bias=True).norm().pool(3, 2)
    trace.conv(256, 5, groups=2, bias=True).norm().pool(3, 2)
    trace.conv(384, 3, bias=True).conv(384, 3, groups=2, bias=True).conv(256, 3, groups=2, bias=True).pool(3, 2)
    trace.linear(4096, bias=True).linear(4096, bias=True).linear(1000, bias=True)
    return trace.network("AlexNet", 256)


def mobilenet() -> Network:
    """MobileNet 1.0 on ImageNet, 224x224 (Howard et al., 2017); the paper's normalization batch of 128."""
    trace = Trace(3, 224).conv(32, 3, 2).norm()
    for channels, stride in (
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        *[(512, 1)] * 5,
        (1024, 2),
        (1024, 1),
    ):
        trace.conv(trace.channels, 3, stride, groups=trace.channels).norm().conv(channels, 1).norm()
    return trace.pool(trace.side, 1).linear(1000, bias=True).network("MobileNet", 128)


def dcgan_generator(width: int = 128, kernel: int = 5) -> Trace:
    """The generator of DCGAN (Radford et al., ICLR 2016), 64x64: no norm at the output."""
    trace = Trace(100, 1).deconv(8 * width, 4, 4).norm()
    for factor in (4, 2, 1):
        trace.deconv(factor * width, kernel, 2 * trace.side).norm()
    return trace.deconv(3, kernel, 2 * trace.side)


def dcgan_discriminator(width: int = 128, kernel: int = 5) -> Trace:
    """Its discriminator: no norm at the input."""
    trace = Trace(3, 64).conv(width, kernel, 2, padding=(kernel - 1) // 2)
    for factor in (2, 4, 8):
        trace.conv(factor * width, kernel, 2, padding=(kernel - 1) // 2).norm()
    return trace.conv(1, 4, padding=0)


def dcgan() -> Network:
    """DCGAN at 64x64, mini-batches of 128 (Radford et al.): one pass each of the generator and the discriminator."""
    generator, discriminator = dcgan_generator(), dcgan_discriminator()
    generator.norms += discriminator.norms
    generator.parameters += discriminator.parameters
    return generator.network("DCGAN", 128)


# Figure 3 of the paper has 1152 channels in ResNet-110's layers 38 to 73: that is the network of basic blocks. Table II
# says bottleneck. So both stand here.
NETWORKS: tuple[Callable[[], Network], ...] = (
    lenet5_network,
    vgg7,
    lambda: resnet_cifar(110, bottleneck=True),
    lambda: resnet_cifar(110, bottleneck=False),
    lambda: densenet_bc(40, 48, 10, "Wide-DenseNet (L = 40, K = 48)"),
    lambda: densenet_bc(100, 12, 100, "DenseNet-100"),
    alexnet,
    mobilenet,
    dcgan,
)
