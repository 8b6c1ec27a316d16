"""Protects the float32 learners: each does what its paper says, and nothing else than the naive one does."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch.nn import functional  # noqa: E402

from float_baseline import sgd_step  # noqa: E402
from float_learners import EWC, GDumb, LwF, Naive, Replay  # noqa: E402
from protocols import SPLIT  # noqa: E402
from strop.host.order import epoch_order  # noqa: E402
from strop.host.pytorch.float_twin import FloatTwin, initial_parameters  # noqa: E402
from strop.runtime.graph import L1BN, Conv2d, Flatten, Linear, MaxPool2d, NetworkGraph, ReLU  # noqa: E402

GRAPH = NetworkGraph(
    "small",
    (1, 6, 6),
    (Conv2d(4, (3, 3), padding=(1, 1)), L1BN(), ReLU(), MaxPool2d(), Flatten(), Linear(8), L1BN(), ReLU(), Linear(4)),
)
PROTOCOL = dataclasses.replace(SPLIT, batch=8, replay_batch=6)


def samples(first_class: int, count: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Return images of two classes that differ in brightness, and their labels."""
    labels = (first_class + np.arange(count) % 2).astype(np.int32)
    noise = np.random.PCG64(first_class).random_raw(count * 36) % np.uint64(60)
    return (noise.reshape(count, 1, 6, 6) + 50 * labels[:, None, None, None]).astype(np.uint8), labels


def parameters(learner: Naive) -> list[torch.Tensor]:
    """Return copies of everything a learner's network holds, running statistics included."""
    return [tensor.clone() for tensor in learner.network.state_dict().values()]


def assert_same(left: list[torch.Tensor], right: list[torch.Tensor]) -> None:
    """Compare to the bit."""
    for one, other in zip(left, right, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("norm", ["l1", "l2", "none"])
def test_naive_is_plain_training(norm: str) -> None:
    """First weights, order and steps are those of the accuracy baseline; the order moves on with each experience."""
    learner = Naive(GRAPH, norm, PROTOCOL, 5)
    network = FloatTwin(GRAPH, norm, initial_parameters(GRAPH, 5)).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=PROTOCOL.learning_rate)
    for epoch, first_class in enumerate((0, 2)):
        images, labels = samples(first_class, 35)  # the last 3 do not fill a mini-batch
        learner.learn(images, labels)
        order = epoch_order(35, 5, epoch)
        for start in (0, 8, 16, 24):
            chosen = order[start : start + 8]
            sgd_step(network, optimizer, torch.tensor(images[chosen]), torch.tensor(labels[chosen], dtype=torch.int64))
    assert_same(parameters(learner), [tensor.clone() for tensor in network.state_dict().values()])


def test_prediction_moves_nothing() -> None:
    """A row of the accuracy matrix does not change what comes after it."""
    watched, left_alone = Naive(GRAPH, "l2", PROTOCOL, 0), Naive(GRAPH, "l2", PROTOCOL, 0)
    for first_class in (0, 2):
        watched.predict(samples(0)[0])
        watched.learn(*samples(first_class))
        left_alone.learn(*samples(first_class))
    assert_same(parameters(watched), parameters(left_alone))


def test_replay_joins_kept_samples_to_the_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Step 1 sees new samples only; later ones 8 new and 6 old, all different from them; old experiences come back."""
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    loss = Naive._loss

    def noted(learner: Naive, batch: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        seen.append((batch.numpy(), labels.numpy()))
        return loss(learner, batch, labels)

    monkeypatch.setattr(Naive, "_loss", noted)
    learner = Replay(GRAPH, "l2", PROTOCOL, 1, 100)
    learner.learn(*samples(0))
    learner.learn(*samples(2))
    assert [len(labels) for _, labels in seen] == [8] + [14] * 7
    for images, labels in seen:
        assert len(np.unique(images, axis=0)) == len(labels)
    assert set(seen[4][1][8:].tolist()) == {0, 1}  # step 1 of experience 2: nothing else is kept yet
    assert {0, 1} <= set(np.concatenate([labels[8:] for _, labels in seen[5:]]).tolist())
    assert learner.kept_bytes == 100 * (36 + 1)


def test_the_fisher_information_is_that_of_single_samples() -> None:
    """The mean of squared gradients, sample by sample in inference, summed over experiences."""
    learner = EWC(GRAPH, "l2", PROTOCOL, 2, strength=10.0)
    expected = [torch.zeros_like(parameter) for parameter in learner.network.parameters()]
    for first_class in (0, 2):
        images, labels = samples(first_class)
        learner.learn(images, labels)
        learner.network.eval()
        for image, label in zip(images, labels, strict=True):
            learner.network.zero_grad()
            logits = learner.network(torch.from_numpy(image[None]))
            functional.cross_entropy(logits, torch.tensor([int(label)])).backward()
            for total, parameter in zip(expected, learner.network.parameters(), strict=True):
                total += parameter.grad**2 / len(images)
    assert sum(float(part.sum()) for part in expected) > 0
    for got, want in zip(learner.fisher, expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-9)


def test_the_pull_of_ewc_is_the_gradient_of_its_penalty() -> None:
    """To first order: with a small rate, a step is plain SGD on cross-entropy + strength/2 F (theta - theta*)^2."""
    learner = EWC(GRAPH, "l1", dataclasses.replace(PROTOCOL, learning_rate=1e-4), 2, strength=0.5)
    learner.learn(*samples(0))
    parts = list(learner.network.parameters())
    with torch.no_grad():
        for parameter in parts:
            parameter += 0.1
    images, labels = (torch.tensor(array[:8]) for array in samples(2))
    learner.network.train()
    before = [parameter.detach().clone() for parameter in parts]
    loss = functional.cross_entropy(learner.network(images), labels.long())
    for parameter, anchor, fisher in zip(parts, learner.anchors, learner.fisher, strict=True):
        loss = loss + 0.25 * (fisher * (parameter - anchor) ** 2).sum()
    gradients = torch.autograd.grad(loss, parts)
    learner._step(images.numpy(), labels.long().numpy(), True)
    for parameter, start, gradient in zip(parts, before, gradients, strict=True):
        torch.testing.assert_close((start - parameter.detach()) / 1e-4, gradient, rtol=0.03, atol=0.01)


def test_ewc_is_stable_however_strong() -> None:
    """A strength at which the pull as a gradient would diverge holds the weights where they are."""
    learner = EWC(GRAPH, "l2", PROTOCOL, 2, strength=1e9)
    learner.learn(*samples(0))
    anchors, fisher = learner.anchors, learner.fisher
    learner.learn(*samples(2))
    for parameter, anchor, importance in zip(learner.network.parameters(), anchors, fisher, strict=True):
        held = importance > 1e-4
        torch.testing.assert_close(parameter.detach()[held], anchor[held], rtol=0, atol=1e-3)


def test_a_run_that_diverges_says_so() -> None:
    """NaN logits have class 0 as their largest: without an error that would be recorded as an accuracy."""
    learner = Naive(GRAPH, "l2", PROTOCOL, 0)
    with torch.no_grad():
        learner.network.layers["fc2"].bias.fill_(torch.inf)
    with pytest.raises(FloatingPointError, match="Naive, seed 0: the loss is nan"):
        learner.learn(*samples(0))


def test_ewc_pulls_back_to_its_anchor() -> None:
    """Without strength it is naive; with it, weights end nearer to where experience 1 left them."""
    moved = {}
    for strength in (0.0, 20.0):
        learner = EWC(GRAPH, "l2", PROTOCOL, 2, strength)
        learner.learn(*samples(0))
        anchors, fisher = learner.anchors, learner.fisher
        assert_same(anchors, [parameter.detach() for parameter in learner.network.parameters()])
        learner.learn(*samples(2))
        distances = zip(fisher, learner.network.parameters(), anchors, strict=True)
        moved[strength] = sum(float((f * (p.detach() - a) ** 2).sum()) for f, p, a in distances)
        if not strength:
            naive = Naive(GRAPH, "l2", PROTOCOL, 2)
            naive.learn(*samples(0))
            naive.learn(*samples(2))
            for got, want in zip(parameters(learner), parameters(naive), strict=True):
                torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-6)
    assert moved[20.0] < moved[0.0] / 2


def test_the_teacher_of_lwf_is_the_last_experience() -> None:
    """Experience 1 is naive; then the divergence by its formula, for known classes only, and 0 against oneself."""
    learner, naive = LwF(GRAPH, "l2", PROTOCOL, 3), Naive(GRAPH, "l2", PROTOCOL, 3)
    learner.learn(*samples(0))
    naive.learn(*samples(0))
    assert_same(parameters(learner), parameters(naive))
    assert learner.known == [0, 1] and not learner.teacher.training
    images, labels = (torch.tensor(array) for array in samples(2, 8))
    labels = labels.long()
    learner.network.eval()  # with the teacher's statistics: the same network
    alike = functional.cross_entropy(learner.network(images), labels)
    torch.testing.assert_close(learner._loss(images, labels), alike)
    with torch.no_grad():
        learner.network.layers["fc2"].weight[0] += 0.3
    told = functional.softmax(learner.teacher(images)[:, :2] / 2, 1)
    said = functional.softmax(learner.network(images)[:, :2] / 2, 1)
    expected = functional.cross_entropy(learner.network(images), labels)
    expected = expected + 4 * (told * (told.log() - said.log())).sum(1).mean()
    torch.testing.assert_close(learner._loss(images, labels), expected)
    learner.learn(*samples(2))
    assert learner.known == [0, 1, 2, 3]


def test_gdumb_knows_its_memory_and_nothing_else() -> None:
    """Balanced, learned well, and trained anew: what the network was before the last experience has no influence."""
    learner, scrambled = GDumb(GRAPH, "l2", PROTOCOL, 4, 16), GDumb(GRAPH, "l2", PROTOCOL, 4, 16)
    for each in (learner, scrambled):
        each.learn(*samples(0))
    with torch.no_grad():
        for tensor in scrambled.network.parameters():
            tensor.fill_(9.0)
    for each in (learner, scrambled):
        each.learn(*samples(2))
    assert_same(parameters(learner), parameters(scrambled))
    images, labels = learner.memory.all()
    assert np.bincount(labels).tolist() == [4] * 4
    assert np.mean(learner.predict(images) == labels) == 1.0
    assert learner.optimizer.param_groups[0]["lr"] < 0.02 * PROTOCOL.learning_rate


def test_what_a_learner_keeps_has_a_price() -> None:
    """Bytes for the sake of old experiences: none, a copy of the parameters, or anchors and importances."""
    count = sum(parameter.numel() for parameter in Naive(GRAPH, "l2", PROTOCOL, 0).network.parameters())
    assert Naive(GRAPH, "l2", PROTOCOL, 0).kept_bytes == 0
    assert LwF(GRAPH, "l2", PROTOCOL, 0).kept_bytes == 4 * count
    assert EWC(GRAPH, "l2", PROTOCOL, 0, 1.0).kept_bytes == 8 * count
    assert GDumb(GRAPH, "l2", PROTOCOL, 0, 10).kept_bytes == 10 * (36 + 1)
