"""What routes ask for: the service behind the application, and who is asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from strop.service.settings import Settings
from strop.service.store.database import Database


@dataclass(frozen=True)
class Service:
    """What the application holds, once, for all requests."""

    settings: Settings
    database: Database


def service_of(request: Request) -> Service:
    """Return the service of the application that answers."""
    found: Service = request.app.state.service
    return found


ServiceHere = Annotated[Service, Depends(service_of)]
