"""Times as clients read them."""

from __future__ import annotations

from datetime import datetime

from strop.service.times import isoformat


def test_times_are_rfc_3339_in_utc() -> None:
    """Protects clients in every zone."""
    assert isoformat(None) is None
    assert isoformat(0) == "1970-01-01T00:00:00.000Z"
    text = isoformat(1_800_000_000.25)
    assert text == "2027-01-15T08:00:00.250Z"
    assert datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() == 1_800_000_000.25
