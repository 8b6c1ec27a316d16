"""The application: routes, errors, and what they share. It holds no device; the worker does (serve.py starts it)."""

from __future__ import annotations

from fastapi import FastAPI

from strop.host.version import strop_version
from strop.service.bootstrap import add_shipped_models
from strop.service.dependencies import Service
from strop.service.metrics import Metrics
from strop.service.predictor import Predictor
from strop.service.problems import install_handlers
from strop.service.routes import dashboard, datasets, events, jobs, keys, models, operation, predict, samples
from strop.service.security.guard import install_guard
from strop.service.settings import Settings
from strop.service.store.database import Database

DESCRIPTION = """Fine-tunes networks in 8-bit integers, on the board behind it, and serves them.

Errors are problem details (RFC 9457) with a `code` and a `remedy`."""
ROUTERS = (
    jobs.router,
    events.router,
    operation.router,
    keys.router,
    models.router,
    predict.router,
    datasets.router,
    samples.router,
    dashboard.router,
)


def create_app(settings: Settings) -> FastAPI:
    """Return the application on a data folder, which is made, migrated and given the shipped models if need be."""
    database = Database(settings.database)
    add_shipped_models(settings, database)
    app = FastAPI(title="strop", version=strop_version(), description=DESCRIPTION, docs_url=None, redoc_url=None)
    app.state.service = Service(settings, database, Predictor(settings.data), Metrics(settings, database))
    install_handlers(app)
    install_guard(app)
    for router in ROUTERS:
        app.include_router(router)
    return app
