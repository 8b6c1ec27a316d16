"""What a network's own input is in terms of strop's: the first layer takes the difference in."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from strop.host.importing.errors import ModelImportError
from strop.host.importing.operations import Floats, Pair

CENTRE, UNIT = 128.0, 128.0  # strop reads the pixel p as (p - 128) / 128
BLACK = -127.0 / UNIT  # what a border is, and what pixel 0 becomes


@dataclass(frozen=True, eq=False)
class Normalization:
    """How images were prepared for a network: x = (p * scale - mean) / std for a pixel p, 0 to 255; each [C]."""

    mean: Floats
    std: Floats
    scale: float
    centre: float = CENTRE  # the pixel that strop's value a stands for is unit * a + centre
    unit: float = UNIT

    @staticmethod
    def of(channels: int, mean: object, std: object, scale: float) -> Normalization:
        """Return it checked; one number is for all channels. Raises `ModelImportError`."""
        parts = []
        for name, given in (("mean", mean), ("std", std)):
            try:
                values = np.asarray(given, np.float64).reshape(-1)
            except (TypeError, ValueError):
                values = np.zeros(0)
            if values.size not in (1, channels) or not np.isfinite(values).all():
                raise ModelImportError(f"{name} is {given!r}; pass one number, or one for each of {channels} channels")
            parts.append(np.broadcast_to(values, (channels,)).copy())
        if (parts[1] <= 0).any() or not np.isfinite(scale) or scale <= 0:
            raise ModelImportError(f"std is {std!r} and scale is {scale!r}; both must be greater than 0")
        return Normalization(parts[0], parts[1], float(scale))

    def fitted(self, images: NDArray[np.uint8]) -> Normalization:
        """Return it with the line from strop's values to pixels that is the best for `images`, by least squares.

        strop reads the pixels 0 and 1 alike; where much is black, the difference would shift every layer behind.
        """
        counts = np.bincount(images.ravel(), minlength=256).astype(np.float64)
        pixels = np.arange(256.0)
        values = np.maximum(pixels - CENTRE, BLACK * UNIT) / UNIT
        centre, mean = (float((counts * part).sum() / counts.sum()) for part in (values, pixels))
        spread = float((counts * (values - centre) ** 2).sum())
        if spread == 0.0:  # images of one colour
            return self
        unit = float((counts * (values - centre) * (pixels - mean)).sum()) / spread
        return replace(self, centre=mean - unit * centre, unit=unit)

    @property
    def gain(self) -> Floats:
        """A of x = A * a + B, for strop's value a of a pixel."""
        return self.unit * self.scale / self.std

    @property
    def offset(self) -> Floats:
        """B of x = A * a + B."""
        return (self.centre * self.scale - self.mean) / self.std


@dataclass(frozen=True, eq=False)
class FirstFilter:
    """A first convolution that reads strop's values: its filter, the shift of its output, and its padding."""

    weight: Floats
    shift: Floats  # [K], to be added to what it gives
    padding: Pair
    border: int  # of black around the image, in place of padding
    note: str


def first_filter(
    weight: Floats, padding: Pair, gain: Floats, offset: Floats, groups: int = 1, may_border: bool = True
) -> FirstFilter:
    """Take x = gain * a + offset into a filter [K, C/groups, R, S].

    Zeros around x are a = -offset / gain. strop can pad by a = 0 (mid-grey) or by a border of black: the nearer one is
    taken, and where that is not the same, `note` says so.
    """
    per_group, outputs = weight.shape[1], weight.shape[0] // groups
    channels = np.arange(groups).repeat(outputs)[:, None] * per_group + np.arange(per_group)  # that each filter reads
    shift = np.einsum("kcrs,kc->k", weight, offset[channels])
    folded = weight * gain[channels][:, :, None, None]
    if not any(padding):
        return FirstFilter(folded, shift, padding, 0, "")
    zero = -offset / gain
    grey, black = float(np.abs(zero).max()), float(np.abs(zero - BLACK).max())
    border = padding[0] if may_border and black < grey and padding[0] == padding[1] else 0
    distance = black if border else grey
    note = ""
    if distance > 1.5 / UNIT:
        note = (
            f"the first convolution pads with the {'black' if border else 'mid-grey'} of strop, {distance:.2f} (of 2, "
            "from black to white) from the zero of the network's own input: values at the border of its map differ"
        )
    return FirstFilter(folded, shift, (0, 0) if border else padding, border, note)


def first_dense(weight: Floats, gain: Floats, offset: Floats, positions: int) -> tuple[Floats, Floats]:
    """Take x = gain * a + offset into weights [K, C * positions]; return them and what the output is shifted by [K]."""
    gains, offsets = gain.repeat(positions), offset.repeat(positions)
    return weight * gains, weight @ offsets
