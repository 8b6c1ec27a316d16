"""ONNX's operators that move values without computing: what of them a network of maps [C, H, W] can have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from strop.host.importing.builder import Builder, Traced
from strop.host.importing.errors import Unsupported
from strop.host.importing.onnx_call import Call, nchw
from strop.runtime.contract import C

HALF_PIXELS = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel")  # alike where factors are whole
TO_CHANNELS_FIRST, TO_CHANNELS_LAST = [0, 3, 1, 2], [0, 2, 3, 1]


def transpose(call: Call) -> Traced:
    """Transpose between channels first and channels last."""
    x, order = call.x, call.numbers("perm")
    if x.rank == 4 and order is not None and len(order) == 4:
        _, *foreign = (x.foreign_shape[i] for i in order)
        for last in (False, True):
            moved = replace(x, channels_last=last)
            if order == [0, 1, 2, 3]:
                return x
            if order == (TO_CHANNELS_LAST if last else TO_CHANNELS_FIRST) and x.channels_last != last:
                return moved
        if x.shape[1:] == (1, 1) and order[0] == 0:  # only the channels' place changes
            return replace(x, channels_last=foreign[-1] == x.shape[0])
    raise Unsupported(
        f"it reorders {list(x.foreign_shape)} by {order}",
        "only changes between channels first and channels last can be imported (no channel shuffle, no attention)",
    )


def flatten(call: Call) -> Traced:
    """Flatten behind the samples."""
    if call.whole("axis", 1) != 1:
        raise Unsupported("it flattens samples into each other", "flatten from axis 1 on")
    return call.builder.flat(call.x)


def reshape(call: Call) -> Traced:
    """Reshape that flattens, or that changes nothing."""
    sizes = call.needed(1)
    return reshaped(call.builder, call.x, [int(size) for size in sizes.reshape(-1)])


def reshaped(builder: Builder, x: Traced, target: list[int]) -> Traced:
    """Return a value in a shape whose first size is that of samples."""
    total, before = int(np.prod(x.shape)), x.foreign_shape
    sizes = [before[i] if size == 0 and i < len(before) else size for i, size in enumerate(target)]
    if sizes.count(-1) > 1 or not sizes:
        raise Unsupported(f"its shape {target} is not determined", "the file is damaged; export it again")
    if len(sizes) > 1 and sizes[0] in (-1, builder.samples) and not (sizes[0] == -1 == sizes[1]):
        sizes[0] = 1
    if -1 in sizes:
        known = int(np.prod([s for s in sizes if s != -1]))
        sizes[sizes.index(-1)] = max(1, total // known) if known else 0
    if tuple(sizes) == before:
        return x
    if len(sizes) == 2 and sizes == [1, total]:
        return builder.flat(x)
    pooled = x.rank == 2 and x.shape[1:] == (1, 1) and x.flattened is None
    if pooled and len(sizes) == 4 and sizes[1:] in ([x.shape[0], 1, 1], [1, 1, x.shape[0]]):
        return replace(x, rank=4, channels_last=sizes[1] != x.shape[0])
    raise Unsupported(
        f"it makes {[None, *sizes[1:]]} of {[None, *before[1:]]}",
        "only flattening a map can be imported; give images in the network's own shape with input_shape=(C, H, W)",
    )


def squeeze(call: Call) -> Traced:
    """Squeeze of a map of one position, Unsqueeze of features to one."""
    x = call.x
    if x.shape[1:] == (1, 1) and x.flattened is None:
        axes = call.numbers("axes")
        if axes is None and len(call.inputs) > 1:
            axes = [int(a) for a in call.needed(1).reshape(-1)]
        rank = 4 if x.rank == 2 else 2
        spatial = [sorted(a % 4 for a in axes)] if axes is not None else [[2, 3]]
        if spatial[0] in ([2, 3], [1, 2]):
            return replace(x, rank=rank, channels_last=rank == 4 and spatial[0] == [1, 2])
    raise Unsupported(
        f"it adds or removes dimensions of {list(x.foreign_shape)}", "only those of a pooled map can be imported"
    )


def concat(call: Call) -> Traced:
    """Concat along the channels."""
    values = [call.value(i) for i in range(len(call.inputs))]
    first = values[0]
    channels = 3 if first.rank == 4 and first.channels_last else 1
    if call.whole("axis", 1) % first.rank != channels or any(v.channels_last != first.channels_last for v in values):
        raise Unsupported("it joins maps side by side", "only concatenation along the channels can be imported")
    return call.builder.join(values)


def pad(call: Call) -> Traced:
    """Pad with zeros around the map."""
    x = call.x
    pads = call.numbers("pads")
    if pads is None:
        pads = [int(v) for v in call.needed(1).reshape(-1)]
    value = call.constant(2)
    filled = call.number("value", 0.0) if value is None else float(np.asarray(value, np.float64).reshape(-1)[0])
    axes = call.constant(3)
    if axes is not None:
        spread = [0] * 8
        for i, axis in enumerate(int(a) % 4 for a in axes):
            spread[axis], spread[axis + 4] = pads[i], pads[i + len(axes)]
        pads = spread
    if not any(pads):
        return x
    rows = 1 if x.channels_last else 2
    if x.rank != 4 or len(pads) != 8 or call.text("mode", "constant") != "constant" or filled != 0:
        raise Unsupported(
            f"it pads {list(x.foreign_shape)} by {call.text('mode', 'constant')} {filled:g}", "pad images with zeros"
        )
    edges = (pads[rows], pads[rows + 1], pads[rows + 4], pads[rows + 5])
    if sum(map(abs, pads)) != sum(map(abs, edges)):
        raise Unsupported("it pads samples or channels", "pad height and width alone")
    return call.builder.pad(x, edges)


def reduce_mean(call: Call) -> Traced:
    """ReduceMean over height and width."""
    x, axes = call.x, call.numbers("axes")
    if axes is None and call.constant(1) is not None:
        axes = [int(a) for a in call.needed(1).reshape(-1)]
    spatial = [1, 2] if x.channels_last else [2, 3]
    if x.rank != 4 or axes is None or sorted(a % 4 for a in axes) != spatial:
        raise Unsupported(f"a mean of {list(x.foreign_shape)} over {axes}", "only a mean over the whole map can be")
    pooled = call.builder.global_average(x)
    return pooled if call.whole("keepdims", 1) else call.builder.flat(pooled)


def resize(call: Call) -> Traced:
    """Resize and Upsample by the nearest, by whole factors."""
    x = nchw(call.x)
    if call.text("mode", "nearest") != "nearest":
        raise Unsupported("it interpolates", "upsample by the nearest (mode='nearest')")
    policy = call.text("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch" or call.numbers("axes") not in (None, [0, 1, 2, 3]):
        raise Unsupported("it has axes, or keeps an aspect ratio", "give it the scales of all four axes")
    scales = call.constant(2 if len(call.inputs) > 2 else 1)
    sizes = call.constant(3)
    if sizes is not None and sizes.size == 4 and x.rank == 4 and sizes[1] == x.shape[0]:
        ratios = [float(sizes[i + 2]) / x.shape[i + 1] for i in (0, 1)]
    elif scales is not None and scales.size == 4 and x.rank == 4 and tuple(scales[:2]) == (1, 1):
        ratios = [float(scales[2]), float(scales[3])]
    else:
        raise Unsupported("its factors are not fixed, or not of height and width", "scale height and width alone")
    whole = (int(ratios[0]), int(ratios[1]))
    if ratios != [float(w) for w in whole] or min(whole) < 1 or max(whole) > C.MAX_STRIDE:
        raise Unsupported(f"it scales by {ratios}", f"allowed: whole factors up to {C.MAX_STRIDE}")
    places, rounding = "asymmetric", "floor"  # before opset 11 there was no choice
    if call.opset >= 11:
        places = call.text("coordinate_transformation_mode", "half_pixel")
        rounding = call.text("nearest_mode", "round_prefer_floor")
    if not _repeats(places, rounding, max(whole)):
        raise Unsupported(
            f"it takes the nearest by the modes {places} and {rounding}, which by {max(whole)} is more than repeating "
            "each value",
            "export it with coordinate_transformation_mode='asymmetric' and nearest_mode='floor'",
        )
    return call.builder.upsample(x, whole)


def _repeats(places: str, rounding: str, factor: int) -> bool:
    """Whether Resize repeats each value `factor` times. Output i = factor * q + r, 0 <= r < factor, must read value q.

    asymmetric: i / factor = q + r / factor, whose floor is q; rounded to the nearest it is q where r / factor <= 1/2.
    half pixels: (i + 1/2) / factor - 1/2 is less than 1/2 away from q, so both ways to round to the nearest give q.
    """
    if places == "asymmetric":
        return rounding == "floor" or (rounding == "round_prefer_floor" and factor <= 2)
    return places in HALF_PIXELS and rounding in ("round_prefer_floor", "round_prefer_ceil")
