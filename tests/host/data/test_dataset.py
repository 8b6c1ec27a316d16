"""The data set's own promises: what it refuses, what it protects, and that chosen samples never change between runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strop.host.data.dataset import Dataset, check_split, numbered_classes
from strop.runtime.contract import C
from strop.runtime.errors import DataError, InputError


def numbered(count: int, classes: int = 3, shape: tuple[int, int, int] = (1, 2, 2)) -> Dataset:
    """Image i is filled with i % 256, label i is i % classes."""
    pixels = np.repeat(np.arange(count) % 256, int(np.prod(shape))).astype(np.uint8).reshape(count, *shape)
    names = [f"c{i}" for i in range(classes)]
    return Dataset.from_arrays(pixels, np.arange(count) % classes, classes=names, name="n")


def test_arrays_are_read_only_and_out_of_the_callers_reach():
    """A data set that is trained on must not change under the trainer, neither by itself nor by its source."""
    images, labels = np.zeros((3, 1, 2, 2), np.uint8), np.zeros(3, np.int32)
    dataset = Dataset(images, labels, ("a",), "d")
    images[:], labels[:] = 9, 5
    assert dataset.images.max() == 0 and dataset.labels.max() == 0
    for array in (dataset.images, dataset.labels):
        assert array.flags.c_contiguous
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_read_only_arrays_are_not_copied():
    """A large set that a loader owns is held once, not twice."""
    images, labels = np.zeros((3, 1, 2, 2), np.uint8), np.zeros(3, np.int32)
    images.flags.writeable = labels.flags.writeable = False
    dataset = Dataset(images, labels, ("a",), "d")
    assert dataset.images is images and dataset.labels is labels


@pytest.mark.parametrize(
    ("images", "labels", "classes", "message"),
    [
        (np.zeros((2, 1, 2, 2), np.float32), [0, 0], ("a",), r"uint8 pixels, got float32.*np\.round"),
        (np.zeros((2, 1, 2, 2), np.int8), [0, 0], ("a",), "uint8 pixels, got int8"),
        (
            np.zeros((2, 2, 2), np.uint8),
            [0, 0],
            ("a",),
            r"\[count, channels, height, width\], got the shape \[2, 2, 2\]",
        ),
        (np.zeros((0, 1, 2, 2), np.uint8), [], ("a",), "are empty"),
        (np.zeros((2, 1, 0, 2), np.uint8), [0, 0], ("a",), "are empty"),
        ([[[[0]]]], [0], ("a",), "numpy array, got list"),
        (np.zeros((2, 1, 2, 2), np.uint8), [0], ("a",), "2 images with 1 labels"),
        (np.zeros((3, 1, 2, 2), np.uint8), [0, 2, 5], ("a", "b"), r"labels\[1\] is 2; 2 classes allow 0 to 1"),
        (np.zeros((3, 1, 2, 2), np.uint8), [0, 0, -1], ("a", "b"), r"labels\[2\] is -1"),
        (np.zeros((1, 1, 2, 2), np.uint8), [0], (), "0 classes are not possible"),
        (np.zeros((1, 1, 2, 2), np.uint8), [0], ("a", "b", "a"), "'a' occurs twice"),
        (np.zeros((1, 1, 2, 2), np.uint8), [0], ["a"], "tuple of strings"),
        (np.zeros((1, 1, 2, 2), np.uint8), [0], (0,), "tuple of strings"),
    ],
)
def test_the_constructor_refuses(images, labels, classes, message):
    """Wrong arrays are named at the door, labels with the index of the first bad one; not three layers below."""
    with pytest.raises(InputError, match=message):
        Dataset(images, np.array(labels, np.int32), classes, "d")


@pytest.mark.parametrize("labels", [[0, 0], np.zeros(2, np.int64), np.zeros(2, np.float32), np.zeros((2, 1), np.int32)])
def test_the_constructor_takes_int32_labels_only(labels):
    """The devices copy labels as int32; any other width would be read as other labels."""
    with pytest.raises(InputError, match=r"int32 \[count\]"):
        Dataset(np.zeros((2, 1, 2, 2), np.uint8), labels, ("a",), "d")


def test_from_arrays_adds_the_channel_axis():
    """Grey images usually come without one."""
    dataset = Dataset.from_arrays(np.arange(12, dtype=np.uint8).reshape(2, 2, 3), [1, 0])
    assert dataset.images.shape == (2, 1, 2, 3) and dataset.image_shape == (1, 2, 3)
    assert dataset.images[1, 0, 1, 2] == 11
    assert dataset.classes == ("0", "1") and len(dataset) == 2


@pytest.mark.parametrize("channels", [1, 3])
def test_nhwc_is_taken_when_it_is_said(channels):
    """Pixel [n, h, w, c] must end at [n, c, h, w], in an array of its own."""
    images = np.arange(2 * 4 * 5 * channels, dtype=np.uint8).reshape(2, 4, 5, channels)
    dataset = Dataset.from_arrays(images, [0, 0], layout="NHWC")
    assert dataset.images.shape == (2, channels, 4, 5)
    assert dataset.images[1, channels - 1, 2, 3] == images[1, 2, 3, channels - 1]
    before = dataset.images.copy()
    images[:] = 0
    assert np.array_equal(dataset.images, before)


def test_a_layout_is_never_guessed():
    """[n, 28, 28, 3] read as 28 channels would train, badly and without a word."""
    images = np.zeros((2, 28, 28, 3), np.uint8)
    with pytest.raises(InputError, match='say layout="NHWC" or layout="NCHW"'):
        Dataset.from_arrays(images, [0, 0])
    assert Dataset.from_arrays(images, [0, 0], layout="NCHW").image_shape == (28, 28, 3)
    assert Dataset.from_arrays(np.zeros((2, 3, 28, 1), np.uint8), [0, 0]).image_shape == (3, 28, 1)
    with pytest.raises(InputError, match="1 or 3 channels"):
        Dataset.from_arrays(np.zeros((2, 3, 28, 28), np.uint8), [0, 0], layout="NHWC")
    with pytest.raises(InputError, match="layout 'HWC' is unknown"):
        Dataset.from_arrays(images, [0, 0], layout="HWC")


def test_from_arrays_refuses_labels_that_int32_would_wrap_into_range():
    """2**32 as int32 is 0: it must be refused before the conversion."""
    with pytest.raises(InputError, match=r"labels\[1\] is 4294967296"):
        Dataset.from_arrays(np.zeros((2, 2, 2), np.uint8), np.array([0, 2**32]), classes=["a", "b"])


@pytest.mark.parametrize("labels", [[0.0, 1.0], [True, False], [[0, 1]], ["a", "b"], 0])
def test_from_arrays_refuses_labels_that_are_no_numbers_of_classes(labels):
    """Floats and booleans as labels are a mistake elsewhere (logits, masks), not a request to round."""
    with pytest.raises(InputError, match="labels must be integers"):
        Dataset.from_arrays(np.zeros((2, 2, 2), np.uint8), labels)


def test_from_arrays_refuses_other_dimensions_and_a_string_of_classes():
    """classes="ab" would name two classes by accident."""
    with pytest.raises(InputError, match=r"got \[4\]"):
        Dataset.from_arrays(np.zeros(4, np.uint8), [0])
    with pytest.raises(InputError, match="single string 'ab'"):
        Dataset.from_arrays(np.zeros((2, 2, 2), np.uint8), [0, 1], classes="ab")


def test_labels_in_a_column_are_labels():
    """MedMNIST and CIFAR files keep labels as [count, 1]."""
    assert Dataset.from_arrays(np.zeros((2, 2, 2), np.uint8), np.array([[1], [0]], np.uint8)).labels.tolist() == [1, 0]


def test_a_huge_label_does_not_make_a_huge_list_of_names(at_most):
    """One corrupt label must cost a message, not gigabytes of class names."""
    with at_most(1 << 20), pytest.raises(InputError, match=f"label 1000000000 .* 0 to {C.MAX_CLASSES - 1}"):
        numbered_classes(np.array([0, 1000000000]))
    assert len(numbered_classes(np.array([C.MAX_CLASSES - 1]))) == C.MAX_CLASSES


def test_subset_keeps_order_and_repeats():
    """Replay draws with repetition, and images must stay with their labels."""
    part = numbered(10).subset([4, 0, 4])
    assert part.images[:, 0, 0, 0].tolist() == [4, 0, 4]
    assert part.labels.tolist() == [1, 0, 1] and part.classes == ("c0", "c1", "c2")


@pytest.mark.parametrize(
    ("indices", "message"),
    [([], "non-empty"), ([0.5], "integers"), ([[0]], "integers"), ([3, 10], r"indices\[1\] is 10"), ([-1], "0 to 9")],
)
def test_subset_refuses(indices, message):
    """A negative index would silently be a sample from the end."""
    with pytest.raises(InputError, match=message):
        numbered(10).subset(indices)


@given(st.integers(2, 60), st.data(), st.integers(0, 2**63))
def test_split_parts_every_sample_exactly_once(count, data, seed):
    """A sample in both parts would make the held-out accuracy a lie."""
    chosen = data.draw(st.integers(1, count - 1))
    first, second = numbered(count).split(chosen, seed)
    ids = [part.images[:, 0, 0, 0].tolist() for part in (first, second)]
    assert len(first) == chosen and sorted(ids[0] + ids[1]) == list(range(count))
    assert ids[0] == sorted(ids[0]) and ids[1] == sorted(ids[1])


def test_split_and_take_are_the_same_for_ever():
    """A resumed run must hold out the same samples on any machine and numpy version."""
    first, _ = numbered(20).split(6, seed=5)
    assert first.images[:, 0, 0, 0].tolist() == [6, 7, 13, 16, 17, 18]
    assert numbered(20).take(6, seed=5).images[:, 0, 0, 0].tolist() == [6, 7, 13, 14, 17, 18]


def test_the_seed_decides():
    """Different seeds must give different samples, or repetitions of an experiment repeat nothing."""
    assert len({tuple(numbered(200).take(20, seed).images[:, 0, 0, 0]) for seed in range(10)}) == 10


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.data())
def test_take_gives_each_class_its_share(labels, data):
    """Every class gets its exact share rounded up or down: a small subset is a small picture of the whole."""
    n = data.draw(st.integers(1, len(labels)))
    whole = Dataset.from_arrays(np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1), labels, classes=list("abcde"))
    part = whole.take(n, seed=1)
    ids = part.images[:, 0, 0, 0]
    assert len(part) == n and np.all(np.diff(ids) > 0)
    assert np.array_equal(part.labels, np.array(labels)[ids])
    for label in range(5):
        exact = n * labels.count(label) / len(labels)
        assert abs(int((part.labels == label).sum()) - exact) < 1


@pytest.mark.parametrize("count", [0, -1, 11])
def test_split_and_take_refuse_impossible_counts(count):
    """The message says how many there are."""
    with pytest.raises(InputError, match="of 10 samples from n: allowed are 1 to 9"):
        numbered(10).split(count, 0)
    with pytest.raises(InputError, match="of 10 samples from n: allowed are 1 to 10"):
        numbered(10).take(count, 0)
    with pytest.raises(InputError, match="allowed are 1 to 9"):
        numbered(10).split(10, 0)


@pytest.mark.parametrize("seed", [-1, 1.5, None])
def test_split_and_take_refuse_a_seed_that_is_none(seed):
    """None as a seed would mean fresh randomness, which no run could repeat."""
    with pytest.raises(InputError, match="seed must be an integer of at least 0"):
        numbered(10).take(2, seed)


def test_check_split():
    """A misspelt split must not load the training set."""
    assert check_split("test") == "test"
    with pytest.raises(InputError, match="'valid' is unknown"):
        check_split("valid")


def test_repr_does_not_print_the_pixels():
    """A data set in a traceback or a log is one line."""
    assert repr(numbered(2)) == "Dataset(classes=('c0', 'c1', 'c2'), name='n')"
    assert not issubclass(InputError, DataError)
