"""Bodies of requests and answers about jobs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

DEFAULT_MODEL = "lenet5-fashion-mnist"
MODEL_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}(@([a-z][a-z0-9-]{0,30}|[1-9][0-9]{0,8}))?$"


class Strict(BaseModel):
    """A body in which an unknown field, or true for 1, is an error: a typing mistake must not pass unnoticed."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Gate(Strict):
    """What the new version must reach to be promoted: on `validation`, and on `reference`, data it knew before."""

    min_accuracy: float | None = Field(None, ge=0, le=1, description="on the validation data")
    max_forgetting: float | None = Field(None, ge=0, le=1, description="accuracy it may lose on the reference data")
    reference: str | None = Field(None, max_length=200, description="data set of what must not be forgotten")
    promote: str | None = Field(None, pattern=r"^[a-z][a-z0-9-]{0,30}$", description="alias for a version that passes")


class FinetuneRequest(Strict):
    """A fine-tuning: which model, on what, and how. What is left out takes a default that the job then shows."""

    model: str = Field(DEFAULT_MODEL, pattern=MODEL_PATTERN, description="NAME, NAME@alias or NAME@number")
    data: str = Field(max_length=200, description='id of a data set, a built-in name, or "samples" for those posted')
    shift: str | None = Field(None, max_length=40, description="of the data: invert, rotate90, noise, contrast")
    validation: str | None = Field(None, max_length=200, description="data set; default: the test part of `data`")
    steps: int | None = Field(None, ge=1, le=1_000_000)
    epochs: int | None = Field(None, ge=1, le=10_000)
    batch: int | Literal["auto"] = 32
    learning_rate: float | Literal["auto"] = 0.01
    schedule: Literal["constant", "step", "paper", "cosine"] = "step"
    momentum: float = Field(0.9, ge=0, le=0.996)
    weight_decay: float = Field(0.0, ge=0, le=1)
    frozen: list[str] = Field(default_factory=list, max_length=200)
    seed: int = Field(0, ge=0, lt=2**63)
    checkpoint_every: int | None = Field(None, ge=1, le=1_000_000, description="steps")
    gate: Gate | None = None
    dry_run: bool = Field(False, description="check and estimate, start nothing")

    @model_validator(mode="after")
    def _one_length(self) -> FinetuneRequest:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("give steps or epochs, not both")
        return self


class JobAnswer(BaseModel):
    """A job as it is now."""

    id: str
    kind: str
    state: str
    created: str
    updated: str
    started: str | None
    finished: str | None
    attempts: int
    cancel_requested: bool
    queue_position: int | None
    spec: dict[str, Any]
    progress: dict[str, Any] | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None


class JobList(BaseModel):
    """A page of jobs, newest first; `next` goes into ?after= for the next page."""

    data: list[JobAnswer]
    next: str | None


class EstimateAnswer(BaseModel):
    """What a fine-tuning would be: nothing was started."""

    dry_run: Literal[True] = True
    spec: dict[str, Any]
    samples: int
    steps: int
    memory_bytes: int
    modelled_seconds: dict[str, float] = Field(description="training steps on each board, modelled, not measured")


class EventAnswer(BaseModel):
    """One event of a job."""

    id: int
    at: str
    type: str
    data: dict[str, Any]


class EventList(BaseModel):
    """A page of events, oldest first; `next` goes into ?after=."""

    data: list[EventAnswer]
    next: int | None
