"""Why a network cannot be imported. All of it is said at once, and nothing is imported by half.

ModelImportError (InputError)   a file or module that cannot be read: damaged, incomplete, too large, of unknown sizes
└── UnsupportedNodes            nodes that strop has no counterpart for; `obstacles` lists every one of them
"""

from __future__ import annotations

from dataclasses import dataclass

from strop.runtime.errors import InputError


@dataclass(frozen=True)
class Obstacle:
    """A node that cannot be imported: its name, its operator, why, and what to do."""

    node: str
    op: str
    why: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.op} {self.node!r}: {self.why}; {self.remedy}"


class ModelImportError(InputError):
    """A file or module that cannot be imported."""


class UnsupportedNodes(ModelImportError):
    """Nodes without a counterpart in strop, all of them in `obstacles`."""

    def __init__(self, source: str, obstacles: tuple[Obstacle, ...]) -> None:
        self.obstacles = obstacles
        listed = "\n".join(f"  {obstacle}" for obstacle in obstacles)
        many = "1 node has" if len(obstacles) == 1 else f"{len(obstacles)} nodes have"
        super().__init__(f"{source} cannot be imported: {many} no counterpart in strop\n{listed}")


class Unsupported(Exception):
    """Raised by the lowering of one node: why, and the remedy. Collected, never seen outside."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(why, remedy)
        self.why, self.remedy = why, remedy
