"""Where a graph of operations branches, and where the branches meet."""

from __future__ import annotations

from strop.host.importing.operations import INPUT, Operation, OperationGraph


class Forks:
    """The readers of each value, and the first operation that all ways from it lead through (its post-dominator)."""

    def __init__(self, graph: OperationGraph) -> None:
        self._readers = graph.readers()
        self._next: dict[str, Operation | None] = {}
        self._depth: dict[str, int] = {}
        for name in (*(o.name for o in reversed(graph.operations)), INPUT):
            self._place(name)

    def readers(self, value: str) -> list[Operation]:
        """Return the operations that read a value, each once."""
        return list(dict.fromkeys(self._readers.get(value, [])))

    def meeting(self, value: str) -> Operation | None:
        """Return the operation in which all ways from a value first meet; None where that is the end alone."""
        return self._next[value]

    def _place(self, value: str) -> None:
        readers = self.readers(value)
        meet: Operation | None = readers[0] if readers else None
        for other in readers[1:]:
            meet = self._common(meet, other)
        self._next[value] = meet
        self._depth[value] = 0 if meet is None else self._depth[meet.name] + 1

    def _common(self, a: Operation | None, b: Operation | None) -> Operation | None:
        while a is not b:
            if a is None or b is None:
                return None
            if self._depth[a.name] >= self._depth[b.name]:
                a = self._next[a.name]
            else:
                b = self._next[b.name]
        return a
