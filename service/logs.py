"""Logs: one JSON object a line on standard error, for people, journald and whatever reads it."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from typing import Any

from strop.service.times import isoformat

REQUEST: ContextVar[str | None] = ContextVar("request", default=None)  # of the request that is being answered


def request_id() -> str | None:
    """Return the id of the request that is being answered here, if one is."""
    return REQUEST.get()


class JsonLines(logging.Formatter):
    """time, level, logger, message, the request that it concerns, and the fields of `extra={"fields": {...}}`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line: dict[str, Any] = {
            "time": isoformat(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request := request_id():
            line["request"] = request
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(level: int = logging.INFO) -> None:
    """Let every logger of the process write such lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Its lines have the query string, and so could have a key; access.py writes better ones.
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False
