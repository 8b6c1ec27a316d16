"""Protects folding: one layer answers as convolution and L1BN do in inference."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'strop[torch]'")
from torch import nn  # noqa: E402

from strop.host.pytorch import L1BatchNorm1d, L1BatchNorm2d, fold_l1bn  # noqa: E402
from strop.runtime.errors import InputError  # noqa: E402


def trained(norm, shape):
    """Return `norm` with statistics, gamma and beta that differ by channel."""
    torch.manual_seed(3)
    norm(torch.randn(shape) * 2 + torch.arange(shape[1]).view(-1, *(1,) * (len(shape) - 2)))
    if norm.weight is not None:
        nn.init.uniform_(norm.weight, -2, 2)
        nn.init.normal_(norm.bias)
    return norm.eval()


@pytest.mark.parametrize("options", [{}, {"affine": False}, {"compensation": "sigma"}, {"eps": 0.1}], ids=str)
@pytest.mark.parametrize(
    ("layer", "norm", "shape"),
    [
        (nn.Conv2d(4, 6, 3, 2, 1, groups=2, bias=False), L1BatchNorm2d, (3, 4, 7, 5)),
        (nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), L1BatchNorm2d, (3, 4, 7, 5)),
        (nn.ConvTranspose2d(4, 6, 4, 2, 1, groups=2), L1BatchNorm2d, (3, 4, 5, 3)),
        (nn.ConvTranspose1d(4, 6, 3, bias=False), L1BatchNorm1d, (3, 4, 5)),
        (nn.Conv1d(4, 6, 3), L1BatchNorm1d, (3, 4, 9)),
        (nn.Linear(4, 6, bias=False), L1BatchNorm1d, (3, 4)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_one_layer_answers_as_two(layer, norm, shape, options):
    """Weight by output channel, groups and transposition included; neither argument changes."""
    norm = trained(norm(6, **options), tuple(layer(torch.zeros(shape)).shape))
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    folded = fold_l1bn(layer, norm)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(folded(x), norm(layer(x)), rtol=1e-4, atol=1e-5)
    assert type(folded) is type(layer) and not folded.training and folded.bias.shape == (6,)
    assert all(torch.equal(tensor, before[name]) for name, tensor in layer.state_dict().items())


def test_what_cannot_be_folded_is_refused():
    """Other layers, other norms, other channels, and statistics that are not there."""
    with pytest.raises(InputError, match="type ReLU; allowed: Linear"):
        fold_l1bn(nn.ReLU(), L1BatchNorm2d(3))
    with pytest.raises(InputError, match="type BatchNorm2d is no L1BatchNorm1d"):
        fold_l1bn(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    with pytest.raises(InputError, match="gives 4 channels and the norm takes 3"):
        fold_l1bn(nn.Linear(3, 4), L1BatchNorm1d(3))
    with pytest.raises(InputError, match="keeps no running statistics"):
        fold_l1bn(nn.Linear(3, 4), L1BatchNorm1d(4, track_running_stats=False))
