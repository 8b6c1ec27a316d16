"""Bodies of requests and answers about the box itself: probes, device, keys."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from strop.service.security.keys import NAME_LENGTH, SCOPES, Scope


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """Jobs and predictions can be served."""

    status: Literal["ready"] = "ready"


class WorkerAnswer(BaseModel):
    """The process that has the device."""

    pid: int
    started: str | None


class DeviceAnswer(BaseModel):
    """The worker's device, what its self-test gave, and what it does: dead is a worker that left no other word."""

    state: Literal["none", "dead", "starting", "idle", "training", "stopping", "failed"]
    worker: WorkerAnswer | None
    device: dict[str, Any] | None
    selftest: dict[str, Any] | None
    job: str | None


class KeyRequest(BaseModel):
    """A new key: what it is called, and what it may do."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=NAME_LENGTH)
    scopes: list[Scope] = Field(min_length=1, max_length=len(SCOPES), description="admin implies the others")


class KeyAnswer(BaseModel):
    """A key, without its secret: that is nowhere."""

    id: str
    name: str
    scopes: list[Scope]
    created: str
    revoked: str | None


class NewKeyAnswer(KeyAnswer):
    """A key that was just made: `key` is shown this once."""

    key: str


class KeyList(BaseModel):
    """A page of keys, newest first; `next` goes into ?after= for the next page."""

    data: list[KeyAnswer]
    next: str | None
