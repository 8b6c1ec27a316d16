"""NAME, NAME@alias, NAME@number: what they name, and what is said where they name nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_files import tiny_versions
from strop.service.problems import Problem
from strop.service.references import find_version
from strop.service.settings import Settings
from strop.service.store import models
from strop.service.store.database import Database


def test_references(settings: Settings, tmp_path: Path) -> None:
    """Protects every way to name a version; without alias it is production, whatever that points at now."""
    database = Database(settings.data / "strop.db")
    first, second = tiny_versions(settings, database, tmp_path, 2)
    db = database.read()
    assert find_version(db, "tiny")[1] == find_version(db, "tiny@production")[1] == find_version(db, "tiny@1")[1]
    assert find_version(db, "tiny@2")[1] == second
    with database.transaction() as writing:
        models.point(writing, first.model_id, "production", second.id, models.PROMOTE)
    model, version = find_version(db, "tiny")
    assert (model.name, version) == ("tiny", second)


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("huge", "GET /models"),
        ("tiny@3", "no version 3"),
        ("tiny@candidate", "no alias 'candidate'; it has production"),
    ],
)
def test_what_is_not_there(settings: Settings, tmp_path: Path, reference: str, says: str) -> None:
    """Protects who mistyped: the answer says which part is unknown, and where to look."""
    database = Database(settings.data / "strop.db")
    tiny_versions(settings, database, tmp_path, 1)
    with pytest.raises(Problem, match=says) as caught:
        find_version(database.read(), reference)
    assert caught.value.code == "not_found"
