"""Bodies of requests and answers about models, and of predictions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from strop.service.schemas.jobs import DEFAULT_MODEL, MODEL_PATTERN, Strict

MODEL_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
ALIAS = r"^[a-z][a-z0-9-]{0,30}$"
MAX_NUMBER = 10**9 - 1  # as many digits as MODEL_PATTERN lets through
MAX_IMAGES = 256
LONGEST_REASON = 500

Reason = Annotated[str | None, Field(max_length=LONGEST_REASON, description="kept in the history")]


class BufferPolicy(Strict):
    """Samples are kept until a job asks for them."""

    mode: Literal["buffer"]


class LearnEveryPolicy(Strict):
    """Whenever so many labelled samples are waiting, a job trains on them; its version takes no alias by itself."""

    mode: Literal["learn_every"]
    samples: int = Field(ge=2, le=10_000)
    steps: int = Field(ge=1, le=1_000_000)


Policy = Annotated[BufferPolicy | LearnEveryPolicy, Field(discriminator="mode")]


class Promotion(Strict):
    """Which version an alias is to point at."""

    version: int = Field(ge=1, le=MAX_NUMBER, description="number")
    reason: Reason = None


class Rollback(Strict):
    """An alias goes back to what it pointed at before."""

    alias: str = Field("production", pattern=ALIAS)
    reason: Reason = None
    current: int | None = Field(
        None, ge=1, le=MAX_NUMBER, description="number that it points at now: a request sent twice goes back once"
    )


class PredictRequest(Strict):
    """Images to classify. Each: base64 of raw pixels uint8 [C, H, W], of a PNG or JPEG, or nested lists of 0 to 255."""

    model: str = Field(DEFAULT_MODEL, pattern=MODEL_PATTERN, description="NAME, NAME@alias or NAME@number")
    images: list[str | list[Any]] = Field(min_length=1, max_length=MAX_IMAGES)


class ModelSummary(BaseModel):
    """A model in the list of models."""

    name: str
    created: str
    aliases: dict[str, int] = Field(description="numbers of versions")
    versions: int = Field(description="how many there are")
    policy: Policy


class ModelList(BaseModel):
    """A page of models, newest first; `next` goes into ?after= for the next page."""

    data: list[ModelSummary]
    next: str | None


class VersionAnswer(BaseModel):
    """One version, which never changes, and where it came from: `parent` and `job`, or `source` of an import."""

    id: str
    model: str
    number: int
    created: str
    aliases: list[str]
    parent: int | None = Field(description="number")
    job: str | None
    source: str | None
    data: str | None = Field(description="what the job trained on")
    sha256: str = Field(description="of the weights and all training state, the same on every device")
    file_sha256: str
    network: str
    shape: list[int] = Field(description="of an image: channels, height, width")
    classes: list[str]
    accuracy: dict[str, Any] | None = Field(description="before and after the job, on validation and reference data")
    gate: dict[str, Any] | None


class VersionDetail(VersionAnswer):
    """One version with everything that was recorded of it: request, hyperparameters, device, versions of numerics."""

    manifest: dict[str, Any]


class ModelAnswer(BaseModel):
    """A model with a page of its versions, newest first; `next` goes into ?after= for the next page."""

    name: str
    created: str
    aliases: dict[str, int] = Field(description="numbers of versions")
    policy: Policy
    versions: list[VersionAnswer]
    next: int | None


class AliasAnswer(BaseModel):
    """What an alias points at now, and pointed at before."""

    model: str
    alias: str
    version: int
    previous: int | None
    changed: bool


class DeploymentAnswer(BaseModel):
    """One change of an alias: who, when, why, from where to where."""

    id: int
    at: str
    alias: str
    action: str
    previous: int | None
    version: int
    reason: str | None
    key: str | None


class DeploymentList(BaseModel):
    """A page of the history, newest first; `next` goes into ?after= for the next page."""

    data: list[DeploymentAnswer]
    next: int | None


class PredictionAnswer(BaseModel):
    """What the model makes of one image."""

    label: int
    class_: str = Field(serialization_alias="class")
    probability: float
    probabilities: dict[str, float]


class PredictAnswer(BaseModel):
    """Predictions in the order of the images, and the version that made all of them."""

    model: str
    version: int
    sha256: str
    predictions: list[PredictionAnswer]
