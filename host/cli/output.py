"""What the `strop` command prints: tables or one JSON document on stdout, everything else on stderr.

Text from files and arguments is shown with its control characters escaped, so that no class name can move the cursor.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

PIPE_COLUMNS = 200  # a pipe has no width; nothing that is short enough for a person to read should be cut


def printable(text: str) -> str:
    """Return `text` with everything that is not printable, line breaks apart, as an escape such as \\x1b."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def plain_data(value: Any) -> Any:
    """Return `value` as JSON can hold it: tuples as lists, numpy numbers as numbers, what is not finite as null."""
    if isinstance(value, dict):
        return {str(key): plain_data(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_data(item) for item in value]
    if hasattr(value, "tolist"):  # arrays and scalars of numpy
        return plain_data(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (str, int, float)):
        return value
    return str(value)


def console_for(stream: TextIO) -> Console:
    """Return a console that asks the stream alone: cursor movement only on a terminal, colour not under NO_COLOR."""
    terminal = is_terminal(stream)
    return _Console(
        file=stream,
        force_terminal=terminal,
        width=None if terminal else PIPE_COLUMNS,
        highlight=False,
        emoji=False,
        markup=False,
    )


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command's door: rich would end the program with 1."""
        raise BrokenPipeError


def is_terminal(stream: TextIO) -> bool:
    """Return whether a person may be looking at `stream`. TERM=dumb cannot move its cursor and counts as a file."""
    return stream.isatty() and not Console(file=stream, force_terminal=True).is_dumb_terminal


class Output:
    """One command's output. With `as_json` tables and lines for people are left out and `document` prints."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._console = console_for(sys.stdout)

    def document(self, schema: str, content: dict[str, Any]) -> None:
        """Print the command's one JSON document; `schema` is name/version, raised when a field changes its meaning."""
        if self.as_json:
            sys.stdout.write(json.dumps({"schema": schema, **plain_data(content)}, indent=2, allow_nan=False) + "\n")
            sys.stdout.flush()

    def line(self, text: str = "", style: str = "") -> None:
        """Print a line for people on stdout."""
        if not self.as_json:
            self._console.print(Text(printable(text), style), soft_wrap=True)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[object]], *, last_is_total: bool = False) -> None:
        """Print a table for people on stdout. A heading that begins with ">" has its column aligned to the right."""
        if self.as_json:
            return
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
        for name in head:
            justify: JustifyMethod = "right" if name.startswith(">") else "left"
            table.add_column(Text(printable(name.removeprefix(">"))), justify=justify, overflow="fold")
        for index, row in enumerate(rows):
            total = last_is_total and index == len(rows) - 1
            table.add_row(*(Text(printable(str(cell))) for cell in row), style="bold" if total else None)
        self._console.print(table)

    def facts(self, pairs: Sequence[tuple[str, object]]) -> None:
        """Print names and values for people on stdout, one a line, values aligned."""
        if self.as_json:
            return
        width = max((len(name) for name, _ in pairs), default=0)
        for name, value in pairs:
            text = Text.assemble((f"{printable(name):<{width}}  ", "bold"), printable(str(value)))
            self._console.print(text, soft_wrap=True)

    def note(self, text: str) -> None:
        """Print a remark on stderr."""
        console_for(sys.stderr).print(Text(printable(text), "dim"), soft_wrap=True)

    def error(self, text: str) -> None:
        """Print what went wrong on stderr."""
        console_for(sys.stderr).print(Text.assemble(("strop: ", "bold red"), printable(text)), soft_wrap=True)
