"""Networks with joint maps, activations by table, transposed convolutions and biases, trained on every device."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from equal_training import Trained, assert_all_equal, minibatches, train
from program_access import base_for, check_memory, steps_of
from small_networks import ADVERSARIAL, DENSE, JOINT, first_state
from strop.runtime.compiler import compile_inference, compile_training
from strop.runtime.contract import C
from strop.runtime.cut import cut
from strop.runtime.device import Device
from strop.runtime.emulator import EmulatorDevice
from strop.runtime.errors import InputError, LimitError, NetworkError
from strop.runtime.graph import (
    L1BN,
    AveragePool2d,
    Concatenate,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    Layer,
    Linear,
    NetworkGraph,
    ReLU,
    Tanh,
    Upsample,
)
from strop.runtime.hyperparameters import Hyperparameters
from strop.runtime.program import Program
from strop.runtime.reference import ReferenceDevice
from strop.runtime.session import Minibatch, Session
from strop.runtime.soft_targets import ONE
from strop.runtime.state import StateLayout, norm_owners

BINARY = Hyperparameters(loss="binary_cross_entropy", momentum=0.5)
PLAIN = Hyperparameters()
BODY = (L1BN(), ReLU(), Conv2d(4, (3, 3), padding=(1, 1)))
STEM = (Conv2d(4, (3, 3), padding=(1, 1)),)
HEAD = (Flatten(), Linear(3))


def training(graph: NetworkGraph, *frozen: str) -> Program:
    """Compile a training step of 5 samples."""
    layout = StateLayout(graph)
    hyper = BINARY if graph.classes == 1 else PLAIN
    return compile_training(graph, layout, 5, base_for(layout), hyper, frozenset(frozen))


def targets_of(batches: list[Minibatch]) -> list[Minibatch]:
    """Return mini-batches that are to be answered with yes and no in turn."""
    return [
        replace(batch, labels=0 * batch.labels, targets=np.full((len(batch.labels), 1), index % 2 * ONE, np.int32))
        for index, batch in enumerate(batches)
    ]


@pytest.mark.parametrize("graph", [DENSE, JOINT], ids=lambda graph: graph.name)
def test_joint_maps_train_to_equal_bytes(emulators: list[EmulatorDevice], graph: NetworkGraph) -> None:
    """Protects equality and learning where maps are joined: whole and with layers frozen, then inference."""
    batches = minibatches(graph, 24, (20, 17), (0.1, 0.05))
    some = frozenset({graph.weighted[1].name, graph.weighted[3].name})

    def run(device: Device) -> Trained:
        return train(device, graph, first_state(graph), batches, PLAIN, frozenset(), some)

    trained = assert_all_equal(emulators, run)
    assert trained.results[-1].loss < trained.results[0].loss / 1.5


def test_a_generator_trains_to_equal_bytes(emulators: list[EmulatorDevice]) -> None:
    """Protects transposed convolutions, biases, tables and the loss of one output, the rear frozen and not."""
    batches = targets_of(minibatches(ADVERSARIAL, 16, (18, 7), (0.05, 0.02)))
    rear = frozenset({"conv1", "conv2", "fc1"})

    def run(device: Device) -> Trained:
        return train(device, ADVERSARIAL, first_state(ADVERSARIAL), batches, BINARY, frozenset(), rear)

    trained = assert_all_equal(emulators, run)
    moved = [name for name in trained.states[0] if not np.array_equal(trained.states[0][name], trained.states[1][name])]
    assert {"deconv1.weight", "deconv2.weight", "bias1.beta"} <= set(moved)
    assert not {"conv1.weight", "bias2.beta", "bn2.gamma", "fc1.weight"} & set(moved)


def test_parts_are_written_where_they_are_read() -> None:
    """Protects concatenation without a copy: each producer's channels lie in the joint map, its exponents beside."""
    program = training(DENSE)
    at = dict(zip(steps_of(program), program.commands, strict=True))
    plane = 8 * 7 * C.WORD_BYTES  # of a quad, in the one group that 5 images are
    joint = at["l1bn_forward", "bn5"]  # reads conv5, conv3 and conv1, the last to come first
    assert [int(at["conv_forward", name]["target"]) - int(joint["source"]) for name in ("conv5", "conv3", "conv1")] == [
        *(0, plane, 2 * plane)
    ]
    assert [
        int(at["conv_forward", name]["target_exponent"]) - int(joint["source_exponent"])
        for name in ("conv5", "conv3", "conv1")
    ] == [0, 16, 32]
    assert int(at["l1bn_forward", "bn3"]["source"]) == int(joint["source"]) + plane
    assert at["add_gradient", "concat1"]["flags"] == C.FLAG_EXPONENT_PER_ROW
    assert int(at["conv_weight_gradient", "conv3"]["source"]) == int(at["add_gradient", "concat1"]["target"])


@pytest.mark.parametrize("graph", [DENSE, JOINT, ADVERSARIAL], ids=lambda graph: graph.name)
def test_memory_of_joint_maps_is_planned(graph: NetworkGraph) -> None:
    """Protects the planner: a joint map lives from its first part to its last reader, and nothing else lies there."""
    layout = StateLayout(graph)
    base = base_for(layout)
    check_memory(training(graph), layout, base, joint=True)
    check_memory(compile_inference(graph, layout, 5, base), layout, base, joint=True)


def test_a_norm_is_frozen_with_its_block_or_with_the_next_layer() -> None:
    """Protects sparse updates of pre-activation networks: each L1BN belongs to one layer with weights."""
    owners = {"bn1": "conv2", "bn2": "conv2", "bn3": "conv4", "bn4": "conv4", "bn5": "conv6", "bn6": "conv7"}
    assert norm_owners(DENSE) == owners | {"bn7": "fc1"}
    steps = steps_of(training(DENSE, "conv1", "conv2", "conv3", "conv4", "conv5", "conv6", "conv7"))
    after_loss = steps[steps.index(("softmax_cross_entropy", "loss")) + 1 :]
    assert [step for step in after_loss if step[0] == "l1bn_backward"] == [("l1bn_backward", "bn7")]


def test_a_bias_adds_and_nothing_else() -> None:
    """Protects layers without normalization: the output is x + beta on its grid, whatever the mini-batch."""
    graph = NetworkGraph("biased", (3, 4, 4), (Conv2d(4, (1, 1)), *ADVERSARIAL.layers[4:5], *HEAD))
    session = Session(graph, ReferenceDevice(), batch=4)
    state = first_state(graph)
    state["bias1.beta"][...] = [1 << 20, -(1 << 19), 0, 3 << 17]
    state["conv1.pre_norm_site"][:3] = (1, 9, 9)
    session.load_state(state)
    images = np.arange(3 * 16, dtype=np.uint8).reshape(1, 3, 4, 4) * 5
    made = session.features(images, "bias1").astype(np.float64) * 2.0**-5
    pixels = np.maximum(images.astype(np.float64) - 128, -127) / 128
    weights = np.zeros((4, 3))
    for channel, row in enumerate(state["conv1.weight"].reshape(4, 3)):
        shift = max(0, int(np.abs(row).max()).bit_length() - 7)
        weights[channel] = np.clip(np.floor(row / 2.0**shift + 0.5), -127, 127) * 2.0 ** (shift - 24)
    exact = np.einsum("kc,nchw->nkhw", weights, pixels) + np.array([1, -0.5, 0, 0.375])[:, None, None]
    assert np.abs(made - np.clip(exact, -127 / 32, 127 / 32)).max() <= 1 / 32 + 2.0**-6


def test_a_cut_behind_the_generator_gives_a_network_of_images() -> None:
    """Protects adversarial training: the rear reads bytes of images, tanh's grid being that of images."""
    rear = cut(ADVERSARIAL, "tanh1").rear
    assert rear.input == (6, 6, 6) and rear.input_exponent == C.INPUT_EXPONENT


def test_targets_are_asked_for_and_checked() -> None:
    """Protects losses by targets: none, of another type or out of range, each says what is allowed."""
    session = Session(ADVERSARIAL, ReferenceDevice(), batch=4, hyper=BINARY)
    session.load_state(first_state(ADVERSARIAL))
    images, labels = np.zeros((4, 5, 1, 1), np.uint8), np.zeros(4, np.int32)
    for targets, message in (
        (None, "has no targets, and the loss is binary_cross_entropy"),
        (np.zeros((4, 1)), "expected int32"),
        (np.full((4, 1), -1, np.int32), "allowed: 0 to 32768"),
        (np.full((4, 1), ONE + 1, np.int32), "allowed: 0 to 32768"),
    ):
        with pytest.raises(InputError, match=message):
            list(session.train([Minibatch(images, labels, 0.1, targets)]))  # type: ignore[arg-type]
    layout = StateLayout(ADVERSARIAL)
    with pytest.raises(InputError, match="one output, which softmax cross-entropy cannot train"):
        compile_training(ADVERSARIAL, layout, 4, base_for(layout), PLAIN)
    with pytest.raises(InputError, match="loss is 'hinge'; allowed: cross_entropy, binary_cross_entropy"):
        Hyperparameters(loss="hinge")


REFUSED: dict[str, tuple[tuple[Layer, ...], type[NetworkError], str]] = {
    "one branch": ((*STEM, Concatenate((BODY,)), L1BN(), *HEAD), NetworkError, "two or more tuples of layers"),
    "first of all": ((Concatenate((STEM, STEM)), L1BN(), *HEAD), NetworkError, "a Concatenate cannot come first"),
    "two sizes": (
        (*STEM, Concatenate(((L1BN(), Conv2d(4, (3, 3))), ())), L1BN(), *HEAD),
        NetworkError,
        "height and width must be the same",
    ),
    "broken quads": (
        (*STEM, Concatenate(((L1BN(), Conv2d(6, (1, 1))), ())), L1BN(), *HEAD),
        LimitError,
        "a branch of 6 channels; allowed: a multiple of 4",
    ),
    "two grids": (
        (*STEM, L1BN(3), Concatenate(((Conv2d(4, (1, 1)), L1BN(4)), ())), *HEAD),
        NetworkError,
        "the branches end on different grids",
    ),
    "before and behind L1BN": ((*STEM, Concatenate((BODY, (L1BN(),))), *HEAD), NetworkError, "different grids"),
    "the same map twice": ((*STEM, L1BN(), Concatenate(((), ())), *HEAD), NetworkError, "is part of concat1 already"),
    "no L1BN behind": ((*STEM, Concatenate((BODY, ())), *HEAD), NetworkError, "put L1BN or Bias before it"),
    "a table behind a convolution": ((*STEM, Tanh(), *HEAD), NetworkError, "a convolution must be followed by L1BN"),
    "a pool that a Linear reads": ((*STEM, AveragePool2d(), *HEAD), NetworkError, "put L1BN or Bias before it"),
    "a grid too fine": ((*STEM, L1BN(9), *HEAD), LimitError, "exponent is 9; allowed: 0 to 8"),
    "a scale of 5": ((*STEM, L1BN(), Upsample((5, 1)), *HEAD), LimitError, "scale (5, 1); allowed: 1 to 4"),
    "output padding like the stride": (
        (ConvTranspose2d(4, output_padding=(2, 0)), L1BN(), *HEAD),
        LimitError,
        "output_padding (2, 0)",
    ),
    "nothing left": (
        (*STEM, L1BN(), AveragePool2d((6, 6)), ConvTranspose2d(4, (3, 3), (1, 1), (2, 2)), L1BN(), *HEAD),
        NetworkError,
        "leaves nothing of a map",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_joined_is_refused(name: str) -> None:
    """Protects the author of a network: the message names the layer and what is allowed."""
    layers, kind, message = REFUSED[name]
    with pytest.raises(NetworkError) as caught:
        NetworkGraph("net", (2, 6, 6), layers)
    assert type(caught.value) is kind
    assert str(caught.value).startswith("net")
    assert message in str(caught.value)


@pytest.mark.parametrize("graph", [DENSE, JOINT, ADVERSARIAL], ids=lambda graph: graph.name)
def test_descriptions_give_joint_networks_back(graph: NetworkGraph) -> None:
    """Protects checkpoints of them."""
    again = NetworkGraph.from_dict(graph.to_dict())
    assert again == graph and again.nodes == graph.nodes and again.digest() == graph.digest()
