"""Which strop this is, however it came here."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from strop.host import version
from strop.host.version import strop_version


@pytest.fixture
def _not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which no package of that name is installed."""

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(version, "version", missing)


def test_an_installed_package_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the version in checkpoints: the package that runs is the one that is named."""
    monkeypatch.setattr(version, "version", lambda name: {"strop": "9.8.7"}[name])
    assert strop_version() == "9.8.7"


@pytest.mark.usefixtures("_not_installed")
def test_a_source_tree_knows_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects who runs strop without installing it: the version stands in pyproject.toml beside the sources."""
    monkeypatch.setattr(version, "SOURCES", Path(__file__).parents[2])
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", strop_version())
    monkeypatch.setattr(version, "SOURCES", tmp_path)
    assert strop_version() == "unknown"
    for text, expected in (('name = "other"\nversion = "1.0"\n', "unknown"), ('name = "strop"\nversion = "3"\n', "3")):
        (tmp_path / "pyproject.toml").write_text("[project]\n" + text)
        assert strop_version() == expected
