"""Random commands for the equality tests: shapes that fit no tile, and contents at the extremes. Hypothesis draws them.

Each strategy gives (opcode, fields, inputs) for `op_programs.run_op`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from op_programs import run_op, slot_head
from strop.runtime.contract import SITE, C
from strop.runtime.reference import ReferenceDevice

Case = tuple[int, dict[str, int], dict[str, Any]]
TOP = 2**31 - 1

generators = st.integers(0, 2**32 - 1).map(np.random.default_rng)
exponents = st.integers(-8, 30)
counters = st.integers(0, 2**32 - 1).map(lambda n: np.array([n], np.uint32))
contents = st.sampled_from(["random", "random", "small", "saturated", "largest", "zeros", "constant channels"])


@st.composite
def int8_tensors(draw: st.DrawFn, *shape: int) -> NDArray[np.int8]:
    """Draw a tensor of elements in [-127, 127]: random, tiny, at the bounds, zero, or one value a channel."""
    rng, content = draw(generators), draw(contents)
    if content == "random":
        return rng.integers(-127, 128, shape).astype(np.int8)
    if content == "small":
        return rng.integers(-2, 3, shape).astype(np.int8)
    if content == "saturated":
        return rng.choice(np.array([-127, 127], np.int8), shape)
    if content == "largest":
        return np.full(shape, draw(st.sampled_from([-127, 127])), np.int8)
    if content == "zeros":
        return np.zeros(shape, np.int8)
    values = rng.integers(-127, 128, (shape[0], *[1] * (len(shape) - 1)))
    return np.broadcast_to(values, shape).astype(np.int8)


@st.composite
def int32_tensors(draw: st.DrawFn, *shape: int, largest: int = TOP) -> NDArray[np.int32]:
    """Draw words in [-largest, largest]: of any size, or only the bounds, or zeros."""
    rng = draw(generators)
    bits = draw(st.integers(0, 31))
    values = rng.integers(-min(2**bits, largest), min(2**bits, largest) + 1, shape)
    if draw(st.integers(0, 4)) == 0:
        values = rng.choice(np.array([-largest, 0, largest]), shape)
    return values.astype(np.int32)


@st.composite
def sites(draw: st.DrawFn, *, must_be_set: bool = False) -> NDArray[np.int32]:
    """Draw a site: in use with any shifts, or never used with words that must not matter."""
    words = draw(st.lists(st.integers(0, 1000), min_size=8, max_size=8))
    record = np.array(words, np.int32).view(SITE)
    record["next"], record["used"] = draw(st.integers(0, C.MAX_SHIFT)), draw(st.integers(0, C.MAX_SHIFT))
    record["set"] = 1 if must_be_set else draw(st.integers(0, 1))
    if record["set"][0] and draw(st.booleans()):  # near the shift of the first step, where the control decides closely
        record["next"] = record["used"] = draw(st.integers(0, 12))
    record["reference"] = draw(exponents)
    return record.view(np.int32)


@st.composite
def met_sites(draw: st.DrawFn, site: NDArray[np.int32], arriving: int) -> NDArray[np.int32]:
    """Draw the site of an error that arrives with exponent `arriving`: mostly near the one of the step before."""
    record = site.copy().view(SITE)
    if draw(st.integers(0, 3)):
        record["reference"] = arriving + draw(st.integers(-2, 2))
    return record.view(np.int32)


@st.composite
def windows(draw: st.DrawFn, *, inside: bool) -> dict[str, int]:
    """Draw map, window, stride and padding of an op; `inside`: each window has a position inside the map."""
    fields: dict[str, int] = {}
    for size, window, stride, pad, out in (
        ("height_in", "kernel_h", "stride_h", "pad_top", "height_out"),
        ("width_in", "kernel_w", "stride_w", "pad_left", "width_out"),
    ):
        fields[window] = draw(st.integers(1, 5) | st.integers(1, C.MAX_KERNEL))
        fields[size] = draw(st.integers(1, 19))
        fields[stride] = draw(st.integers(1, 3) | st.integers(1, C.MAX_STRIDE))
        fields[pad] = draw(st.just(0) | st.integers(0, fields[window] - 1))
        hangs_over = fields[window] - 1 if inside else draw(st.integers(0, fields[window] - 1))
        reach = fields[size] + fields[pad] + hangs_over - fields[window]
        fields[out] = draw(st.integers(1, max(1, reach // fields[stride] + 1)))
    return fields


batches = st.integers(1, 6) | st.sampled_from([15, 16, 17, 31, 33, 48, 50])  # below, at and beyond whole image groups
kinds = st.sampled_from(["dense", "dense", "grouped", "depthwise", "linear", "linear on a map", "pixels"])


@st.composite
def convolutions(draw: st.DrawFn) -> dict[str, int]:
    """Draw the fields of a convolution: dense, grouped, depthwise, fully connected on a map or not, or of pixels."""
    kind = draw(kinds)
    groups = draw(st.integers(2, 9)) if kind in ("grouped", "depthwise") else 1
    per_input = st.just(1) if kind == "depthwise" else st.integers(1, 9)
    per_output = st.integers(1, 3) if kind == "depthwise" else st.integers(1, 9)
    fields = {"groups": groups, "channels_in": groups * draw(per_input), "channels_out": groups * draw(per_output)}
    if kind.startswith("linear"):
        names = ("height_in", "width_in", "height_out", "width_out", "kernel_h", "kernel_w", "stride_h", "stride_w")
        sizes = {"channels_in": draw(st.integers(1, 300)), "channels_out": draw(st.integers(1, 70))}
        if kind == "linear on a map":
            height, width = draw(st.integers(1, 7)), draw(st.integers(1, 7) | st.just(C.MAX_KERNEL))
            sizes["channels_in"] = draw(st.integers(1, 20))
            sizes |= {"height_in": height, "kernel_h": height, "width_in": width, "kernel_w": width}
        return {**fields, **dict.fromkeys(names, 1), **sizes, "batch": draw(st.integers(1, 140) | batches)}
    if draw(st.booleans()) and kind == "dense":
        fields |= {"channels_in": draw(st.integers(1, 40)), "channels_out": draw(st.integers(1, 40))}
    fields |= {**draw(windows(inside=False)), "batch": draw(batches)}
    if kind == "pixels":
        fields |= {"channels_in": draw(st.integers(1, C.MAX_PIXEL_CHANNELS)), "flags": C.FLAG_PIXELS, "pad_left": 0}
        reach = (fields["width_out"] - 1) * fields["stride_w"]
        fields["width_in"] = max(fields["width_in"], reach + 1)
    return fields


def shape_of(fields: dict[str, int], *names: str) -> tuple[int, ...]:
    """Return the sizes that fields name."""
    return tuple(fields[name] for name in names)


@st.composite
def conv_commands(draw: st.DrawFn) -> Case:
    """Draw one of the three phases of a convolution, plain or transposed, with the tensors that all of them take."""
    f = draw(convolutions())
    k, n, pixels = f["channels_out"], f["batch"], f.get("flags", 0)
    phases = [C.OP_CONV_FORWARD, C.OP_CONV_WEIGHT_GRADIENT, *([] if pixels else [C.OP_CONV_INPUT_GRADIENT])]
    opcode = draw(st.sampled_from(phases))
    single = f["height_out"] == f["width_out"] == 1
    transposed = not pixels and draw(st.integers(0, 2)) == 0
    if transposed:
        flags = C.FLAG_TRANSPOSED | draw(st.sampled_from([0, C.FLAG_FIXED]))
    elif opcode == C.OP_CONV_FORWARD:
        logits = [C.FLAG_LOGITS, C.FLAG_LOGITS | C.FLAG_TARGET_IN_SLOT, C.FLAG_LOGITS | C.FLAG_FIXED] if single else []
        flags = draw(st.sampled_from([0, 0, C.FLAG_FIXED, *logits]))
    elif opcode == C.OP_CONV_WEIGHT_GRADIENT:
        flags = draw(st.sampled_from([0, C.FLAG_BIAS]))
    else:
        flags = draw(st.sampled_from([0, C.FLAG_FLAT, C.FLAG_FIXED]))  # a dithered pass minds no FIXED
    rounds = opcode == (C.OP_CONV_INPUT_GRADIENT if transposed else C.OP_CONV_FORWARD)
    backward = opcode != C.OP_CONV_FORWARD
    into = draw(int8_tensors(*shape_of(f, "channels_in", "batch", "height_in", "width_in")))
    out = draw(int8_tensors(k, n, *shape_of(f, "height_out", "width_out"))) if backward else None
    inputs: dict[str, Any] = {
        "source": out if backward else into,
        "source_2": into,
        "weights": draw(int8_tensors(k, f["channels_in"] // f["groups"], *shape_of(f, "kernel_h", "kernel_w"))),
        "weight_exponent": draw(st.lists(exponents, min_size=k, max_size=k)),
        "source_2_exponent": [draw(exponents)],
        "beta": draw(int32_tensors(k)),
        "site": draw(sites(must_be_set=rounds and bool(flags & C.FLAG_FIXED))),
        "dither": draw(counters),
    }
    per_channel = backward and not flags & (C.FLAG_BIAS | C.FLAG_TRANSPOSED)
    inputs["source_exponent"] = draw(st.lists(exponents, min_size=k, max_size=k) if per_channel else exponents)
    arriving = int(np.ravel(inputs["source_exponent"])[0]) + inputs["weight_exponent"][0]
    inputs["site"] = draw(met_sites(inputs["site"], arriving))
    return opcode, {**f, "flags": flags | pixels}, inputs


@st.composite
def l1bn_forwards(draw: st.DrawFn) -> Case:
    """Draw L1BN_FORWARD, of a map or fully connected, training, FIXED or RUNNING, first step or later."""
    side = st.just(1) if draw(st.booleans()) else st.integers(1, 13)
    f = {"channels_out": draw(st.integers(1, 40)), "height_out": draw(side), "width_out": draw(side)}
    f |= {"batch": draw(st.integers(1, 90)), "activation": draw(st.integers(0, 1))}
    f |= {"exponent": draw(st.just(3) | st.integers(0, C.MAX_EXPONENT))}
    f |= {"flags": draw(st.sampled_from([0, 0, C.FLAG_FIXED, C.FLAG_RUNNING]))}
    k = f["channels_out"]
    inputs = {
        "source": draw(int8_tensors(*shape_of(f, "channels_out", "batch", "height_out", "width_out"))),
        "source_exponent": draw(st.lists(st.integers(-28, 40), min_size=k, max_size=k)),
        "gamma": draw(int32_tensors(k)),
        "beta": draw(int32_tensors(k)),
        "running_mu": draw(int32_tensors(k)),
        "running_sigma": draw(int32_tensors(k)),
        "running_steps": np.array([draw(st.sampled_from([0, 0, 1, 7, 2**32 - 2, 2**32 - 1]))], np.uint32),
    }
    return C.OP_L1BN_FORWARD, f, inputs


@st.composite
def l1bn_backwards(draw: st.DrawFn) -> Case:
    """Draw L1BN_BACKWARD with what the reference's forward pass left; after FIXED it may be RUNNING."""
    _, f, forward = draw(l1bn_forwards())
    made = run_op(ReferenceDevice(), C.OP_L1BN_FORWARD, f, forward)
    inputs = {
        "source": draw(int8_tensors(*forward["source"].shape)),
        "source_exponent": draw(exponents),
        "source_2": forward["source"],
        "source_2_exponent": forward["source_exponent"],
        "source_3": made["target"],
        "statistics": made["statistics"],
        "site": draw(sites()),
        "dither": draw(counters),
    }
    inputs["site"] = draw(met_sites(inputs["site"], inputs["source_exponent"]))
    if f["flags"] == C.FLAG_FIXED:  # statistics that are frozen, in a layer that trains or does not
        f["flags"] = draw(st.sampled_from([C.FLAG_FIXED, C.FLAG_RUNNING]))
    return C.OP_L1BN_BACKWARD, f, inputs


@st.composite
def max_pools(draw: st.DrawFn) -> Case:
    """Draw MAX_POOL_FORWARD or MAX_POOL_BACKWARD: overlapping, with gaps, with padding; many ties."""
    f = {**draw(windows(inside=True)), "channels_in": draw(st.integers(1, 20)), "batch": draw(batches)}
    into = draw(int8_tensors(*shape_of(f, "channels_in", "batch", "height_in", "width_in")))
    if draw(st.booleans()):
        return C.OP_MAX_POOL_FORWARD, f, {"source": into, "source_exponent": draw(exponents)}
    e8 = draw(int8_tensors(*shape_of(f, "channels_in", "batch", "height_out", "width_out")))
    return C.OP_MAX_POOL_BACKWARD, f, {"source": e8, "source_exponent": draw(exponents), "source_2": into}


@st.composite
def layout_changes(draw: st.DrawFn) -> Case:
    """Draw FLATTEN, UNFLATTEN, or a phase of global average pooling."""
    f = {"channels_in": draw(st.integers(1, 20)), "batch": draw(st.integers(1, 70))}
    side = st.integers(1, 12) | st.sampled_from([1, 2, 4, 8])  # powers of two are a case of their own
    f |= {"height_in": draw(side), "width_in": draw(side)}
    if draw(st.integers(0, 5)) == 0:
        f |= {"height_in": 64, "width_in": draw(st.integers(60, 64)), "batch": 2, "channels_in": 3}
    opcodes = [C.OP_FLATTEN, C.OP_UNFLATTEN, C.OP_GLOBAL_AVERAGE_POOL_FORWARD, C.OP_GLOBAL_AVERAGE_POOL_BACKWARD]
    opcode = draw(st.sampled_from(opcodes))
    c, n, h, w = shape_of(f, "channels_in", "batch", "height_in", "width_in")
    shape = {C.OP_UNFLATTEN: (c * h * w, n, 1, 1), C.OP_GLOBAL_AVERAGE_POOL_BACKWARD: (c, n, 1, 1)}.get(
        opcode, (c, n, h, w)
    )
    if opcode == C.OP_GLOBAL_AVERAGE_POOL_FORWARD:
        f["exponent"] = draw(st.just(0) | st.integers(0, C.MAX_POOL_GAIN))
    inputs = {"source": draw(int8_tensors(*shape)), "source_exponent": draw(exponents), "dither": draw(counters)}
    return opcode, f, inputs


@st.composite
def input_conversions(draw: st.DrawFn) -> Case:
    """Draw INPUT with any border and exponent, from the slot or from the arena."""
    f = {"batch": draw(st.integers(1, 20)), "channels_in": draw(st.integers(1, 4))}
    f |= {"height_in": draw(st.integers(1, 33)), "width_in": draw(st.integers(1, 33))}
    for pad, size, out in (("pad_top", "height_in", "height_out"), ("pad_left", "width_in", "width_out")):
        f[pad] = draw(st.integers(0, 5))
        f[out] = f[size] + f[pad] + draw(st.integers(0, 5))
    f["flags"], f["exponent"] = draw(st.sampled_from([0, C.FLAG_SOURCE_IN_SLOT])), draw(st.integers(0, 8))
    if f["channels_in"] <= C.MAX_PIXEL_CHANNELS and draw(st.booleans()):
        f["flags"] |= C.FLAG_PIXELS
        f["columns"] = draw(st.just(0) | st.integers(0, C.MAX_KERNEL - 1))
    pixels = draw(generators).integers(0, 256, shape_of(f, "batch", "channels_in", "height_in", "width_in"))
    return C.OP_INPUT, f, {"source": pixels}


@st.composite
def weight_shapes(draw: st.DrawFn) -> dict[str, int]:
    """Draw the fields that shape a weight view: dense with few or many columns, merged groups, pixels."""
    kind = draw(st.sampled_from(["long rows", "dense", "groups", "groups", "pixels"]))
    kernel = st.integers(1, 5) | st.integers(1, C.MAX_KERNEL)
    groups = draw(st.integers(2, 9)) if kind == "groups" else 1
    few = {"groups": st.integers(1, 9), "pixels": st.integers(1, C.MAX_PIXEL_CHANNELS), "dense": st.integers(1, 13)}
    per_input = draw(few.get(kind, st.integers(1, 300)))
    f = {"groups": groups, "channels_in": groups * per_input, "flags": C.FLAG_PIXELS if kind == "pixels" else 0}
    f["channels_out"] = groups * draw(st.integers(1, 20 if groups == 1 else 5))
    f |= {name: 1 if kind == "long rows" else draw(kernel) for name in ("kernel_h", "kernel_w")}
    return {**f, "rows": f["channels_out"], "columns": per_input * f["kernel_h"] * f["kernel_w"]}


@st.composite
def residual_sums(draw: st.DrawFn) -> Case:
    """Draw ADD_FORWARD, ADD_BACKWARD or ADD_GRADIENT: exponents near each other or far apart."""
    side = st.just(1) if draw(st.booleans()) else st.integers(1, 13)
    f = {"channels_out": draw(st.integers(1, 40)), "height_out": draw(side), "width_out": draw(side)}
    f |= {"batch": draw(batches), "activation": draw(st.integers(0, 1)), "exponent": draw(st.integers(0, 8))}
    first = draw(exponents)
    inputs: dict[str, Any] = {"source_exponent": first, "dither": draw(counters)}
    inputs["source_2_exponent"] = draw(st.just(first) | st.integers(first - 3, first + 3) | st.integers(-28, 40))
    for name in ("source", "source_2"):
        inputs[name] = draw(int8_tensors(*shape_of(f, "channels_out", "batch", "height_out", "width_out")))
    opcode = draw(st.sampled_from([C.OP_ADD_FORWARD, C.OP_ADD_BACKWARD, C.OP_ADD_GRADIENT]))
    if opcode == C.OP_ADD_GRADIENT and draw(st.booleans()):  # a word a channel, of which channel 0 decides
        f["flags"] = C.FLAG_EXPONENT_PER_ROW
        steps = draw(st.lists(st.integers(-9, 9), min_size=f["channels_out"], max_size=f["channels_out"]))
        for name in ("source_exponent", "source_2_exponent"):
            inputs[name] = inputs[name] + np.array(steps)
    return opcode, f, inputs


@st.composite
def updates(draw: st.DrawFn) -> Case:
    """Draw SGD or WEIGHT_VIEW with every flag, factor and view."""
    weights = draw(weight_shapes())
    rows, columns = weights["rows"], weights["columns"]
    weights["flags"] |= draw(st.sampled_from([0, C.FLAG_VIEW_PER_ROW]))
    master = draw(int32_tensors(rows, columns))
    master[draw(st.integers(0, rows - 1))] >>= draw(st.integers(0, 31))
    if draw(st.integers(0, 2)) == 0:
        return C.OP_WEIGHT_VIEW, weights, {"master": master}
    view = draw(st.sampled_from([0, C.FLAG_VIEW]))
    by_row = draw(st.sampled_from([0, C.FLAG_EXPONENT_PER_ROW]))
    if not view:
        weights = {"rows": rows, "columns": columns, "flags": 0}
    fields = {
        **weights,
        "flags": weights["flags"] | view | by_row,
        "fraction_bits": C.WEIGHT_FRACTION if view else C.PARAMETER_FRACTION,
        "momentum_decay": draw(st.sampled_from([0, 26, 256]) | st.integers(0, 256)),
        "weight_decay_mantissa": draw(st.just(0) | st.integers(128, 255)),
        "weight_decay_shift": draw(st.integers(0, 40)),
        "batch_mantissa": draw(st.just(1) | st.integers(2**14, 2**15)),
        "batch_shift": draw(st.integers(0, 28)),
    }
    inputs = {
        "master": master,
        "momentum": draw(int32_tensors(rows, columns)),
        "gradient": draw(int32_tensors(rows, columns)),
        "gradient_exponent": draw(int32_tensors(rows if by_row else 1, largest=60)),
        "slot": slot_head(draw(st.just(0) | st.integers(128, 255)), draw(st.integers(0, 40))),
    }
    return C.OP_SGD, fields, inputs


@st.composite
def pulls(draw: st.DrawFn) -> Case:
    """Draw ELASTIC_PULL: any distances, importances beyond 31, which count without their upper bits."""
    count = draw(st.integers(1, 3000) | st.sampled_from([4095, 4096, 4097, 9000]))
    importance = draw(generators).integers(0, draw(st.sampled_from([1, 4, 32, 256])), count)
    inputs = {name: draw(int32_tensors(count)) for name in ("master", "anchor")}
    return C.OP_ELASTIC_PULL, {"rows": 1, "columns": count}, {**inputs, "importance": importance.astype(np.uint8)}
