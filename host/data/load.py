"""One door to every data set: by name or by path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from strop.host.data.dataset import Dataset, Layout, Split, check_split
from strop.host.data.fashion_mnist import load_fashion_mnist, load_fashion_mnist_subset
from strop.host.data.idx import is_idx_folder, load_idx_folder
from strop.host.data.image_folder import load_image_folder
from strop.host.data.npz_dataset import load_npz
from strop.runtime.errors import DataError, InputError

NAMED_DATASETS = {"fashion-mnist": load_fashion_mnist, "fashion-mnist-subset": load_fashion_mnist_subset}


def load_dataset(
    spec: str, split: Split = "train", *, layout: Layout | None = None, size: tuple[int, int] | None = None
) -> Dataset:
    """Return a split of the data set that `spec` names.

    `spec` is "fashion-mnist" (Debian's package), "fashion-mnist-subset" (bundled), a path to an .npz file, to a folder
    of idx files, or to a folder of images, one subfolder per class. `split` is "train" or "test"; "all" is the whole
    of a source without splits, which also serves as "train" but never as "test". `layout` is for .npz files
    (`Dataset.from_arrays`), `size` for image folders (`load_image_folder`). Raises DataError, for an unknown `spec`
    with what is allowed.
    """
    check_split(split)
    path = Path(spec).expanduser()
    if spec in NAMED_DATASETS:
        _refuse(spec, layout=layout, size=size)
        return NAMED_DATASETS[spec](split)
    if path.is_file() and path.suffix == ".npz":
        _refuse(spec, size=size)
        return load_npz(path, split, layout=layout)
    if path.is_dir() and is_idx_folder(path):
        _refuse(spec, layout=layout, size=size)
        return load_idx_folder(path, split)
    if path.is_dir():
        _refuse(spec, layout=layout)
        return load_image_folder(path, split, size=size)
    problem = "is a file of an unknown kind" if path.is_file() else "is neither a data set nor a path that exists"
    raise DataError(
        f"{spec!r} {problem}; allowed are {', '.join(NAMED_DATASETS)}, the path of an .npz file, of a folder of idx "
        "files, or of a folder of images with one subfolder per class"
    )


def _refuse(spec: str, **options: Any) -> None:
    for name, value in options.items():
        if value is not None:
            raise InputError(f"{spec!r} takes no {name}; layout is for .npz files, size for image folders")
