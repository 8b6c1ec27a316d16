"""The layers between the network and the routes, in their order."""

from __future__ import annotations

from fastapi import FastAPI

from strop.service.access import Answered
from strop.service.dependencies import Service
from strop.service.security.callers import Identify
from strop.service.security.hosts import CheckHost
from strop.service.security.keys import demand_key_beyond_loopback
from strop.service.security.limits import LimitBody, LimitRate


def install_guard(app: FastAPI) -> None:
    """Put the layers around the application. Raises `KeyNeeded` if it would be open to other machines without a key."""
    service: Service = app.state.service
    demand_key_beyond_loopback(service.settings, service.database)
    # each wraps those above it
    app.add_middleware(LimitBody, settings=service.settings)
    app.add_middleware(LimitRate, settings=service.settings)
    app.add_middleware(Identify)
    app.add_middleware(CheckHost, settings=service.settings)
    app.add_middleware(Answered)
