"""`strop cl run|report|list`: strategies of continual learning over benchmarks, several seeds each, as records."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from strop.host.atomic_file import why_not_writable
from strop.host.checked import device_of
from strop.host.cli.arguments import DATA_HELP, Commands, add_command, add_device, at_least, real
from strop.host.cli.cl_results import check_can_plot, draw, rows_document, show_tables
from strop.host.cli.cl_runs import DEFAULT_BUFFER, GUARD_SAMPLES, Runs
from strop.host.cli.exit_codes import OK
from strop.host.cli.output import Output
from strop.host.continual import BENCHMARKS, STRATEGIES, LearnerSettings, markdown_table, results_table
from strop.host.continual.benchmarks.source import DEFAULT_SOURCE
from strop.host.continual.named import options_of
from strop.host.continual.run_files import records_in
from strop.host.models import MODELS
from strop.runtime.errors import DataError, InputError
from strop.runtime.hyperparameters import STATISTICS

EXAMPLE = """examples:
  strop cl list
  strop cl run split-fashion-mnist --data fashion-mnist-subset --strategy naive --strategy replay --output runs
  strop cl run rotated-fashion-mnist --strategy lwf+replay --buffer 200 --buffer 1000 --seeds 3 --output runs --plot
  strop cl report runs --markdown"""
HELP = {
    "list": "show benchmarks and strategies",
    "run": "run strategies over a benchmark; what was broken off goes on, what is done is not done again",
    "report": "tabulate the records of runs in a folder",
}
CHECKPOINT_EVERY = 1000
USUAL = LearnerSettings()


def add_parser(commands: Commands) -> None:
    """Add `strop cl` and what it can do."""
    parser = add_command(commands, "cl", "continual learning: benchmarks, strategies, results", EXAMPLE, run)
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    made = {name: add_command(actions, name, text, _example_of(name), run) for name, text in HELP.items()}
    _add_run(made["run"])
    made["report"].add_argument("folder", metavar="DIR", help="where strop cl run wrote its records")
    made["report"].add_argument("--plot", action="store_true", help="draw accuracy matrices and curves into DIR")
    made["report"].add_argument("--markdown", action="store_true", help="print one Markdown table")


def _example_of(action: str) -> str:
    return "\n".join(["examples:", *(line for line in EXAMPLE.splitlines() if f"cl {action}" in line)])


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("benchmark", metavar="BENCHMARK", help=", ".join(BENCHMARKS))
    parser.add_argument(
        "--strategy",
        action="append",
        required=True,
        metavar="S",
        help=f"{', '.join(STRATEGIES)}; several with + between them; options behind a colon, as ewc:strength=1000. "
        "May be repeated: each has runs of its own",
    )
    parser.add_argument(
        "--buffer",
        action="append",
        type=at_least(1),
        metavar="N",
        help=f"samples in a strategy's memory; may be repeated (default: {DEFAULT_BUFFER})",
    )
    parser.add_argument("--seeds", type=at_least(1), default=1, metavar="K", help="seeds 0 to K - 1 (default: 1)")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for records; made if it is not there")
    parser.add_argument("--plot", action="store_true", help="draw accuracy matrices and curves into DIR")
    parser.add_argument(
        "--checkpoint-every",
        type=at_least(1),
        default=CHECKPOINT_EVERY,
        metavar="N",
        help=f"steps that a kill loses at most (default: {CHECKPOINT_EVERY})",
    )
    start = parser.add_argument_group("network").add_mutually_exclusive_group()
    start.add_argument("--network", default="lenet5", metavar="NETWORK", help=f"{', '.join(MODELS)} (default: lenet5)")
    start.add_argument("--checkpoint", metavar="CKPT", help="begin with this trained model instead")
    _add_benchmark(parser.add_argument_group("benchmark"))
    _add_learning(parser.add_argument_group("learning"))
    guard = parser.add_argument_group("guard")
    guard.add_argument(
        "--guard-limit", type=real, metavar="X", help="undo experiences that lose more accuracy than this, 0 to 1"
    )
    guard.add_argument(
        "--guard-samples",
        type=at_least(1),
        metavar="N",
        help=f"on so many samples of the first experience, which are not trained on (default: {GUARD_SAMPLES})",
    )
    parser.add_argument(
        "--watts",
        action="append",
        type=_board_and_watts,
        metavar="BOARD=W",
        help="power of a board, for the modelled energy; may be repeated",
    )
    add_device(parser)


def _add_benchmark(group: Any) -> None:
    group.add_argument("--data", default=DEFAULT_SOURCE, metavar="D", help=f"{DATA_HELP} (default: {DEFAULT_SOURCE})")
    group.add_argument("--per-experience", type=at_least(1), metavar="N", help="training samples of each experience")
    group.add_argument(
        "--class-order",
        choices=("fixed", "shuffled"),
        default="fixed",
        help="of class pairs: as numbered, or by each run's seed (default: fixed)",
    )


def _add_learning(group: Any) -> None:
    group.add_argument(
        "--epochs",
        type=at_least(1),
        default=USUAL.epochs,
        metavar="N",
        help=f"over each experience (default: {USUAL.epochs})",
    )
    group.add_argument(
        "--batch",
        type=at_least(1),
        default=USUAL.batch,
        metavar="N",
        help=f"new samples a step (default: {USUAL.batch})",
    )
    group.add_argument(
        "--replay-batch", type=at_least(1), metavar="N", help="samples of the past a step (default: the strategy's, 32)"
    )
    group.add_argument(
        "--lr",
        "--learning-rate",
        type=real,
        default=USUAL.learning_rate,
        metavar="RATE",
        dest="learning_rate",
        help=f"learning rate (default: {USUAL.learning_rate:g})",
    )
    group.add_argument(
        "--momentum", type=real, default=USUAL.momentum, metavar="M", help=f"0 to 0.996 (default: {USUAL.momentum:g})"
    )
    group.add_argument(
        "--statistics",
        choices=STATISTICS,
        default=USUAL.statistics,
        help=f"what normalizes while training (default: {USUAL.statistics})",
    )
    group.add_argument("--after", metavar="LAYER", help="where latent-replay, slda and nearest-mean cut the network")


def _board_and_watts(text: str) -> tuple[str, float]:
    board, equals, watts = text.partition("=")
    if not equals or not board:
        raise argparse.ArgumentTypeError(f"{text!r} is no power of a board; write BOARD=WATTS, such as pynq-z2=2.5")
    return board, real(watts)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Do what the action says; return the exit code."""
    actions: dict[str, Callable[[argparse.Namespace, Output], int]] = {"list": _list, "run": _run, "report": _report}
    return actions[arguments.action](arguments, output)


def _list(arguments: argparse.Namespace, output: Output) -> int:
    output.table(("benchmark", "what changes"), list(_described(BENCHMARKS).items()))
    output.line()
    strategies = _described(STRATEGIES)
    options = {name: options_of(kind) for name, kind in STRATEGIES.items()}
    output.table(
        ("strategy", "what it does", "options"),
        [(name, text, ", ".join(options[name])) for name, text in strategies.items()],
    )
    output.document(
        "strop.cl-list/1",
        {
            "benchmarks": [{"name": name, "description": text} for name, text in _described(BENCHMARKS).items()],
            "strategies": [
                {"name": name, "description": text, "options": options[name]} for name, text in strategies.items()
            ],
        },
    )
    return OK


def _described(named: Mapping[str, Any]) -> dict[str, str]:
    """Return the first sentence of each docstring, or as much of it as stands in the first line."""
    firsts = {name: (each.__doc__ or "").strip().splitlines()[0] for name, each in named.items()}
    return {name: line.partition(". ")[0].removesuffix(".") for name, line in firsts.items()}


def _run(arguments: argparse.Namespace, output: Output) -> int:
    if arguments.guard_limit is None and arguments.guard_samples is not None:
        arguments.parser.error("--guard-samples needs --guard-limit")
    check_can_plot(arguments.plot)
    folder = _output_folder(arguments.output)
    with closing(device_of(arguments.device, arguments.threads)) as device:
        runs = Runs(arguments, folder, device)
        folder.mkdir(exist_ok=True)
        records = list(runs.go(output))
    output.line()
    show_tables(records, output)
    plots = draw(records, folder, arguments.plot, output)
    done = [
        {
            "record": files.record,
            "strategy": files.strategy,
            "buffer": files.buffer,
            "seed": files.seed,
            "there_already": files in runs.done,
            "digest": record.digest,
            "metrics": record.matrix.metrics(),
        }
        for files, record in zip(runs.all, records, strict=True)
    ]
    output.document(
        "strop.cl-run/1",
        {
            "benchmark": runs.benchmark,
            "output": folder,
            "runs": done,
            "table": rows_document(records),
            "plots": plots,
        },
    )
    return OK


def _output_folder(name: str) -> Path:
    folder = Path(name).expanduser()
    reason = why_not_writable(folder / "record.json" if folder.is_dir() else folder)
    if reason is None and folder.exists() and not folder.is_dir():
        reason = "it is no folder; name another one"
    if reason is not None:
        raise InputError(f"cannot write to --output {name}: {reason}")
    return folder


def _report(arguments: argparse.Namespace, output: Output) -> int:
    folder = Path(arguments.folder).expanduser()
    if not folder.is_dir():
        raise InputError(f"{arguments.folder} is no folder; name the one that strop cl run --output wrote to")
    check_can_plot(arguments.plot)
    records, others = records_in(folder)
    for problem in others:
        output.note(f"left out: {problem}")
    if not records:
        raise DataError(f"{arguments.folder} holds no record of a run that is done; strop cl run --output writes them")
    if arguments.markdown:
        output.line(markdown_table(results_table(records)).rstrip())
    else:
        show_tables(records, output)
    plots = draw(records, folder, arguments.plot, output)
    output.document(
        "strop.cl-report/1",
        {
            "folder": folder,
            "records": [record.to_dict() for record in records],
            "left_out": others,
            "table": rows_document(records),
            "plots": plots,
        },
    )
    return OK
