"""WGAN-GP in the float twin: the penalty, where it is known, and that its gradient reaches the critic."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import wgan_gp  # noqa: E402
from strop.host.networks import dcgan  # noqa: E402
from strop.host.pytorch import float_twin  # noqa: E402


class LinearCritic:
    """Scores a map by its product with `weight` [C, H, W]: its gradient is `weight` everywhere."""

    def __init__(self, weight):
        self.weight = weight

    def rear(self, maps, after):
        """Return the scores [N]."""
        return (maps * self.weight).flatten(1).sum(1)


def test_penalty_is_the_distance_of_the_slope_from_1():
    """Protects Eq. 3: for a linear critic it is (|weight| - 1)^2, whatever the images."""
    random = torch.Generator().manual_seed(0)
    real, made = (torch.rand((4, 1, 8, 8), generator=random) for _ in range(2))
    weight = torch.rand((1, 8, 8), generator=random, requires_grad=True)
    penalty = wgan_gp.gradient_penalty(LinearCritic(weight), real, made, random)
    torch.testing.assert_close(penalty, (weight.norm() - 1) ** 2)
    penalty.backward()
    assert weight.grad is not None and weight.grad.norm() > 0


@pytest.mark.parametrize("norm", ["none", "l1", "l2"])
def test_penalty_trains_a_critic(norm):
    """Protects second derivatives through every layer of the discriminator, L1BN among them."""
    random = torch.Generator().manual_seed(0)
    critic = float_twin(dcgan(32, 1, 4), norm)
    real, made = (torch.rand((4, 1, 32, 32), generator=random) * 2 - 1 for _ in range(2))
    wgan_gp.gradient_penalty(critic, real, made, random).backward()
    gradients = {name: p.grad for name, p in critic.parameters_by_name().items() if p.grad is not None}
    weights = [name for name in gradients if name.startswith(("conv", "fc")) and name.endswith(".weight")]
    assert len(weights) == 4 and all(gradients[name].norm() > 0 for name in weights)
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())
