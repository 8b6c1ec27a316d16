"""A fresh data folder: the shipped model is there, once, and a second start changes nothing."""

from __future__ import annotations

from strop.host import read_checkpoint, state_digest
from strop.host.pretrained import pretrained_path
from strop.service.bootstrap import add_shipped_models
from strop.service.references import find_version
from strop.service.settings import Settings
from strop.service.store import models
from strop.service.store.database import Database


def test_a_fresh_box_has_the_shipped_model(settings: Settings) -> None:
    """Protects the first `curl`: version 1 in production is the shipped checkpoint, byte for byte."""
    database = Database(settings.data / "strop.db")
    add_shipped_models(settings, database)
    model, version = find_version(database.read(), "lenet5-fashion-mnist")
    file = settings.data / version.path
    assert version.number == 1
    assert version.sha256 == state_digest(read_checkpoint(file).state)
    assert file.read_bytes() == pretrained_path().read_bytes()
    (deployed,) = models.history(database.read(), model.id)
    assert (deployed.action, deployed.reason) == ("import", "shipped with strop")


def test_a_second_start_changes_nothing(settings: Settings) -> None:
    """Protects what was promoted: a restart must not bring the shipped model back, nor copy it again."""
    database = Database(settings.data / "strop.db")
    add_shipped_models(settings, database)
    model, _ = find_version(database.read(), "lenet5-fashion-mnist")
    add_shipped_models(settings, database)
    assert len(models.all_models(database.read())) == 1
    assert models.count_versions(database.read(), model.id) == 1
    assert len(list((settings.data / "versions").iterdir())) == 1
