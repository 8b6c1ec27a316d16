"""NAME, NAME@alias, NAME@number: how clients speak of a version."""

from __future__ import annotations

import sqlite3

from strop.service.problems import Problem
from strop.service.store import models
from strop.service.store.models import Model, Version

PRODUCTION = "production"  # the alias that is meant where none is named


def find_model(db: sqlite3.Connection, name: str) -> Model:
    """Return the model of a name. Raises `Problem` not_found."""
    model = models.find_model(db, name)
    if model is None:
        raise Problem("not_found", f"there is no model {name!r}; GET /models lists them")
    return model


def find_numbered(db: sqlite3.Connection, model: Model, number: int) -> Version:
    """Return a model's version of that number. Raises `Problem` not_found."""
    version = models.numbered(db, model.id, number)
    if version is None:
        raise Problem("not_found", f"model {model.name!r} has no version {number}; GET /models/{model.name} lists them")
    return version


def find_version(db: sqlite3.Connection, reference: str) -> tuple[Model, Version]:
    """Return what a reference names; without alias or number it is production. Raises `Problem` not_found."""
    name, _, which = reference.partition("@")
    model = find_model(db, name)
    if which.isdecimal():
        return model, find_numbered(db, model, int(which))
    alias = which or PRODUCTION
    found = models.aliases(db, model.id)
    if alias not in found:
        raise Problem(
            "not_found",
            f"model {name!r} has no alias {alias!r}; it has {', '.join(found) or 'none'}; PUT "
            f"/models/{name}/aliases/{alias} makes it, {name}@NUMBER names a version without one",
        )
    return model, models.version_of(db, found[alias])
