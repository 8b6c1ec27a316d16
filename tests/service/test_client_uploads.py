"""What the client sends: images, files and packed data sets."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

from strop.host.data import Dataset
from strop.host.data.npz_dataset import load_npz
from strop.runtime.errors import DataError, InputError
from strop.service import client_uploads
from strop.service.client_uploads import encode_image, format_of, packed


def test_images_are_sent_as_they_lie(tmp_path: Path) -> None:
    """Protects pixels: also of an array that is a view with strides, or whose file is a PNG of the user."""
    image = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)
    view = image[:, ::-1, 1:]
    assert base64.b64decode(encode_image(view)) == np.ascontiguousarray(view).tobytes()
    (tmp_path / "bee.png").write_bytes(b"\x89PNG...")
    for source in (tmp_path / "bee.png", str(tmp_path / "bee.png"), b"\x89PNG..."):
        assert base64.b64decode(encode_image(source)) == b"\x89PNG..."
    with pytest.raises(InputError, match="uint8 pixels, got float64"):
        encode_image(image / 255)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="wasp.png cannot be read: No such file"):
        encode_image(tmp_path / "wasp.png")


@pytest.mark.parametrize("in_memory", [1 << 20, 10])
def test_a_packed_data_set_is_the_same_set_and_the_same_bytes(
    in_memory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the service's deduplication, and the samples; in memory or in a temporary file."""
    monkeypatch.setattr(client_uploads, "IN_MEMORY", in_memory)
    images = np.random.default_rng(0).integers(0, 256, (20, 1, 6, 5), dtype=np.uint8)
    dataset = Dataset.from_arrays(images, np.arange(20) % 3, classes=("bee", "wasp", "fly"), name="insects")
    with packed(dataset) as file, packed(dataset) as again:
        content = file.read()
        assert content == again.read()
    (tmp_path / "x.npz").write_bytes(content)
    read = load_npz(tmp_path / "x.npz", "all")
    assert read.classes == dataset.classes
    assert np.array_equal(read.images, images) and np.array_equal(read.labels, dataset.labels)


def test_the_name_says_the_format() -> None:
    """Protects from sending what the service would take for something else."""
    assert (format_of(Path("a.NPZ")), format_of(Path("b.zip"))) == ("npz", "zip")
    with pytest.raises(InputError, match=r"\.npz, \.zip"):
        format_of(Path("c.pkl"))
