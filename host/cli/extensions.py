"""What floors above add to the `strop` command: modules that they name as entry points, since the host knows none.

| group | a module in it has |
|---|---|
| strop.commands | `add_parser(commands)`, as the modules of this folder |
| strop.remote | for `strop finetune`: `add_options(parser)`, `wanted(arguments)`, `run(arguments, output)` if so |
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from typing import Any

from rich.text import Text

from strop.host.cli.output import console_for, printable

COMMANDS_GROUP, REMOTE_GROUP = "strop.commands", "strop.remote"


def extensions(group: str) -> list[Any]:
    """Return the modules of a group, by name. One that cannot be loaded is told of on stderr and left out."""
    found: dict[str, Any] = {}
    for entry in sorted(entry_points(group=group)):
        try:
            found[entry.name] = entry.load()
        except Exception as error:
            text = f"strop: {entry.value} cannot be loaded and is left out: {type(error).__name__}: {error}"
            console_for(sys.stderr).print(Text(printable(text), "dim"), soft_wrap=True)
    return list(found.values())
