"""Folders that are still there after a power cut: what lies in one that is not, is lost however well it was synced."""

from __future__ import annotations

from pathlib import Path

from strop.runtime.whole_folder import sync_to_disk


def make_folder(path: Path) -> Path:
    """Make a folder and those above it, unless they are there; its name is on the disk then. Return `path`."""
    if not path.parent.is_dir():
        make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_to_disk(path.parent)  # also where it was there: whoever made it may have been killed before this line
    return path
