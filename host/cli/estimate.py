"""`strop estimate`: what training a network would take on a board, by the kernel's cycle model."""

from __future__ import annotations

import argparse
from dataclasses import asdict, astuple, fields
from typing import Any

from strop.host.cli.arguments import Commands, add_command
from strop.host.cli.exit_codes import OK
from strop.host.cli.output import Output
from strop.host.cli.sources import check_plot
from strop.host.cli.subject import Subject, add_subject, read_subject
from strop.host.roofline import plot_roofline
from strop.runtime.estimate import Estimate, LayerCost, Resources, boards, estimate

EXAMPLE = """examples:
  strop estimate vgg-small --batch 64
  strop estimate vgg-small --batch 64 --board pynq-z2 --plot roofline.png
  strop estimate lenet5-fashion-mnist --board zcu104 --json"""
NOTE = "modelled from the kernel's loops for every step after the first, never measured on a board"
LEGEND = "fits: whether training fits the memory of the board. LUT to URAM: estimated share of the part that is needed"


def add_parser(commands: Commands) -> None:
    """Add `strop estimate`."""
    parser = add_command(commands, "estimate", "say what training would take on a board (modelled)", EXAMPLE, run)
    add_subject(parser, "samples a step (default: 128, or the checkpoint's)")
    parser.add_argument("--board", metavar="B", help="layer by layer on this board (default: a line for each board)")
    parser.add_argument("--plot", metavar="FILE", help="draw the board's roofline into a PNG file")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Estimate and print; return the exit code."""
    if arguments.plot is not None and arguments.board is None:
        arguments.parser.error("--plot draws one board: add --board")
    plot = check_plot(arguments.plot)
    subject = read_subject(arguments)
    names = [arguments.board] if arguments.board is not None else list(boards())
    found = [estimate(subject.graph, name, subject.batch, subject.hyper, _frozen(subject)) for name in names]
    output.line(f"{subject.graph.name}, mini-batches of {subject.batch}: {NOTE}", "bold")
    output.line()
    if arguments.board is not None:
        _layers(found[0], output)
        output.line()
    _totals(found, output)
    if plot is not None:
        plot_roofline(found[0], plot)
        output.line()
        output.facts([("plot", plot)])
    output.document(
        "strop.estimate/1",
        {"subject": arguments.subject, "modelled": True, "plot": plot, "estimates": [_document(e) for e in found]},
    )
    return OK


def _frozen(subject: Subject) -> frozenset[str]:
    return frozenset() if subject.checkpoint is None else subject.checkpoint.settings.frozen


def _layers(found: Estimate, output: Output) -> None:
    """Print a row for each phase of each layer of a training step."""
    head = ("layer", "phase", ">MACs", ">utilization", ">of the array", ">DRAM bytes", ">cycles", ">ms", "bound by")
    rows = []
    for cost in found.training:
        shares = ("", "")
        if cost.macs:
            shares = (f"{cost.utilization(found.board):.1%}", f"{cost.array_utilization(found.board):.1%}")
        ms = cost.cycles / found.board.clock_mhz / 1e3
        numbers = (f"{cost.dram_bytes:,}", f"{cost.cycles:,}", f"{ms:.3f}")
        rows.append((cost.layer, cost.phase, f"{cost.macs:,}" if cost.macs else "", *shares, *numbers, cost.bound))
    total = [sum(column) for column in zip(*((c.macs, c.dram_bytes, c.cycles) for c in found.training), strict=True)]
    macs, dram, cycles = total
    share = f"{macs / (found.board.array_macs * cycles):.1%}"
    rows.append(("step", "", f"{macs:,}", share, "", f"{dram:,}", f"{cycles:,}", f"{1e3 * found.step_seconds:.3f}", ""))
    output.table(head, rows, last_is_total=True)


def _totals(found: list[Estimate], output: Output) -> None:
    """Print a row for each board."""
    head = ("board", ">ms a step", ">images/s trained", ">images/s inferred", ">memory", "fits", *_RESOURCES)
    rows = []
    for each in found:
        needed, budget = astuple(each.board.needed), astuple(each.board.budget)
        shares = [f"{n / b:.0%}" if b else "-" for n, b in zip(needed, budget, strict=True)]
        speed = (f"{each.training_images_second:,.0f}", f"{each.inference_images_second:,.0f}")
        memory = f"{each.memory_bytes / 2**20:,.1f} MiB"
        fits = "yes" if each.fits else "no"
        rows.append((each.board.name, f"{1e3 * each.step_seconds:.2f}", *speed, memory, fits, *shares))
    output.table(head, rows)
    output.line(LEGEND)


_RESOURCES = tuple(f">{field.name[:-1].upper()}" for field in fields(Resources))


def _document(found: Estimate) -> dict[str, Any]:
    """Return an estimate as plain data."""
    return {
        "board": asdict(found.board),
        "network": found.network,
        "batch": found.batch,
        "step_seconds": found.step_seconds,
        "training_images_per_second": found.training_images_second,
        "inference_seconds": found.inference_seconds,
        "inference_images_per_second": found.inference_images_second,
        "memory_bytes": found.memory_bytes,
        "fits": found.fits,
        "training": [_cost(cost, found) for cost in found.training],
        "inference": [_cost(cost, found) for cost in found.inference],
    }


def _cost(cost: LayerCost, found: Estimate) -> dict[str, Any]:
    shares = {"utilization": cost.utilization(found.board), "array_utilization": cost.array_utilization(found.board)}
    return {**asdict(cost), **(shares if cost.macs else {})}
