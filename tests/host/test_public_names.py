"""The public surface of strop.host."""

from __future__ import annotations

import strop.host


def test_every_public_name_is_listed_once_and_there() -> None:
    """Protects `from strop.host import ...` in users' programs: what is listed exists, what is public is listed."""
    listed = strop.host.__all__
    assert len(listed) == len(set(listed))
    found = {name for name, value in vars(strop.host).items() if getattr(value, "__module__", "").startswith("strop.")}
    assert {name for name in found if not name.startswith("_")} <= set(listed)
    assert all(hasattr(strop.host, name) for name in listed)
