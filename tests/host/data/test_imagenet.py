"""ImageNet's folders: its layouts of val/, the geometry of a crop, and images that stay in their files."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from strop.host import Model
from strop.host.data import Dataset, load_dataset, load_imagenet, shift_dataset
from strop.host.data.image_stream import ImageStream
from strop.runtime.errors import CheckpointMismatch, DataError, InputError
from tiny_models import tiny_graph

SYNSETS = ("n01440764", "n01443537", "n02102040")


def save(path, seed, height=40, width=30):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.Generator(np.random.PCG64(seed)).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path, "PNG")  # as n02105852_2933.JPEG is one; and so that pixels stay what they are
    return pixels


@pytest.fixture
def imagenet(tmp_path):
    """A folder with 2 training images a class, and a flat val/ of 3; class i of val is SYNSETS[2 - i]."""
    for number, synset in enumerate(SYNSETS):
        for image in range(2):
            save(tmp_path / f"train/{synset}/{synset}_{image}.JPEG", 10 * number + image)
    for image in range(3):
        save(tmp_path / f"val/ILSVRC2012_val_0000000{image + 1}.JPEG", 100 + image)
    return tmp_path


def table(folder):
    rows = [f"ILSVRC2012_val_0000000{i + 1},{SYNSETS[2 - i]} 1 2 3 4" for i in range(3)]
    (folder / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n" + "\n".join(reversed(rows)))


def test_training_images_stay_in_their_files(imagenet):
    """An index of files is all that is kept; rows come as from an array, and a subset is one, too."""
    train = load_dataset(str(imagenet), size=(8, 8))
    assert isinstance(train.images, ImageStream) and train.image_shape == (3, 8, 8)
    assert train.classes == SYNSETS and train.labels.tolist() == [0, 0, 1, 1, 2, 2] and train.name.endswith("/train")
    whole = np.asarray(train.images)
    assert whole.shape == (6, 3, 8, 8) and whole.dtype == np.uint8
    assert np.array_equal(train.images[np.array([5, 0])], whole[[5, 0]]) and np.array_equal(
        train.images[1:4], whole[1:4]
    )
    part = train.subset([4, 1]).subset([1])
    assert isinstance(part.images, ImageStream) and np.array_equal(part.images[:], whole[[1]]) and part.labels[0] == 0
    assert sum(map(len, train.split(2, 0))) == 6 and len(train.take(3, 0)) == 3


def test_the_shorter_side_and_the_crop(imagenet):
    """With a shorter side as it is, a crop is the middle of the image; else Pillow's resize comes first."""
    pixels = save(imagenet / "train" / SYNSETS[0] / f"{SYNSETS[0]}_0.JPEG", 7, height=40, width=30)
    as_it_is = load_imagenet(imagenet, size=(20, 24), shorter=30)
    assert np.array_equal(as_it_is.images[:1][0], pixels[10:30, 3:27].transpose(2, 0, 1))
    usual = load_imagenet(imagenet).images[:1][0]
    resized = Image.fromarray(pixels).resize((256, 341), resample=2)  # 40 / 30 * 256, rounded
    assert np.array_equal(usual, np.asarray(resized)[58:282, 16:240].transpose(2, 0, 1))
    assert load_imagenet(imagenet, mode="L", size=(8, 8)).image_shape == (1, 8, 8)


def test_a_flat_val_with_a_table(imagenet):
    """The table's order is not that of the files."""
    table(imagenet)
    test = load_dataset(str(imagenet), "test", size=(8, 8))
    assert test.labels.tolist() == [2, 1, 0] and test.classes == SYNSETS
    (imagenet / "LOC_val_solution.csv").write_text(f"ILSVRC2012_val_00000001.JPEG,{SYNSETS[0]}\n")
    with pytest.raises(DataError, match="says nothing of ILSVRC2012_val_00000002 and 1 others"):
        load_imagenet(imagenet, "test")
    (imagenet / "LOC_val_solution.csv").write_text("heading,x\nILSVRC2012_val_00000001.JPEG,dog\n")
    with pytest.raises(DataError, match="line 2 is no image,class"):
        load_imagenet(imagenet, "test")


def test_a_flat_val_with_the_devkit(imagenet):
    """Numbers of the ground truth are the devkit's own, not those of the sorted classes."""
    scipy_io = pytest.importorskip("scipy.io", reason="scipy is not installed: pip install 'strop[datasets]'")
    kit = imagenet / "ILSVRC2012_devkit_t12/data"
    kit.mkdir(parents=True)
    fields = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]
    rows = [(2, SYNSETS[0], "tench", 0), (1, SYNSETS[1], "goldfish", 0), (3, SYNSETS[2], "spaniel", 0)]
    synsets = np.array([*rows, (1001, "n00001740", "entity", 2)], dtype=fields)[:, np.newaxis]
    scipy_io.savemat(kit / "meta.mat", {"synsets": synsets})
    truth = kit / "ILSVRC2012_validation_ground_truth.txt"
    truth.write_text("3\n1\n2\n")
    assert load_imagenet(imagenet, "test", size=(8, 8)).labels.tolist() == [2, 1, 0]
    truth.write_text("3\n1\n1001\n")
    with pytest.raises(DataError, match="'1001', which is no number of a class"):
        load_imagenet(imagenet, "test")
    truth.write_text("3\n1\n")
    with pytest.raises(DataError, match="2 lines for 3 images"):
        load_imagenet(imagenet, "test")
    scipy_io.savemat(kit / "meta.mat", {"other": [1]})
    truth.write_text("3\n1\n2\n")
    with pytest.raises(DataError, match="no list of synsets"):
        load_imagenet(imagenet, "test")


def test_val_in_class_folders(imagenet):
    """As torchvision's readers want it; a class may lack, but none may be new."""
    for path in list((imagenet / "val").iterdir()):
        path.unlink()
    save(imagenet / f"val/{SYNSETS[1]}/a.JPEG", 1)
    assert load_dataset(str(imagenet), "test").labels.tolist() == [1]
    save(imagenet / "val/n09999999/a.JPEG", 1)
    with pytest.raises(DataError, match="class n09999999 that .* lacks"):
        load_imagenet(imagenet, "test")


def test_what_is_refused(imagenet):
    """Nothing tells the classes; a file that is no image; sizes that no crop has."""
    with pytest.raises(DataError, match="put LOC_val_solution.csv into"):
        load_imagenet(imagenet, "test")
    with pytest.raises(InputError, match="needs at least 224"):
        load_imagenet(imagenet, shorter=100)
    with pytest.raises(InputError, match="splits"):
        load_imagenet(imagenet, "all")
    broken = imagenet / "train" / SYNSETS[2] / f"{SYNSETS[2]}_1.JPEG"
    broken.write_bytes(broken.read_bytes()[:300])
    train = load_imagenet(imagenet)
    with pytest.raises(DataError, match="n02102040_1.JPEG.*cannot be read as an image"):
        train.images[5:6]
    with pytest.raises(InputError, match="shifts are for images in memory"):
        shift_dataset(train, "invert")
    (broken.parent / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="notes.txt: is not an image"):
        load_imagenet(imagenet)


def test_training_on_images_in_files_is_training_on_their_pixels(imagenet):
    """A fit reads mini-batch by mini-batch to the bytes of one on an array, and resume knows the files again."""
    table(imagenet)
    train, test = (load_imagenet(imagenet, split, size=(8, 8), mode="L") for split in ("train", "test"))
    digests = []
    for data in (train, Dataset(np.asarray(train.images), train.labels, train.classes, "array")):
        with Model.create(tiny_graph(), classes=SYNSETS, device="emulator", threads=1) as model:
            history = model.fit(data, epochs=2, batch=2, validation=test)
            assert len(history.steps) == 6 and history.epochs[-1].validation is not None
            model.predict(test.images)
            digests.append(model.digest())
            if data is train:
                model.resume(load_imagenet(imagenet, "train", size=(8, 8), mode="L"))
                with pytest.raises(CheckpointMismatch, match="same samples"):
                    model.resume(load_imagenet(imagenet, "train", size=(8, 8), shorter=8, mode="L"))
    assert digests[0] == digests[1]
