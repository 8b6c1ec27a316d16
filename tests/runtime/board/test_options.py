"""Options of a board, from the environment of whoever opens one."""

from __future__ import annotations

import pytest

from strop.runtime.board.options import BoardOptions
from strop.runtime.device import open_device
from strop.runtime.errors import InputError


def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects who uses the command line: interrupts and time-out can be chosen without a program."""
    for name in ("STROP_BOARD_INTERRUPTS", "STROP_BOARD_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    assert BoardOptions.from_environment() == BoardOptions()
    monkeypatch.setenv("STROP_BOARD_INTERRUPTS", "1")
    monkeypatch.setenv("STROP_BOARD_TIMEOUT", "2.5")
    assert BoardOptions.from_environment() == BoardOptions(interrupts=True, timeout_seconds=2.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STROP_BOARD_INTERRUPTS", "yes"),
        *(("STROP_BOARD_TIMEOUT", value) for value in ("soon", "0", "-1", "inf", "nan", "")),
    ],
)
def test_what_means_nothing_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects from a typing error that would wait for ever: the variable is named."""
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=f"{name} is '{value}'; allowed: "):
        open_device("emulated-board")
