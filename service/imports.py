"""Checkpoints that come from outside become versions: those that strop brings along, and those that clients send."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors

from strop.host.atomic_file import write_atomically
from strop.host.checkpoint import Checkpoint, read_checkpoint, state_digest
from strop.runtime.contract import C
from strop.runtime.errors import CheckpointError
from strop.service.data.uploads import full_disk_told
from strop.service.ids import new_id
from strop.service.problems import Problem
from strop.service.references import PRODUCTION
from strop.service.settings import Settings
from strop.service.store import models
from strop.service.store.database import Database
from strop.service.store.models import Model, Version

PIECE_BYTES = 1 << 20


def import_version(
    settings: Settings, database: Database, name: str, file: Path, source: str, key_id: str | None = None
) -> tuple[Model, Version, bool]:
    """Add the checkpoint `file` as a version of the model `name`; return both, and whether the version is new.

    A new name becomes a model, and the version its production; a later version takes no alias. The same bytes again
    are the version that they were. Raises `Problem` model_invalid, also for another network than the model has.
    """
    checkpoint = _read(file)
    sha256 = _sha256(file)
    known = _known(database, name, checkpoint, sha256)
    if known is not None:
        return (*known, False)
    id = new_id("version")
    path = settings.folder("versions") / f"{id}.safetensors"
    with full_disk_told():
        write_atomically(path, _pieces(file))
    try:
        with database.transaction() as db:
            known = _known(database, name, checkpoint, sha256)  # another request may have come in between
            if known is None:
                found = models.find_model(db, name)
                model = found or models.create_model(db, name)
                version = models.add_version(
                    db,
                    id=id,
                    model_id=model.id,
                    parent_id=None,
                    job_id=None,
                    sha256=state_digest(checkpoint.state),
                    file_sha256=sha256,
                    path=str(path.relative_to(settings.data)),
                    manifest=_manifest(checkpoint, source),
                )
                if found is None:
                    models.point(db, model.id, PRODUCTION, id, models.IMPORT, reason=source, key_id=key_id)
    except BaseException:
        path.unlink()
        raise
    if known is not None:
        path.unlink()
        return (*known, False)
    return model, version, True


def _read(file: Path) -> Checkpoint:
    try:
        # A second opinion on the header, which also sees tensors that lie over one another: read one by one, they
        # would take more memory than the file has bytes.
        with safetensors.safe_open(file, "numpy"):
            pass
        return read_checkpoint(file)
    except safetensors.SafetensorError as error:
        raise Problem("model_invalid", f"the file is no safetensors file, or not a whole one: {error}") from error
    except CheckpointError as error:
        raise Problem("model_invalid", str(error).replace(str(file), "the file")) from error


def _known(database: Database, name: str, checkpoint: Checkpoint, sha256: str) -> tuple[Model, Version] | None:
    """Return the model and its version of the same bytes, or None. Raises `Problem` for another network."""
    db = database.read()
    model = models.find_model(db, name)
    first = None if model is None else models.numbered(db, model.id, 1)
    if model is None or first is None:
        return None
    ours, theirs = _manifest(checkpoint, ""), first.manifest
    if ours["network_digest"] != theirs["network_digest"]:
        raise Problem(
            "model_invalid",
            f"the file holds the network {checkpoint.graph.name} for images {ours['shape']}; {name!r} is another "
            f"one, {theirs['network']} for images {theirs['shape']}: import it under another name",
        )
    if ours["classes"] != theirs["classes"]:
        raise Problem(
            "model_invalid",
            f"the file has the classes {', '.join(ours['classes'][:12])}; {name!r} has "
            f"{', '.join(theirs['classes'][:12])}: import it under another name",
        )
    same = models.with_file(db, model.id, sha256)
    return None if same is None else (model, same)


def _manifest(checkpoint: Checkpoint, source: str) -> dict[str, Any]:
    return {
        "source": source,
        "steps": checkpoint.steps,
        "classes": list(checkpoint.classes),
        "network": checkpoint.graph.name,
        "network_digest": checkpoint.graph.digest(),
        "shape": list(checkpoint.graph.input),
        "numerics_version": C.NUMERICS_VERSION,
        "contract_version": C.CONTRACT_VERSION,
    }


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    for piece in _pieces(file):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(PIECE_BYTES):
            yield piece
