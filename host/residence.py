"""Where a model's state lives: with the host, or in the arena of a device under a session that is made once and kept.

A device has one arena, so one network at a time. Models that share a device take turns: who comes next, first has the
state of who is there fetched. What the models do at the same time, from two threads or from a callback, is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np
from numpy.typing import NDArray

from strop.host.cursor import TrainingSettings
from strop.runtime.cut import Cut, cut
from strop.runtime.device import Device
from strop.runtime.errors import DeviceBusy, DeviceError, MemoryPlanError
from strop.runtime.graph import NetworkGraph
from strop.runtime.session import Minibatch, Session, StepResult

MOMENTUM = ".momentum"  # how the names of such arrays end (runtime/state.py)

State = dict[str, NDArray[Any]]


class _Seat:
    """A device's place for one network."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.activity = ""
        self.taken_by: ref[Residence] | None = None


_SEATS: WeakKeyDictionary[Device, _Seat] = WeakKeyDictionary()
_SEATS_LOCK = threading.Lock()


class Residence:
    """One network's state. The host's copy is the last that is known to be good; after a failure it is gone back to.

    The host's copy is of the whole network. Under a session for what is behind a cut, the device has only that part.
    """

    def __init__(self, graph: NetworkGraph, state: State, device: Device) -> None:
        self.graph, self.device = graph, device
        self._host = {name: np.array(array) for name, array in state.items()}
        self._session: Session | None = None
        self._cut: Cut | None = None  # of the session
        self._settings: TrainingSettings | None = None  # of the session, or of the last one
        self._closed = False
        self._ahead = False  # whether the device's copy is newer than the host's
        with _SEATS_LOCK:
            self._seat = _SEATS.setdefault(device, _Seat())

    @contextmanager
    def turn(self, activity: str) -> Iterator[None]:
        """Have the device for `activity`, alone. Raises `DeviceBusy` if somebody is at it; waits for nobody.

        Raises `DeviceError` after `close`.
        """
        if self._closed:
            raise DeviceError(f"{activity} was asked of a model that was closed; load it again")
        if not self._seat.lock.acquire(blocking=False):
            raise DeviceBusy(
                f"{activity} was asked for while {self._seat.activity} is under way on {self.device.name}: wait "
                "until it returns; from within a callback it can never begin"
            )
        try:
            self._seat.activity = activity
            yield
        finally:
            self._seat.lock.release()

    def close(self) -> None:
        """Have no turn any more; one that is under way goes on."""
        self._closed = True

    # Everything below is for who has the turn.
    def session(self, settings: TrainingSettings) -> Session:
        """Return a session made for `settings` with the state in it: the one at hand if it fits, else a new one.

        Raises `MemoryPlanError`, `LimitError`, `InputError` as making a session does; the state is safe then.
        """
        if self._session is None or self._settings != settings:
            self._leave()
            self._evict_other()
            found = None if settings.after is None else cut(self.graph, settings.after)
            graph, frozen = settings.trained(self.graph)
            session = Session(
                graph,
                self.device,
                batch=settings.batch,
                hyper=settings.hyper,
                frozen=frozen,
                queue=settings.queue,
            )
            session.load_state(self._host if found is None else found.rear_state(self._host))
            self._session, self._cut, self._settings = session, found, settings
            self._seat.taken_by = ref(self)
        return self._session

    def any_session(self, settings: TrainingSettings) -> Session:
        """Return a session for inference: the one at hand, else one as the last, so that it takes no more memory.

        Beside a session for what is behind a cut, one that takes hardly more memory than that; where there was none
        yet, one for `settings`, with the mini-batch that fits.
        """
        if self._session is not None and self._cut is None:
            return self._session
        if self._settings is not None:
            last = self._settings
            return self.session(last if self._cut is None else asking_settings(self.graph, last))
        batch = settings.batch
        while True:
            try:
                return self.session(TrainingSettings(batch, settings.hyper))
            except MemoryPlanError:
                if batch <= 2:
                    raise
                batch //= 2

    def forget_momenta(self, settings: TrainingSettings) -> None:
        """Make every momentum zero on the device, under the session for `settings`; the host's copy stays as it is."""
        session, state = self.session(settings), self.state()
        momenta = {name: np.zeros_like(a) for name, a in state.items() if name.endswith(MOMENTUM) and a.any()}
        if momenta:
            self.will_change()
            session.load_state({**state, **momenta})

    def train(
        self,
        settings: TrainingSettings,
        minibatches: Iterable[Minibatch],
        prepare: Callable[[Session], None] | None = None,
        on_result: Callable[[StepResult], None] | None = None,
    ) -> list[StepResult]:
        """Train on all `minibatches` under `settings`, after `prepare` with the session; return each step's result.

        All or nothing: whatever is raised on the way, also by `on_result` after a step, the state is as before.
        """
        session = self.session(settings)
        self.state()  # to fall back to
        self.will_change()
        try:
            if prepare is not None:
                prepare(session)
            results = []
            for result in session.train(minibatches):
                results.append(result)
                if on_result is not None:
                    on_result(result)
            return results
        except BaseException:
            self.go_back()
            raise

    def replace(self, state: State) -> None:
        """Have `state` instead, of the same network; the arrays become the residence's own."""
        self._host, self._session, self._ahead = state, None, False

    def will_change(self) -> None:
        """Say that the device's copy is about to become newer than the host's, which `go_back` falls back to."""
        self._ahead = True

    def state(self) -> State:
        """Return the state as it is now; the arrays are the residence's own: copy before writing."""
        if self._ahead and self._session is not None:
            state = self._session.state()
            self._host = state if self._cut is None else self._cut.joined(self._host, state)
            self._ahead = False
        return self._host

    def go_back(self) -> None:
        """Forget what the device holds if it is newer: it stopped in the middle. The host's copy counts."""
        if self._ahead:
            self._session, self._ahead = None, False

    def _leave(self) -> None:
        self.state()
        self._session = None

    def _evict_other(self) -> None:
        other = self._seat.taken_by() if self._seat.taken_by is not None else None
        if other is not None and other is not self:
            other._leave()
        self._seat.taken_by = None


def asking_settings(graph: NetworkGraph, settings: TrainingSettings) -> TrainingSettings:
    """Return settings for a session that asks the whole network while its rear trains under `settings`.

    All layers but the last are frozen in it, since a session's memory is planned for training, too.
    """
    frozen = frozenset(node.name for node in graph.weighted[:-1])
    hyper = replace(settings.hyper, soft_targets=False, elastic=False)
    return TrainingSettings(settings.batch, hyper, frozen, queue=settings.queue)
