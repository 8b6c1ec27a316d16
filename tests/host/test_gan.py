"""Adversarial training: both parts learn, to the same bytes on every device, and from a state that was kept."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from strop.host.gan import Gan
from strop.host.networks import dcgan, lenet5
from strop.runtime.device import open_device
from strop.runtime.errors import InputError
from strop.runtime.graph import (
    L1BN,
    Bias,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    LeakyReLU,
    Linear,
    NetworkGraph,
    ReLU,
    Tanh,
)

GRAPH = NetworkGraph(
    "tiny-gan",
    (6, 1, 1),
    (
        *(ConvTranspose2d(8, (4, 4), (1, 1), (0, 0)), L1BN(), ReLU(), ConvTranspose2d(1), Bias(5), Tanh()),
        *(Conv2d(8, (4, 4), (2, 2), (1, 1)), Bias(), LeakyReLU(0.2), Flatten(), Linear(1)),
    ),
)
BATCH = 16


def pictures(step: int) -> NDArray[np.uint8]:
    """Return real images: bright on the left, dark on the right, with some noise."""
    noise = np.random.default_rng(step).integers(0, 60, (BATCH, 1, 8, 8))
    noise[..., :4] += 190
    return noise.astype(np.uint8)


@pytest.fixture
def gan() -> Iterator[Gan]:
    """Adversarial training on the emulator, or on the reference where there is none."""
    made = Gan(GRAPH, lambda: open_device("auto"), batch=BATCH)
    yield made
    made.close()


def test_both_parts_train_to_equal_bytes_on_every_device(gan: Gan) -> None:
    """Protects the promise in adversarial training, where two sessions hand their states to each other."""
    other = Gan(GRAPH, lambda: open_device("reference"), batch=BATCH)
    first = gan.state()
    for step in range(4):
        assert gan.step(pictures(step)) == other.step(pictures(step))
    mine, theirs = gan.state(), other.state()
    assert [name for name in mine if not np.array_equal(mine[name], theirs[name])] == []
    assert np.array_equal(gan.generate(5), other.generate(5))
    other.close()
    still = {name for name in mine if name.endswith(".weight") and np.array_equal(mine[name], first[name])}
    assert still == set()


def test_a_kept_state_goes_on_to_the_same_bytes(gan: Gan) -> None:
    """Protects training that is interrupted: the state and the number of steps are all that there is."""
    for step in range(2):
        gan.step(pictures(step))
    kept = gan.state()
    expected = [gan.step(pictures(step)) for step in (2, 3)]
    again = Gan(GRAPH, lambda: open_device("auto"), batch=BATCH)
    again.load_state(kept, steps=2)
    assert [again.step(pictures(step)) for step in (2, 3)] == expected
    mine, theirs = gan.state(), again.state()
    again.close()
    assert [name for name in mine if not np.array_equal(mine[name], theirs[name])] == []


def test_the_generator_learns_what_images_look_like(gan: Gan) -> None:
    """Protects the gradient through the frozen discriminator: made images become bright on the left, too."""
    for step in range(150):
        gan.step(pictures(step), learning_rate=0.02)
    made = gan.generate(64).astype(np.float64)
    assert made[..., :4].mean() > made[..., 4:].mean() + 60


def test_generating_changes_nothing(gan: Gan) -> None:
    """Protects looking at images between steps."""
    gan.step(pictures(0))
    before = gan.state()
    assert not np.array_equal(gan.generate(3, seed=1), gan.generate(3, seed=2))
    after = gan.state()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_what_is_no_gan_is_refused(gan: Gan) -> None:
    """Protects against a classifier, a generator whose images are not on the grid of images, and other images."""
    with pytest.raises(InputError, match="lenet5 has 10 outputs; a discriminator has one"):
        Gan(lenet5(), lambda: open_device("reference"))
    with pytest.raises(InputError, match="cannot be cut behind 'conv1'"):
        Gan(GRAPH, lambda: open_device("reference"), images_behind="conv1")
    with pytest.raises(InputError, match=r"relu1 gives steps of 2\^-3; images have 2\^-7: end the generator in Tanh"):
        Gan(GRAPH, lambda: open_device("reference"), images_behind="relu1")
    with pytest.raises(InputError, match=r"images are \[3, 1, 8, 8\]; needed: \[16, 1, 8, 8\]"):
        gan.step(pictures(0)[:3])
    with pytest.raises(InputError, match="images of 48; allowed: 32, 64, 128"):
        dcgan(48)
