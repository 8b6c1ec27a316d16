"""Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017): Debian's package of it, and the subset that strop brings along."""

from __future__ import annotations

import os
from pathlib import Path

from strop.host.data.dataset import Dataset, Split
from strop.host.data.idx import is_idx_folder, load_idx_folder
from strop.host.data.npz_dataset import load_npz
from strop.runtime.errors import DataError

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
SUBSET_FILE = Path(__file__).with_name("fashion_mnist_subset.npz")  # beside this file, in every kind of installation
FOLDER_VARIABLE = "STROP_FASHION_MNIST"
CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def load_fashion_mnist(split: Split = "train", folder: str | Path | None = None) -> Dataset:
    """Return Fashion-MNIST: 60,000 training or 10,000 test images of 1 x 28 x 28.

    The files are looked for in `folder`; without it in the folder that STROP_FASHION_MNIST names; without
    that where Debian's package puts them. A named folder may also hold them in a subfolder
    fashion-mnist. Raises DataError where they are missing or damaged.
    """
    place = _find(folder)
    dataset = load_idx_folder(place, split, classes=CLASSES, name=f"fashion-mnist/{split}")
    if dataset.image_shape != (1, 28, 28):
        raise DataError(f"{place}: images of {dataset.image_shape} are not Fashion-MNIST's, which are (1, 28, 28)")
    return dataset


def load_fashion_mnist_subset(split: Split = "train") -> Dataset:
    """Return the bundled subset, made by make_subset.py: 2,000 training or 1,000 test images, as many of each class."""
    return load_npz(SUBSET_FILE, split, name=f"fashion-mnist-subset/{split}")


def _find(folder: str | Path | None) -> Path:
    named = folder or os.environ.get(FOLDER_VARIABLE)
    places = [DEBIAN_FOLDER]
    if named:
        places = [Path(named).expanduser(), Path(named).expanduser() / "fashion-mnist"]
    for place in places:
        if is_idx_folder(place):
            return place
    raise DataError(
        f"Fashion-MNIST is not in {' or '.join(map(str, places))}; `apt-get install dataset-fashion-mnist`, "
        f"name its folder in {FOLDER_VARIABLE}, or use the bundled data set fashion-mnist-subset"
    )
