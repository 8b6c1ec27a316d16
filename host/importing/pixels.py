"""What a network's own input is in terms of strop's: the first layer takes the difference in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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

    @property
    def gain(self) -> Floats:
        """A of x = A * a + B, for strop's value a of a pixel."""
        return UNIT * self.scale / self.std

    @property
    def offset(self) -> Floats:
        """B of x = A * a + B."""
        return (CENTRE * self.scale - self.mean) / self.std


@dataclass(frozen=True, eq=False)
class FirstFilter:
    """A first convolution that reads strop's values: its filter, what its output is shifted by, and how it is padded."""

    weight: Floats
    shift: Floats  # [K], to be added to what it gives
    padding: Pair
    border: int  # of black around the image, in place of padding
    note: str


def first_filter(weight: Floats, padding: Pair, gain: Floats, offset: Floats, groups: int = 1) -> FirstFilter:
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
    border = padding[0] if black < grey and padding[0] == padding[1] else 0
    distance = black if border else grey
    note = ""
    if distance > 1.5 / UNIT:
        note = (
            f"the first convolution pads with the {'black' if border else 'mid-grey'} of strop, {distance:.2f} (of 2, from "
            "black to white) from the zero of the network's own input: values at the border of its map differ"
        )
    return FirstFilter(folded, shift, (0, 0) if border else padding, border, note)


def first_dense(weight: Floats, gain: Floats, offset: Floats, positions: int) -> tuple[Floats, Floats]:
    """Take x = gain * a + offset into weights [K, C * positions]; return them and what the output is shifted by [K]."""
    gains, offsets = gain.repeat(positions), offset.repeat(positions)
    return weight * gains, weight @ offsets
