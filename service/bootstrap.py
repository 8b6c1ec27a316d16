"""A fresh box has a model: the LeNet-5 that comes with strop, as version 1 and in production."""

from __future__ import annotations

from strop.host.pretrained import PRETRAINED, pretrained_path
from strop.service.imports import import_version
from strop.service.settings import Settings
from strop.service.store import models
from strop.service.store.database import Database


def add_shipped_models(settings: Settings, database: Database) -> None:
    """Record the shipped checkpoints, unless a model of that name is there: it may have gone on from there."""
    for name in PRETRAINED:
        if models.find_model(database.read(), name) is None:
            import_version(settings, database, name, pretrained_path(name), "shipped with strop")
