"""The `#pragma HLS` directives of Vitis HLS: reading them from preprocessed text, and which names and options exist.

A tool that meets a misspelt directive ignores it with a warning, and the hardware is quietly another one. The table
follows AMD's UG1399 and the option list of the open front end (Xilinx/hls-llvm-project, XlxPragmaOption.td).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

NAME = re.compile(r"[A-Za-z_][\w.\->\[\]]*$")  # a variable, or a member or an element of one
# a literal, a constant or an expression of them
NUMBER = re.compile(r"(0[xX][0-9a-fA-F]+|\d+)$|[A-Za-z_][\w:]*$|\(.*\)$")
WORD = re.compile(r"[\w.\-]+$")
FLAG = re.compile(r"(true|false)?$")  # stands alone, or with a truth value


def one_of(*words: str) -> re.Pattern[str]:
    """Return the pattern of an option that takes one of these words."""
    return re.compile(f"({'|'.join(words)})$", re.IGNORECASE)


@dataclass(frozen=True)
class Directive:
    """What one directive takes: options with the pattern of their value, which are needed, and where it may stand."""

    options: dict[str, re.Pattern[str]]
    needed: tuple[str, ...] = ()
    where: str = "function"  # "loop": inside a loop's braces; "top": in the top function


_PARTITION = {
    "variable": NAME,
    "type": one_of("block", "cyclic", "complete"),
    "block": FLAG,
    "cyclic": FLAG,
    "complete": FLAG,
    "factor": NUMBER,
    "dim": NUMBER,
    "off": FLAG,
}

DIRECTIVES: dict[str, Directive] = {
    "aggregate": Directive({"variable": NAME, "compact": one_of("bit", "byte", "none", "auto")}, ("variable",)),
    "alias": Directive({"ports": re.compile(r"[\w,]+$"), "distance": NUMBER, "offset": NUMBER}, ("ports",)),
    "allocation": Directive(
        {
            "function": FLAG,
            "operation": FLAG,
            "type": one_of("function", "operation"),
            "instances": WORD,
            "limit": NUMBER,
        },
        ("instances", "limit"),
    ),
    "array_partition": Directive(_PARTITION, ("variable",)),
    "array_reshape": Directive({**_PARTITION, "object": FLAG}, ("variable",)),
    "bind_op": Directive({"variable": NAME, "op": WORD, "impl": WORD, "latency": NUMBER}, ("variable", "op")),
    "bind_storage": Directive(
        {
            "variable": NAME,
            "type": one_of("fifo", "ram_1p", "ram_1wnr", "ram_2p", "ram_s2p", "ram_t2p", "rom_1p", "rom_2p", "rom_np"),
            "impl": one_of("bram", "bram_ecc", "lutram", "uram", "uram_ecc", "srl", "memory", "auto"),
            "latency": NUMBER,
        },
        ("variable", "type"),
    ),
    "dataflow": Directive({"disable_start_propagation": FLAG}),
    "dependence": Directive(
        {
            "variable": NAME,
            "class": one_of("array", "pointer"),
            "array": FLAG,
            "pointer": FLAG,
            "type": one_of("inter", "intra"),
            "inter": FLAG,
            "intra": FLAG,
            "direction": one_of("raw", "war", "waw"),
            "raw": FLAG,
            "war": FLAG,
            "waw": FLAG,
            "distance": NUMBER,
            "dependent": one_of("true", "false"),
            "true": FLAG,
            "false": FLAG,
        },
    ),
    "disaggregate": Directive({"variable": NAME}, ("variable",)),
    "expression_balance": Directive({"off": FLAG}),
    "function_instantiate": Directive({"variable": NAME}, ("variable",)),
    "inline": Directive({"off": FLAG, "recursive": FLAG}),
    "interface": Directive({}, where="top"),  # by mode, below
    "latency": Directive({"min": NUMBER, "max": NUMBER}),
    "loop_flatten": Directive({"off": FLAG}, where="loop"),
    "loop_merge": Directive({"force": FLAG}),
    "loop_tripcount": Directive({"min": NUMBER, "max": NUMBER, "avg": NUMBER}, ("max",), where="loop"),
    "occurrence": Directive({"cycle": NUMBER, "off": FLAG}, where="loop"),
    "performance": Directive({"target_ti": NUMBER, "target_tl": NUMBER, "unit": one_of("cycle", "sec")}),
    "pipeline": Directive({"ii": NUMBER, "rewind": FLAG, "off": FLAG, "style": one_of("stp", "flp", "frp")}),
    "protocol": Directive({"mode": one_of("floating", "fixed"), "floating": FLAG, "fixed": FLAG}),
    "reset": Directive({"variable": NAME, "off": FLAG}, ("variable",)),
    "stable": Directive({"variable": NAME}, ("variable",)),
    "stream": Directive(
        {"variable": NAME, "depth": NUMBER, "type": one_of("fifo", "pipo", "shared", "unsync"), "off": FLAG},
        ("variable",),
    ),
    "top": Directive({"name": WORD}),
    "unroll": Directive({"factor": NUMBER, "skip_exit_check": FLAG, "off": FLAG}, where="loop"),
}
DEPRECATED = {"resource": "bind_op or bind_storage", "data_pack": "aggregate", "shared": "stream type=shared"}

_M_AXI = {
    "port": NAME,
    "bundle": WORD,
    "depth": NUMBER,
    "offset": one_of("off", "direct", "slave"),
    "name": WORD,
    "channel": WORD,
    **dict.fromkeys(
        (
            "latency",
            "num_read_outstanding",
            "num_write_outstanding",
            "max_read_burst_length",
            "max_write_burst_length",
            "max_widen_bitwidth",
        ),
        NUMBER,
    ),
}
_S_AXILITE = {"port": NAME, "bundle": WORD, "offset": NUMBER, "register": FLAG, "clock": WORD, "name": WORD}
_PLAIN = {"port": NAME, "register": FLAG, "name": WORD}
MODES: dict[str, dict[str, re.Pattern[str]]] = {
    "m_axi": _M_AXI,
    "s_axilite": _S_AXILITE,
    "axis": {**_PLAIN, "depth": NUMBER, "register_mode": one_of("both", "forward", "reverse", "off")},
    "ap_memory": {**_PLAIN, "latency": NUMBER, "storage_type": WORD, "storage_impl": WORD},
    "bram": {**_PLAIN, "latency": NUMBER, "storage_type": WORD, "storage_impl": WORD},
    "ap_fifo": {**_PLAIN, "depth": NUMBER},
    **dict.fromkeys(("ap_none", "ap_stable", "ap_vld", "ap_ack", "ap_ovld", "ap_hs"), _PLAIN),
    **dict.fromkeys(("ap_ctrl_none", "ap_ctrl_hs", "ap_ctrl_chain"), {"port": NAME, "name": WORD}),
}


@dataclass(frozen=True)
class Pragma:
    """One `#pragma HLS` line: its place, its name in lower case, and its options; an option without a value has ''."""

    path: str
    line: int
    name: str
    options: dict[str, str]

    @property
    def mode(self) -> str:
        """The mode of an INTERFACE, '' if none is given."""
        return self.options.get("mode") or next((option for option in self.options if option in MODES), "")


def read_pragmas(preprocessed: str) -> list[Pragma]:
    """Return the HLS pragmas of a compiler's `-E` output, at the places that its line markers tell.

    After the preprocessor, blocks that synthesis does not see are gone and `_Pragma` and macros are written out.
    """
    found: list[Pragma] = []
    path, line = "", 0
    for text in preprocessed.splitlines():
        marker = re.match(r'#(?:line)?\s+(\d+)\s+"([^"]*)"', text)
        if marker:
            path, line = marker[2], int(marker[1]) - 1
            continue
        line += 1
        pragma = re.match(r"\s*#\s*pragma\s+HLS\b\s*(.*)", text, re.IGNORECASE)
        if pragma:
            words = re.sub(r"\s*=\s*", "=", pragma[1]).split()
            options = dict((word.split("=", 1) + [""])[:2] for word in words[1:])
            lowered = {option.lower(): value for option, value in options.items()}
            found.append(Pragma(path, line, words[0].lower() if words else "", lowered))
    return found


def spelling_faults(pragma: Pragma) -> list[tuple[str, str]]:
    """Return (rule, message) for every name, option or word of the pragma that Vitis HLS does not know."""
    directive = DIRECTIVES.get(pragma.name)
    if directive is None:
        instead = f"; use {DEPRECATED[pragma.name]}" if pragma.name in DEPRECATED else ""
        return [("unknown-pragma", f"Vitis HLS has no pragma {pragma.name.upper() or '(empty)'}{instead}")]
    allowed, needed = directive.options, directive.needed
    options = dict(pragma.options)
    if pragma.name == "interface":
        if pragma.mode not in MODES:
            return [("unknown-option", f"INTERFACE needs a mode, one of {', '.join(MODES)}")]
        options.pop("mode", None)
        options.pop(pragma.mode, None)
        allowed, needed = MODES[pragma.mode], ("port",)
    faults = []
    for option, value in options.items():
        if option not in allowed:
            known = ", ".join(allowed) or "none"
            faults.append(("unknown-option", f"{pragma.name.upper()} has no option {option!r}; it has: {known}"))
        elif not allowed[option].match(value):
            faults.append(("option-value", f"{pragma.name.upper()} {option}={value!r} is not a value of that option"))
    for option in needed:
        if option not in options:
            faults.append(("option-missing", f"{pragma.name.upper()} needs {option}="))
    return faults
