"""POST /predict: what a version makes of images. It changes nothing."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends
from numpy.typing import NDArray

from strop.service.dependencies import ServiceHere
from strop.service.image_decoding import UndecodableImage, decode_image
from strop.service.problems import Problem, problems
from strop.service.references import find_version
from strop.service.schemas.models import PredictAnswer, PredictionAnswer, PredictRequest
from strop.service.security.scopes import require

router = APIRouter(tags=["models"])


@router.post("/predict", responses=problems("not_found", "image_invalid", "model_untrained", "version_damaged"))
def predict(
    body: PredictRequest, service: ServiceHere, _: Annotated[str, Depends(require("predict"))]
) -> PredictAnswer:
    """Classify images. All of them by one version: the one that the alias points at when the request comes."""
    model, version = find_version(service.database.read(), body.model)
    channels, height, width = version.manifest["shape"]
    shape = (channels, height, width)
    images = np.stack([_pixels(index, image, shape) for index, image in enumerate(body.images)])
    found = service.predictor.predict(version, images)
    service.metrics.predictions.inc(len(images))
    classes: list[str] = version.manifest["classes"]
    return PredictAnswer(
        model=model.name,
        version=version.number,
        sha256=version.sha256,
        predictions=[
            PredictionAnswer(
                label=label,
                class_=classes[label],
                probability=row[label],
                probabilities=dict(zip(classes, row, strict=True)),
            )
            for label, row in zip(found.labels.tolist(), found.probabilities.tolist(), strict=True)
        ],
    )


def _pixels(index: int, image: str | list[Any], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return one image of a request, uint8 `shape`. Raises `Problem` image_invalid."""
    try:
        return decode_image(image, shape) if isinstance(image, str) else _from_lists(image, shape)
    except UndecodableImage as error:
        raise Problem("image_invalid", f"images/{index}: {error}", index=index) from error


def _from_lists(image: list[Any], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    array = np.array(image, object)  # not of the dtype that numpy would guess: one long text makes that enormous
    if array.shape != shape and not (shape[0] == 1 and array.shape == shape[1:]):
        raise UndecodableImage(f"the lists have the shape {list(array.shape)}, the model takes {list(shape)}")
    if not all(type(value) is int and 0 <= value <= 255 for value in array.flat):
        raise UndecodableImage("the lists hold something else than whole numbers from 0 to 255")
    return array.astype(np.uint8).reshape(shape)
