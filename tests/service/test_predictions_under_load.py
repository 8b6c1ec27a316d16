"""Clients that predict while a job trains and the model under them is exchanged: the short form of the benchmark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from running_server import Server
from service_predictions import UNLIMITED, run_load

CLIENTS, SECONDS = 20, 5.0


@pytest.mark.slow
def test_no_prediction_fails_while_the_model_is_exchanged(
    make_server: Callable[..., Server], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Protects promotion and rollback under load: every answer comes, and is one of the two versions' own exactly."""
    server = make_server(**UNLIMITED).start()
    load = run_load(server.url, tmp_path, CLIENTS, SECONDS)
    with capsys.disabled():
        print(f"\n{load.summary()}")
    assert load.wrong == []
    assert len(load.latencies) > 10 * CLIENTS
    assert sorted(load.versions) == [1, 2]  # both were seen, so the alias did move under the clients
    assert len(load.moves) > 5
    assert load.trained_steps > 0
