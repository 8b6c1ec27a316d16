"""Jobs from afar: the parser of event streams, and reconnecting, against streams that break off at any byte."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strop.host.cli.exit_codes import exit_code_of
from strop.service import client_jobs
from strop.service.client_jobs import JobCrashed, JobEvent, JobFailed, RemoteJob, parse_events
from strop.service.client_transport import ServiceProblem, ServiceUnreachable, Transport

AT = "2026-01-31T12:00:00.000Z"
TYPES = st.sampled_from(["progress", "epoch", "gate"])
DATA = st.dictionaries(st.text(min_size=1).filter(lambda name: name != "at"), st.text() | st.integers(), max_size=3)
EVENTS = [JobEvent(3 * n + 1, "progress", AT, {"step": n, "name": "bee \u2028 é"}) for n in range(40)]
EVENTS.append(JobEvent(200, "succeeded", AT, {}))


def as_stream(events: list[JobEvent], ascii: bool = True) -> bytes:
    """Return events as the service writes them, with comments between them."""
    text = ": follows\n\n"
    for event in events:
        body = json.dumps({"at": event.at, **event.data}, ensure_ascii=ascii)
        text += f"id: {event.id}\nevent: {event.type}\ndata: {body}\n\n: still here\n\n"
    return text.encode()


@given(
    st.lists(st.tuples(TYPES, DATA), max_size=5), st.lists(st.integers(1, 30), min_size=1, max_size=9), st.booleans()
)
def test_events_arrive_in_pieces_of_any_size(
    made: list[tuple[str, dict[str, Any]]], sizes: list[int], ascii: bool
) -> None:
    """Protects the parser: where the network cuts the bytes, within a character or a line end, makes no difference."""
    events = [JobEvent(number, type, AT, data) for number, (type, data) in enumerate(made, 1)]
    stream = as_stream(events, ascii)
    pieces, place = [], 0
    while place < len(stream):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(stream[place : place + size])
        place += size
    assert list(parse_events(pieces)) == events
    assert list(parse_events([stream.replace(b"\n", b"\r\n")])) == events


def test_an_event_that_was_cut_off_is_none() -> None:
    """Protects from half an event: at every byte where a stream can end, what was complete before it counts."""
    stream = as_stream(EVENTS[:3])
    ends = [place + 2 for place in range(len(stream)) if stream[place : place + 2] == b"\n\n"]
    for length in range(len(stream)):
        complete = sum(1 for end in ends[1::2] if end <= length)
        assert list(parse_events([stream[:length]])) == EVENTS[:complete], length


class Box:
    """A service with one job whose streams break off as `cut` says: how many bytes of one arrive, or an exception."""

    def __init__(self, cut: Callable[[], int | Exception | httpx.Response | None], job: dict[str, Any] | None = None):
        self.cut, self.asked = cut, []
        self.job = {"id": "job_1", "state": "running", "result": None, "error": None, **(job or {})}
        self.events = list(EVENTS)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer GET /jobs/job_1 and its events."""
        if not request.url.path.endswith("/events"):
            return httpx.Response(200, json=self.job)
        if request.headers["accept"] == "application/json":
            after = int(request.url.params["after"])
            return httpx.Response(200, json={"data": [{"id": e.id} for e in self.events if e.id > after], "next": None})
        after = int(request.headers["last-event-id"])
        self.asked.append(after)
        how = self.cut()
        if isinstance(how, Exception):
            raise how
        if isinstance(how, httpx.Response):
            return how
        stream = as_stream([event for event in self.events if event.id > after])
        return httpx.Response(200, content=self._broken(stream, how) if how is not None else stream)

    @staticmethod
    def _broken(stream: bytes, length: int) -> Iterator[bytes]:
        yield stream[:length]
        raise httpx.ReadError("cut")

    def remote(self) -> RemoteJob:
        """The job, as a client has it."""
        return RemoteJob(Transport("http://box", transport=httpx.MockTransport(self)), self.job)


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that a client makes, without making them."""
    made: list[float] = []
    monkeypatch.setattr(client_jobs.time, "sleep", made.append)
    return made


def test_every_event_once_whatever_breaks(naps: list[float]) -> None:
    """Protects the promise: cuts at random bytes, refused connections and a proxy's errors lose and repeat nothing."""
    chance = random.Random(7)
    kinds = [
        lambda: chance.randrange(500),
        lambda: chance.randrange(500),
        lambda: httpx.ConnectError("refused"),
        lambda: httpx.Response(502, text="Bad Gateway"),
        lambda: httpx.Response(429, json={"code": "rate_limited", "status": 429}),
    ]
    box = Box(lambda: chance.choice(kinds)())
    assert list(box.remote().events()) == EVENTS
    assert len(box.asked) > 40 and box.asked == sorted(box.asked)


def test_a_following_can_begin_in_the_middle(naps: list[float]) -> None:
    """Protects a program that remembers what it has seen."""
    assert list(Box(lambda: None).remote().events(after=EVENTS[20].id)) == EVENTS[21:]


def test_events_that_a_stream_repeats_are_told_once(naps: list[float]) -> None:
    """Protects from a proxy that replays, or that drops the Last-Event-ID."""
    box = Box(lambda: 500)
    first = list(box.events[:3])
    handler = box.__call__

    def forgetful(request: httpx.Request) -> httpx.Response:
        box.events = first if len(box.asked) == 0 else EVENTS
        request.headers["last-event-id"] = "0"
        box.cut = lambda: None
        return handler(request)

    job = RemoteJob(Transport("http://box", transport=httpx.MockTransport(forgetful)), box.job)
    assert list(job.events()) == EVENTS


def test_it_gives_up_after_so_many_tries_without_an_event(naps: list[float]) -> None:
    """Protects from waiting for ever, and from giving up on a connection that is bad but brings something."""
    box = Box(lambda: httpx.ConnectError("refused"))
    with pytest.raises(ServiceUnreachable, match="job_1: nothing came in 4 tries; .*refused"):
        list(box.remote().events(tries=4))
    assert len(box.asked) == 4 and len(naps) == 3
    naps.clear()
    turns = iter([*([httpx.ConnectError("x")] * 3 + [200]) * 3, *[httpx.ConnectError("x")] * 4])
    box = Box(lambda: next(turns))
    seen: list[JobEvent] = []
    with pytest.raises(ServiceUnreachable):
        seen.extend(box.remote().events(tries=4))
    assert len(box.asked) == 16


def test_pauses_grow_and_stay_bearable(naps: list[float]) -> None:
    """Protects a box that restarts: it has more than a minute, and is not hammered meanwhile."""
    with pytest.raises(ServiceUnreachable):
        list(Box(lambda: httpx.ConnectError("refused")).remote().events())
    assert naps == sorted(naps) and naps[0] <= 0.1 and naps[-1] == client_jobs.LONGEST_PAUSE and sum(naps) > 60


def test_a_refusal_is_not_repeated(naps: list[float]) -> None:
    """Protects the message of a wrong id or key: it comes at once, not after twenty tries."""
    box = Box(lambda: httpx.Response(404, json={"code": "not_found", "detail": "no", "status": 404}))
    with pytest.raises(ServiceProblem, match="no"):
        list(box.remote().events())
    assert len(box.asked) == 1 and naps == []


def test_a_stream_that_ends_early_is_opened_again(naps: list[float]) -> None:
    """Protects against a service that shuts down politely: its stream ends well, but the job has not."""
    box = Box(lambda: None)
    box.events = EVENTS[:5]

    def later() -> None:
        box.events = EVENTS if len(box.asked) == 3 else EVENTS[:5]

    box.cut = later
    assert list(box.remote().events()) == EVENTS
    assert box.asked == [0, EVENTS[4].id, EVENTS[4].id]


def test_behind_the_last_event_there_is_nothing(naps: list[float]) -> None:
    """Protects who asks once more after the end: an empty answer, not twenty tries."""
    box = Box(lambda: None, {"state": "succeeded"})
    assert list(box.remote().events(after=EVENTS[-1].id)) == []
    assert len(box.asked) == 1


def test_a_result_or_the_reason_why_there_is_none() -> None:
    """Protects `wait`: it never returns what is no result, and a job that crashed is no fault of the request."""
    error = {"code": "unacceptable", "detail": "too long", "remedy": "Shorten it."}
    done = Box(lambda: None, {"state": "succeeded", "result": {"version": 2}}).remote()
    assert done.wait() == {"version": 2} and done.ended
    with pytest.raises(ServiceProblem, match="job_1 is running"):
        _ = Box(lambda: None).remote().result
    for code, kind, exit_code in (("unacceptable", JobFailed, 4), ("crash_loop", JobCrashed, 5)):
        failed = Box(lambda: None, {"state": "failed", "error": {**error, "code": code}}).remote()
        with pytest.raises(JobFailed, match="job_1: too long. Shorten it.") as caught:
            failed.wait()
        assert type(caught.value) is kind and caught.value.code == code and exit_code_of(caught.value) == exit_code
    with pytest.raises(JobFailed, match="cancelled"):
        Box(lambda: None, {"state": "cancelled"}).remote().wait()
