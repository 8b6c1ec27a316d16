"""The layers that a network is declared with, each a frozen dataclass, and their description as plain data."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar

from strop.runtime.contract import C

DEFAULT_EXPONENT = 3  # NUMERICS.md 1.2: of an activation's grid, steps of 1/8 up to 15.875


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
class ConvTranspose2d:
    """Transposed convolution without bias, as PyTorch's.

    A map of H becomes (H - 1)*stride - 2*padding + kernel + output_padding. Its weights are [C_in, C_out/groups, R, S].
    """

    channels: int
    kernel: tuple[int, int] = (4, 4)
    stride: tuple[int, int] = (2, 2)
    padding: tuple[int, int] = (1, 1)
    output_padding: tuple[int, int] = (0, 0)
    groups: int = 1
    kind: ClassVar[str] = "conv_transpose2d"


@dataclass(frozen=True)
class Linear:
    """Fully-connected layer; with a bias where no L1BN follows (the last layer)."""

    features: int
    kind: ClassVar[str] = "linear"


@dataclass(frozen=True)
class L1BN:
    """L1 batch normalization (Wu et al., Eq. 9 to 11); its output has steps of 2^-exponent.

    4, steps of 1/16 up to 8, is nearer to float where no sums of many branches need the range of 3.
    """

    exponent: int = DEFAULT_EXPONENT
    kind: ClassVar[str] = "l1bn"


@dataclass(frozen=True)
class Bias:
    """x + beta, a bias for each channel, where a layer has no normalization; steps of 2^-exponent."""

    exponent: int = DEFAULT_EXPONENT
    kind: ClassVar[str] = "bias"


@dataclass(frozen=True)
class ReLU:
    """max(0, x), fused into the L1BN, the Bias or the addition of the `Residual` before it."""

    kind: ClassVar[str] = "relu"


@dataclass(frozen=True)
class LeakyReLU:
    """x where x > 0, else slope * x; by table, as all activations but ReLU are (NUMERICS.md 1.15)."""

    slope: float = 0.01
    exponent: int = DEFAULT_EXPONENT
    kind: ClassVar[str] = "leaky_relu"


@dataclass(frozen=True)
class ReLU6:
    """min(max(0, x), 6)."""

    exponent: int = DEFAULT_EXPONENT
    kind: ClassVar[str] = "relu6"


@dataclass(frozen=True)
class Tanh:
    """tanh(x); its output has the grid of images unless said otherwise."""

    exponent: int = C.INPUT_EXPONENT
    kind: ClassVar[str] = "tanh"


@dataclass(frozen=True)
class Sigmoid:
    """1 / (1 + exp(-x))."""

    exponent: int = C.INPUT_EXPONENT
    kind: ClassVar[str] = "sigmoid"


@dataclass(frozen=True)
class HardSwish:
    """x * min(max(0, x + 3), 6) / 6."""

    exponent: int = DEFAULT_EXPONENT
    kind: ClassVar[str] = "hard_swish"


@dataclass(frozen=True)
class SiLU:
    """x / (1 + exp(-x))."""

    exponent: int = DEFAULT_EXPONENT
    kind: ClassVar[str] = "silu"


@dataclass(frozen=True)
class MaxPool2d:
    """Max pooling; positions outside the map do not take part."""

    kernel: tuple[int, int] = (2, 2)
    stride: tuple[int, int] = (2, 2)
    padding: tuple[int, int] = (0, 0)
    kind: ClassVar[str] = "max_pool2d"


@dataclass(frozen=True)
class AveragePool2d:
    """Mean over windows; positions outside the map count as 0."""

    kernel: tuple[int, int] = (2, 2)
    stride: tuple[int, int] = (2, 2)
    padding: tuple[int, int] = (0, 0)
    kind: ClassVar[str] = "average_pool2d"


@dataclass(frozen=True)
class GlobalAveragePool:
    """Mean of each channel's map, in steps finer by 2^-gain than the map's: a mean is smaller than what it is of."""

    gain: int = 0
    kind: ClassVar[str] = "global_average_pool"


@dataclass(frozen=True)
class Upsample:
    """Each value `scale` = (down, across) times: upsampling by the nearest."""

    scale: tuple[int, int] = (2, 2)
    kind: ClassVar[str] = "upsample"


@dataclass(frozen=True)
class Flatten:
    """[C, H, W] to [C*H*W], in that order."""

    kind: ClassVar[str] = "flatten"


@dataclass(frozen=True)
class Residual:
    """body(x) + shortcut(x): two chains that end in L1BN or Bias and give one shape; an empty shortcut is x itself.

    It stands after a layer with weights (unless the input has more channels than an image), and not in another
    `Residual`. The sum has steps of 2^-exponent.
    """

    body: tuple[Layer, ...]
    shortcut: tuple[Layer, ...] = ()
    exponent: int = DEFAULT_EXPONENT
    kind: ClassVar[str] = "residual"


@dataclass(frozen=True)
class Concatenate:
    """The channels of branch(x) for each of `branches`, one after the other; an empty branch is x itself.

    Branches end in maps of one size and one kind: all what a convolution gives, which an L1BN must read next, or all
    activations on one grid. All but the last have a multiple of 4 channels, so that their quads stay whole.
    """

    branches: tuple[tuple[Layer, ...], ...]
    kind: ClassVar[str] = "concatenate"


Table = LeakyReLU | ReLU6 | Tanh | Sigmoid | HardSwish | SiLU
Weighted = Conv2d | ConvTranspose2d | Linear
Norm = L1BN | Bias
Layer = (
    Weighted
    | Norm
    | ReLU
    | Table
    | MaxPool2d
    | AveragePool2d
    | GlobalAveragePool
    | Upsample
    | Flatten
    | Residual
    | Concatenate
)
TABLES = (LeakyReLU, ReLU6, Tanh, Sigmoid, HardSwish, SiLU)
WEIGHTED = (Conv2d, ConvTranspose2d, Linear)
NORMS = (L1BN, Bias)
LAYER_KINDS: dict[str, type[Any]] = {
    cls.kind: cls
    for cls in (
        *(*WEIGHTED, *NORMS, ReLU, *TABLES),
        *(MaxPool2d, AveragePool2d, GlobalAveragePool, Upsample, Flatten, Residual, Concatenate),
    )
}
# Fields that came later: left out of a description where they have their default, so that no older digest moves.
_LATER = {"l1bn": {"exponent"}, "residual": {"exponent"}, "global_average_pool": {"gain"}}


def describe(layer: Layer) -> dict[str, Any]:
    """Return a layer as plain data: its kind and its fields, chains of layers described in turn."""
    data: dict[str, Any] = {"kind": layer.kind}
    for field in fields(layer):
        value = getattr(layer, field.name)
        if field.default is not MISSING and value == field.default and field.name in _LATER.get(layer.kind, ()):
            continue
        data[field.name] = _plain(value)
    return data


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return describe(value) if hasattr(value, "kind") else value


def described(entry: Any) -> Layer:
    """Return the layer that `describe` described; raises `KeyError`, `TypeError`, `AttributeError` on anything else."""
    values = {name: _built(value) for name, value in entry.items()}
    layer: Layer = LAYER_KINDS[values.pop("kind")](**values)
    return layer


def _built(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_built(item) for item in value)
    return described(value) if isinstance(value, dict) else value
