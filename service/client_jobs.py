"""A job of a service, from afar: its events without gap or repetition, its end, its files."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from strop.runtime.errors import DeviceError
from strop.service.client_transport import ServiceBusy, ServiceFailed, ServiceProblem, ServiceUnreachable, Transport
from strop.service.job_states import TERMINAL

TRIES = 20  # in a row that brought nothing; a box that restarts has more than a minute
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0  # seconds between two tries
SILENCE_SECONDS = 60.0  # a stream is never silent for long: the service sends comments
OWN_FAULTS = ("cancelled", "unacceptable")  # codes of what the request, or who cancelled it, is the reason of
HELD_SECONDS = 10.0  # a connection that lasted so long was a good one, also if nothing happened


class JobFailed(ServiceProblem):
    """The job ended without a result: it failed, or somebody cancelled it."""


class JobCrashed(JobFailed, DeviceError):
    """The job failed through no fault of the request."""


@dataclass(frozen=True)
class JobEvent:
    """One thing that happened; `id` grows, `at` is RFC 3339."""

    id: int
    type: str
    at: str
    data: dict[str, Any]

    @property
    def terminal(self) -> bool:
        """Whether it is the job's last."""
        return self.type in TERMINAL


class RemoteJob:
    """A job as it was when the service last told of it: `data` is the whole of GET /jobs/{id}."""

    def __init__(self, transport: Transport, data: dict[str, Any]) -> None:
        self._transport = transport
        self.data = data

    def __repr__(self) -> str:
        return f"RemoteJob({self.id!r}, {self.state!r})"

    @property
    def id(self) -> str:
        """Its name at the service."""
        return str(self.data["id"])

    @property
    def state(self) -> str:
        """queued, running, succeeded, failed or cancelled."""
        return str(self.data["state"])

    @property
    def progress(self) -> dict[str, Any] | None:
        """How far it is: step, steps, loss, images_per_second, eta_seconds; None before its first step."""
        found: dict[str, Any] | None = self.data["progress"]
        return found

    @property
    def ended(self) -> bool:
        """Whether nothing will happen to it any more."""
        return self.state in TERMINAL

    @property
    def result(self) -> dict[str, Any]:
        """What came of it. Raises JobFailed where nothing did, ServiceProblem where it has not ended."""
        if self.state == "succeeded":
            found: dict[str, Any] = self.data["result"]
            return found
        if not self.ended:
            raise ServiceProblem(
                {"code": "not_ended", "detail": f"{self.id} is {self.state}", "remedy": "wait() first"}
            )
        error = self.data["error"] or {"code": "cancelled", "detail": "it was cancelled"}
        kind = JobFailed if error["code"] in OWN_FAULTS else JobCrashed
        raise kind({**error, "detail": f"{self.id}: {error['detail']}"})

    def refresh(self) -> RemoteJob:
        """Ask how it is now; return self."""
        self.data = self._transport.document("GET", f"/jobs/{self.id}")
        return self

    def events(self, after: int = 0, tries: int = TRIES) -> Iterator[JobEvent]:
        """Yield what happened and what happens, from after the event `after`, each once and in order, to the job's end.

        A connection that ends is made again, and goes on behind the last event. Raises ServiceUnreachable after `tries`
        in a row that brought no event, ServiceProblem where the service refuses.
        """
        failures = 0
        while True:
            began, seen, reason = time.monotonic(), after, "the stream ended"
            try:
                for event in self._one_stream(after):
                    after = event.id
                    yield event
                    if event.terminal:
                        return
                if after == seen and self._nothing_beyond(after):
                    return
            except (ServiceUnreachable, ServiceFailed, ServiceBusy) as error:
                reason = str(error)
            if after > seen or time.monotonic() - began >= HELD_SECONDS:
                failures = 0
                continue
            failures += 1
            if failures >= tries:
                raise ServiceUnreachable(f"{self.id}: nothing came in {tries} tries; the last one: {reason}")
            time.sleep(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failures - 1)))

    def wait(self) -> dict[str, Any]:
        """Return the result once there is one, however long that takes. Raises JobFailed, and what `events` raises."""
        for _ in self.events():
            pass
        return self.refresh().result

    def cancel(self) -> RemoteJob:
        """Ask it to end; return self. A job that has ended stays as it is."""
        self.data = self._transport.document("POST", f"/jobs/{self.id}/cancel")
        return self

    def report(self) -> dict[str, Any]:
        """Return what was asked, what it became and why, and the curves."""
        found: dict[str, Any] = self._transport.document("GET", f"/jobs/{self.id}/report")
        return found

    def checkpoint(self, path: str | Path) -> Path:
        """Write the last checkpoint into a file; `strop.host.Model.load` reads it."""
        return self._transport.download(f"/jobs/{self.id}/checkpoint", path)

    def _one_stream(self, after: int) -> Iterator[JobEvent]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        timeout = httpx.Timeout(SILENCE_SECONDS)
        with self._transport.open("GET", f"/jobs/{self.id}/events", headers=headers, timeout=timeout) as response:
            for event in parse_events(response.iter_bytes()):
                if event.id > after:
                    yield event

    def _nothing_beyond(self, after: int) -> bool:
        """Whether an empty stream was empty because all is told, and not because the service was shutting down."""
        if not self.refresh().ended:
            return False
        headers = {"Accept": "application/json"}
        page = self._transport.document("GET", f"/jobs/{self.id}/events", params={"after": after}, headers=headers)
        return not page["data"]


def parse_events(pieces: Iterable[bytes]) -> Iterator[JobEvent]:
    """Yield the events in a stream that arrives in pieces of any size. One that was cut off is none: it comes again."""
    fields: dict[str, str] = {}
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in (each.rstrip(b"\r").decode() for each in lines):
            if line:
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")  # that of a comment is empty, and nobody asks for it
            elif "data" in fields:
                data = json.loads(fields["data"])
                yield JobEvent(int(fields["id"]), fields["event"], data.pop("at"), data)
                fields = {}
