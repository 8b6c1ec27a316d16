"""Checkpoints that strop brings along, by name."""

from __future__ import annotations

from pathlib import Path

from strop.runtime.errors import CheckpointError, InputError

PRETRAINED = {"lenet5-fashion-mnist": "lenet5_fashion_mnist.safetensors"}


def pretrained_path(name: str = "lenet5-fashion-mnist") -> Path:
    """Return the path of the checkpoint `name`, beside this file in every kind of installation.

    Raises `InputError` for an unknown name, `CheckpointError` where this installation lacks the file.
    """
    if name not in PRETRAINED:
        raise InputError(f"pre-trained checkpoint {name!r} is not known; allowed: {', '.join(PRETRAINED)}")
    path = Path(__file__).with_name(PRETRAINED[name])
    if not path.is_file():
        raise CheckpointError(f"{path}: the pre-trained checkpoint {name} is missing here; install strop again")
    return path
