"""Uploads in the format npz: the arrays `images` and `labels` (or `x` and `y`), and `classes` if there are names."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator

import numpy as np

from strop.host.data.npz_dataset import PAIRS
from strop.runtime.contract import C
from strop.service.data.archive import Archive, damage_told, invalid
from strop.service.data.array_streams import ArrayStream, open_npy
from strop.service.data.batches import Batch, array_batches
from strop.service.data.quarantine import Quarantine

SUFFIX = ".npy"
LONGEST_CLASS = 100  # characters of a class's name
MAX_CLASSES_BYTES = 4 * LONGEST_CLASS * C.MAX_CLASSES


def npz_batches(archive: Archive, quarantine: Quarantine) -> tuple[Iterator[Batch], tuple[str, ...] | None]:
    """Return the batches of an .npz file, and the names of the classes if it has them. Raises `Problem`."""
    members = {member.filename: member for member in archive.members}
    for images, labels in PAIRS["all"]:
        if {images + SUFFIX, labels + SUFFIX} <= members.keys():
            break
    else:
        held = ", ".join(sorted(name.removesuffix(SUFFIX) for name in members)[:10]) or "nothing"
        raise invalid(
            f"the file holds {held}; needed are {' or '.join(' and '.join(pair) for pair in PAIRS['all'])}. "
            "Parts for training and for tests are uploaded as a data set each"
        )
    classes = _classes(archive, members["classes" + SUFFIX]) if "classes" + SUFFIX in members else None
    streams = [_stream(archive, members[name + SUFFIX]) for name in (images, labels)]
    return array_batches(streams[0], streams[1], None if classes is None else len(classes), quarantine), classes


def check_class_names(classes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of classes. Raises `Problem` dataset_invalid."""
    if not 1 <= len(classes) <= C.MAX_CLASSES:
        raise invalid(f"{len(classes)} classes; allowed are 1 to {C.MAX_CLASSES}")
    for name in classes:
        if not 1 <= len(name) <= LONGEST_CLASS or not name.isprintable():
            raise invalid(f"a class is named {name[:LONGEST_CLASS]!r}; names are 1 to {LONGEST_CLASS} plain characters")
    if len(set(classes)) != len(classes):
        raise invalid("two classes have the same name")
    return classes


def _stream(archive: Archive, member: zipfile.ZipInfo) -> ArrayStream:
    name = member.filename.removesuffix(SUFFIX)
    with damage_told(name):
        file = archive.open(member)
    return open_npy(name, file)


def _classes(archive: Archive, member: zipfile.ZipInfo) -> tuple[str, ...]:
    array = _stream(archive, member)
    if array.dtype.kind != "U" or len(array.shape) != 1:
        raise invalid(f"classes: {array.dtype} {list(array.shape)}; expected is an array of strings [count]")
    if array.shape[0] > C.MAX_CLASSES or array.shape[0] * array.row_bytes > MAX_CLASSES_BYTES:
        raise invalid(f"classes: {array.dtype} {list(array.shape)} is more than {C.MAX_CLASSES} names of sane length")
    names = array.rows(array.shape[0])
    array.check_end()
    try:
        return check_class_names(tuple(str(name) for name in np.asarray(names)))
    except (ValueError, SystemError) as error:  # 32-bit characters beyond Unicode
        raise invalid(f"classes holds characters that are none: {error}") from error
