"""A network cut in two: the rear, fed with the front's maps, trains to the bytes of the whole with a frozen front."""

from __future__ import annotations

import numpy as np
import pytest

from small_networks import LENET5, MIXED, RESIDUAL, SMALL, first_state, minibatches
from strop.runtime.contract import C
from strop.runtime.cut import MAP_OFFSET, cut, cut_points
from strop.runtime.device import open_device
from strop.runtime.errors import InputError, NetworkError
from strop.runtime.graph import L1BN, Conv2d, Linear, NetworkGraph, Residual
from strop.runtime.session import Minibatch, Session

NETWORKS = {"small": SMALL, "mixed": MIXED, "residual": RESIDUAL}
CASES = [(name, after) for name, graph in NETWORKS.items() for after in cut_points(graph)]


@pytest.mark.parametrize("kind", ["emulator", "reference"])
@pytest.mark.parametrize(("name", "after"), CASES)
def test_the_rear_trains_to_the_bytes_of_the_whole_with_a_frozen_front(name: str, after: str, kind: str) -> None:
    """What latent replay rests on: keeping feature maps instead of images changes no byte of what is learned."""
    graph = NETWORKS[name]
    found = cut(graph, after)
    batches = list(minibatches(graph, 5, 4))
    whole = Session(graph, open_device(kind), batch=5)
    whole.load_state(first_state(graph))
    list(whole.train(batches[:1]))  # the front has shifts and statistics then
    start = whole.state()
    maps = [whole.features(batch.images, after) for batch in batches]

    frozen = Session(graph, open_device(kind), batch=5, frozen=found.frozen)
    frozen.load_state(start)
    expected = list(frozen.train(batches))

    rear = Session(found.rear, open_device(kind), batch=5)
    rear.load_state(found.rear_state(start))
    kept = [(m.astype(np.int16) + MAP_OFFSET).astype(np.uint8) for m in maps]
    results = list(rear.train(Minibatch(m, b.labels, b.learning_rate) for m, b in zip(kept, batches, strict=True)))
    assert results == expected
    joined = found.joined(start, rear.state())
    for tensor, array in frozen.state().items():
        np.testing.assert_array_equal(joined[tensor], array, err_msg=tensor)
    images = np.concatenate([batch.images for batch in batches])
    logits = rear.logits(np.concatenate(kept))
    np.testing.assert_array_equal(logits, frozen.logits(images))


def test_both_devices_give_the_same_feature_maps_for_any_number_of_images() -> None:
    """Groups of 16 images, and a last part that is smaller than the mini-batch."""
    batches = list(minibatches(MIXED, 37, 1))
    maps = []
    for kind in ("emulator", "reference"):
        session = Session(MIXED, open_device(kind), batch=37)
        session.load_state(first_state(MIXED))
        list(session.train(batches))
        assert session.features(batches[0].images[:0], cut_points(MIXED)[0]).shape[0] == 0
        maps.append({after: session.features(batches[0].images, after) for after in cut_points(MIXED)})
    for after, found in maps[0].items():
        assert found.dtype == np.int8
        assert found.shape == (37, *cut(MIXED, after).rear.input)
        np.testing.assert_array_equal(found, maps[1][after])
        assert len(np.unique(found)) > 3


def test_cuts_are_named_by_the_layer_in_front() -> None:
    """Users choose among these names, and an error lists them."""
    assert cut_points(LENET5) == ("relu1", "pool1", "relu2", "pool2", "relu3", "relu4")
    found = cut(LENET5, "pool2")
    assert found.frozen == {"conv1", "conv2"}
    assert found.rear.input == (16, 5, 5)
    assert found.map_bytes == 400
    assert found.names["fc1"] == "fc1"
    assert cut(LENET5, "relu3").names["fc1"] == "fc2"
    assert cut(RESIDUAL, cut_points(RESIDUAL)[-1]).rear.input_exponent == 3
    for wrong in ("conv1", "flatten1", "fc3", "nothing"):
        with pytest.raises(InputError, match="relu1, pool1, relu2, pool2, relu3, relu4"):
            cut(LENET5, wrong)


def test_the_inputs_exponent_is_part_of_the_network() -> None:
    """Else a checkpoint of a rear would train to other bytes when loaded; and all earlier digests must hold."""
    rear = cut(LENET5, "pool2").rear
    assert NetworkGraph.from_dict(rear.to_dict()) == rear
    assert rear.digest() != NetworkGraph(rear.name, rear.input, rear.layers).digest()
    assert "input_exponent" not in LENET5.to_dict()
    with pytest.raises(NetworkError, match="input_exponent is 99"):
        NetworkGraph("n", (1, 4, 4), (Conv2d(2), L1BN(), Linear(2)), input_exponent=99)


def test_a_residual_may_come_first_only_on_maps() -> None:
    """A cut in front of one is possible; on pixels its branches would need a pixel map and a feature map at once."""
    body = Residual((Conv2d(C.MAX_PIXEL_CHANNELS, (1, 1)), L1BN()))
    with pytest.raises(NetworkError, match="cannot come first"):
        NetworkGraph("n", (C.MAX_PIXEL_CHANNELS, 1, 1), (body, Linear(2)))
