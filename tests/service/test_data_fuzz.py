"""Uploads of anything at all: whatever comes, it is taken or refused with a reason, in bounded memory."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from made_uploads import MIB, class_folders, gzipped_zeros, idx, npy_member, npz, npz_of, pixels, zipped
from strop.host.data.npz_dataset import load_npz
from strop.service.data.intake import FORMATS, Format, take_in
from strop.service.problems import REGISTRY, Problem

LIMIT = 32 * MIB
REFUSALS = {"too_large", "archive_bomb", "format_unsupported", "dataset_invalid"}
GOOD: dict[Format, bytes] = {
    "npz": npz(True, images=pixels(20, 1, 5, 4), labels=np.arange(20) % 3, classes=["a", "b", "c"]),
    "zip": zipped(class_folders(pixels(6, 5, 4), [0, 1, 0, 1, 0, 1])),
    "idx": zipped(
        [("i", gzipped_zeros(idx(pixels(9, 5, 4)), 0)), ("l", idx(np.zeros(9, np.uint8)))], zipfile.ZIP_STORED
    ),
}


@st.composite
def mutated(draw: st.DrawFn) -> tuple[Format, bytes]:
    """An upload that was good before bytes of it were changed, cut out, doubled or added."""
    format = draw(st.sampled_from(FORMATS))
    body = bytearray(GOOD[draw(st.sampled_from(FORMATS)) if draw(st.integers(0, 9)) == 0 else format])
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(body) - 1)) if body else 0
        length = draw(st.integers(1, 12))
        kind = draw(st.sampled_from(("set", "set", "set", "cut", "double", "truncate")))
        if kind == "set":
            body[at : at + length] = draw(st.binary(min_size=length, max_size=length))
        elif kind == "cut":
            del body[at : at + length]
        elif kind == "double":
            body[at:at] = body[at : at + 30 * length]
        else:
            del body[at:]
    return format, bytes(body)


FUZZ = settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


def check_any(format: Format, body: bytes, folder: Path) -> None:
    """Take an upload in, or see it refused; nothing else may happen, nor more memory be taken."""
    target = folder / "set.npz"
    target.unlink(missing_ok=True)
    tracemalloc.start()
    try:
        intake = take_in(io.BytesIO(body), format, target, folder, LIMIT)
    except Problem as problem:
        assert problem.code in REFUSALS <= REGISTRY.keys()
        assert list(folder.iterdir()) == []
    else:
        found = load_npz(target, "all")
        assert (len(found), found.image_shape, found.classes) == (intake.samples, intake.shape, intake.classes)
        assert list(folder.iterdir()) == [target]
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8 * MIB


@FUZZ
@given(upload=mutated())
def test_mutated_uploads(tmp_path: Path, upload: tuple[Format, bytes]) -> None:
    """Protects from every damage that a network, a disk or an enemy does to a good file."""
    check_any(*upload, tmp_path)


@FUZZ
@given(
    format=st.sampled_from(FORMATS), body=st.one_of(st.binary(max_size=400), st.binary().map(lambda b: b"PK\3\4" + b))
)
def test_random_uploads(tmp_path: Path, format: Format, body: bytes) -> None:
    """Protects from bodies that never were a file."""
    check_any(format, body, tmp_path)


@FUZZ
@given(
    images=st.binary(max_size=300),
    labels=st.binary(max_size=60),
    header=st.text(alphabet="{}'():,<|u1i8descrfotanhpT[] 0123456789", max_size=120),
)
def test_arrays_of_anything(tmp_path: Path, images: bytes, labels: bytes, header: str) -> None:
    """Protects the reader of arrays behind an archive that is whole: headers and data of anything."""
    text = header.encode()
    headed = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + images
    check_any("npz", npz_of(images=headed, labels=labels), tmp_path)
    check_any("npz", npz_of(images=images, labels=npy_member((len(labels),), labels)), tmp_path)
    check_any("idx", zipped([("i", b"\0\0\x08" + images), ("l", b"\0\0\x08\x01" + labels)]), tmp_path)
    check_any(
        "zip", zipped([("a/1.png", b"\x89PNG\r\n\x1a\n" + images), ("a/2.jpg", b"\xff\xd8\xff" + labels)]), tmp_path
    )
