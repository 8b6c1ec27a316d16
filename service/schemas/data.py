"""Bodies of requests and answers about data sets, and about samples that come one by one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StrictInt, StrictStr

from strop.service.schemas.jobs import DEFAULT_MODEL, MODEL_PATTERN, Strict
from strop.service.store.samples import SampleState

LONGEST_NAME = 200

Label = Annotated[
    StrictInt | Annotated[StrictStr, Field(max_length=LONGEST_NAME)] | None,
    Field(description="a class of the model, by name or by number from 0; null while it is not known"),
]


class DatasetAnswer(BaseModel):
    """A data set: the samples that were accepted, and how many were put aside."""

    id: str
    name: str
    sha256: str = Field(description="of the body that it came in")
    created: str
    format: str
    samples: int
    quarantined: int
    shape: list[int] = Field(description="[C, H, W]")
    classes: list[str]
    bytes: int = Field(description="that it takes on the disk")


class DatasetList(BaseModel):
    """A page of data sets, newest first; `next` goes into ?after= for the next page."""

    data: list[DatasetAnswer]
    next: str | None


class QuarantineAnswer(BaseModel):
    """A sample that was put aside, and why. Its pixels are not kept."""

    id: int
    dataset: str | None
    sample: str | None
    source: str = Field(description="its place in the upload, or the model that it was posted for")
    reason: str
    at: str


class QuarantineList(BaseModel):
    """A page of what was put aside, newest first; `next` goes into ?after= for the next page."""

    data: list[QuarantineAnswer]
    next: int | None


class SampleRequest(Strict):
    """One sample for a model to learn. The image is base64 of raw pixels uint8 [C, H, W], or of a PNG or JPEG file."""

    model: str = Field(DEFAULT_MODEL, pattern=MODEL_PATTERN, description="NAME, NAME@alias or NAME@number")
    image: str
    label: Label = None


class LabelRequest(Strict):
    """The label of a sample."""

    label: Label


class SampleAnswer(BaseModel):
    """A sample as it is now; `job` has it, or has learned it."""

    id: str
    model: str
    state: SampleState
    label: int | None
    class_name: str | None = Field(serialization_alias="class")
    shape: list[int]
    sha256: str = Field(description="of its pixels")
    created: str
    job: str | None


class SampleList(BaseModel):
    """A page of samples, newest first; `next` goes into ?after= for the next page."""

    data: list[SampleAnswer]
    next: str | None


class SampleTaken(BaseModel):
    """What was done with a sample: `reason` says why it was put aside, or why no job learns it although one should."""

    id: str
    model: str
    state: SampleState | Literal["quarantined"]
    action: Literal["queued", "learning", "unlabelled", "quarantined"]
    label: int | None
    reason: str | None
    job: str | None
