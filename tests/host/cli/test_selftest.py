"""`strop selftest`: what it prints of a device that is right and of one that is not, and what a script gets."""

from __future__ import annotations

from typing import Any

import numpy as np

from session_use import Recorder
from strop.host.selftest import CASES, known_answers
from strop.runtime.contract import C, Registers
from strop.runtime.emulator import EmulatorDevice


class Board(Recorder):
    """A device with facts of an overlay, which may damage the first weight in the start that is `wrong_run`."""

    def __init__(self, wrong_run: int = 0) -> None:
        super().__init__(EmulatorDevice(threads=1))
        self.name, self.description = "board", "a board of the test"
        self.facts = {"overlay": "pynq-z2, kernel 0123abcd"}
        self.wrong_run = wrong_run

    def run(self, registers: Registers) -> Any:
        report = super().run(registers)
        if self.runs == self.wrong_run:
            self.write(64, self.read(64, 1) ^ np.uint8(1))
        return report


def test_a_right_device(cli):
    """Protects the answer that users hope for: exit code 0, a line a case, digests and speeds in the document."""
    people = cli("selftest", "--device", "emulator", "--threads", 1)
    assert people.code == 0 and f"All {len(CASES)} cases give the known answer." in people.out
    assert all(f"equal  {case.name}" in people.out for case in CASES)
    ran = cli("selftest", "--device", "emulator", "--json")
    assert ran.code == 0 and ran.document["schema"] == "strop.selftest/1" and ran.document["equal"] is True
    for case, found in zip(CASES, ran.document["cases"], strict=True):
        known = known_answers()[case.name]
        assert (found["name"], found["equal"], found["wrong"]) == (case.name, True, [])
        assert found["answer"]["state"] == known.state and found["answer"]["losses"] == list(known.losses)
        assert found["steps"] == case.steps and found["seconds"] > 0 and found["images_per_second"] > 0
    assert ran.document["numerics_version"] == C.NUMERICS_VERSION and ran.document["facts"] == {}


def test_the_reference_has_the_emulator_beside_it(cli):
    """Protects the second opinion: a device that is no emulator is run beside one."""
    ran = cli("selftest", "--device", "reference", "--json")
    assert ran.code == 0 and "C++" in ran.document["emulator"] and "NumPy" in ran.document["device"]


def test_a_wrong_device_is_5_and_told(cli, monkeypatch):
    """Protects who would train on it: the case and what is wrong in it are named, the others are not."""
    monkeypatch.setattr("strop.host.cli.selftest.open_device", lambda *_: Board(wrong_run=2))
    ran = cli("selftest")
    assert ran.code == 5 and f"1 of {len(CASES)} cases are wrong (lenet5): do not trust this device" in ran.out
    assert "WRONG  lenet5" in ran.out and "equal  strided" in ran.out
    assert "unlike the emulator's: conv1.weight" in ran.out and "the known answer is" in ran.out
    monkeypatch.setattr("strop.host.cli.selftest.open_device", lambda *_: Board(wrong_run=2))
    document = cli("selftest", "--json").document
    assert document["equal"] is False and [c["name"] for c in document["cases"] if not c["equal"]] == ["lenet5"]


def test_facts_of_a_board_are_shown_as_they_are(cli, monkeypatch):
    """Protects the report that a board's owner sends back: it says which overlay was tested; the device is closed."""
    board = Board()
    monkeypatch.setattr("strop.host.cli.selftest.open_device", lambda *_: board)
    ran = cli("selftest")
    assert ran.code == 0 and "a board of the test" in ran.out and "pynq-z2, kernel 0123abcd" in ran.out
    assert board.closed


def test_a_device_that_is_not_there(cli):
    """Protects the exit codes: an unknown name is the caller's mistake, not a failed test."""
    ran = cli("selftest", "--device", "toaster")
    assert ran.code == 4 and "toaster" in ran.err and ran.out == ""
