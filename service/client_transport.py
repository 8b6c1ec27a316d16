"""How the client speaks HTTP: requests with the key, problem details as exceptions, files in both directions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from strop.host.atomic_file import write_atomically
from strop.runtime.errors import DeviceBusy, DeviceError, InputError, StropError

TOO_MANY, SERVER_ERRORS = 429, 500


class ServiceProblem(StropError):
    """What the service refused. `code`, `detail` and `remedy` are its problem details, `body` all members of them."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.code, self.detail, self.remedy = (str(body.get(name, "")) for name in ("code", "detail", "remedy"))
        self.status = int(body.get("status", 0))
        detail = self.detail.rstrip(".") or self.code
        super().__init__(f"{detail}. {self.remedy}" if self.remedy else detail)


class ServiceBusy(ServiceProblem, DeviceBusy):
    """It has too much to do: the queue is full, or this key asks too often. Later it may work."""


class ServiceFailed(ServiceProblem, DeviceError):
    """It could not answer, through no fault of the request."""


class ServiceUnreachable(DeviceError):
    """Nobody answered, or the answer broke off."""


class Transport:
    """Requests to one service. Threads may share it."""

    def __init__(
        self, url: str, key: str | None = None, timeout: float = 30.0, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.url = _checked_url(url)
        headers = {} if key is None else {"Authorization": f"Bearer {_checked_key(key)}"}
        # No proxy and no password of the environment: a key goes to the box that was named and to nobody else.
        self._http = httpx.Client(
            base_url=self.url, headers=headers, timeout=timeout, transport=transport, trust_env=False
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def document(self, method: str, path: str, **request: Any) -> Any:
        """Return the JSON that the service answers, None where it answers nothing. Raises what `open` raises."""
        with self.open(method, path, **request) as response:
            body = response.read()
        if not body:
            return None
        try:
            return json.loads(body)
        except ValueError:
            raise ServiceProblem(_foreign(response, f"answered {method} {path} with no JSON")) from None

    def entries(self, path: str, member: str = "data", **params: Any) -> Iterator[dict[str, Any]]:
        """Yield the entries of a list, page after page; `member` is where a page has them."""
        after: str | int | None = None
        while True:
            asked = {name: value for name, value in {**params, "after": after}.items() if value is not None}
            page = self.document("GET", path, params=asked)
            yield from page[member]
            after = page["next"]
            if after is None:
                return

    def download(self, path: str, target: str | Path, sha256: str | None = None) -> Path:
        """Write the bytes at `path` into a file, which is there whole or not at all, and has the digest that is given.

        Raises OSError where it cannot be written.
        """
        with self.open("GET", path) as response:
            return write_atomically(target, _checked(response, sha256))

    @contextmanager
    def open(self, method: str, path: str, **request: Any) -> Iterator[httpx.Response]:
        """Send a request; yield the answer, whose body has not been read.

        Raises ServiceProblem where the service refuses, ServiceUnreachable where the connection cannot be had or ends.
        """
        try:
            with self._http.stream(method, path, **request) as response:
                if not response.is_success:
                    raise _problem(response)
                yield response
        except httpx.TransportError as error:
            what = str(error) or type(error).__name__
            raise ServiceUnreachable(
                f"{self.url} does not answer ({what}); is `strop serve` running there, and is this its address?"
            ) from error


def _checked(response: httpx.Response, sha256: str | None) -> Iterator[bytes]:
    digest = hashlib.sha256()
    for piece in response.iter_bytes():
        digest.update(piece)
        yield piece
    if sha256 is not None and digest.hexdigest() != sha256:
        detail = f"sent a file with sha256 {digest.hexdigest()}; {sha256} is recorded of it"
        raise ServiceProblem(_foreign(response, detail))


def _checked_url(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InputError(f"{url!r} is no address: {error}; write http://HOST:PORT") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise InputError(f"{url!r} is no address of a service; write http://HOST:PORT")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise InputError(f"the address of {parsed.host} has a password, a query or a fragment; write http://HOST:PORT")
    return str(parsed).rstrip("/")


def _checked_key(key: str) -> str:
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise InputError("the key is empty or holds characters that no key has; copy it once more")
    return key


def _problem(response: httpx.Response) -> ServiceProblem:
    response.read()
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or "code" not in body:
        body = _foreign(response, f"answered {response.status_code} without saying why")
    if response.status_code == TOO_MANY:
        return ServiceBusy(body)
    return ServiceFailed(body) if response.status_code >= SERVER_ERRORS else ServiceProblem(body)


def _foreign(response: httpx.Response, what: str) -> dict[str, Any]:
    """Return a problem for an answer that is not the service's: a proxy's, or another program's."""
    host = response.request.url.host
    return {"status": response.status_code, "code": "foreign_answer", "detail": f"{host} {what}", "remedy": FOREIGN}


FOREIGN = "Is this the address of a strop service, and no proxy in between?"
