"""Times: unix seconds in the database, RFC 3339 in answers."""

from __future__ import annotations

from datetime import datetime, timezone


def isoformat(seconds: float | None) -> str | None:
    """Return a time as 2026-01-31T12:00:00.123Z, None for None."""
    if seconds is None:
        return None
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
