"""Uploads to send: good ones, and those of people who mean harm. The writers share no code with strop's readers."""

from __future__ import annotations

import gzip
import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from strop.service.data.intake import Format

MIB = 1 << 20


def pixels(count: int, *shape: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return random images uint8 [count, *shape]."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


def npz(compress: bool = False, **arrays: Any) -> bytes:
    """Return an .npz file as numpy writes it."""
    out = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(out, **arrays)
    return out.getvalue()


def zipped(members: Iterable[tuple[str | zipfile.ZipInfo, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip archive of members, in their order."""
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", method) as archive:
        warnings.simplefilter("ignore")  # two of a name are meant
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


def image_file(image: NDArray[np.uint8], kind: str = "PNG", **words: Any) -> bytes:
    """Return uint8 [H, W] or [H, W, C] as an image file."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, kind, **words)
    return out.getvalue()


def class_folders(images: NDArray[np.uint8], labels: Iterable[int], root: str = "") -> list[tuple[str, bytes]]:
    """Return members class_K/N.png for images uint8 [n, H, W] or [n, H, W, C]."""
    pairs = enumerate(zip(images, labels, strict=True))
    return [(f"{root}class_{label}/{number:04}.png", image_file(image)) for number, (image, label) in pairs]


def idx(array: NDArray[np.uint8], kind: int = 8) -> bytes:
    """Return an idx file."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape) + array.tobytes()


def npy_member(shape: tuple[int, ...], data: bytes, descr: str = "|u1", fortran: bool = False) -> bytes:
    """Return a .npy file whose header may say anything."""
    header = repr({"descr": descr, "fortran_order": fortran, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def zeros_deflated(nbytes: int) -> bytes:
    """Return a raw deflate stream of so many zeros, without having had them in memory."""
    press, out, piece = zlib.compressobj(9, wbits=-15), [], bytes(MIB)
    for _ in range(nbytes // MIB):
        out.append(press.compress(piece))
    return b"".join([*out, press.flush()])


def raw_zip(
    members: Iterable[tuple[str, bytes, int]], overlapping: bool = False, method: int = 8, comment: int = 0
) -> bytes:
    """Return an archive of members (name, data as they are stored, claimed size), which may claim anything.

    overlapping: all entries of the directory share the data of the first. comment: the length of each entry's.
    """
    body, directory, count = bytearray(), bytearray(), 0
    for name, stored, claimed in members:
        shared = struct.pack("<HHHHHIIIHH", 20, 0, method, 0, 33, 0, len(stored), claimed, len(name), 0)
        at = 0 if overlapping else len(body)
        directory += b"PK\x01\x02" + struct.pack("<H", 20) + shared + struct.pack("<HHHII", comment, 0, 0, 0, at)
        directory += name.encode() + bytes(comment)
        if not (overlapping and body):
            body += b"PK\x03\x04" + shared + name.encode() + stored
        count += 1
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count & 0xFFFF, count & 0xFFFF, len(directory), len(body), 0)
    return bytes(body + directory + end)


def text_bomb(inflated: int) -> bytes:
    """Return a PNG file of 4 x 4 pixels whose text chunks inflate to so many bytes."""
    info = PngImagePlugin.PngInfo()
    for number in range(inflated // (MIB - 16)):
        info.add_text(f"t{number}", "a" * (MIB - 16), zip=True)
    return image_file(np.zeros((4, 4), np.uint8), pnginfo=info)


def png_header_bomb(width: int, height: int) -> bytes:
    """Return a PNG file that says it has so many pixels, and deflates a few megabytes of zeros."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(8 * MIB), 9))
        + chunk(b"IEND", b"")
    )


def gzipped_zeros(head: bytes, nbytes: int) -> bytes:
    """Return a gzip file of `head` and so many zeros."""
    out, piece = io.BytesIO(), bytes(MIB)
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as file:
        file.write(head)
        for _ in range(nbytes // MIB):
            file.write(piece)
    return out.getvalue()


def link(name: str, target: str) -> tuple[zipfile.ZipInfo, bytes]:
    """Return a member that is a symbolic link."""
    member = zipfile.ZipInfo(name)
    member.create_system, member.external_attr = 3, 0o120777 << 16
    return member, target.encode()


FLAGS, STORED, INFLATED = (8, "<H"), (20, "<I"), (24, "<I")  # fields of a directory entry: place, format


def claiming(archive: bytes, field: tuple[int, str], value: int) -> bytes:
    """Return a zip archive whose first directory entry claims something else."""
    changed = bytearray(archive)
    struct.pack_into(field[1], changed, archive.index(b"PK\x01\x02") + field[0], value)
    return bytes(changed)


def _one(name: str, stored: bytes, claimed: int) -> bytes:
    return raw_zip([(name, stored, claimed)])


@cache
def bombs() -> dict[str, tuple[Format, bytes, str]]:
    """Return by name: (format, body, code of the refusal) of what is small and would become large, or is ill-meant."""
    good: list[tuple[str | zipfile.ZipInfo, bytes]] = [*class_folders(pixels(2, 5, 4), [0, 1])]
    labels = npy_member((2,), np.array([0, 1], np.int64).tobytes(), "<i8")
    zeros = zeros_deflated(400 * MIB)
    small = zeros_deflated(8 * MIB)
    bytes_400 = 400 * MIB
    return {
        "npz of zeros beyond the limit": (
            "npz",
            _one("images.npy", zeros, bytes_400),
            "archive_bomb",
        ),
        "npz whose header claims 373 GiB": (
            "npz",
            npz_of(images=npy_member((400_000_000, 1, 32, 32), b""), labels=labels),
            "dataset_invalid",
        ),
        "npz that claims what deflate cannot hold": ("npz", _one("images.npy", small, 200 * MIB), "archive_bomb"),
        "npz with a header of megabytes": (
            "npz",
            npz_of(images=b"\x93NUMPY\x02\x00" + struct.pack("<I", 64 * MIB) + b" " * (16 * MIB), labels=labels),
            "dataset_invalid",
        ),
        "npz with a header that nests": (
            "npz",
            npz_of(images=b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"(" * 9000, labels=labels),
            "dataset_invalid",
        ),
        "npz that needs pickle": (
            "npz",
            npz(images=np.array([{}, {}], dtype=object), labels=np.array([0, 1])),
            "dataset_invalid",
        ),
        "zip of zeros beyond the limit": ("zip", _one("bee/1.png", zeros, bytes_400), "archive_bomb"),
        "zip of overlapping members": (
            "zip",
            raw_zip(((f"a/{n:05}.png", small, 8 * MIB) for n in range(5_000)), overlapping=True),
            "archive_bomb",
        ),
        "zip with too many members": (
            "zip",
            raw_zip(((f"{n:06}", b"", 0) for n in range(20_000)), method=0),
            "archive_bomb",
        ),
        "zip with very many members": ("zip", raw_zip((("", b"", 0) for _ in range(60_000)), True), "archive_bomb"),
        "zip with a directory of megabytes": (
            "zip",
            raw_zip([(f"a/{n}.png", b"x", 1) for n in range(200)], method=0, comment=60_000),
            "archive_bomb",
        ),
        "zip of zips": ("zip", zipped([("a/inner.zip", zipped([("b/deep.zip", zipped(good))]))]), "dataset_invalid"),
        "zip that claims too little": ("zip", _one("a/1.png", small, 100), "dataset_invalid"),
        "zip that claims more than it has": ("zip", claiming(zipped(good), STORED, 1 << 20), "dataset_invalid"),
        "zip that stores less than it claims": (
            "zip",
            claiming(zipped(good, zipfile.ZIP_STORED), INFLATED, 300),
            "dataset_invalid",
        ),
        "zip that claims a longer directory": (
            "zip",
            zipped(good)[:-10] + b"\xff\xff\xff\x7f" + b"\0" * 6,
            "dataset_invalid",
        ),
        "zip that leads out by ..": ("zip", zipped([*good, ("../evil.png", b"")]), "dataset_invalid"),
        "zip that leads out by .. inside": ("zip", zipped([*good, ("a/../../b.png", b"")]), "dataset_invalid"),
        "zip with an absolute name": ("zip", zipped([*good, ("/etc/passwd", b"")]), "dataset_invalid"),
        "zip with a drive": ("zip", zipped([*good, ("C:/a.png", b"")]), "dataset_invalid"),
        "zip with a backslash": ("zip", zipped([*good, ("a\\..\\b.png", b"")]), "dataset_invalid"),
        "zip with a control character": ("zip", zipped([*good, ("a/\x1b[2J.png", b"")]), "dataset_invalid"),
        "zip with a link": ("zip", zipped([*good, link("a/link.png", "/etc/passwd")]), "dataset_invalid"),
        "zip with two of a name": (
            "zip",
            zipped([*good, good[1]]),
            "dataset_invalid",
        ),
        "zip with a password": ("zip", claiming(zipped(good), FLAGS, 1), "dataset_invalid"),
        "zip in another compression": ("zip", zipped(good, zipfile.ZIP_LZMA), "format_unsupported"),
        "image of 2 gigapixels": ("zip", zipped([("a/1.png", png_header_bomb(65_000, 32_000))]), "dataset_invalid"),
        "image of 4 megapixels": ("zip", zipped([("a/1.png", png_header_bomb(2_000, 2_000))]), "dataset_invalid"),
        "image file of 20 MiB": ("zip", _one("a/1.png", zeros_deflated(20 * MIB), 20 * MIB), "dataset_invalid"),
        "image whose texts inflate": ("zip", zipped([("a/1.png", text_bomb(60 * MIB))]), "*"),
        "idx of gzipped zeros beyond the limit": (
            "idx",
            zipped(
                [
                    ("i", gzipped_zeros(struct.pack(">BBBB4I", 0, 0, 8, 4, 400 * 1024, 1, 32, 32), 400 * MIB)),
                    ("l", idx(np.zeros(4, np.uint8))),
                ]
            ),
            "archive_bomb",
        ),
        "no zip": ("npz", b"\x1f\x8b" + bytes(1000), "format_unsupported"),
        "nothing": ("npz", b"", "format_unsupported"),
    }


def npz_of(**members: bytes) -> bytes:
    """Return an .npz file of .npy files as they are, deflated."""
    return zipped([(f"{name}.npy", data) for name, data in members.items()])
