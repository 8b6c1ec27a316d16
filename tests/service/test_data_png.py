"""The PNG writer, against Pillow."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from made_uploads import pixels
from strop.service.data.png import png_of


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 5), (3, 5, 7), (2, 4, 3)])
def test_pngs_show_every_pixel(shape: tuple[int, int, int]) -> None:
    """Protects what people see when they label samples: grey, colour, and other channels side by side."""
    image = pixels(1, *shape)[0]
    with Image.open(io.BytesIO(png_of(image)), formats=("PNG",)) as opened:
        assert opened.mode == ("RGB" if shape[0] == 3 else "L")
        shown = np.asarray(opened)
    expected = image.transpose(1, 2, 0) if shape[0] == 3 else np.concatenate(list(image), axis=1)
    assert np.array_equal(shown, expected)
