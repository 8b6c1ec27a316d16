"""A network as the compiler takes it: a chain of layers with an input shape, checked when it is made.

A *block* is what the kernel trains as one: a convolution or fully-connected layer with its L1BN and activation. The
chain is declared with the field's layers; `NetworkGraph` flattens it to nodes, each of which knows what it reads, and
infers every shape.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from strop.runtime.contract import C
from strop.runtime.errors import LimitError, NetworkError

Shape = tuple[int, int, int]  # channels, height, width


@dataclass(frozen=True)
class Conv2d:
    """Convolution without bias (L1BN's beta takes its place), square or rectangular filter, zero padding."""

    channels: int
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    groups: int = 1
    kind: ClassVar[str] = "conv2d"


@dataclass(frozen=True)
class Linear:
    """Fully-connected layer; with a bias where no L1BN follows (the last layer)."""

    features: int
    kind: ClassVar[str] = "linear"


@dataclass(frozen=True)
class L1BN:
    """L1 batch normalization (Wu et al., Eq. 9 to 11)."""

    kind: ClassVar[str] = "l1bn"


@dataclass(frozen=True)
class ReLU:
    """max(0, x), fused into the L1BN or the addition of the `Residual` before it."""

    kind: ClassVar[str] = "relu"


@dataclass(frozen=True)
class MaxPool2d:
    """Max pooling; positions outside the map do not take part."""

    kernel: tuple[int, int] = (2, 2)
    stride: tuple[int, int] = (2, 2)
    padding: tuple[int, int] = (0, 0)
    kind: ClassVar[str] = "max_pool2d"


@dataclass(frozen=True)
class GlobalAveragePool:
    """Mean of each channel's map."""

    kind: ClassVar[str] = "global_average_pool"


@dataclass(frozen=True)
class Flatten:
    """[C, H, W] to [C*H*W], in that order."""

    kind: ClassVar[str] = "flatten"


@dataclass(frozen=True)
class Residual:
    """body(x) + shortcut(x): two chains that end in L1BN and give one shape; an empty shortcut is x itself.

    It stands after a layer with weights (unless the input has more channels than an image), and not in another
    `Residual`.
    """

    body: tuple[Layer, ...]
    shortcut: tuple[Layer, ...] = ()
    kind: ClassVar[str] = "residual"


Layer = Conv2d | Linear | L1BN | ReLU | MaxPool2d | GlobalAveragePool | Flatten | Residual
LAYER_KINDS: dict[str, type[Any]] = {
    cls.kind: cls for cls in (Conv2d, Linear, L1BN, ReLU, MaxPool2d, GlobalAveragePool, Flatten, Residual)
}
IMAGES = "input"  # what the first node reads


@dataclass(frozen=True)
class Node:
    """One layer in its place: its name, the shapes of what it reads and writes, and whose outputs it reads.

    A `Residual` is the nodes of its body, those of its shortcut, and its addition, a node that reads the last of both.
    """

    name: str
    layer: Layer
    input: Shape
    output: Shape
    sources: tuple[str, ...]

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """[K, C/groups, R, S] of a convolution or fully-connected layer."""
        if isinstance(self.layer, Conv2d):
            return (self.layer.channels, self.input[0] // self.layer.groups, *self.layer.kernel)
        return (self.output[0], self.input[0], 1, 1)


@dataclass(frozen=True)
class NetworkGraph:
    """A chain of layers on an image of `input` = (channels, height, width), uint8.

    `border` pixels of black are put around each image by the input conversion (LeNet-5 takes 28x28 images as 32x32).
    A byte p of the input stands for (p - 128) * 2^-`input_exponent`; another exponent than that of images belongs to a
    network that was cut in the middle (runtime/cut.py). Raises `NetworkError` or `LimitError` where the chain cannot be
    built, naming the layer.
    """

    name: str
    input: Shape
    layers: tuple[Layer, ...]
    border: int = 0
    input_exponent: int = C.INPUT_EXPONENT
    nodes: tuple[Node, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", _infer(self))

    @property
    def classes(self) -> int:
        """Number of outputs of the last layer."""
        return self.nodes[-1].output[0]

    @property
    def weighted(self) -> tuple[Node, ...]:
        """The convolutions and fully-connected layers, in order."""
        return tuple(node for node in self.nodes if isinstance(node.layer, (Conv2d, Linear)))

    def readers(self, name: str) -> tuple[Node, ...]:
        """The nodes that read what node `name` gives, in order: one, or two where branches begin."""
        return self._readers.get(name, ())

    @cached_property
    def _readers(self) -> dict[str, tuple[Node, ...]]:
        found: dict[str, tuple[Node, ...]] = {}
        for node in self.nodes:
            for source in node.sources:
                found[source] = (*found.get(source, ()), node)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the declaration as plain data, for a checkpoint's manifest."""
        layers = [_describe(layer) for layer in self.layers]
        data = {"name": self.name, "input": list(self.input), "border": self.border, "layers": layers}
        if self.input_exponent != C.INPUT_EXPONENT:  # so that the digests of all others stay what they were
            data["input_exponent"] = self.input_exponent
        return data

    @staticmethod
    def from_dict(data: dict[str, Any]) -> NetworkGraph:
        """Build the graph that `to_dict` described; raises `NetworkError` on anything else."""
        try:
            layers = tuple(_described(entry) for entry in data["layers"])
            exponent = data.get("input_exponent", C.INPUT_EXPONENT)
            return NetworkGraph(str(data["name"]), tuple(data["input"]), layers, data["border"], exponent)
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            if isinstance(error, NetworkError):
                raise
            raise NetworkError(
                f"not a network description: {error!r}; allowed layer kinds: {', '.join(LAYER_KINDS)}"
            ) from error

    def digest(self) -> str:
        """Return sha256 (hex) of the declaration without its name: equal digests train to equal bytes."""
        data = self.to_dict()
        del data["name"]
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _describe(layer: Layer) -> dict[str, Any]:
    """Return a layer as plain data: its kind and its fields, those of a `Residual` described in turn."""
    if isinstance(layer, Residual):
        chains = {"body": layer.body, "shortcut": layer.shortcut}
        return {"kind": layer.kind, **{name: [_describe(inner) for inner in chain] for name, chain in chains.items()}}
    return {"kind": layer.kind, **asdict(layer)}


def _described(entry: Any) -> Layer:
    """Return the layer that `_describe` described."""
    fields = {}
    for name, value in entry.items():
        if isinstance(value, list):
            value = tuple(_described(item) if isinstance(item, dict) else item for item in value)
        fields[name] = value
    layer: Layer = LAYER_KINDS[fields.pop("kind")](**fields)
    return layer


def _infer(graph: NetworkGraph) -> tuple[Node, ...]:
    if not _are_whole(graph.input, 3) or not _are_whole((graph.border, graph.input_exponent), 2):
        raise NetworkError(
            f"{graph.name}: input {graph.input!r}, border {graph.border!r} and input_exponent "
            f"{graph.input_exponent!r} must be (channels, height, width) and two ints, all whole numbers"
        )
    if not 0 <= graph.input_exponent <= C.MAX_EXPONENT:
        raise LimitError(
            f"{graph.name}: input_exponent is {graph.input_exponent}; allowed: 0 to {C.MAX_EXPONENT}, and "
            f"{C.INPUT_EXPONENT} for images"
        )
    channels, height, width = graph.input
    if min(graph.input) < 1 or graph.border < 0:
        raise NetworkError(f"{graph.name}: input {graph.input} and border {graph.border} must be positive sizes")
    shape: Shape = (channels, height + 2 * graph.border, width + 2 * graph.border)
    if max(shape[1:]) > C.MAX_SIDE or channels > C.MAX_CHANNELS:
        raise LimitError(
            f"{graph.name}: input {shape}, border included, exceeds {C.MAX_CHANNELS} channels or {C.MAX_SIDE} a side"
        )
    walk = _Walk(graph.name)
    _, (classes, _, _) = walk.chain(graph.name, graph.layers, IMAGES, shape)
    if not walk.nodes or not isinstance(walk.nodes[-1].layer, Linear):
        raise NetworkError(f"{graph.name}: the last layer must be Linear, one output a class")
    if not 2 <= classes <= C.MAX_CLASSES:
        raise LimitError(f"{graph.name}: {classes} classes; allowed: 2 to {C.MAX_CLASSES}")
    return tuple(walk.nodes)


class _Walk:
    """Collects the nodes of a network, in the order in which they run forward."""

    def __init__(self, network: str) -> None:
        self.network = network
        self.nodes: list[Node] = []
        self._counts: dict[str, int] = {}

    def chain(self, where: str, layers: tuple[Layer, ...], source: str, shape: Shape) -> tuple[str, Shape]:
        """Add layers, the first of which reads `source`; return the name and the shape of what they give."""
        for index, layer in enumerate(layers):
            if not isinstance(layer, tuple(LAYER_KINDS.values())):
                raise NetworkError(
                    f"{where}, layer number {index + 1}: {layer!r} is no layer that strop can train; "
                    f"allowed: {', '.join(LAYER_KINDS)}"
                )
            name = self._name(layer)
            at = f"{self.network}, layer {name}"
            sources: tuple[str, ...] = (source,)
            if isinstance(layer, Residual):
                sources, output = self._residual(at, layer, source, shape)
                shape = output  # the addition reads what the branches give
            else:
                _check_numbers(at, layer)
                output = _output_shape(at, layer, shape)
            _check_order(at, layers, index)
            if max(output[1:]) > C.MAX_SIDE or output[0] > C.MAX_CHANNELS:
                raise LimitError(f"{at}: output {output} exceeds {C.MAX_CHANNELS} channels or {C.MAX_SIDE} a side")
            self.nodes.append(Node(name, layer, shape, output, sources))
            source, shape = name, output
        return source, shape

    def _name(self, layer: Layer) -> str:
        prefixes = {"conv2d": "conv", "linear": "fc", "l1bn": "bn", "max_pool2d": "pool", "residual": "add"}
        prefix = prefixes.get(layer.kind, layer.kind)
        self._counts[prefix] = self._counts.get(prefix, 0) + 1
        return f"{prefix}{self._counts[prefix]}"

    def _residual(self, at: str, layer: Residual, source: str, shape: Shape) -> tuple[tuple[str, str], Shape]:
        """Add the nodes of both branches; return what the addition reads, and its shape."""
        chains = {"body": layer.body, "shortcut": layer.shortcut}
        for part, layers in chains.items():
            if not isinstance(layers, tuple):
                raise NetworkError(f"{at}: {part} is {layers!r}; it must be a tuple of layers")
            if any(isinstance(inner, Residual) for inner in layers):
                raise NetworkError(f"{at}: the {part} holds another Residual; put one after the other instead")
            if (layers or part == "body") and not isinstance((None, *layers)[-1], L1BN):
                raise NetworkError(f"{at}: the {part} must end in L1BN; a ReLU goes behind the Residual")
        first = not any(isinstance(node.layer, (Conv2d, Linear)) for node in self.nodes)
        if first and shape[0] <= C.MAX_PIXEL_CHANNELS:  # its branches would want a pixel map and a feature map
            raise NetworkError(f"{at}: a Residual cannot come first; put a convolution before it")
        body, output = self.chain(f"{at}, body", layer.body, source, shape)
        shortcut, other = self.chain(f"{at}, shortcut", layer.shortcut, source, shape)
        if output != other:
            raise NetworkError(f"{at}: the body gives {output} and the shortcut {other}; both must give one shape")
        return (body, shortcut), output


def _are_whole(values: Any, count: int) -> bool:
    """Whether `values` is a tuple of `count` ints; others would survive until a command or a manifest is written."""
    return isinstance(values, tuple) and len(values) == count and all(type(value) is int for value in values)


def _check_numbers(where: str, layer: Layer) -> None:
    for name, value in vars(layer).items():
        pair = name in ("kernel", "stride", "padding")
        if not (_are_whole(value, 2) if pair else _are_whole((value,), 1)):
            expected = "a pair of whole numbers (height, width)" if pair else "a whole number"
            raise NetworkError(f"{where}: {name} is {value!r}; it must be {expected}")


def _window(where: str, size: tuple[int, int], kernel: Any, stride: Any, padding: Any) -> tuple[int, int]:
    if not (1 <= min(kernel) and max(kernel) <= C.MAX_KERNEL and 1 <= min(stride) and max(stride) <= C.MAX_STRIDE):
        raise LimitError(
            f"{where}: kernel {kernel}, stride {stride}; allowed: kernel 1 to {C.MAX_KERNEL}, "
            f"stride 1 to {C.MAX_STRIDE}"
        )
    if min(padding) < 0 or padding[0] >= kernel[0] or padding[1] >= kernel[1]:
        raise LimitError(f"{where}: padding {padding} must be at least 0 and smaller than the kernel {kernel}")
    out = tuple((size[i] + 2 * padding[i] - kernel[i]) // stride[i] + 1 for i in (0, 1))
    if min(size[i] + 2 * padding[i] - kernel[i] for i in (0, 1)) < 0:
        raise NetworkError(f"{where}: kernel {kernel} is larger than its padded input {size}")
    return out[0], out[1]


def _output_shape(where: str, layer: Layer, shape: Shape) -> Shape:
    channels, height, width = shape
    if isinstance(layer, Conv2d):
        p, q = _window(where, (height, width), layer.kernel, layer.stride, layer.padding)
        if layer.channels < 1 or layer.groups < 1 or channels % layer.groups or layer.channels % layer.groups:
            raise NetworkError(
                f"{where}: {channels} to {layer.channels} channels cannot be split in {layer.groups} groups"
            )
        # the forward pass sums over the channels read, the input gradient over those written
        if max(channels, layer.channels) // layer.groups * layer.kernel[0] * layer.kernel[1] > C.MAX_REDUCTION:
            raise LimitError(f"{where}: a sum of more than {C.MAX_REDUCTION} products does not fit int32")
        return (layer.channels, p, q)
    if isinstance(layer, Linear):
        if (height, width) != (1, 1):
            raise NetworkError(
                f"{where}: Linear takes [features], got {shape}; put Flatten or GlobalAveragePool before it"
            )
        if layer.features < 1:
            raise NetworkError(f"{where}: {layer.features} features; at least 1 is needed")
        return (layer.features, 1, 1)
    if isinstance(layer, MaxPool2d):
        p, q = _window(where, (height, width), layer.kernel, layer.stride, layer.padding)
        return (channels, p, q)
    if isinstance(layer, GlobalAveragePool):
        if height * width > C.MAX_POOL_PLANE:
            raise LimitError(f"{where}: a map of {height}x{width}; allowed: {C.MAX_POOL_PLANE} positions")
        return (channels, 1, 1)
    if isinstance(layer, Flatten):
        return (channels * height * width, 1, 1)
    return shape


def _check_order(where: str, chain: tuple[Layer, ...], index: int) -> None:
    """The kernel trains convolution + L1BN (+ ReLU) as one block, and ends with a Linear that has a bias."""
    layer = chain[index]
    before = chain[index - 1] if index else None
    after = chain[index + 1] if index + 1 < len(chain) else None
    if isinstance(layer, Conv2d) and not isinstance(after, L1BN):
        raise NetworkError(f"{where}: a convolution must be followed by L1BN")
    if isinstance(layer, Linear) and after is not None and not isinstance(after, L1BN):
        raise NetworkError(f"{where}: a Linear layer must be followed by L1BN, except the last")
    if isinstance(layer, L1BN) and not isinstance(before, (Conv2d, Linear)):
        raise NetworkError(f"{where}: L1BN must follow a convolution or a Linear layer")
    if isinstance(layer, ReLU) and not isinstance(before, (L1BN, Residual)):
        raise NetworkError(f"{where}: ReLU must follow L1BN or a Residual, into which it is fused")
