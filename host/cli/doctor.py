"""`strop doctor`: what this machine has, what it lacks, and the exact command that mends it."""

from __future__ import annotations

import argparse

from strop.host.cli.arguments import Commands, add_command
from strop.host.cli.exit_codes import DEVICE, OK
from strop.host.cli.health import Check, examine
from strop.host.cli.output import Output

EXAMPLE = """example:
  strop doctor"""
STYLES = {"ok": "green", "warning": "yellow", "missing": "red"}


def add_parser(commands: Commands) -> None:
    """Add `strop doctor`."""
    add_command(commands, "doctor", "say what this machine has and lacks, and what to type for it", EXAMPLE, run)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Examine the machine; return 0 if training is possible, else `DEVICE`."""
    checks: list[Check] = []
    for check in examine():
        checks.append(check)
        output.line(f"{check.status:<8} {check.name:<18} {check.detail}", STYLES[check.status])
        if check.remedy:
            output.line(f"{'':27} -> {check.remedy}")
    possible = any(check.enables_training for check in checks)
    output.line()
    if possible:
        output.line("Training is possible here.", "bold green")
    else:
        output.line("Training is NOT possible here: see the lines marked missing.", "bold red")
    fields = ("name", "status", "detail", "remedy")
    found = [{field: getattr(check, field) for field in fields} for check in checks]
    output.document("strop.doctor/1", {"training_possible": possible, "checks": found})
    return OK if possible else DEVICE
