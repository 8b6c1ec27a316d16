"""The known-answer self-test: the answers are the oracle's, every device gives them, and a wrong one is found out."""

from __future__ import annotations

import ast
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import strop.runtime
from session_use import Recorder
from strop.host import make_known_answers, selftest
from strop.host.checkpoint import read_checkpoint
from strop.host.pretrained import pretrained_path
from strop.host.selftest import ANSWERS, CASES, known_answers, open_witness, run_case, run_cases
from strop.runtime.compiler import compile_inference, compile_training, compile_views
from strop.runtime.contract import OPCODE_NAMES, C, Registers
from strop.runtime.emulator import EmulatorDevice
from strop.runtime.errors import ContractMismatch, DataError, DeviceBusy, DeviceError, DeviceTimeout, DeviceUnavailable
from strop.runtime.program import ArenaBase
from strop.runtime.reference import ReferenceDevice
from strop.runtime.state import StateLayout

FIRST_WEIGHT = 64  # arena offset of conv1.weight, behind the dither counter


class WrongDevice(Recorder):
    """An emulator whose first weight is larger by 2^-24 after each start."""

    def __init__(self) -> None:
        super().__init__(EmulatorDevice(threads=1))
        self.name = "board"

    def run(self, registers: Registers) -> Any:
        report = super().run(registers)
        self.write(FIRST_WEIGHT, self.read(FIRST_WEIGHT, 1) + np.uint8(1))
        return report


class FailingDevice(Recorder):
    """An emulator that raises in one start."""

    def __init__(self, failing_run: int, error: DeviceError) -> None:
        super().__init__(EmulatorDevice(threads=1))
        self.failing_run, self.error = failing_run, error

    def run(self, registers: Registers) -> Any:
        try:
            return super().run(registers)
        except DeviceTimeout:
            raise self.error from None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_answers_are_the_references(case):
    """Protects the table: it is what the oracle computes, today and on this machine."""
    assert run_case(case, ReferenceDevice()).answer == known_answers()[case.name]


def test_every_emulator_gives_the_answers(emulators):
    """Protects the self-test from false alarms: no instruction set and no number of threads changes an answer."""
    for emulator in emulators:
        results = list(run_cases(emulator))
        assert [result.case for result in results] == list(CASES)
        assert [(result.case.name, result.wrong) for result in results if not result.equal] == []
        assert all(result.images_per_second > 0 for result in results)


def test_the_cases_use_every_command_that_the_compiler_emits():
    """Protects what a passed self-test means: no opcode of a real training is left out."""
    used: set[int] = set()
    for case in CASES:
        layout, base = StateLayout(case.graph, case.hyper.elastic), ArenaBase(0, 0, 0, 0)
        programs = [
            compile_views(case.graph, layout, base, case.hyper), compile_inference(case.graph, layout, case.batch, base)
        ]  # fmt: skip
        if case.steps:
            programs.append(compile_training(case.graph, layout, case.batch, base, case.hyper, case.frozen))
        used |= {int(code) for program in programs for code in program.commands["opcode"]}
    emitted: set[int] = set()
    for path in Path(strop.runtime.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "C":
                emitted |= {getattr(C, node.attr)} if node.attr.startswith("OP_") else set()
    assert len(emitted) > 10
    assert {OPCODE_NAMES[code] for code in emitted - used} == set()


def test_the_binary_case_is_asked_for_both_answers():
    """Protects losses by targets: a device that is right for yes alone, or for no, is found out."""
    case = next(case for case in CASES if case.graph.classes == 1)
    images, labels = selftest._patterns(case)
    targets = selftest._minibatch(case, images[: case.batch], labels[: case.batch]).targets
    assert targets is not None and set(targets.ravel()) == {0, 32768}


def test_the_cases_are_what_they_say():
    """Protects the meaning of three cases: an interruption changes nothing, a frozen layer stays, inference too."""
    answers = known_answers()
    assert answers["resume"] == answers["strided"]
    cases = {case.name: case for case in CASES}
    before = read_checkpoint(pretrained_path()).state
    after = run_case(cases["frozen"], ReferenceDevice()).arrays
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert "conv2.weight" not in changed and {"conv1.weight", "fc1.weight"} <= changed
    asked = run_case(cases["inference"], ReferenceDevice())
    assert all(np.array_equal(before[name], asked.arrays[name]) for name in before)
    images, labels = selftest._garments(cases["inference"])
    assert (asked.arrays["logits"].argmax(axis=1) == labels).sum() >= 6  # of 8: it is a network that was trained


def test_a_wrong_device_is_found_out_and_told_where():
    """Protects against a board that computes almost right: 2^-24 in a weight is seen and the array named."""
    device = WrongDevice()
    witness, beside = open_witness(device)
    assert witness is not None and "emulator" in beside
    results = {result.case.name: result for result in run_cases(device, witness)}
    assert not any(result.equal for result in results.values())
    lenet = results["lenet5"]
    assert lenet.answer is not None and lenet.answer.state != known_answers()["lenet5"].state
    assert any(sentence.startswith("the state is sha256") for sentence in lenet.wrong)
    assert any("unlike the emulator's: " in sentence and "conv1.weight" in sentence for sentence in lenet.wrong)
    assert "the emulator of this machine" not in " ".join(lenet.wrong)
    assert results["inference"].wrong[0].startswith("the state is")


def test_losses_and_counts_are_compared_step_by_step():
    """Protects the message: the first step that differs is told, in the table's unit; equal answers say nothing."""
    known = known_answers()["lenet5"]
    assert list(known.differences(known)) == []
    other = replace(known, losses=(known.losses[0], 7), correct=(9, *known.correct[1:]), logits="ab" * 32)
    assert list(other.differences(known)) == [
        f"the loss of step 2 is 7 (in 2^-16 nat); the known answer is {known.losses[1]}",
        f"step 1 counts 9 correct answers; the known answer is {known.correct[0]}",
        f"the logits are sha256 {'ab' * 8}...; the known answer is {known.logits[:16]}...",
    ]


def test_an_emulator_that_is_wrong_itself_is_told():
    """Protects from blaming the board: where the emulator beside it is wrong as well, the build is."""
    results = list(run_cases(WrongDevice(), WrongDevice()))
    assert all("do not trust this build" in " ".join(result.wrong) for result in results)


def test_a_device_that_fails_is_asked_for_the_next_case():
    """Protects the diagnosis: after a hung kernel the cases behind it still run, and the error stands in its place."""
    results = list(run_cases(FailingDevice(2, DeviceTimeout("the kernel did not finish"))))
    assert results[0].wrong == ("DeviceTimeout: the kernel did not finish",)
    assert results[0].answer is None and results[0].images_per_second == 0.0
    assert all(result.equal for result in results[1:])


def test_a_busy_device_is_no_wrong_answer():
    """Protects from a false alarm: a device that another process holds was not tested."""
    with pytest.raises(DeviceBusy, match="process 7"):
        list(run_cases(FailingDevice(1, DeviceBusy("held by process 7"))))


@pytest.mark.parametrize("error", [DeviceUnavailable("not compiled"), ContractMismatch("old")])
def test_without_an_emulator_nothing_runs_beside(error, monkeypatch):
    """Protects boards without a compiler: the known answers alone are enough, and it is said why."""

    def no_emulator(name):
        raise error

    monkeypatch.setattr(selftest, "open_device", no_emulator)
    assert open_witness(ReferenceDevice()) == (None, f"none: {error}")
    emulator = EmulatorDevice(threads=1)
    assert open_witness(emulator)[0] is None


@pytest.mark.parametrize(
    "text", [None, "{", "[]", "{}", '{"0": {}}', json.dumps({str(C.NUMERICS_VERSION): {"lenet5": {"losses": 3}}})]
)
def test_an_installation_without_answers_says_so(text, monkeypatch, tmp_path):
    """Protects from a test that passes because it has nothing to compare with."""
    monkeypatch.setattr(selftest, "ANSWERS", tmp_path / "known_answers.json")
    if text is not None:
        (tmp_path / "known_answers.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=f"no known answers for numerics {C.NUMERICS_VERSION}.*install strop again"):
        known_answers()


def test_the_script_makes_the_committed_table(monkeypatch, tmp_path, capsys):
    """Protects the way the table was made: the script gives the same bytes again."""
    made = tmp_path / "answers.json"
    monkeypatch.setattr(sys, "argv", ["make_known_answers", str(made)])
    make_known_answers.main()
    assert made.read_bytes() == ANSWERS.read_bytes()
    assert str(made) in capsys.readouterr().out
