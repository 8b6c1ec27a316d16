"""Programs of one command: place tensors in an arena, run, read back. What every test of single operations stands on.

`run_op` takes tensors by the names of the command's offset fields ("source", "weights", "site", ...) and `labels` and
`slot` of the mini-batch slot, and gives back every region that the command writes. All are plain arrays: maps
[C, N, H, W] whatever their layout, weight views [K, C/groups, R, S].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_layout import LINE, PLANES, Region, aligned
from strop.runtime.contract import COMMAND, REPORT, SITE, SLOT, STATISTICS, C, Registers

Tensors = dict[str, NDArray[Any]]

LOSSES = (C.OP_SOFTMAX_CROSS_ENTROPY, C.OP_SIGMOID_CROSS_ENTROPY, C.OP_SQUARED_ERROR)
SITE_WORDS = SITE.itemsize // 4
_UNWRITTEN = 0x5A  # what memory holds before: a kernel that reads or writes elsewhere shows itself
_DEFAULTS = dict.fromkeys(("groups", "stride_h", "stride_w", "kernel_h", "kernel_w", "dilation_h", "dilation_w"), 1)
_REPORTED = ("status", "step", "command", "layer", "steps_done", "detail")


def regions(opcode: int, fields: Mapping[str, int]) -> list[Region]:
    """Return the tensors of a command, in the order in which they are placed."""
    f = {**_DEFAULTS, **fields}
    flags = f.get("flags", 0)
    slot_flag = {
        "source": C.FLAG_SOURCE_IN_SLOT,
        "source_exponent": C.FLAG_SOURCE_IN_SLOT,
        "target": C.FLAG_TARGET_IN_SLOT,
        "target_exponent": C.FLAG_TARGET_IN_SLOT,
    }

    def region(name: str, shape: tuple[int, ...], dtype: Any, role: str, layout: str = "array") -> Region:
        targets = name == "source_2" and opcode in LOSSES
        in_slot = targets or name in ("slot", "labels") or bool(flags & slot_flag.get(name, 0))
        groups = f["groups"] if layout == "view" else 1
        return Region(name, shape, np.dtype(dtype), "r" in role, "w" in role, in_slot, layout, groups)

    def words(role: str, **shapes: int) -> Iterator[Region]:
        return (region(name, (count,), np.int32, role) for name, count in shapes.items())

    def feature_map(name: str, role: str, *shape: int) -> Region:
        return region(name, shape, np.int8, role, "map")

    def sizes(*names: str) -> tuple[int, ...]:
        return tuple(f[name] for name in names)

    def input_map(name: str, role: str) -> Region:
        return feature_map(name, role, *sizes("channels_in", "batch", "height_in", "width_in"))

    def output_map(name: str, role: str, channels: str = "channels_out") -> Region:
        return feature_map(name, role, *sizes(channels, "batch", "height_out", "width_out"))

    def convolved(name: str) -> Region:
        shape = sizes("channels_in", "batch", "height_in", "width_in")
        return region(name, shape, np.int8, "r", "pixels" if pixels else "map")

    def weight_shape() -> tuple[int, ...]:
        k, c, r, s = sizes("channels_out", "channels_in", "kernel_h", "kernel_w")
        return k, c // f["groups"], r, s

    def weights(role: str = "r") -> Region:
        return region("weights", weight_shape(), np.int8, role, "pixel view" if pixels else "view")

    def control() -> Iterator[Region]:
        yield region("site", (SITE_WORDS,), np.int32, "rw")
        yield region("dither", (1,), np.uint32, "rw")

    def view() -> Iterator[Region]:
        yield weights("w")
        yield from words("w", weight_exponent=f["rows"])

    fixed, pixels, transposed = (bool(flags & each) for each in (C.FLAG_FIXED, C.FLAG_PIXELS, C.FLAG_TRANSPOSED))
    if opcode == C.OP_INPUT:
        images = region("source", sizes("batch", "channels_in", "height_in", "width_in"), np.uint8, "r")
        target = output_map("target", "w", "channels_in")
        if pixels:
            c, n, p, q = target.shape
            target = region("target", (c, n, p, q + f.get("columns", 0)), np.int8, "w", "pixels")
        return [images, target, *words("w", target_exponent=1)]
    if opcode == C.OP_CONV_FORWARD:
        k = f["channels_out"]
        read = [convolved("source"), weights(), *words("r", source_exponent=1, weight_exponent=k)]
        if flags & C.FLAG_LOGITS:
            logits = region("target", (k, f["batch"]), np.int32, "w", "rows")
            return [*read, *words("r", beta=k), logits, *words("w", target_exponent=1)]
        if transposed:
            return [*read, *control(), output_map("target", "w"), *words("w", target_exponent=1)]
        site = region("site", (SITE_WORDS,), np.int32, "rw")
        return [*read, site, output_map("target", "w"), *words("w", target_exponent=k)]
    if opcode == C.OP_CONV_INPUT_GRADIENT:
        k, c = f["channels_out"], f["channels_in"]
        exponents_in = 1 if transposed else k
        read = [output_map("source", "r"), weights(), *words("r", source_exponent=exponents_in, weight_exponent=k)]
        if transposed:
            site = region("site", (SITE_WORDS,), np.int32, "rw")
            return [*read, site, input_map("target", "w"), *words("w", target_exponent=c)]
        return [*read, *control(), input_map("target", "w"), *words("w", target_exponent=1)]
    if opcode == C.OP_CONV_WEIGHT_GRADIENT:
        k, bias = f["channels_out"], bool(flags & C.FLAG_BIAS)
        read = [output_map("source", "r"), convolved("source_2")]
        read += words("r", source_exponent=1 if bias or transposed else k, source_2_exponent=1)
        gradient = region("target", weight_shape(), np.int32, "w")
        written = {"target_exponent": k, "grad_beta": k} if bias else {"target_exponent": k}
        return [*read, gradient, *words("w", **written)]
    if opcode == C.OP_L1BN_FORWARD:
        k = f["channels_out"]
        read = [output_map("source", "r"), *words("r", source_exponent=k, gamma=k, beta=k)]
        running = [*words("r" if fixed else "rw", running_mu=k, running_sigma=k)]
        running += [] if fixed else [region("running_steps", (1,), np.uint32, "rw")]
        statistics = region("statistics", (k,), STATISTICS, "w")
        return [*read, *running, statistics, output_map("target", "w"), *words("w", target_exponent=1)]
    if opcode == C.OP_L1BN_BACKWARD:
        k = f["channels_out"]
        read = [output_map(name, "r") for name in ("source", "source_2", "source_3")]
        read += [*words("r", source_exponent=1, source_2_exponent=k), region("statistics", (k,), STATISTICS, "r")]
        gradients = [] if fixed else [*words("w", grad_gamma=k, grad_beta=k)]
        return [*read, *control(), *gradients, output_map("target", "w"), *words("w", target_exponent=k)]
    exponents = [*words("r", source_exponent=1), *words("w", target_exponent=1)]
    if opcode == C.OP_MAX_POOL_FORWARD:
        return [input_map("source", "r"), output_map("target", "w", "channels_in"), *exponents]
    if opcode == C.OP_MAX_POOL_BACKWARD:
        read = [output_map("source", "r", "channels_in"), input_map("source_2", "r")]
        return [*read, input_map("target", "w"), *exponents]
    if opcode == C.OP_GLOBAL_AVERAGE_POOL_FORWARD:
        pooled = feature_map("target", "w", *sizes("channels_in", "batch"), 1, 1)
        return [input_map("source", "r"), pooled, *exponents]
    if opcode == C.OP_GLOBAL_AVERAGE_POOL_BACKWARD:
        dither = region("dither", (1,), np.uint32, "rw")
        pooled = feature_map("source", "r", *sizes("channels_in", "batch"), 1, 1)
        return [pooled, dither, input_map("target", "w"), *exponents]
    if opcode in (C.OP_AVERAGE_POOL_FORWARD, C.OP_AVERAGE_POOL_BACKWARD):
        count = f["channels_in"] if flags & C.FLAG_EXPONENT_PER_ROW else 1
        exponents = [*words("r", source_exponent=count), *words("w", target_exponent=count)]
    if opcode in (C.OP_AVERAGE_POOL_FORWARD, C.OP_UPSAMPLE_FORWARD):
        return [input_map("source", "r"), output_map("target", "w", "channels_in"), *exponents]
    if opcode in (C.OP_AVERAGE_POOL_BACKWARD, C.OP_UPSAMPLE_BACKWARD):
        dither = region("dither", (1,), np.uint32, "rw")
        return [output_map("source", "r", "channels_in"), dither, input_map("target", "w"), *exponents]
    if opcode in (C.OP_ACTIVATION_FORWARD, C.OP_ACTIVATION_BACKWARD):
        table = region("table", (C.TABLE_WORDS,), np.int32, "r")
        if opcode == C.OP_ACTIVATION_FORWARD:
            return [output_map("source", "r"), table, output_map("target", "w"), *words("w", target_exponent=1)]
        read = [output_map("source", "r"), output_map("source_2", "r"), table, region("dither", (1,), np.uint32, "rw")]
        return [*read, output_map("target", "w"), *exponents]
    if opcode in (C.OP_FLATTEN, C.OP_UNFLATTEN):
        flat = (f["channels_in"] * f["height_in"] * f["width_in"], f["batch"], 1, 1)
        if opcode == C.OP_FLATTEN:
            return [input_map("source", "r"), feature_map("target", "w", *flat), *exponents]
        return [feature_map("source", "r", *flat), input_map("target", "w"), *exponents]
    if opcode in (C.OP_ADD_FORWARD, C.OP_ADD_BACKWARD, C.OP_ADD_GRADIENT):
        per_row = opcode == C.OP_ADD_GRADIENT and flags & C.FLAG_EXPONENT_PER_ROW
        count = f["channels_out"] if per_row else 1
        summands = [output_map("source", "r"), output_map("source_2", "r")]
        summands += [*words("r", source_exponent=count), *words("w", target_exponent=count)]
        summands += [] if opcode == C.OP_ADD_BACKWARD else words("r", source_2_exponent=count)
        dither = region("dither", (1,), np.uint32, "rw")
        return [*summands, *([dither] if opcode == C.OP_ADD_GRADIENT else []), output_map("target", "w")]
    if opcode in LOSSES:
        shape, softmax = sizes("channels_out", "batch"), opcode == C.OP_SOFTMAX_CROSS_ENTROPY
        read = [region("source", shape, np.int32, "r", "rows"), *words("r", source_exponent=1)]
        read += words("r", labels=f["batch"]) if softmax else []
        read += [region("source_2", shape, np.int32, "r", "rows")] if flags & C.FLAG_SOFT or not softmax else []
        read += [region("slot", (1,), SLOT, "rw")]
        if fixed:
            return read
        dither = region("dither", (1,), np.uint32, "rw")
        return [*read, dither, feature_map("target", "w", *shape, 1, 1), *words("w", target_exponent=1)]
    if opcode == C.OP_SGD:
        shape = sizes("rows", "columns")
        state = [region(name, shape, np.int32, "rw") for name in ("master", "momentum")]
        rows = f["rows"] if flags & C.FLAG_EXPONENT_PER_ROW else 1
        read = [
            region("gradient", shape, np.int32, "r"),
            *words("r", gradient_exponent=rows),
            region("slot", (1,), SLOT, "r"),
        ]
        return [*state, *read, *(view() if flags & C.FLAG_VIEW else ())]
    if opcode == C.OP_ELASTIC_PULL:
        values = sizes("columns")
        read = [region("anchor", values, np.int32, "r"), region("importance", values, np.uint8, "r")]
        return [*read, region("master", values, np.int32, "rw")]
    if opcode == C.OP_WEIGHT_VIEW:
        return [region("master", sizes("rows", "columns"), np.int32, "r"), *view()]
    return []


def run_op(
    device: Any, opcode: int, fields: Mapping[str, int], inputs: Mapping[str, Any], *, slack: int = 1
) -> Tensors:
    """Run one command on `device`; return what it wrote, by field name, and `report`, uint32: `_REPORTED` in order.

    `fields` are shapes, flags and constants, not offsets; `slack` idle lines of 64 bytes follow each plane. The command
    runs in the second of two slots. Fails where the command changes a byte outside the regions that it writes.
    """
    command = np.zeros(1, COMMAND)
    for name, value in {**_DEFAULTS, **fields, "opcode": opcode}.items():
        command[name] = value
    tensors = regions(opcode, fields)
    at, planes, slot_bytes, slots, report, nbytes = _place(tensors, slack)
    for tensor in tensors:
        if tensor.name != "slot":
            command[tensor.name] = at[tensor.name] - (slots + slot_bytes if tensor.in_slot else 0)
        if tensor.layout in PLANES:
            command[f"{tensor.name}_plane"] = planes[tensor.name]

    before = np.full(nbytes, _UNWRITTEN, np.uint8)
    before[: COMMAND.itemsize] = command.view(np.uint8)
    for tensor in tensors:
        if tensor.read:
            tensor.put(before, at[tensor.name], planes[tensor.name], inputs[tensor.name])
    device.allocate(nbytes)
    device.write(0, before)
    registers = Registers(
        program=0, commands=1, steps=1, slots=slots, slot_stride=slot_bytes, slot_count=2, first_slot=1, report=report
    )
    record = device.run(registers)
    after = device.read(0, nbytes)

    allowed = np.zeros(nbytes, bool)
    allowed[report : report + REPORT.itemsize] = True
    for tensor in tensors:
        if tensor.written:
            allowed[at[tensor.name] + tensor.may_change(planes[tensor.name])] = True
    stray = np.flatnonzero((before != after) & ~allowed)
    assert not stray.size, f"bytes {stray[:8]} were changed; they belong to no output among {sorted(at.items())}"

    done = bool(record["status"] == C.STATUS_OK)
    results = {t.name: t.take(after, at[t.name], planes[t.name], written=done) for t in tensors if t.written}
    results["report"] = np.array([record[name] for name in _REPORTED], np.uint32)
    return results


def _place(tensors: list[Region], slack: int) -> tuple[dict[str, int], dict[str, int], int, int, int, int]:
    """Return offsets and plane strides by name, bytes of a slot, and the offsets of slots, report and end."""
    planes = {tensor.name: tensor.plane_bytes(slack) if tensor.layout in PLANES else 0 for tensor in tensors}
    at = {"slot": 0}
    end, slot_end = COMMAND.itemsize + LINE, aligned(SLOT.itemsize)
    for tensor in tensors:
        nbytes = aligned(tensor.nbytes(planes[tensor.name])) + LINE  # an idle line between tensors
        if tensor.name != "slot" and tensor.in_slot:
            at[tensor.name], slot_end = slot_end, slot_end + nbytes
        elif tensor.name != "slot":
            at[tensor.name], end = end, end + nbytes
    report, slots = end, end + aligned(REPORT.itemsize) + LINE
    for tensor in tensors:
        if tensor.in_slot:
            at[tensor.name] += slots + slot_end
    return at, planes, slot_end, slots, report, slots + 2 * slot_end


def site(shift: int | None = None) -> NDArray[np.int32]:
    """Return the words of a strop_site: never used, or with `shift` as both its next and its last shift."""
    words = np.zeros(1, SITE)
    if shift is not None:
        words["set"], words["next"], words["used"] = 1, shift, shift
    return words.view(np.int32)


def slot_head(mantissa: int = 205, shift: int = 11) -> NDArray[Any]:
    """Return a strop_slot [1] with the learning rate mantissa * 2^-shift."""
    head = np.zeros(1, SLOT)
    head["learning_rate_mantissa"], head["learning_rate_shift"] = mantissa, shift
    return head


def assert_equal(expected: Tensors, actual: Tensors, who: str = "") -> None:
    """Fail at the first element in which two results of `run_op` differ, naming region, place and values."""
    assert expected.keys() == actual.keys()
    for name, want in expected.items():
        got = actual[name]
        wrong = np.argwhere(np.asarray(want != got))
        if wrong.size:
            place = tuple(int(i) for i in wrong[0])
            raise AssertionError(
                f"{who} {name}{list(place)}: {got[place]}, expected {want[place]}; {len(wrong)} of {want.size} differ"
            )
