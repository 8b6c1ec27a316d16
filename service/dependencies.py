"""What routes ask for: the service behind the application, and who is asking."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from strop.service.metrics import Metrics
from strop.service.predictor import Predictor
from strop.service.settings import Settings
from strop.service.store.database import Database


@dataclass(frozen=True)
class Service:
    """What the application holds, once, for all requests."""

    settings: Settings
    database: Database
    predictor: Predictor
    metrics: Metrics
    stopping: threading.Event = field(default_factory=threading.Event, kw_only=True)  # streams end themselves then
    intake: asyncio.Lock = field(default_factory=asyncio.Lock, kw_only=True)  # who has it checks an upload


def service_of(request: Request) -> Service:
    """Return the service of the application that answers."""
    found: Service = request.app.state.service
    return found


ServiceHere = Annotated[Service, Depends(service_of)]
