"""`strop info`: sums that agree with the network, the planner and the checkpoint."""

from __future__ import annotations

import pytest

from strop.host import Model
from strop.host.models import MODELS, build_model
from strop.runtime.arena_plan import plan_memory
from strop.runtime.contract import C
from strop.runtime.state import StateLayout


@pytest.mark.parametrize("name", MODELS)
def test_a_network(name, cli):
    """Every layer with its shape; parameters by hand; bytes as the arena has them; memory as the planner says."""
    side = 67 if name == "alexnet" else 32
    ran = cli("info", name, "--input", f"3x{side}x{side}", "--classes", 7, "--batch", 16, "--json")
    graph, found = build_model(name, (3, side, side), 7), ran.document
    assert ran.code == 0 and found["schema"] == "strop.info/1" and found["checkpoint"] is None
    layers = {layer["name"]: layer for layer in found["layers"]}
    assert [tuple(layer["output"]) for layer in found["layers"]] == [node.output for node in graph.nodes]
    for node in graph.weighted:
        k, c, r, s = node.weight_shape
        assert layers[node.name]["parameters"] == k * c * r * s + (k if node is graph.weighted[-1] else 0)
    assert layers["bn1"]["parameters"] == 2 * graph.nodes[1].output[0]
    assert found["parameters"] == sum(layer["parameters"] for layer in found["layers"])
    assert found["state_bytes"] == StateLayout(graph).nbytes
    assert found["memory"]["peak"] == plan_memory(graph, 16).peak and found["memory"]["batch"] == 16


def test_the_table_adds_up(cli):
    """The column of bytes that people see sums to its total."""
    rows = [line.split() for line in cli("info", "lenet5").out.splitlines()]
    table = rows[next(i for i, row in enumerate(rows) if row[:1] == ["layer"]) + 2 :]
    total = next(i for i, row in enumerate(table) if row[:1] == ["total"])
    numbers = [int(row[-1].replace(",", "")) for row in table[: total + 1]]
    assert sum(numbers[:-1]) == numbers[-1] > 0


def test_a_checkpoint(cli, tiny_checkpoint):
    """What made it, for how long, and which bytes it holds."""
    found = cli("info", tiny_checkpoint, "--json").document
    with Model.load(tiny_checkpoint) as model:
        assert found["checkpoint"]["digest"] == model.digest()
        assert found["memory"]["peak"] == plan_memory(model.graph, 10).peak
    held = found["checkpoint"]
    assert held["numerics_version"] == C.NUMERICS_VERSION
    assert (held["steps"], held["classes"]) == (12, ["left", "right", "both"])
    assert held["settings"]["batch"] == 10 and held["fit"]["done"] == held["fit"]["steps"] == 12
    momenta = [held[part]["effective_momentum"] for part in ("settings", "fit")]
    assert momenta == [230 / 256] * 2, "what fixed point makes of 0.9"
    people = cli("info", tiny_checkpoint).out
    numerics = f"numerics {C.NUMERICS_VERSION}"
    for word in ("12 of 12 steps, finished", held["digest"], "left, right, both", numerics, "momentum 0.9"):
        assert word in people


def test_an_interrupted_checkpoint_says_so(cli, tiny_checkpoint, tiny_data, interrupt_at):
    """Who finds a file learns that its training can go on."""
    interrupt_at(2)
    assert cli("finetune", tiny_checkpoint, "--data", tiny_data, "--batch", 10, "--output", "x.safetensors").code == 130
    assert "--resume goes on" in cli("info", "x.safetensors").out


def test_wrong_questions(cli, tiny_checkpoint):
    """A checkpoint has its own shape; a name that is neither network nor file says what there is."""
    assert cli("info", tiny_checkpoint, "--classes", 3).code == 2
    ran = cli("info", "nothing")
    assert ran.code == 4 and "lenet5-fashion-mnist" in ran.err and "vgg-small" in ran.err
    assert cli("info", "lenet5", "--batch", 4097).code == 4


def test_named_and_spare_outputs(cli, tiny_checkpoint):
    """What a model can still learn to name is said beside what it names."""
    with Model.load(tiny_checkpoint) as model:
        model.with_spare_classes(2, device=model.device).save("spare.safetensors")
    ran = cli("info", "spare.safetensors", "--json")
    assert (ran.document["classes"], ran.document["checkpoint"]["spare_classes"]) == (5, 2)
    assert ran.document["checkpoint"]["classes"] == ["left", "right", "both"]
    people = cli("info", "spare.safetensors").out
    assert "3 classes and 2 spare outputs" in people and "--add-class" in people
    assert "spare" not in cli("info", tiny_checkpoint).out
