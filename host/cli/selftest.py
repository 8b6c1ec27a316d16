"""`strop selftest`: small trainings on a device, compared with the answers that ship with strop."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from strop.host.cli.arguments import Commands, add_command, add_device
from strop.host.cli.exit_codes import DEVICE, OK
from strop.host.cli.output import Output
from strop.host.selftest import CaseResult, open_witness, run_cases
from strop.host.version import strop_version
from strop.runtime.device import Device, open_device

EXAMPLE = """examples:
  strop selftest
  strop selftest --device board
  strop selftest --device reference --json"""


def add_parser(commands: Commands) -> None:
    """Add `strop selftest`."""
    help = "train small networks on a device and compare with known answers, to the byte"
    add_device(add_command(commands, "selftest", help, EXAMPLE, run))


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Run the cases; return 0 if the device gives every known answer, else `DEVICE`."""
    with ExitStack() as opened:
        device = open_device(arguments.device, arguments.threads)
        opened.callback(device.close)
        witness, beside = open_witness(device)
        if witness is not None:
            opened.callback(witness.close)
        facts: dict[str, str] = getattr(device, "facts", {})  # what a board says of its overlay
        output.facts(
            [
                ("device", device.description),
                ("versions", f"contract {device.contract_version}, numerics {device.numerics_version}"),
                *facts.items(),
                ("emulator beside it", beside),
            ]
        )
        output.line()
        results = []
        for result in run_cases(device, witness):
            results.append(result)
            _show(result, output)
    wrong = [result.case.name for result in results if not result.equal]
    output.line()
    if wrong:
        output.line(
            f"{len(wrong)} of {len(results)} cases are wrong ({', '.join(wrong)}): do not trust this device.",
            "bold red",
        )
    else:
        output.line(f"All {len(results)} cases give the known answer.", "bold green")
    output.document("strop.selftest/1", _document(device, facts, beside, results))
    return DEVICE if wrong else OK


def _show(result: CaseResult, output: Output) -> None:
    """Print a line on a case, and one for each thing that is wrong."""
    case = result.case
    what = f"{case.steps} steps of {case.batch}" if case.steps else f"{case.batch} asked"
    digest = "" if result.answer is None else f"{(result.answer.state if case.steps else result.answer.logits)[:16]}"
    speed = f"{result.seconds:7.3f} s  {result.images_per_second:>9,.0f} images/s"
    word, style = ("equal", "green") if result.equal else ("WRONG", "red")
    output.line(f"{word}  {case.name:<10} {what:<14} {speed}  {digest}", style)
    for sentence in result.wrong:
        output.line(f"       -> {sentence}")


def _document(device: Device, facts: dict[str, str], beside: str, results: list[CaseResult]) -> dict[str, Any]:
    return {
        "equal": all(result.equal for result in results),
        "device": device.description,
        "contract_version": device.contract_version,
        "numerics_version": device.numerics_version,
        "strop_version": strop_version(),
        "facts": facts,
        "emulator": beside,
        "cases": [
            {
                "name": result.case.name,
                "equal": result.equal,
                "wrong": result.wrong,
                "steps": result.case.steps,
                "batch": result.case.batch,
                "seconds": result.seconds,
                "images_per_second": result.images_per_second,
                "answer": None if result.answer is None else asdict(result.answer),
            }
            for result in results
        ],
    }
