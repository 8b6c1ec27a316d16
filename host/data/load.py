"""One door to every data set: by name or by path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.host.data.cifar import Labels, is_cifar, load_cifar
from strop.host.data.dataset import Dataset, Layout, Split, check_split
from strop.host.data.fashion_mnist import load_fashion_mnist, load_fashion_mnist_subset
from strop.host.data.idx import is_idx_folder, load_idx_folder
from strop.host.data.image_file import Mode
from strop.host.data.image_folder import load_image_folder
from strop.host.data.imagenet import is_imagenet, load_imagenet
from strop.host.data.lsun import is_lsun, load_lsun
from strop.host.data.npz_dataset import load_npz
from strop.host.data.svhn import is_svhn, load_svhn
from strop.runtime.errors import DataError, InputError

NAMED_DATASETS = {"fashion-mnist": load_fashion_mnist, "fashion-mnist-subset": load_fashion_mnist_subset}


@dataclass(frozen=True)
class _Kind:
    """A kind of file or folder: how it is recognized, what reads it, and which options that takes."""

    is_one: Callable[[Path], bool]
    load: Callable[..., Dataset]
    options: tuple[str, ...] = ()


KINDS = (  # the first that fits; a folder that fits no other is one of images
    _Kind(lambda path: path.is_file() and path.suffix == ".npz", load_npz, ("layout",)),
    _Kind(lambda path: path.is_dir() and is_idx_folder(path), load_idx_folder),
    _Kind(is_cifar, load_cifar, ("labels",)),
    _Kind(is_svhn, load_svhn),
    _Kind(is_lsun, load_lsun, ("size", "mode")),
    _Kind(is_imagenet, load_imagenet, ("size", "mode")),
    _Kind(Path.is_dir, load_image_folder, ("size", "mode")),
)


def load_dataset(
    spec: str,
    split: Split = "train",
    *,
    layout: Layout | None = None,
    size: tuple[int, int] | None = None,
    mode: Mode | None = None,
    labels: Labels | None = None,
) -> Dataset:
    """Return a split of the data set that `spec` names.

    `spec` is "fashion-mnist" (Debian's package), "fashion-mnist-subset" (bundled), or the path of an .npz file, of a
    folder of idx files, of CIFAR (a folder or .tar.gz), SVHN, LSUN or ImageNet as their authors offer them, or of a
    folder of images, one subfolder per class. `split` is "train" or "test"; "all" is the whole of a source without
    splits, which also serves as "train" but never as "test". `layout` is for .npz files (`Dataset.from_arrays`), `size`
    and `mode` for images that are decoded (`load_image_folder`, `load_imagenet`, `load_lsun`), `labels` for CIFAR-100.
    Raises DataError, for an unknown `spec` with what is allowed.
    """
    check_split(split)
    options = {"layout": layout, "size": size, "mode": mode, "labels": labels}
    path = Path(spec).expanduser()
    if spec in NAMED_DATASETS:
        _given(spec, options, ())
        return NAMED_DATASETS[spec](split)
    kind = _kind_of(path)
    if kind is not None:
        return kind.load(path, split, **_given(spec, options, kind.options))
    problem = "is a file of an unknown kind" if path.is_file() else "is neither a data set nor a path that exists"
    raise DataError(
        f"{spec!r} {problem}; allowed are {', '.join(NAMED_DATASETS)}, the path of an .npz file, of a folder of idx "
        "files, of CIFAR, SVHN, LSUN or ImageNet in their own formats, or of a folder of images with one subfolder per "
        "class"
    )


def takes_size(spec: str) -> bool:
    """Return whether the images of `spec` are decoded, and so can be had in any size and in grey or RGB."""
    kind = None if spec in NAMED_DATASETS else _kind_of(Path(spec).expanduser())
    return kind is not None and "size" in kind.options


def _kind_of(path: Path) -> _Kind | None:
    return next((kind for kind in KINDS if kind.is_one(path)), None) if path.exists() else None


def _given(spec: str, options: dict[str, Any], taken: tuple[str, ...]) -> dict[str, Any]:
    """Return the options that were given. Raises InputError for one that is not `taken`."""
    for name, value in options.items():
        if value is not None and name not in taken:
            raise InputError(
                f"{spec!r} takes no {name}; layout is for .npz files, size and mode for images that are decoded, "
                "labels for CIFAR-100"
            )
    return {name: value for name, value in options.items() if value is not None}
