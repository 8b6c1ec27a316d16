"""A chain of strop's layers in the making, with their float parameters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from strop.host.importing.errors import Unsupported
from strop.host.importing.operations import Floats, Pair
from strop.host.importing.pixels import BLACK, UNIT, Normalization, first_dense, first_filter
from strop.runtime.graph import (
    L1BN,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    ReLU,
    Residual,
    Shape,
)

_NONE = np.zeros(0)


@dataclass(frozen=True, eq=False)
class Piece:
    """A layer with its parameters: weights, or an L1BN's scale and shift; and the pieces of its branches."""

    layer: Layer
    weight: Floats | None = None
    scale: Floats = field(default_factory=lambda: _NONE)
    shift: Floats = field(default_factory=lambda: _NONE)
    branches: tuple[list[Piece], ...] = ()

    def in_order(self) -> Iterator[Piece]:
        """Yield the pieces in the order of the nodes that a network makes of them."""
        for branch in self.branches:
            for piece in branch:
                yield from piece.in_order()
        yield self


class Chain:
    """Layers one after the other. `raw`: what comes out is before its normalization. `shape`: of what comes out.

    normalization: of the images, until a layer with weights has taken it in; None inside a network. exact_border: put a
    layer in front where the first convolution's padding would differ otherwise.
    """

    def __init__(
        self,
        shape: Shape,
        raw: bool = False,
        normalization: Normalization | None = None,
        exact_border: bool = True,
    ) -> None:
        self._exact_border = exact_border
        self.shape, self.raw, self.border = shape, raw, 0
        self.pieces: list[Piece] = []
        self.notes: list[str] = []
        self._gain = None if normalization is None else normalization.gain
        self._offset = None if normalization is None else normalization.offset

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers without their parameters."""
        return tuple(piece.layer for piece in self.pieces)

    def branch(self) -> Chain:
        """Return an empty chain that begins where this one ends."""
        self.need_images_folded()
        found = Chain(self.shape, self.raw)
        found.notes = self.notes
        return found

    def add(self, piece: Piece, shape: Shape, raw: bool = False) -> None:
        """Add a layer as it is."""
        self.pieces.append(piece)
        self.shape, self.raw = shape, raw

    # -- what operations become ---------------------------------------------------------------------------------------
    def convolve(self, weight: Floats, stride: Pair, padding: Pair, groups: int, output: Shape) -> None:
        """Add a convolution with weight [K, C/groups, R, S]."""
        self.settle()
        shift = None
        if self._gain is not None and self._offset is not None:
            first = first_filter(weight, padding, self._gain, self._offset, groups, may_border=not self.pieces)
            if first.note and self._exact_border:
                self._normalize_images("so its first padding is the same (border='nearest' does without)")
            else:
                weight, shift, padding, self.border = first.weight, first.shift, first.padding, first.border
                self.notes += [first.note] if first.note else []
            self._gain = self._offset = None
        layer = Conv2d(weight.shape[0], (weight.shape[2], weight.shape[3]), stride, padding, groups)
        self.add(Piece(layer, weight=weight), output, raw=True)
        self._shift(shift)

    def dense(self, weight: Floats) -> None:
        """Add a fully-connected layer with weight [K, features]."""
        self.settle()
        shift = None
        if self._gain is not None and self._offset is not None:
            weight, shift = first_dense(weight, self._gain, self._offset, self.shape[0] // len(self._gain))
            self._gain = self._offset = None
        self.add(Piece(Linear(len(weight)), weight=weight[:, :, None, None]), (len(weight), 1, 1), raw=True)
        self._shift(shift)

    def affine(self, scale: Floats, shift: Floats) -> None:
        """Add scale * x + shift."""
        if self._gain is not None and self._offset is not None:  # of the images
            if len(scale) != len(self._gain):
                raise Unsupported("it scales each pixel by a number of its own", "normalize images by channel")
            self._gain, self._offset = self._gain * scale, self._offset * scale + shift
            return
        if not self.raw and self.pieces and isinstance(self.pieces[-1].layer, L1BN):
            last = self.pieces[-1]
            self.pieces[-1] = replace(last, scale=last.scale * scale, shift=last.shift * scale + shift)
            return
        self.make_raw()
        self.add(Piece(L1BN(), scale=scale, shift=shift), self.shape)

    def activate(self, layer: Layer) -> None:
        """Add an activation."""
        if isinstance(layer, ReLU) and self._are_positive_images():
            return
        self.settle()
        self.need_images_folded()
        last = self.pieces[-1].layer if self.pieces else None
        if isinstance(layer, ReLU) and isinstance(last, ReLU):
            return
        if isinstance(layer, ReLU) and not isinstance(last, (L1BN, Residual)):
            self.make_raw()
            self.settle()
        self.add(Piece(layer), self.shape)

    def keep_order(self) -> None:
        """Let what comes out rise where the network's own values do, as max pooling needs it."""
        if self._gain is not None and not (self._gain > 0).all():
            self._normalize_images("so that max pooling sees what was scaled by a number below 0 (or by 0)")

    def _are_positive_images(self) -> bool:
        """Whether images come out that are nowhere below 0 as the network takes them, but for 1.5 steps of a pixel."""
        if self._gain is None or self._offset is None:
            return False
        return bool((self._offset - np.abs(self._gain) * (-BLACK - 1.5 / UNIT) >= 0).all())

    def _normalize_images(self, why: str) -> None:
        """Put a layer in front whose output is the network's own input: its zero is then the zero of padding."""
        assert self._gain is not None and self._offset is not None
        channels = self.shape[0]
        scale, shift, self._gain, self._offset = self._gain, self._offset, None, None
        self.add(
            Piece(Conv2d(channels, (1, 1), groups=channels), weight=np.ones((channels, 1, 1, 1))), self.shape, True
        )
        self.add(Piece(L1BN(), scale=scale, shift=shift), self.shape)
        self.notes.append(
            "a depthwise 1x1 convolution of ones with an L1BN was put in front, which normalizes images as the "
            f"network's own input was: {why}"
        )

    # -- what layers need ---------------------------------------------------------------------------------------------
    def settle(self) -> None:
        """Normalize a raw value, by an L1BN that leaves it as it is."""
        if self.raw:
            channels = self.shape[0]
            self.add(Piece(L1BN(), scale=np.ones(channels), shift=np.zeros(channels)), self.shape)

    def settle_unless(self, allowed: bool) -> None:
        """Normalize a raw value unless what follows may read it raw."""
        if not allowed:
            self.settle()

    def make_raw(self) -> None:
        """Let an L1BN read what comes out, by a depthwise convolution of ones."""
        if not self.raw:
            self.need_images_folded()
            channels = self.shape[0]
            layer = Conv2d(channels, (1, 1), groups=channels)
            self.add(Piece(layer, weight=np.ones((channels, 1, 1, 1))), self.shape, raw=True)
            self.notes.append(
                f"a depthwise 1x1 convolution of ones was put in where {channels} channels are normalized, activated "
                "or added that no convolution gives"
            )

    def end_in_norm(self) -> None:
        """End in an L1BN, as a branch of a sum must."""
        if self.raw or not self.pieces or not isinstance(self.pieces[-1].layer, L1BN):
            self.make_raw()
            self.settle()

    def need_images_folded(self, needed: bool = True) -> None:
        """Raise `Unsupported` where images come in that no layer with weights has read yet."""
        if needed and self._gain is not None:
            raise Unsupported("it comes before any layer with weights", "begin with a convolution or a Linear layer")

    def end(self) -> Floats:
        """Let the chain end in a Linear layer, as a network must; return its bias [classes]."""
        bias, scale = None, None
        if self.pieces and isinstance(self.pieces[-1].layer, L1BN) and not self.raw:
            before = self.pieces[-2] if len(self.pieces) > 1 else None
            if before is not None and isinstance(before.layer, Linear):
                last = self.pieces.pop()
                scale, bias = last.scale, last.shift
        if not self.pieces or not isinstance(self.pieces[-1].layer, Linear):
            self.settle()
            channels, height, width = self.shape
            if (height, width) != (1, 1):
                self.add(Piece(Flatten()), (channels * height * width, 1, 1))
            count = self.shape[0]
            self.add(Piece(Linear(count), weight=np.eye(count)[:, :, None, None]), self.shape)
            self.notes.append("a Linear layer of ones was put at the end: strop's networks end in one")
        final = self.pieces[-1]
        assert final.weight is not None
        if scale is not None:
            self.pieces[-1] = replace(final, weight=final.weight * scale[:, None, None, None])
        return np.zeros(len(final.weight)) if bias is None else bias

    def _shift(self, shift: Floats | None) -> None:
        if shift is not None:
            self.affine(np.ones(len(shift)), shift)
