"""Operations as strop's layers: finds the branches, and puts in between what a layer needs before it.

A value is *raw* between a convolution and its normalization. Where a layer wants something else than what is there, an
L1BN that changes nothing (scale 1) settles a raw value, and a depthwise convolution of ones makes one that an L1BN may
read. Both are the identity in float.
"""

from __future__ import annotations

from strop.host.importing.branches import Forks
from strop.host.importing.chain import Chain, Piece
from strop.host.importing.errors import ModelImportError, Obstacle, Unsupported, UnsupportedNodes
from strop.host.importing.operations import (
    INPUT,
    Activate,
    Affine,
    AveragePool,
    Convolve,
    ConvolveTransposed,
    Dense,
    Flat,
    GlobalAverage,
    Join,
    MaxPool,
    Operation,
    OperationGraph,
    Sum,
    Upsample,
)
from strop.host.importing.padding import even_filter, even_pooling
from strop.host.importing.pixels import Normalization
from strop.host.importing.simplify import simplified
from strop.host.quantization.float_network import FloatNetwork
from strop.runtime.errors import NetworkError
from strop.runtime.graph import (
    L1BN,
    AveragePool2d,
    Concatenate,
    ConvTranspose2d,
    Flatten,
    GlobalAveragePool,
    Layer,
    MaxPool2d,
    NetworkGraph,
    Residual,
)
from strop.runtime.graph import Upsample as UpsampleLayer


def assemble(
    graph: OperationGraph, normalization: Normalization, source: str, exact_border: bool = True
) -> FloatNetwork:
    """Return the float network of `graph`, which takes images prepared by `normalization`.

    source: what is imported, for messages. exact_border: as in `Chain`. Raises `UnsupportedNodes` with every obstacle,
    `ModelImportError` where strop cannot train the whole.
    """
    return _Assembly(simplified(graph), normalization, source, exact_border).network()


class _Assembly:
    def __init__(self, graph: OperationGraph, normalization: Normalization, source: str, exact_border: bool) -> None:
        self.graph, self.source = graph, source
        self.forks = Forks(graph)
        self.shapes = {operation.name: operation.output for operation in graph.operations} | {INPUT: graph.input}
        self.obstacles: list[Obstacle] = []
        self.main = Chain(graph.input, normalization=normalization, exact_border=exact_border)

    def network(self) -> FloatNetwork:
        chain = self.main
        value = self._run(chain, INPUT, None)
        if value != self.graph.output and not self.obstacles:
            raise ModelImportError(f"{self.source}: its layers cannot be put in the order of a network")
        if self.obstacles:
            raise UnsupportedNodes(self.source, tuple(self.obstacles))
        bias = chain.end()
        try:
            graph = NetworkGraph(self.graph.name, self.graph.input, tuple(p.layer for p in chain.pieces), chain.border)
        except NetworkError as error:
            raise ModelImportError(f"{self.source} cannot be trained by strop: {error}") from error
        pieces = [piece for top in chain.pieces for piece in top.in_order()]
        weights, scales, shifts = {}, {}, {}
        for node, piece in zip(graph.nodes, pieces, strict=True):
            if piece.weight is not None:
                weights[node.name] = piece.weight
            if isinstance(piece.layer, L1BN):
                scales[node.name], shifts[node.name] = piece.scale, piece.shift
        return FloatNetwork(graph, weights, scales, shifts, bias, tuple(chain.notes))

    # -- the walk ---------------------------------------------------------------------------------------------------
    def _run(self, chain: Chain, value: str, end: Operation | None, first: Operation | None = None) -> str:
        """Add what reads `value`, and so on, until `end` would be next; return the last value.

        first: which reader to begin with, where there are several.
        """
        while value != self.graph.output or first is not None:
            readers = [first] if first is not None else self.forks.readers(value)
            first = None
            if not readers or readers == [end]:
                break
            if len(readers) > 1:
                value = self._fork(chain, value, end)
                continue
            self._apply(chain, readers[0], value)
            value = readers[0].name
        return value

    def _fork(self, chain: Chain, value: str, end: Operation | None) -> str:
        """Add the branches between `value` and where they meet; return what is given there."""
        readers = self.forks.readers(value)
        meet = self.forks.meeting(value)
        try:
            if value == INPUT:
                raise Unsupported("the images are read by several layers", "begin with one convolution")
            if meet is None or meet is end or not isinstance(meet.what, (Sum, Join)):
                where = "at the end" if meet is None else f"in {meet.node!r}"
                raise Unsupported(
                    f"its output is read {len(readers)} times, and the branches meet {where}",
                    "a value's branches must meet in a sum, or in one concatenation, of their own",
                )
            chain.settle_unless(
                isinstance(meet.what, Join) and all(isinstance(r.what, (Affine, Join)) for r in readers)
            )
            branches = self._branches(chain, value, meet)
            self._meet(chain, meet, branches)
        except Unsupported as reason:
            self._report(value, readers, reason)
            if meet is None:
                return self.graph.output
            chain.shape = meet.output
        assert meet is not None
        return meet.name

    def _branches(self, chain: Chain, value: str, meet: Operation) -> list[Chain]:
        """Return the branches that meet in `meet`, in the order in which it reads them."""
        ends: dict[str, Chain] = {value: chain.branch()}
        for reader in self.forks.readers(value):
            if reader is meet:
                continue
            branch = chain.branch()
            last = self._run(branch, value, meet, reader)
            ends[last] = branch
        missing = [name for name in meet.inputs if name not in ends]
        if missing or len(set(meet.inputs)) < len(meet.inputs):
            raise Unsupported(
                f"what meets in {meet.node!r} are no separate branches", "connect each branch once, from one value"
            )
        return [ends[name] for name in meet.inputs]

    def _meet(self, chain: Chain, meet: Operation, branches: list[Chain]) -> None:
        if isinstance(meet.what, Sum):
            longer, shorter = sorted(branches, key=lambda b: -len(b.pieces))
            for branch in (longer, shorter):
                if branch.pieces or branch is longer:
                    branch.end_in_norm()
            layer: Layer = Residual(longer.layers, shorter.layers)
            chain.add(Piece(layer, branches=(longer.pieces, shorter.pieces)), meet.output)
            return
        normalized = all(
            isinstance(r.what, Affine) for r in self.forks.readers(meet.name) if not isinstance(r.what, Join)
        )
        raw = normalized and any(branch.raw for branch in branches)
        for branch in branches:
            branch.make_raw() if raw else branch.settle()
        layer = Concatenate(tuple(branch.layers for branch in branches))
        chain.add(Piece(layer, branches=tuple(branch.pieces for branch in branches)), meet.output, raw=raw)

    def _report(self, value: str, readers: list[Operation], reason: Unsupported) -> None:
        made = next((o for o in self.graph.operations if o.name == value), readers[0])
        self.obstacles.append(Obstacle(made.node, made.op, reason.why, reason.remedy))

    # -- one operation ------------------------------------------------------------------------------------------------
    def _apply(self, chain: Chain, operation: Operation, value: str) -> None:
        try:
            self._translate(chain, operation, self.shapes[value])
        except Unsupported as reason:
            self.obstacles.append(Obstacle(operation.node, operation.op, reason.why, reason.remedy))
            chain.shape = operation.output

    def _translate(self, chain: Chain, operation: Operation, shape: tuple[int, int, int]) -> None:
        what, output = operation.what, operation.output
        size, given = shape[1:], output[1:]
        if isinstance(what, Convolve):
            weight, padding = even_filter(what.weight, size, given, what.stride, what.padding)
            chain.convolve(weight, what.stride, padding, what.groups, output)
        elif isinstance(what, ConvolveTransposed):
            channels, kernel = output[0], (what.weight.shape[2], what.weight.shape[3])
            layer = ConvTranspose2d(channels, kernel, what.stride, what.padding, what.output_padding, what.groups)
            chain.settle()
            chain.need_images_folded()
            chain.add(Piece(layer, weight=what.weight), output, raw=True)
        elif isinstance(what, Dense):
            chain.dense(what.weight)
        elif isinstance(what, Affine):
            chain.affine(what.scale, what.shift)
        elif isinstance(what, Activate):
            chain.activate(what.layer)
        elif isinstance(what, MaxPool):
            padding = even_pooling(size, given, what.kernel, what.stride, what.padding)
            chain.keep_order()
            chain.settle()
            chain.add(Piece(MaxPool2d(what.kernel, what.stride, padding)), output)
        elif isinstance(what, AveragePool):
            padding = even_pooling(size, given, what.kernel, what.stride, what.padding)
            chain.need_images_folded(any(padding))
            chain.add(Piece(AveragePool2d(what.kernel, what.stride, padding)), output, raw=chain.raw)
        elif isinstance(what, GlobalAverage):
            chain.settle()
            chain.add(Piece(GlobalAveragePool()), output)
        elif isinstance(what, Upsample):
            chain.settle()
            chain.add(Piece(UpsampleLayer(what.scale)), output)
        elif isinstance(what, Flat):
            chain.settle()
            chain.add(Piece(Flatten()), output)
        elif isinstance(what, (Sum, Join)):
            raise Unsupported("it reads the images themselves or one branch alone", "begin the branches with one value")
        else:
            raise Unsupported("nothing that follows can take its padding in", "pad in the convolution itself")
