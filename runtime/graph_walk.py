"""From declared layers to nodes: names, shapes, the grid of each map, and whether the kernel can train the whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from strop.runtime.contract import C
from strop.runtime.errors import LimitError, NetworkError
from strop.runtime.layer_shapes import output_shape
from strop.runtime.layers import (
    LAYER_KINDS,
    NORMS,
    TABLES,
    WEIGHTED,
    AveragePool2d,
    Concatenate,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    GlobalAveragePool,
    Layer,
    Linear,
    ReLU,
    Residual,
)
from strop.runtime.node import Node, Shape

IMAGES = "input"  # what the first node reads
_PREFIXES = {
    "conv2d": "conv",
    "conv_transpose2d": "deconv",
    "linear": "fc",
    "l1bn": "bn",
    "max_pool2d": "pool",
    "average_pool2d": "average_pool",
    "residual": "add",
    "concatenate": "concat",
}
_PAIRS = ("kernel", "stride", "padding", "output_padding", "scale")


class Walk:
    """Collects the nodes of a network, in the order in which they run forward."""

    def __init__(self, network: str) -> None:
        self.network = network
        self.nodes: list[Node] = []
        self._counts: dict[str, int] = {}
        self._grids: dict[str, int | None] = {}
        self._joined: dict[str, str] = {}  # which Concatenate holds what a layer gives

    def chain(
        self, where: str, layers: tuple[Layer, ...], source: str, shape: Shape, grid: int | None
    ) -> tuple[str, Shape]:
        """Add layers, the first of which reads `source` on `grid`; return the name and the shape of what they give."""
        self._grids[source] = grid
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
            elif isinstance(layer, Concatenate):
                sources, output = self._concatenate(at, name, layer, source, shape)
                shape = output
            else:
                _check_numbers(at, layer)
                output = output_shape(at, layer, shape)
            _check_order(at, layers, index)
            grid = self._grid(at, layer, sources)
            if max(output[1:]) > C.MAX_SIDE or output[0] > C.MAX_CHANNELS:
                raise LimitError(f"{at}: output {output} exceeds {C.MAX_CHANNELS} channels or {C.MAX_SIDE} a side")
            self.nodes.append(Node(name, layer, shape, output, sources, grid))
            self._grids[name] = grid
            source, shape = name, output
        return source, shape

    def _name(self, layer: Layer) -> str:
        prefix = _PREFIXES.get(layer.kind, layer.kind)
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
            if (layers or part == "body") and not isinstance((None, *layers)[-1], NORMS):
                raise NetworkError(f"{at}: the {part} must end in L1BN or Bias; a ReLU goes behind the Residual")
        self._check_not_first(at, "a Residual", shape)
        grid = self._grids[source]
        body, output = self.chain(f"{at}, body", layer.body, source, shape, grid)
        shortcut, other = self.chain(f"{at}, shortcut", layer.shortcut, source, shape, grid)
        if output != other:
            raise NetworkError(f"{at}: the body gives {output} and the shortcut {other}; both must give one shape")
        return (body, shortcut), output

    def _concatenate(
        self, at: str, name: str, layer: Concatenate, source: str, shape: Shape
    ) -> tuple[tuple[str, ...], Shape]:
        """Add the nodes of all branches; return what the concatenation reads, and its shape."""
        whole = isinstance(layer.branches, tuple) and all(isinstance(branch, tuple) for branch in layer.branches)
        if not whole or len(layer.branches) < 2:
            raise NetworkError(f"{at}: branches is {layer.branches!r}; it must be two or more tuples of layers")
        self._check_not_first(at, "a Concatenate", shape)
        grid = self._grids[source]
        ends = [self.chain(f"{at}, branch {i + 1}", b, source, shape, grid) for i, b in enumerate(layer.branches)]
        sizes = {end[1:] for _, end in ends}
        if len(sizes) > 1:
            raise NetworkError(f"{at}: the branches give {[end for _, end in ends]}; height and width must be the same")
        uneven = [end[0] for _, end in ends[:-1] if end[0] % C.QUAD]
        if uneven:
            raise LimitError(
                f"{at}: a branch of {uneven[0]} channels; allowed: a multiple of {C.QUAD} in all branches but "
                "the last: put that branch last, or give it more channels"
            )
        for end, _ in ends:
            producer = producer_of({node.name: node for node in self.nodes}, end)
            if producer == IMAGES or producer in self._joined:
                where = "the network's input" if producer == IMAGES else f"part of {self._joined[producer]}"
                raise NetworkError(f"{at}: what {end} gives is {where} already; put a layer of its own into the branch")
            self._joined[producer] = name
        return tuple(end for end, _ in ends), (sum(end[0] for _, end in ends), *ends[0][1][1:])

    def _check_not_first(self, at: str, what: str, shape: Shape) -> None:
        first = not any(isinstance(node.layer, WEIGHTED) for node in self.nodes)
        if first and shape[0] <= C.MAX_PIXEL_CHANNELS:  # its branches would want a pixel map and a feature map
            raise NetworkError(f"{at}: {what} cannot come first; put a convolution before it")

    def _grid(self, at: str, layer: Layer, sources: tuple[str, ...]) -> int | None:
        """Return the exponent of what a layer gives, None before a normalization; refuse what it cannot read."""
        grids = [self._grids[source] for source in sources]
        if isinstance(layer, NORMS):
            if grids[0] is not None:
                what = "L1BN" if layer.kind == "l1bn" else "Bias"
                raise NetworkError(
                    f"{at}: {what} must follow a convolution or a Linear layer, or the average pooling or "
                    "concatenation of what convolutions give"
                )
            return layer.exponent
        if isinstance(layer, Concatenate):
            if len(set(grids)) > 1:
                words = ", ".join("before L1BN" if grid is None else f"2^-{grid}" for grid in grids)
                raise NetworkError(
                    f"{at}: the branches end on different grids ({words}); all must end before L1BN, or in activations "
                    "of one exponent"
                )
            return grids[0]
        if isinstance(layer, AveragePool2d):
            return grids[0]
        if None in grids:
            raise NetworkError(f"{at}: it reads what a convolution gives; put L1BN or Bias before it")
        if isinstance(layer, WEIGHTED):
            return None
        if isinstance(layer, GlobalAveragePool):
            return int(grids[0] or 0) + layer.gain
        return layer.exponent if isinstance(layer, (*TABLES, Residual)) else grids[0]


def producer_of(nodes: Mapping[str, Node], name: str) -> str:
    """Return the layer whose command makes what `name` gives: that before a ReLU, or before a Flatten of a 1x1 map."""
    node = nodes.get(name)
    if node is None:
        return name  # the input
    fused = isinstance(node.layer, ReLU) or (isinstance(node.layer, Flatten) and node.input[1:] == (1, 1))
    return producer_of(nodes, node.sources[0]) if fused else name


def are_whole(values: Any, count: int) -> bool:
    """Whether `values` is a tuple of `count` ints; others would survive until a command or a manifest is written."""
    return isinstance(values, tuple) and len(values) == count and all(type(value) is int for value in values)


def _check_numbers(where: str, layer: Layer) -> None:
    for name, value in vars(layer).items():
        if name == "slope":
            if type(value) is not float or not 0.0 <= value <= 1.0:
                raise NetworkError(f"{where}: slope is {value!r}; it must be a float from 0 to 1")
            continue
        pair = name in _PAIRS
        if not (are_whole(value, 2) if pair else are_whole((value,), 1)):
            expected = "a pair of whole numbers (height, width)" if pair else "a whole number"
            raise NetworkError(f"{where}: {name} is {value!r}; it must be {expected}")
        most = {"exponent": C.MAX_EXPONENT, "gain": C.MAX_POOL_GAIN}.get(name)
        if most is not None and not 0 <= value <= most:
            raise LimitError(f"{where}: {name} is {value}; allowed: 0 to {most}")


def _check_order(where: str, chain: tuple[Layer, ...], index: int) -> None:
    """The kernel trains convolution + L1BN (+ ReLU) as one block, and ends with a Linear that has a bias."""
    layer = chain[index]
    before = chain[index - 1] if index else None
    after = chain[index + 1] if index + 1 < len(chain) else None
    convolves = isinstance(layer, (Conv2d, ConvTranspose2d)) and after is not None
    if convolves and not isinstance(after, (*NORMS, AveragePool2d, Concatenate)):
        raise NetworkError(f"{where}: a convolution must be followed by L1BN or Bias")
    if isinstance(layer, Linear) and after is not None and not isinstance(after, NORMS):
        raise NetworkError(f"{where}: a Linear layer must be followed by L1BN or Bias, except the last")
    if isinstance(layer, ReLU) and not isinstance(before, (*NORMS, Residual)):
        raise NetworkError(f"{where}: ReLU must follow L1BN, Bias or a Residual, into which it is fused")
