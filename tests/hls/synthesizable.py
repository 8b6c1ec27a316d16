"""Static checks of everything that synthesis reaches from the top function: what Vitis HLS refuses or quietly ignores.

    python tests/hls/synthesizable.py hls/kernel.cpp --top strop_kernel -I hls

The code is read with `__SYNTHESIS__` defined, as the tool reads it. That these checks pass does not mean that the code
synthesizes: they find known mistakes, no more. Rules, as printed in brackets: see `RULES` in hls_walk.py.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from clang.cindex import Cursor, CursorKind, Diagnostic, Index

from hls_pragmas import DIRECTIVES, Pragma, read_pragmas, spelling_faults
from hls_walk import FUNCTIONS, REFERENCES, Checker, Finding, Function, place


class LintError(Exception):
    """The source cannot be checked: it does not compile, it has no such top function, or no compiler is at hand."""


def compiler() -> str:
    """Return the C++ compiler: $CXX, else the first of c++, g++, clang++."""
    for name in (os.environ.get("CXX"), "c++", "g++", "clang++"):
        if name and shutil.which(name):
            return name
    raise LintError("no C++ compiler found (tried $CXX, c++, g++, clang++); on Debian and Ubuntu: apt-get install g++")


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise LintError(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


def _encloses(cursor: Cursor, pragma: Pragma) -> bool:
    start, end = cursor.extent.start, cursor.extent.end
    return (
        start.file is not None
        and os.path.realpath(start.file.name) == os.path.realpath(pragma.path)
        and start.line < pragma.line < end.line
    )


def _innermost_loop(functions: list[Function], pragma: Pragma) -> list[Cursor]:
    """Return the loop in whose braces the pragma stands, once an instance of its function; none: an empty list."""
    inside = [
        loop
        for function in functions
        for loop in function.loops
        if (body := list(loop.get_children())[-1]).kind == CursorKind.COMPOUND_STMT and _encloses(body, pragma)
    ]
    smallest = min((loop.extent.end.line - loop.extent.start.line for loop in inside), default=0)
    return [loop for loop in inside if loop.extent.end.line - loop.extent.start.line == smallest]


def check_pragmas(checker: Checker, pragmas: list[Pragma], top: Cursor) -> None:
    """Check the pragmas' spelling and place, and take back `loop-bound` where a LOOP_TRIPCOUNT answers it."""
    for pragma in pragmas:
        faults = spelling_faults(pragma)
        holders = [function for function in checker.functions.values() if _encloses(function.cursor, pragma)]
        loops = _innermost_loop(holders, pragma)
        where = DIRECTIVES[pragma.name].where if pragma.name in DIRECTIVES else ""
        if where == "loop" and holders and not loops:
            faults.append(("pragma-place", f"{pragma.name.upper()} stands in no loop's braces"))
        if where == "top" and not any(function.cursor == top for function in holders):
            faults.append(("pragma-place", "INTERFACE stands outside the top function"))
        name = pragma.options.get("variable") or pragma.options.get("port")
        base = name.replace("->", ".").replace("[", ".").split(".")[0] if name else "this"
        if holders and base not in {"return", "this"}.union(*(function.names for function in holders)):
            faults.append(("pragma-variable", f"the function has no variable {base}"))
        checker.findings |= {Finding(pragma.path, pragma.line, rule, message) for rule, message in faults}
        if pragma.name == "loop_tripcount":
            answered = {place(loop) for loop in loops}
            checker.findings = {
                finding
                for finding in checker.findings
                if finding.rule != "loop-bound" or (finding.path, finding.line) not in answered
            }


def check_interface(checker: Checker, pragmas: list[Pragma], top: Cursor) -> None:
    """Check that each argument of the top function has its ports and that the registers do not overlap."""
    by_port: dict[str, dict[str, Pragma]] = {}
    for pragma in pragmas:
        if pragma.name == "interface":
            by_port.setdefault(pragma.options.get("port", ""), {})[pragma.mode] = pragma
    spans: list[tuple[int, int, str]] = []
    for argument in (*top.get_arguments(), None):
        name = argument.spelling if argument else "return"
        modes = by_port.get(name, {})
        if not modes:
            checker.report(top, "interface", f"{name} has no INTERFACE pragma")
        elif "m_axi" in modes and "s_axilite" not in modes and modes["m_axi"].options.get("offset") == "slave":
            checker.report(top, "interface", f"the address of {name} has no s_axilite register (m_axi, offset=slave)")
        offset = modes["s_axilite"].options.get("offset", "") if "s_axilite" in modes else ""
        if argument and offset[:1].isdigit():
            # A register takes its words and one more: reserved, or the control word of an output.
            data_bytes = 8 if "m_axi" in modes else max(4, argument.type.get_canonical().get_size())
            data_bytes = 4 if argument.type.get_canonical().kind in REFERENCES and "m_axi" not in modes else data_bytes
            spans.append((int(offset, 0), int(offset, 0) + data_bytes + 4, name))
    spans.sort()
    for (_, end, name), (start, _, next_name) in zip(spans, spans[1:], strict=False):
        if start < end:
            message = f"the registers of {name} reach to {end:#x}, but {next_name} is at {start:#x}: one would be moved"
            checker.report(top, "interface", message)


def inspect(source: Path, top: str, include: tuple[str, ...] = ()) -> Checker:
    """Check all that synthesis reaches from `top`, and return what was reached and found; LintError if that fails."""
    options = ["-std=c++14", "-D__SYNTHESIS__", *(f"-I{folder}" for folder in include)]
    if not source.is_file():
        raise LintError(f"{source}: no such file")
    system = _run(compiler(), "-print-file-name=include").strip()
    unit = Index.create().parse(str(source), [*options, "-isystem", system])
    errors = [str(diagnostic) for diagnostic in unit.diagnostics if diagnostic.severity >= Diagnostic.Error]
    if errors:
        raise LintError("\n".join(errors))
    tops = [node for node in unit.cursor.walk_preorder() if node.kind in FUNCTIONS and node.spelling == top]
    tops = [node for node in tops if node.is_definition()]
    if len(tops) != 1:
        raise LintError(f"{source} defines {len(tops)} functions {top}; the top function must be one")
    checker = Checker()
    checker.reach(tops[0])
    pragmas = read_pragmas(_run(compiler(), "-E", *options, str(source)))
    check_pragmas(checker, pragmas, tops[0])
    check_interface(checker, pragmas, tops[0])
    return checker


def check(source: Path, top: str, include: tuple[str, ...] = ()) -> list[Finding]:
    """Return the sorted findings of `inspect`."""
    return sorted(inspect(source, top, include).findings)


def main() -> int:
    """Print the findings; 0 if there are none, 1 if there are, 2 if the source cannot be checked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--top", required=True, help="name of the top function")
    parser.add_argument("-I", dest="include", action="append", default=[], help="folder of headers")
    options = parser.parse_args()
    try:
        checker = inspect(options.source, options.top, tuple(options.include))
    except LintError as error:
        print(error, file=sys.stderr)
        return 2
    for finding in sorted(checker.findings):
        print(finding)
    loops = sum(len(function.loops) for function in checker.functions.values())
    result = f"{len(checker.findings)} findings" if checker.findings else "static checks passed"
    print(f"{options.source}: {result} ({len(checker.functions)} functions, {loops} loops)")
    return 1 if checker.findings else 0


if __name__ == "__main__":
    sys.exit(main())
