"""The config files of Vitis HLS in `hls/vitis/`, read for tests."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

HLS = Path(__file__).resolve().parents[2] / "hls"
CONFIGS = {path.stem: path for path in sorted((HLS / "vitis").glob("*.cfg"))}


def read_config(path: Path) -> dict[str, list[str]]:
    """Return every setting of a config file, in order: key and the values that it is given."""
    settings: dict[str, list[str]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(("#", "[")):
            key, value = line.split("=", 1)
            settings[key].append(value)
    return dict(settings)


def flags_of(settings: dict[str, list[str]], key: str, source: str) -> str:
    """Return what entries "path,flags" of `key` give to a source; '' for none."""
    return " ".join(entry.split(",", 1)[1] for entry in settings.get(key, ()) if entry.split(",", 1)[0] == source)
