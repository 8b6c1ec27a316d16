"""NAME, NAME@alias, NAME@number: how clients speak of a version."""

from __future__ import annotations

import sqlite3

from strop.service.bootstrap import PRODUCTION
from strop.service.problems import Problem
from strop.service.store import models
from strop.service.store.models import Model, Version


def find_version(db: sqlite3.Connection, reference: str) -> tuple[Model, Version]:
    """Return what a reference names; without alias or number it is production. Raises `Problem` not_found."""
    name, _, which = reference.partition("@")
    model = models.find_model(db, name)
    if model is None:
        raise Problem("not_found", f"there is no model {name!r}; GET /models lists them")
    if which.isdecimal():
        version = models.numbered(db, model.id, int(which))
    else:
        id = models.aliases(db, model.id).get(which or PRODUCTION)
        version = None if id is None else models.version_of(db, id)
    if version is None:
        raise Problem(
            "not_found", f"model {name!r} has no version {which or PRODUCTION!r}; GET /models/{name} lists them"
        )
    return model, version
