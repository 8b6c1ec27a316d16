"""A fresh box has a model: the LeNet-5 that comes with strop, as version 1 and in production."""

from __future__ import annotations

import hashlib
import shutil

from strop.host import read_checkpoint, state_digest
from strop.host.pretrained import PRETRAINED, pretrained_path
from strop.runtime.contract import C
from strop.service.ids import new_id
from strop.service.settings import Settings
from strop.service.store import models
from strop.service.store.database import Database

PRODUCTION = "production"


def add_shipped_models(settings: Settings, database: Database) -> None:
    """Record the shipped checkpoints, unless a model of that name is there."""
    for name in PRETRAINED:
        if models.find_model(database.read(), name) is not None:
            continue
        source = pretrained_path(name)
        found = read_checkpoint(source)
        id = new_id("version")
        target = settings.folder("versions") / f"{id}.safetensors"
        shutil.copyfile(source, target)
        manifest = {
            "source": f"shipped with strop: {name}",
            "classes": list(found.classes),
            "network": found.graph.name,
            "shape": list(found.graph.input),
            "numerics_version": C.NUMERICS_VERSION,
        }
        with database.transaction() as db:
            model = models.create_model(db, name)
            models.add_version(
                db,
                id=id,
                model_id=model.id,
                parent_id=None,
                job_id=None,
                sha256=state_digest(found.state),
                file_sha256=hashlib.sha256(target.read_bytes()).hexdigest(),
                path=f"versions/{id}.safetensors",
                manifest=manifest,
            )
            models.point(db, model.id, PRODUCTION, id, "import", reason="shipped with strop")
