"""Data sets: labelled uint8 images from files, checked at the door, and the drifts to fine-tune for.

| `load_dataset(spec)` takes | read by |
|---|---|
| "fashion-mnist" | `load_fashion_mnist`: Debian's package dataset-fashion-mnist, or STROP_FASHION_MNIST's folder |
| "fashion-mnist-subset" | `load_fashion_mnist_subset`: bundled, 2,000 training and 1,000 test images |
| file.npz | `load_npz`: without pickle |
| a folder of idx files | `load_idx_folder`: MNIST and its relatives |
| CIFAR-10 or CIFAR-100: a folder or .tar.gz, binary or python | `load_cifar`: without pickle; fine or coarse labels |
| a folder of train_32x32.mat, or a .mat file | `load_svhn`: needs scipy |
| a folder bedroom_train_lmdb, or one of such | `load_lsun`: needs lmdb and Pillow; decoded as needed |
| a folder with train/n01440764 and val/ | `load_imagenet`: needs Pillow; decoded as needed |
| a folder of images | `load_image_folder`: needs Pillow |
"""

from __future__ import annotations

from strop.host.data.augmentation import AUGMENTATIONS, crop_flip
from strop.host.data.cifar import Labels, load_cifar
from strop.host.data.corruptions import blur, dead_pixels
from strop.host.data.dataset import Dataset, Layout, Split
from strop.host.data.fashion_mnist import load_fashion_mnist, load_fashion_mnist_subset
from strop.host.data.idx import load_idx_folder, load_idx_pair, read_idx
from strop.host.data.image_folder import load_image, load_image_folder
from strop.host.data.image_stream import ImageStream
from strop.host.data.imagenet import load_imagenet
from strop.host.data.load import NAMED_DATASETS, load_dataset
from strop.host.data.lsun import load_lsun
from strop.host.data.npz import NpzArchive
from strop.host.data.npz_dataset import load_npz
from strop.host.data.rotation import rotate
from strop.host.data.shifts import SHIFTS, shift_dataset
from strop.host.data.svhn import load_svhn

__all__ = [
    "AUGMENTATIONS",
    "NAMED_DATASETS",
    "SHIFTS",
    "Dataset",
    "ImageStream",
    "Labels",
    "Layout",
    "NpzArchive",
    "Split",
    "blur",
    "crop_flip",
    "dead_pixels",
    "load_cifar",
    "load_dataset",
    "load_fashion_mnist",
    "load_fashion_mnist_subset",
    "load_idx_folder",
    "load_idx_pair",
    "load_image",
    "load_image_folder",
    "load_imagenet",
    "load_lsun",
    "load_npz",
    "load_svhn",
    "read_idx",
    "rotate",
    "shift_dataset",
]
