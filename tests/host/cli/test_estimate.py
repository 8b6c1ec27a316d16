"""`strop estimate`: the numbers of the model, for people and for programs."""

from __future__ import annotations

import pytest

from strop.host.models import build_model
from strop.runtime.estimate import boards, estimate


def test_a_board_layer_by_layer(cli):
    """The rows are the model's, the last one their sum, and the document says that all is modelled."""
    ran = cli("estimate", "lenet5", "--batch", 24, "--board", "kv260", "--json")
    found = estimate(build_model("lenet5", (1, 28, 28), 10), "kv260", 24)
    assert ran.code == 0 and ran.document["schema"] == "strop.estimate/1" and ran.document["modelled"] is True
    (told,) = ran.document["estimates"]
    assert [(c["layer"], c["phase"], c["cycles"]) for c in told["training"]] == [
        (c.layer, c.phase, c.cycles) for c in found.training
    ]
    assert told["step_seconds"] == found.step_seconds and told["memory_bytes"] == found.memory_bytes
    assert told["board"]["name"] == "kv260" and told["fits"] is True
    conv1 = next(c for c in told["training"] if c["phase"] == "weight gradient" and c["layer"] == "conv1")
    assert 0 < conv1["utilization"] <= conv1["array_utilization"] <= 1


def test_the_table_adds_up(cli):
    """The column of cycles that people see sums to its total."""
    lines = cli("estimate", "lenet5", "--batch", 24, "--board", "kv260").out.splitlines()
    assert "modelled" in lines[0]
    found = estimate(build_model("lenet5", (1, 28, 28), 10), "kv260", 24)
    total = sum(cost.cycles for cost in found.training)
    step = next(line for line in lines if line.startswith("step"))
    assert f"{total:,}" in step and f"{1e3 * found.step_seconds:.3f}" in step


def test_every_board_without_a_choice(cli, tiny_checkpoint):
    """One line a board; a checkpoint brings its network and its mini-batch."""
    ran = cli("estimate", tiny_checkpoint, "--json")
    assert [each["board"]["name"] for each in ran.document["estimates"]] == list(boards())
    assert {(each["network"], each["batch"]) for each in ran.document["estimates"]} == {("tiny", 10)}
    people = cli("estimate", tiny_checkpoint).out
    assert all(f"{name} " in people for name in boards())


def test_a_plot(cli, tmp_path):
    """The picture lies where it was asked for; it is of one board."""
    pytest.importorskip("matplotlib")
    ran = cli("estimate", "lenet5", "--batch", 16, "--board", "zcu104", "--plot", "roof.png")
    assert ran.code == 0 and "roof.png" in ran.out
    ran = cli("estimate", "lenet5", "--plot", "roof.png")
    assert ran.code == 2 and "--board" in ran.err


def test_unknown_names(cli):
    """What is allowed is told."""
    ran = cli("estimate", "lenet5", "--board", "zedboard")
    assert ran.code == 4 and "pynq-z2, ultra96-v2, kv260, zcu104" in ran.err
    assert cli("estimate", "nonet", "--board", "kv260").code == 4
