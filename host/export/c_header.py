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
from strop.host.export.c_steps import CSteps
from strop.host.export.integer_network import IntegerNetwork, integer_network
from strop.host.version import strop_version
from strop.runtime.contract import C
from strop.runtime.graph import IMAGES
from strop.runtime.layers import (
    NORMS,
    TABLES,
    AveragePool2d,
    Concatenate,
    Conv2d,
    ConvTranspose2d,
    GlobalAveragePool,
    Linear,
    MaxPool2d,
    Residual,
    Upsample,
)

VALUES_PER_LINE = 24
LOOPS = (  # for which layers each is needed, in an order in which each calls only those before it
    ((Conv2d, Linear), c_loops.CONVOLUTION),
    ((ConvTranspose2d,), c_loops.TRANSPOSED),
    (NORMS, c_loops.NORMALIZE),
    (TABLES, c_loops.TABLE),
    ((Concatenate,), c_loops.COPY),
    ((Upsample,), c_loops.UPSAMPLE),
    ((MaxPool2d,), c_loops.MAX_POOL),
    ((AveragePool2d, GlobalAveragePool), c_loops.MEAN),
    ((GlobalAveragePool,), c_loops.GLOBAL_POOL),
    ((AveragePool2d,), c_loops.AVERAGE_POOL),
    ((Residual,), c_loops.ADD),
)
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
 *   y8  = clamp((x8 * multiplier[k] + constant[k]) >> 12, low, 127)
 * multiplier and constant are L1 batch normalization with running mean and deviation, gamma and beta (Wu et al., IEEE
 * TNNLS 2018, Eq. 9 and 10), rounding included. With e the exponent of y8, and mu and sigma in units of 2^-6 of x8:
 * multiplier = gamma * 2^(18 + e) / sigma and constant = beta * 2^(12 + e) - mu * multiplier / 64 + 2^11. */
"""


def c_header(checkpoint: Checkpoint) -> Iterator[bytes]:
    """Yield the header's text, UTF-8. Raises what `integer_network` raises."""
    network = integer_network(checkpoint)
    name = identifier(network.graph.name)
    steps = CSteps(network, name)
    digest = state_digest(checkpoint.state)
    guard = f"STROP_{name.upper()}_H"
    about = ARITHMETIC.replace("STROP_VERSION", strop_version()).replace("NUMERICS", str(C.NUMERICS_VERSION))
    yield _named(about.replace("DIGEST", digest) + f"#ifndef {guard}\n#define {guard}\n\n#include <stdint.h>\n\n", name)
    yield _constants(network, name, steps.placed[1]).encode()
    yield from _tables(network, name)
    yield _named("\n".join(_loops(network)), name)
    yield _inference(steps).encode()
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


def _tables(network: IntegerNetwork, name: str) -> Iterator[bytes]:
    for layer in network.layers.values():
        own = f"{name}_{layer.node.name}"
        sizes = "".join(f"[{size}]" for size in layer.weights.shape)
        yield (
            f"/* {layer.node.name}: {layer.node.layer.kind}, weights {sizes} of real value weight * "
            f"2^-weight_exponents[row], input exponent {layer.input_exponent}. */\n"
        ).encode()
        yield from _array(f"static const int8_t {own}_weights", layer.weights)
        yield from _array(f"static const int8_t {own}_weight_exponents", layer.weight_exponents)
        if layer.biases is None:
            yield f"#define {own.upper()}_SHIFT {layer.shift}\n\n".encode()
        else:
            yield from _array(f"static const int64_t {own}_biases", layer.biases)
            yield b"\n"
    for norm in network.norms.values():
        own = f"{name}_{norm.node.name}"
        yield f"/* {norm.node.name}: {norm.node.layer.kind}, output exponent {norm.exponent}. */\n".encode()
        yield from _array(f"static const int32_t {own}_multipliers", norm.multipliers)
        yield from _array(f"static const int32_t {own}_constants", norm.constants)
        yield b"\n"
    for node_name, table in network.tables.items():
        node = network.graph.node(node_name)
        yield f"/* {node_name}: {node.layer.kind}, output exponent {node.grid}. */\n".encode()
        yield from _array(f"static const int8_t {name}_{node_name}_table", table)
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
    yield from (text for needed, text in LOOPS if kinds & set(needed))
    yield c_loops.LOGITS.replace("LOGITS_EXPONENT", str(network.logits_exponent))


def _inference(steps: CSteps) -> str:
    graph, name, upper = steps.network.graph, steps.name, steps.name.upper()
    image = ", ".join(map(str, (*graph.input, graph.border)))
    lines = [
        f"static inline void {name}_logits(const uint8_t *image, int32_t *logits) {{",
        f"  static int8_t maps[{upper}_MEMORY];",
        f"  {name}_input(image, {image}, {steps.at(IMAGES)});",
        *(line for node in steps.nodes for line in steps.calls(node)),
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
