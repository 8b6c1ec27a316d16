"""Plots of a history."""

from __future__ import annotations

import builtins
import os
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from strop.host.plot import plot_history, running_mean
from strop.runtime.errors import InputError
from tiny_models import HISTORY


def test_plot_is_a_png_written_whole(tmp_path: Path) -> None:
    """Protects the picture: a PNG of two panels beside each other, and no temporary file."""
    pytest.importorskip("matplotlib")
    path = HISTORY.plot(tmp_path / "run.png")
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n") and data.rstrip().endswith(b"IEND\xaeB`\x82")
    assert struct.unpack(">II", data[16:24]) == (1200, 480)
    assert os.listdir(tmp_path) == ["run.png"]


def test_empty_histories_can_be_drawn(tmp_path: Path) -> None:
    """Protects a fit that was interrupted early: no steps, no epochs, no failure."""
    pytest.importorskip("matplotlib")
    plot_history(replace(HISTORY, epochs=()), tmp_path / "steps.png")
    plot_history(replace(HISTORY, epochs=(), steps=()), tmp_path / "nothing.png")


def test_running_mean() -> None:
    """Protects the thick line: the mean of the values so far, then of the window."""
    assert running_mean(np.array([4.0, 2.0, 6.0, 0.0]), 2).tolist() == [4.0, 3.0, 4.0, 3.0]
    assert running_mean(np.array([4.0, 2.0]), 10).tolist() == [4.0, 3.0]


def test_without_matplotlib_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Protects installations without the extra: the message says what to install."""
    original = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(f"No module named {name}")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InputError, match="pip install matplotlib"):
        plot_history(HISTORY, tmp_path / "run.png")


def test_bad_destinations_are_refused(tmp_path: Path) -> None:
    """Protects users from a picture that ends up nowhere."""
    pytest.importorskip("matplotlib")
    with pytest.raises(InputError, match=r"\.png"):
        plot_history(HISTORY, tmp_path / "run.pdf")
    with pytest.raises(InputError, match="does not exist"):
        plot_history(HISTORY, tmp_path / "missing" / "run.png")
