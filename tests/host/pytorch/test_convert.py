"""Protects the conversion of whole models from L2 to L1 batch normalization."""

from __future__ import annotations

import copy
import math

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'strop[torch]'")
from torch import nn  # noqa: E402

from strop.host.pytorch import L1BatchNorm1d, L1BatchNorm2d, convert_l1bn  # noqa: E402
from strop.runtime.errors import InputError  # noqa: E402


class Branched(nn.Module):
    """A network whose layers run in another order than they are declared, one of them twice."""

    def __init__(self):
        super().__init__()
        self.head = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5, affine=False), nn.ReLU(), nn.Linear(5, 2))
        self.late = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4, eps=1e-3, momentum=0.2))
        self.stem = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4))

    def forward(self, x):
        x = self.stem(x).relu()
        x = self.late(x).relu()
        x = self.late(x).relu()
        return self.head(x.mean((2, 3)))


def trained():
    """Return the network with statistics, gamma and beta of its own, and mini-batches that are not normal."""
    torch.manual_seed(0)
    model = Branched()
    batches = [torch.rand(size, 2, 7, 6) ** 4 for size in (16, 9, 16)]
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    for _ in range(2):
        for batch in batches:
            model(batch)
    return model, batches


def norms_of(model):
    """Return its L1BN layers by name."""
    return {name: m for name, m in model.named_modules() if isinstance(m, (L1BatchNorm1d, L1BatchNorm2d))}


def test_without_data_inference_answers_as_before():
    """Eq. 16 and Theorem 1 cancel: gamma / sqrt(pi/2) over sigma / sqrt(pi/2), eps included."""
    model, batches = trained()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    conversion = convert_l1bn(model)
    torch.testing.assert_close(conversion.model.eval()(batches[0]), model.eval()(batches[0]), rtol=1e-4, atol=1e-4)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items()), "the original changed"
    assert not any(isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) for module in conversion.model.modules())
    late, old = conversion.model.late[1], model.late[1]
    torch.testing.assert_close(late.weight, old.weight / math.sqrt(math.pi / 2))
    torch.testing.assert_close(late.running_sigma, (old.running_var + 1e-3).sqrt() * math.sqrt(2 / math.pi) - 1e-3)
    assert (late.eps, late.momentum, late.compensation) == (1e-3, 0.2, "gamma")
    assert conversion.model.head[1].compensation == "sigma"
    assert [(layer.name, layer.statistics) for layer in conversion.layers] == [
        *(("head.1", "estimated"), ("late.1", "estimated"), ("stem.1", "estimated"))
    ]
    text = str(conversion)
    assert "3 batch norm layers" in text and "late.1: L1BatchNorm2d, 4 channels, gamma / sqrt(pi/2)" in text
    assert "head.1: L1BatchNorm1d, 5 channels, no gamma, sigma * sqrt(pi/2)" in text


def test_calibration_measures_each_layer_behind_measured_ones():
    """Mean and deviation over all data of what each layer reads in the finished model, exactly; modes are kept."""
    model, batches = trained()
    model.train()
    model.head[3].eval()
    conversion = convert_l1bn(model, ((batch, None) for batch in batches))
    assert {layer.statistics for layer in conversion.layers} == {"measured"}
    assert conversion.model.training and not conversion.model.head[3].training
    finished = conversion.model.eval()
    read = {name: [] for name in norms_of(finished)}
    for name, norm in norms_of(finished).items():
        norm.register_forward_pre_hook(lambda _, args, name=name: read[name].append(args[0].double().transpose(0, 1)))
    for batch in batches:
        finished(batch)
    assert len(read["late.1"]) == 2 * len(read["stem.1"])
    # "late" runs twice: what it reads the second time follows from its own statistics, so nothing exact holds for it.
    for name in ("stem.1", "head.1"):
        values, norm = torch.cat([part.flatten(1) for part in read[name]], 1), norms_of(finished)[name]
        mean = values.mean(1, keepdim=True)
        torch.testing.assert_close(norm.running_mean.double(), mean[:, 0], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(norm.running_sigma.double(), (values - mean).abs().mean(1), rtol=1e-5, atol=1e-6)
    estimated = norms_of(convert_l1bn(model).model)["stem.1"].running_sigma
    assert not torch.allclose(estimated, norms_of(finished)["stem.1"].running_sigma, rtol=0.01)


def test_in_place_shared_modules_and_modes():
    """In place is the same object; one module under two names stays one; beta is the same parameter."""
    norm = nn.BatchNorm2d(3)
    norm.weight.requires_grad_(False)
    model = nn.Sequential(norm.eval(), nn.ReLU(), norm, nn.BatchNorm2d(3, track_running_stats=False))
    conversion = convert_l1bn(model, in_place=True)
    assert conversion.model is model and model[0] is model[2] and isinstance(model[0], L1BatchNorm2d)
    assert not model[0].training and not model[0].weight.requires_grad and model[0].bias is norm.bias
    assert [layer.statistics for layer in conversion.layers] == ["estimated", "none"]
    alone = convert_l1bn(nn.BatchNorm1d(4)).model
    assert isinstance(alone, L1BatchNorm1d)
    double = convert_l1bn(nn.Sequential(nn.BatchNorm2d(3)).double()).model
    assert {tensor.dtype for tensor in double.state_dict().values()} == {torch.float64, torch.int64}


def test_a_layer_that_the_data_do_not_reach_stays_estimated():
    """It is listed so, instead of getting statistics of nothing."""
    model, batches = trained()
    model.add_module("spare", nn.BatchNorm2d(3))
    listed = convert_l1bn(model, batches).layers
    assert {layer.name: layer.statistics for layer in listed}["spare"] == "estimated"
    assert sum(layer.statistics == "measured" for layer in listed) == 3


@pytest.mark.parametrize(
    "refused", [nn.BatchNorm3d(3), nn.SyncBatchNorm(3), nn.LazyBatchNorm2d(), type("Own", (nn.BatchNorm2d,), {})(3)]
)
def test_what_cannot_be_converted_is_named_and_nothing_changes(refused):
    """All of them at once, before the first layer is replaced; instance norm is none of them."""
    model = nn.Sequential(nn.BatchNorm2d(3), nn.InstanceNorm2d(3), nn.Sequential(refused))
    with pytest.raises(InputError, match=rf"2\.0 \({type(refused).__name__}\); convertible"):
        convert_l1bn(model, in_place=True)
    assert type(model[0]) is nn.BatchNorm2d


def test_nothing_to_convert_and_no_data_are_refused():
    """Neither passes silently; and the model is what it was."""
    with pytest.raises(InputError, match="no BatchNorm1d or BatchNorm2d"):
        convert_l1bn(nn.Sequential(nn.Linear(2, 2), nn.InstanceNorm1d(2)))
    with pytest.raises(InputError, match=r"torch\.nn\.Module"):
        convert_l1bn("resnet18")
    model = nn.Sequential(nn.BatchNorm1d(2))
    kept = copy.deepcopy(model.state_dict())
    for in_place in (False, True):
        with pytest.raises(InputError, match="calibration data are empty"):
            convert_l1bn(model, [], in_place=in_place)
        assert type(model[0]) is nn.BatchNorm1d and model.state_dict().keys() == kept.keys()
