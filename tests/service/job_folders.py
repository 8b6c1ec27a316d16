"""Data folders with jobs, what their weights must be, and what must hold of a folder whatever happened to it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from strop.host import Model, load_dataset, read_checkpoint, state_digest
from strop.host.data import shift_dataset
from strop.host.pretrained import pretrained_path
from strop.service.bootstrap import add_shipped_models
from strop.service.schemas.jobs import DEFAULT_MODEL, FinetuneRequest
from strop.service.settings import Settings
from strop.service.store import jobs, models
from strop.service.store.database import Database
from strop.service.store.jobs import Job

DATA = "fashion-mnist-subset"
BEGINS, ENDS = ("started", "resumed"), ("interrupted", "succeeded", "failed", "cancelled")


def request(**words: Any) -> dict[str, Any]:
    """Return a fine-tuning as clients send it, for the bundled data."""
    return {"data": DATA, "steps": 40, "batch": 64, "schedule": "constant", **words}


def make_folder(data: Path, *requests: dict[str, Any]) -> list[str]:
    """Make a data folder in which these fine-tunings wait; return the jobs' ids. No server takes part."""
    settings = Settings(data=data)
    with closing(Database(data / "strop.db")) as database:
        add_shipped_models(settings, database)
        return [queue(database, each).id for each in requests]


def queue(database: Database, words: dict[str, Any]) -> Job:
    """Queue a fine-tuning of the shipped model."""
    model = models.find_model(database.read(), DEFAULT_MODEL)
    assert model is not None
    parent = models.numbered(database.read(), model.id, 1)
    assert parent is not None
    spec = {
        "request": FinetuneRequest(**words).model_dump(exclude={"dry_run"}),
        "model_id": model.id,
        "model": f"{model.name}@1",
        "parent_id": parent.id,
        "has_test_part": True,
    }
    with database.transaction() as db:
        return jobs.create(db, "finetune", spec)


def uninterrupted(words: dict[str, Any]) -> str:
    """Return sha256 of the state that a fine-tuning of the shipped model must end in: computed without the service."""
    asked = FinetuneRequest(**words)
    dataset = load_dataset(asked.data)
    if asked.shift is not None:
        dataset = shift_dataset(dataset, asked.shift)
    fit = asked.model_dump(
        include={"steps", "batch", "learning_rate", "schedule", "momentum", "weight_decay", "frozen", "seed"}
    )
    with Model.load(pretrained_path(DEFAULT_MODEL), device="emulator", threads=1) as model:
        model.fit(dataset, **fit)
        return model.digest()


def check_files(data: Path) -> None:
    """Assert that every file with a checkpoint's name is a whole one, also where nothing refers to it."""
    for path in data.rglob("*.safetensors"):
        read_checkpoint(path)


def check_folder(data: Path) -> None:
    """Assert what must hold at any time: a sound database, readable files, and one job at a time."""
    check_files(data)
    with closing(sqlite3.connect(data / "strop.db")) as db:
        db.row_factory = sqlite3.Row
        assert [row[0] for row in db.execute("PRAGMA integrity_check")] == ["ok"]
        assert list(db.execute("PRAGMA foreign_key_check")) == []
        for row in db.execute("SELECT * FROM versions"):
            assert state_digest(read_checkpoint(data / row["path"]).state) == row["sha256"]
        check_turns([(row["job_id"], row["type"]) for row in db.execute("SELECT * FROM events ORDER BY seq")])
        for row in db.execute("SELECT * FROM jobs WHERE state = 'succeeded'"):
            versions = db.execute("SELECT sha256 FROM versions WHERE job_id = ?", (row["id"],)).fetchall()
            assert [each["sha256"] for each in versions] == [json.loads(row["result"])["sha256"]]


def check_turns(events: list[tuple[str, str]]) -> None:
    """Assert of (job, type) of all events, in order: a job ends or is interrupted before one begins."""
    running: str | None = None
    for job, type in events:
        if type in BEGINS:
            assert running is None, f"{job} began while {running} was running"
            running = job
        elif type in ENDS and running == job:
            running = None
        else:
            assert type in ("queued", "cancelled", "failed") or running == job, f"{type} of {job} during {running}"
