"""Queues of mini-batches: several steps in one start of the device, with the same bytes and errors as one by one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from session_use import BATCH, Recorder, opened, steps_seen
from small_networks import SMALL, assert_same_state, first_state, minibatches
from strop.host.networks import lenet5, vgg_small
from strop.runtime import arena_plan
from strop.runtime.arena_plan import plan_memory
from strop.runtime.device import Device
from strop.runtime.errors import InputError
from strop.runtime.session import Minibatch, Session


def mixed_sizes() -> list[Minibatch]:
    """Return mini-batches of which neighbours often differ in size."""
    batches = []
    for index, size in enumerate([8, 8, 8, 5, 8, 2, 2, 7, 8, 8, 8, 8]):
        batches += minibatches(SMALL, size, 1, seed=index)
    return batches


@pytest.mark.parametrize("length", [2, 3, 16])
def test_a_queue_trains_to_the_bytes_of_single_steps(
    device: Device, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects exactness: how many steps share a start shows in nothing, whatever sizes follow each other."""
    monkeypatch.setattr(arena_plan, "MAX_QUEUE", 1)
    single = opened(device)
    expected = list(single.train(mixed_sizes()))
    state = single.state()
    monkeypatch.setattr(arena_plan, "MAX_QUEUE", length)
    queued = opened(device)
    assert list(queued.train(mixed_sizes())) == expected
    assert_same_state(state, queued.state())


def test_steps_of_small_networks_share_a_start(device: Device) -> None:
    """Protects speed: 40 small mini-batches take three starts, not 40."""
    recorder = Recorder(device)
    session = opened(recorder)
    recorder.runs = 0
    assert len(list(session.train(minibatches(SMALL, BATCH, 40)))) == 40
    assert recorder.runs == 3


@pytest.mark.parametrize("bad", [0, 3, 20])
def test_a_bad_mini_batch_in_a_queue_stops_what_follows_alone(device: Device, bad: int) -> None:
    """Protects the steps before a mistake: they are trained and told, then the error comes."""

    def batches() -> Iterator[Minibatch]:
        for index, batch in enumerate(minibatches(SMALL, BATCH, 24)):
            labels = np.full_like(batch.labels, 99) if index == bad else batch.labels
            yield Minibatch(batch.images, labels, batch.learning_rate)

    session = opened(device)
    results = []
    with pytest.raises(InputError, match="label 99"):
        for result in session.train(batches()):
            results.append(result)
    assert len(results) == steps_seen(session) == bad


def test_steps_that_take_long_have_a_start_each() -> None:
    """Protects stopping: what is queued is trained to its end, so only short steps are. And memory stays small."""
    slots = {batch: plan_memory(lenet5(), batch).slots for batch in (16, 128)}
    assert 2 * 4 * 16 * 784 < slots[16] < 2 * arena_plan.MAX_QUEUE * (16 * 784 + 8192)
    assert slots[128] < 3 * 128 * 784 + 65536
    assert plan_memory(vgg_small(), 64).slots < 3 * 128 * 784  # two slots; inference takes mini-batches of 128


def test_a_session_is_left_in_order_when_its_results_are_not_taken(device: Device) -> None:
    """Protects `break`: the steps that were started end, and the next training goes on from there."""
    session = Session(SMALL, device, batch=BATCH)
    session.load_state(first_state(SMALL))
    for _ in session.train(minibatches(SMALL, BATCH, 100)):
        break
    seen = steps_seen(session)
    assert 1 <= seen <= 2 * arena_plan.MAX_QUEUE
    list(session.train(minibatches(SMALL, BATCH, 2)))
    assert steps_seen(session) == seen + 2
