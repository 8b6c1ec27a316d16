"""Checkpoints to import, and versions to ask: made from tiny networks, in a moment."""

from __future__ import annotations

from pathlib import Path

from strop.host import Model, read_checkpoint, state_digest
from strop.host.checkpoint import write_checkpoint
from strop.service.imports import import_version
from strop.service.settings import Settings
from strop.service.store.database import Database
from strop.service.store.models import Version
from tiny_models import tiny_dataset, tiny_model


def tiny_file(path: Path, seed: int = 0, steps: int = 4, features: int = 8) -> Path:
    """Write the checkpoint of a tiny model, trained for `steps`; return its path."""
    with tiny_model(seed=seed, features=features) as model:
        if steps:
            model.fit(tiny_dataset(), steps=steps, batch=20)
        return model.save(path)


def tiny_versions(settings: Settings, database: Database, folder: Path, count: int) -> list[Version]:
    """Return versions 1 to `count` of the model "tiny", imported from files in `folder`."""
    made = []
    for seed in range(count):
        file = tiny_file(folder / f"tiny-{seed}.safetensors", seed)
        made.append(import_version(settings, database, "tiny", file, "a test")[1])
    return made


def change_a_bit(path: Path, name: str) -> str:
    """Change one number of the array `name` in a checkpoint, with all digests in it right; return the new digest."""
    checkpoint = read_checkpoint(path)
    checkpoint.state[name].reshape(-1)[0] ^= 1
    write_checkpoint(path, checkpoint)
    return state_digest(checkpoint.state)


def predicted(path: Path) -> Model:
    """Return the model of a file, to compare answers with."""
    return Model.load(path, device="emulator", threads=1)
