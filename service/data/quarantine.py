"""Bad samples of an upload: counted, and the first of them listed with the reason. They never fail the others."""

from __future__ import annotations

from strop.service.data.limits import MAX_LISTED

LONGEST_REASON = 300


class Quarantine:
    """What was put aside: `count` samples, of which `listed` are (source, reason)."""

    def __init__(self) -> None:
        self.count = 0
        self._listed: list[tuple[str, str]] = []

    def put(self, source: str, reason: str) -> None:
        """Put a sample aside. `source` says where in the upload it was."""
        self.count += 1
        if self.count <= MAX_LISTED:
            self._listed.append((source, reason[:LONGEST_REASON]))

    @property
    def listed(self) -> list[tuple[str, str]]:
        """The samples one by one, in the upload's order; a last line says how many more there are."""
        more = self.count - len(self._listed)
        rest = [(f"{more} more", f"only the first {MAX_LISTED} are listed")] if more else []
        return [*self._listed, *rest]
