"""The table of a job's states, and that the store keeps to it whatever is asked of it in whatever order."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule
from hypothesis.strategies import booleans, integers

from job_folders import check_turns
from strop.service.job_states import STATES, TERMINAL, TRANSITIONS, WrongTransition, check_transition
from strop.service.store import events, jobs
from strop.service.store.database import Database


def test_nothing_happens_to_a_job_that_has_ended() -> None:
    """Protects results: from no terminal state is there a way."""
    assert not [pair for pair in TRANSITIONS if pair[0] in TERMINAL]
    assert set(TERMINAL) < set(STATES)


@pytest.mark.parametrize(("before", "after"), list(itertools.product(STATES, STATES)))
def test_only_what_the_table_has_is_allowed(before: str, after: str) -> None:
    """Protects the table from code beside it."""
    allowed = (before, after) in TRANSITIONS
    try:
        check_transition(before, after)  # type: ignore[arg-type]
    except WrongTransition as error:
        assert not allowed and f"from {before} to {after}" in str(error)
    else:
        assert allowed


def test_every_state_can_be_reached_and_left_towards_an_end() -> None:
    """Protects from a state in which jobs would stay for ever."""
    reached = {"queued"}
    for _ in STATES:
        reached |= {after for before, after in TRANSITIONS if before in reached}
    assert reached == set(STATES)
    ending = set(TERMINAL)
    for _ in STATES:
        ending |= {before for before, after in TRANSITIONS if after in ending}
    assert ending == set(STATES)


class JobStore(RuleBasedStateMachine):
    """Clients that queue and cancel, and a worker that claims, ends, stops and dies, in any order."""

    waiting = Bundle("waiting")
    folder: Path
    number = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.database = Database(self.folder / f"{next(self.number)}.db")
        self.running: str | None = None
        self.queue: list[str] = []
        self.known: set[str] = set()

    def teardown(self) -> None:
        self.database.close()

    @rule(target=waiting)
    def create(self) -> str:
        with self.database.transaction() as db:
            job = jobs.create(db, "finetune", {"request": {}})
        self.queue.append(job.id)
        self.known.add(job.id)
        return job.id

    @rule()
    def claim(self) -> None:
        if self.running is not None:
            return  # the one worker has its hands full
        with self.database.transaction() as db:
            job = jobs.claim(db)
        while self.queue and (job is None or job.id != self.queue[0]):
            failed = jobs.get(self.database.read(), self.queue.pop(0))
            assert failed.error is not None and failed.error["code"] == "crash_loop"
            assert failed.attempts == jobs.MAX_ATTEMPTS
        assert (None if job is None else job.id) == (self.queue.pop(0) if self.queue else None)
        self.running = None if job is None else job.id

    @rule(step=integers(0, 9))
    def checkpoint(self, step: int) -> None:
        if self.running is not None:
            with self.database.transaction() as db:
                jobs.note_checkpoint(db, self.running, step)
                assert jobs.get(db, self.running).attempts == 1

    @rule(good=booleans())
    def end(self, good: bool) -> None:
        if self.running is not None:
            with self.database.transaction() as db:
                job = jobs.get(db, self.running)
                jobs.move(db, job, "succeeded") if good else jobs.fail(db, job, "internal", "because", "wait")
            self.running = None

    @rule()
    def worker_dies(self) -> None:
        with self.database.transaction() as db:
            assert jobs.release_orphans(db) == ([] if self.running is None else [self.running])
        self._back()

    @rule()
    def worker_stops(self) -> None:
        if self.running is not None:
            with self.database.transaction() as db:
                jobs.release(db, jobs.get(db, self.running), "the service was stopped", counts=False)
            self._back()

    def _back(self) -> None:
        """A job that was interrupted comes first again: it is the oldest. One to be cancelled has ended."""
        if self.running is not None:
            if jobs.get(self.database.read(), self.running).state == "queued":
                self.queue.insert(0, self.running)
            self.running = None

    @rule(id=waiting)
    def cancel(self, id: str) -> None:
        with self.database.transaction() as db:
            before = jobs.get(db, id)
            after = jobs.request_cancel(db, before)
        if before.terminal:
            assert after == before
        elif before.state == "queued":
            assert after.state == "cancelled"
            self.queue.remove(id)
        else:
            assert (after.state, after.cancel_requested) == ("running", True)

    @invariant()
    def nothing_is_lost(self) -> None:
        """Every job is known, at one place: waiting in order, running, or ended with an event that says so."""
        db = self.database.read()
        found = {job.id: job for job in jobs.page(db, None, 200)}
        assert set(found) == self.known
        running = [] if self.running is None else [self.running]
        assert [job.id for job in found.values() if job.state == "running"] == running
        assert [job.id for job in reversed(found.values()) if job.state == "queued"] == self.queue
        assert [jobs.queue_position(db, found[id]) for id in self.queue] == list(range(len(self.queue)))
        for job in found.values():
            last = [event.type for event in events.after(db, job.id, 0, 10000)][-1]
            assert job.terminal == (last in TERMINAL) == (job.finished is not None)
            assert not job.terminal or last == job.state

    @invariant()
    def one_at_a_time(self) -> None:
        """The events alone tell that no two jobs ran at once."""
        rows = self.database.read().execute("SELECT job_id, type FROM events ORDER BY seq")
        check_turns([(row["job_id"], row["type"]) for row in rows])


def test_any_order_of_events(tmp_path: Path) -> None:
    """Protects the queue: whatever clients and worker do, no job is lost, doubled, overtaken or left without an end."""
    JobStore.folder = tmp_path
    machine = JobStore.TestCase
    machine.settings = hypothesis_settings(max_examples=40, stateful_step_count=40, deadline=None, derandomize=True)
    machine().runTest()
