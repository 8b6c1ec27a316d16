"""The shipped checkpoint is what its script says: strop's own, of these numerics, and a good classifier."""

from __future__ import annotations

import pytest

from strop.host.data import load_fashion_mnist_subset
from strop.host.model import Model
from strop.host.pretrained import PRETRAINED, pretrained_path
from strop.host.pretrained.make_lenet5 import BATCH, EPOCHS
from strop.runtime.errors import InputError

# printed by make_lenet5 when the checkpoint was made; another arithmetic would make another state
DIGEST = "e710743621b277a6273a645ed10917f36874a3dcf9c467098bef9036c91177cc"


def test_state_is_the_one_that_the_script_made() -> None:
    """Protects the demo and its figures: the file in the package is the recorded run's, whole, with its history."""
    model = Model.load(pretrained_path(), device="reference")
    assert model.digest() == DIGEST
    assert model.steps == EPOCHS * (60000 // BATCH)
    assert model.history is not None and len(model.history.epochs) == EPOCHS


def test_it_classifies_the_bundled_test_images() -> None:
    """Protects users' first prediction: 1,000 test images, none of them trained on."""
    model = Model.load(pretrained_path())
    assert model.evaluate(load_fashion_mnist_subset("test")).error < 0.12


def test_unknown_names_are_refused_with_those_there_are() -> None:
    """Protects against a wrong name: the error says what is allowed."""
    with pytest.raises(InputError, match=", ".join(PRETRAINED)):
        pretrained_path("lenet6")
