"""Uploads in the format zip: an archive of class folders, class/name.png. Each image stands and falls alone."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

import numpy as np

from strop.host.data.npz import FOREIGN_ERRORS
from strop.service.data.archive import Archive, invalid
from strop.service.data.batches import Batch
from strop.service.data.idx_intake import visible
from strop.service.data.image_files import SUFFIXES, BadImage, Look, look_at, need_pillow, pixels_of
from strop.service.data.limits import BATCH_BYTES, MAX_IMAGE_FILE_BYTES, sample_fault
from strop.service.data.npz_intake import check_class_names
from strop.service.data.quarantine import Quarantine

EXPECTED = "expected are class_name/*.png (or .jpg), at most one folder around them all"


def image_batches(archive: Archive, quarantine: Quarantine) -> tuple[Iterator[Batch], tuple[str, ...]]:
    """Return the batches of an archive of class folders, and the classes, sorted by name. Raises `Problem`.

    Size and colour are those of most images; whatever is no image of them goes into quarantine.
    """
    need_pillow()
    folders = _class_folders(visible(archive), quarantine)
    classes = check_class_names(tuple(sorted(folders)))
    seen: Counter[Look] = Counter()
    good: list[tuple[zipfile.ZipInfo, int]] = []
    for label, name in enumerate(classes):
        for member in folders.pop(name):
            try:
                seen[look_at(_content(archive, member))] += 1
                good.append((member, label))
            except BadImage as error:
                quarantine.put(member.filename, str(error))
    return _decoded(archive, good, seen, quarantine), classes


def _class_folders(members: list[zipfile.ZipInfo], quarantine: Quarantine) -> dict[str, list[zipfile.ZipInfo]]:
    """Return the files by class. A single folder around the class folders is left out."""
    paths = [PurePosixPath(member.filename).parts for member in members]
    depth = 2 if any(len(parts) == 2 for parts in paths) else 3
    roots = {parts[0] for parts in paths if len(parts) == 3}
    if depth == 3 and len(roots) != 1:
        raise invalid(f"the archive's folders are {', '.join(sorted(roots)[:10]) or 'none'}; {EXPECTED}")
    folders: dict[str, list[zipfile.ZipInfo]] = {}
    for member, parts in zip(members, paths, strict=True):
        if len(parts) == depth:
            folders.setdefault(parts[-2], []).append(member)
        else:
            quarantine.put(member.filename, f"does not lie in a class folder: {EXPECTED}")
    return folders


def _decoded(
    archive: Archive, good: list[tuple[zipfile.ZipInfo, int]], seen: Counter[Look], quarantine: Quarantine
) -> Iterator[Batch]:
    if not good:
        return
    sizes: Counter[tuple[int, int]] = Counter()
    for look, count in seen.items():
        sizes[look.height, look.width] += count
    size = sizes.most_common(1)[0][0]
    color = seen[Look(*size, True)] >= seen[Look(*size, False)]
    shape = (3 if color else 1, *size)
    fault = sample_fault(shape)
    if fault is not None:
        raise invalid(f"the archive holds {fault}")
    a_batch = max(1, BATCH_BYTES // (shape[0] * shape[1] * shape[2]))
    images, labels = np.empty((a_batch, *shape), np.uint8), np.empty(a_batch, np.int32)
    filled = 0
    for member, label in good:
        try:
            images[filled] = pixels_of(_content(archive, member), size, shape[0])
        except BadImage as error:
            quarantine.put(member.filename, str(error))
            continue
        labels[filled] = label
        filled += 1
        if filled == a_batch:
            yield Batch(images, labels)
            filled = 0
    if filled:
        yield Batch(images[:filled], labels[:filled])


def _content(archive: Archive, member: zipfile.ZipInfo) -> bytes:
    if PurePosixPath(member.filename).suffix.lower() not in SUFFIXES:
        raise BadImage(f"is no image; allowed are *{', *'.join(SUFFIXES)}")
    if member.file_size > MAX_IMAGE_FILE_BYTES:
        raise BadImage(f"has {member.file_size} bytes; allowed are {MAX_IMAGE_FILE_BYTES}")
    try:
        with archive.open(member) as file:
            content = file.read(member.file_size)  # without a number, it would inflate whatever there is
            file.read(1)  # the checksum, if the file has no bytes
            return content
    except FOREIGN_ERRORS as error:
        raise BadImage(f"is damaged in the archive: {str(error) or type(error).__name__}") from error
