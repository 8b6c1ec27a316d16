"""Uploads in the format idx: a zip archive of two files as MNIST has them, images and labels, each plain or gzipped."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO, cast

from strop.host.data.bounded import GzipStream, Source
from strop.host.data.idx import GZIP_MAGIC
from strop.service.data.archive import Archive, damage_told, invalid
from strop.service.data.array_streams import ArrayStream, open_idx
from strop.service.data.batches import Batch, array_batches
from strop.service.data.quarantine import Quarantine
from strop.service.problems import Problem


def idx_batches(archive: Archive, quarantine: Quarantine, limit: int) -> Iterator[Batch]:
    """Return the batches of an archive of idx files; which are the images, their dimensions tell. Raises `Problem`.

    limit: bytes that the images may have when they are unzipped twice.
    """
    members = visible(archive)
    if len(members) != 2:
        raise invalid(
            f"the archive holds {len(members)} files; needed are two idx files, images and labels. "
            "Parts for training and for tests are uploaded as a data set each"
        )
    arrays = [_stream(archive, member) for member in members]
    labels, images = sorted(arrays, key=lambda array: len(array.shape))
    if len(labels.shape) != 1 or len(images.shape) < 3:
        found = ", ".join(f"{array.where} with {len(array.shape)}" for array in arrays)
        raise invalid(f"the dimensions are: {found}; images have 3 or 4, labels have 1")
    if images.shape[0] * images.row_bytes > limit:
        raise Problem("archive_bomb", f"{images.where} declares {list(images.shape)}; allowed are {limit} bytes")
    return array_batches(images, labels, None, quarantine)


def is_idx_archive(archive: Archive) -> bool:
    """Return whether all files of an archive are named like MNIST's."""
    names = [PurePosixPath(member.filename).name.removesuffix(".gz") for member in visible(archive)]
    return bool(names) and all(name.endswith("-ubyte") and "idx" in name for name in names)


def visible(archive: Archive) -> list[zipfile.ZipInfo]:
    """Return the files of an archive without folders, hidden files, and what macOS adds."""
    return [
        member
        for member in archive.members
        if not member.is_dir()
        and not any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(member.filename).parts)
    ]


def _stream(archive: Archive, member: zipfile.ZipInfo) -> ArrayStream:
    with damage_told(member.filename):
        with archive.open(member) as file:
            gzipped = file.read(2) == GZIP_MAGIC
        file = archive.open(member)
    source: Source = GzipStream(cast(BinaryIO, file)) if gzipped else file
    return open_idx(member.filename, source)
