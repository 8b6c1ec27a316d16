"""A model of a service, from afar: its versions, what its aliases point at, and moving them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from strop.service.client_jobs import RemoteJob
from strop.service.client_transport import Transport

PRODUCTION = "production"


class RemoteModel:
    """A model as it was when the service last told of it: `data` is the whole of GET /models/{name}."""

    def __init__(self, transport: Transport, data: dict[str, Any]) -> None:
        self._transport = transport
        self.data = data

    def __repr__(self) -> str:
        return f"RemoteModel({self.name!r})"

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self.data["name"])

    @property
    def _path(self) -> str:
        return f"/models/{self.name}"

    def refresh(self) -> RemoteModel:
        """Ask how it is now; return self."""
        self.data = self._transport.document("GET", self._path)
        return self

    def versions(self) -> Iterator[dict[str, Any]]:
        """Yield its versions, newest first."""
        return self._transport.entries(self._path, "versions")

    def version(self, number: int) -> dict[str, Any]:
        """Return what is recorded of a version: where it came from, digests, accuracy."""
        found: dict[str, Any] = self._transport.document("GET", f"{self._path}/versions/{number}")
        return found

    def promote(self, version: int, alias: str = PRODUCTION, reason: str | None = None) -> dict[str, Any]:
        """Let an alias point at a version, from the next prediction on; return the service's answer."""
        return self._changed("PUT", f"/aliases/{alias}", version=version, reason=reason)

    def rollback(
        self, alias: str = PRODUCTION, reason: str | None = None, current: int | None = None
    ) -> dict[str, Any]:
        """Let an alias point at what it pointed at before; return the service's answer.

        With `current`, the version that it points at now, a request that is sent twice goes back once.
        """
        return self._changed("POST", "/rollback", alias=alias, reason=reason, current=current)

    def history(self) -> Iterator[dict[str, Any]]:
        """Yield every change of an alias, newest first."""
        return self._transport.entries(f"{self._path}/history")

    def verify(self, version: int) -> RemoteJob:
        """Let the service train the version again and compare every byte; return that job."""
        return RemoteJob(self._transport, self._transport.document("POST", f"{self._path}/versions/{version}/verify"))

    def download(self, version: int, path: str | Path) -> Path:
        """Write a version into a file; `strop.host.Model.load` reads it."""
        sha256 = self.version(version)["file_sha256"]
        return self._transport.download(f"{self._path}/versions/{version}/weights", path, sha256)

    def _changed(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        given = {name: value for name, value in body.items() if value is not None}
        found: dict[str, Any] = self._transport.document(method, self._path + path, json=given)
        return found
