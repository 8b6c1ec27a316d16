"""A trained network as one C99 header: integers, and the loops that infer with them. Nothing else is to be linked.

Its logits are those of strop, byte for byte. Working memory is one static block in which maps that do not live at the
same time share their room.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from strop.host.checkpoint import Checkpoint, state_digest
from strop.host.export import c_loops
from strop.host.export.integer_network import IntegerLayer, IntegerNetwork, integer_network, low_of, value_of
from strop.host.version import strop_version
from strop.runtime.contract import C
from strop.runtime.graph import Conv2d, GlobalAveragePool, MaxPool2d, Node, Residual
from strop.runtime.planner import Placement, Tenant, place

VALUES_PER_LINE = 24
ARITHMETIC = """\
/* Trained by strop STROP_VERSION (numerics NUMERICS), state sha256 DIGEST.
 *
 * How to use it: `NAME_logits(image, logits)` with an image uint8 [CHANNELS][HEIGHT][WIDTH] gives logits int32
 * [CLASSES]; `NAME_predict(image)` gives the number of the class. One image at a time, and never from two threads:
 * working memory is static (NAME_MEMORY bytes).
 *
 * Arithmetic. A real value is an integer q with an exponent e: q * 2^-e. Maps and weights are int8 in [-127, 127]. With
 * rsh(x, s) = floor(x * 2^-s + 1/2):
 *   acc = sum of weights * inputs              int32, cannot overflow
 *   x8  = clamp(rsh(acc, shift), -127, 127)    exponent: input exponent + weight exponent[k] - shift
 *   y8  = clamp((x8 * multiplier[k] + constant[k]) >> 12, low, 127)   exponent 3
 * multiplier and constant are L1 batch normalization with running mean and deviation, gamma and beta (Wu et al., IEEE
 * TNNLS 2018, Eq. 9 and 10), rounding included: multiplier = gamma * 2^21 / sigma and constant = beta * 2^15 - mu *
 * multiplier / 64 + 2^11, with mu and sigma in units of 2^-6 of x8. */
"""


def c_header(checkpoint: Checkpoint) -> Iterator[bytes]:
    """Yield the header's text, UTF-8. Raises what `integer_network` raises."""
    network = integer_network(checkpoint)
    name = identifier(network.graph.name)
    maps, memory = _placements(network)
    digest = state_digest(checkpoint.state)
    guard = f"STROP_{name.upper()}_H"
    about = ARITHMETIC.replace("STROP_VERSION", strop_version()).replace("NUMERICS", str(C.NUMERICS_VERSION))
    yield _named(about.replace("DIGEST", digest) + f"#ifndef {guard}\n#define {guard}\n\n#include <stdint.h>\n\n", name)
    yield _constants(network, name, memory).encode()
    for layer in network.layers.values():
        yield from _tables(layer, name)
    yield _named("\n".join(_loops(network)), name)
    yield _inference(network, name, maps).encode()
    yield f"#endif /* {guard} */\n".encode()


def identifier(name: str) -> str:
    """Return a name as one of C: letters, digits and underscores, lower case."""
    text = re.sub(r"[^0-9A-Za-z]+", "_", name).strip("_").lower() or "network"
    return text if text[0].isalpha() else f"net_{text}"


def _named(text: str, name: str) -> bytes:
    return text.replace("NAME_MEMORY", f"{name.upper()}_MEMORY").replace("NAME", name).encode()


def _constants(network: IntegerNetwork, name: str, memory: int) -> str:
    graph, upper = network.graph, name.upper()
    values = {
        "CHANNELS": graph.input[0],
        "HEIGHT": graph.input[1],
        "WIDTH": graph.input[2],
        "BORDER": graph.border,
        "INPUT_EXPONENT": graph.input_exponent,
        "CLASSES": len(network.classes),
        "LOGITS_EXPONENT": network.logits_exponent,
        "MEMORY": memory,
    }
    lines = [f"#define {upper}_{key} {value}" for key, value in values.items()]
    names = ",\n  ".join(_quoted(label) for label in network.classes)
    table = f"static const char *const {name}_classes[{upper}_CLASSES] = {{\n  {names}}};\n\n"
    return "\n".join(lines) + "\n\n" + table


def _quoted(text: str) -> str:
    """Return a C string: what is not plain ASCII as octal escapes of its UTF-8."""
    plain = (chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in text.encode())
    return '"' + "".join(plain) + '"'


def _tables(layer: IntegerLayer, name: str) -> Iterator[bytes]:
    node, own = layer.node, f"{name}_{identifier(layer.node.name)}"
    k, c, r, s = layer.weights.shape
    what = "convolution" if isinstance(node.layer, Conv2d) else "fully-connected layer"
    yield (
        f"/* {node.name}: {what}, weights [{k}][{c}][{r}][{s}] of real value weight * 2^-weight_exponents[k]; input "
        f"exponent {layer.input_exponent}, output exponent {layer.output_exponent}. */\n"
    ).encode()
    yield from _array(f"static const int8_t {own}_weights", layer.weights)
    yield from _array(f"static const int8_t {own}_weight_exponents", layer.weight_exponents)
    if layer.biases is not None:
        yield from _array(f"static const int64_t {own}_biases", layer.biases)
    if layer.multipliers is not None and layer.constants is not None:
        yield f"#define {own.upper()}_SHIFT {layer.shift}\n".encode()
        yield from _array(f"static const int32_t {own}_multipliers", layer.multipliers)
        yield from _array(f"static const int32_t {own}_constants", layer.constants)
    yield b"\n"


def _array(declaration: str, values: NDArray[Any]) -> Iterator[bytes]:
    flat = values.ravel()
    yield f"{declaration}[{flat.size}] = {{\n".encode()
    for start in range(0, flat.size, VALUES_PER_LINE):
        yield ("  " + ", ".join(map(str, flat[start : start + VALUES_PER_LINE].tolist())) + ",\n").encode()
    yield b"};\n"


def _loops(network: IntegerNetwork) -> Iterator[str]:
    """Yield the functions that this network needs."""
    kinds = {type(node.layer) for node in network.graph.nodes}
    yield from (c_loops.HELPERS, c_loops.INPUT.replace("EXPONENT", str(network.graph.input_exponent)), c_loops.DOT)
    if any(layer.multipliers is not None for layer in network.layers.values()):
        yield c_loops.BLOCK
    yield c_loops.LOGITS.replace("LOGITS_EXPONENT", str(network.logits_exponent))
    others = {MaxPool2d: c_loops.MAX_POOL, GlobalAveragePool: c_loops.AVERAGE_POOL, Residual: c_loops.ADD}
    yield from (text for kind, text in others.items() if kind in kinds)


def _steps(network: IntegerNetwork) -> list[Node]:
    """Return the nodes that compute something of their own, in order."""
    return [node for node in network.graph.nodes if value_of(network.graph, node.name) == node.name]


def _placements(network: IntegerNetwork) -> tuple[dict[str, Placement], int]:
    """Return where each map lies in the working memory, and the memory's bytes; the logits are the caller's."""
    graph = network.graph
    steps = _steps(network)
    channels, height, width = graph.input
    sizes = {"input": channels * (height + 2 * graph.border) * (width + 2 * graph.border)}
    first, last = {"input": 0}, {"input": 0}
    for index, node in enumerate(steps, start=1):
        for source in node.sources:
            last[value_of(graph, source)] = index
        if node is not graph.nodes[-1]:
            depth, down, across = node.output
            sizes[node.name], first[node.name], last[node.name] = depth * down * across, index, index
    return place([Tenant(name, sizes[name], first[name], last[name]) for name in sizes])


def _inference(network: IntegerNetwork, name: str, maps: dict[str, Placement]) -> str:
    graph = network.graph
    upper = name.upper()
    lines = [
        f"static inline void {name}_logits(const uint8_t *image, int32_t *logits) {{",
        f"  static int8_t maps[{upper}_MEMORY];",
        f"  {name}_input(image, {', '.join(map(str, graph.input))}, {graph.border}, maps + {maps['input'].offset});",
    ]
    for node in _steps(network):
        sources = [f"maps + {maps[value_of(graph, source)].offset}" for source in node.sources]
        target = f"maps + {maps[node.name].offset}" if node.name in maps else "logits"
        lines += _call(network, name, node, sources, target)
    lines += [
        "}",
        "",
        "/* The number of the class with the largest logit; of equal ones the first. */",
        f"static inline int {name}_predict(const uint8_t *image) {{",
        f"  int32_t logits[{upper}_CLASSES];",
        f"  {name}_logits(image, logits);",
        "  int best = 0;",
        f"  for (int k = 1; k < {upper}_CLASSES; k++)",
        "    if (logits[k] > logits[best]) best = k;",
        "  return best;",
        "}",
        "",
    ]
    return "\n" + "\n".join(lines) + "\n"


def _call(network: IntegerNetwork, name: str, node: Node, sources: list[str], target: str) -> list[str]:
    graph, own = network.graph, f"{name}_{identifier(node.name)}"
    if node.name in network.layers:
        layer = network.layers[node.name]
        shape = _convolution_shape(network, node)
        opened = f"  {{ /* {node.name} */"
        if layer.multipliers is None:
            call = f"    {name}_last({sources[0]}, {own}_weights, {own}_biases, &at, {target});"
        else:
            tables = f"{own}_weights, {own}_multipliers, {own}_constants"
            call = f"    {name}_block({sources[0]}, {tables}, &at, {own.upper()}_SHIFT, {layer.low}, {target});"
        return [opened, f"    static const {name}_convolution_shape at = {{{shape}}};", call, "  }"]
    if isinstance(node.layer, MaxPool2d):
        window = (*node.input, *node.output, *node.layer.kernel, *node.layer.stride, *node.layer.padding, 1)
        at = f"    static const {name}_convolution_shape at = {{{', '.join(map(str, window))}}};"
        return [f"  {{ /* {node.name} */", at, f"    {name}_max_pool({sources[0]}, &at, {target});", "  }"]
    channels, height, width = node.input
    if isinstance(node.layer, GlobalAveragePool):
        return [f"  {name}_average_pool({sources[0]}, {channels}, {height * width}, {target}); /* {node.name} */"]
    shifts = [network.exponents[source] - network.exponents[node.name] for source in node.sources]
    terms = ", ".join(f"{source}, {shift}" for source, shift in zip(sources, shifts, strict=True))
    count, low = channels * height * width, low_of(graph, node)
    return [f"  {name}_add({terms}, {count}, {low}, {target}); /* {node.name} */"]


def _convolution_shape(network: IntegerNetwork, node: Node) -> str:
    """Return the fields of a convolution; a Linear layer on a map is one as large as the map."""
    if isinstance(node.layer, Conv2d):
        layer = node.layer
        return ", ".join(
            map(str, (*node.input, *node.output, *layer.kernel, *layer.stride, *layer.padding, layer.groups))
        )
    rows = len(network.layers[node.name].weights)
    return ", ".join(map(str, (*node.input, rows, 1, 1, 1, 1, 1, 1, 0, 0, 1)))
