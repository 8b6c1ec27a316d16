"""`strop cl`: continual learning. Strategies over a benchmark, resumable; their table and pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from strop.host import Model
from strop.host.cli.arguments import Commands, Parser, add_command, add_device, at_least, real
from strop.host.cli.cl_runs import Run, go_through
from strop.host.cli.exit_codes import OK
from strop.host.cli.output import Output
from strop.host.cli.sources import checkpoint_path
from strop.host.continual.benchmarks import BENCHMARKS, load_benchmark
from strop.host.continual.experience import Benchmark
from strop.host.continual.learned import LearnerSettings
from strop.host.continual.named import learner_for, takes
from strop.host.continual.plot import plot_report
from strop.host.continual.report import RunRecord, markdown_table, read_record, results_table, size
from strop.host.continual.strategies import STRATEGIES
from strop.host.models import MODELS
from strop.runtime.errors import DataError, InputError

EXAMPLE = """examples:
  strop cl list
  strop cl run split-fashion-mnist --strategy replay --strategy naive --buffer 500 --seeds 3 --output runs --plot
  strop cl report runs --markdown"""


def add_parser(commands: Commands) -> None:
    """Add `strop cl` and what stands behind it."""
    parser = commands.add_parser(
        "cl",
        help="continual learning: strategies over a benchmark",
        description="Continual learning: strategies over a benchmark. Each command prints JSON with --json.",
        epilog=EXAMPLE,
    )
    under = parser.add_subparsers(metavar="COMMAND", required=True, dest="cl_command")
    add_command(under, "list", "list benchmarks and strategies", "", run)
    help = "run strategies over a benchmark; goes on where it was broken off"
    _add_run(add_command(under, "run", help, EXAMPLE, run))
    report = add_command(under, "report", "print the results of finished runs", "", run)
    report.add_argument("folder", metavar="DIR", help="what --output of strop cl run named")
    report.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    report.add_argument("--plot", action="store_true", help="draw matrices and curves into DIR")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Do what stands behind `strop cl`; return the exit code."""
    commands = {"list": _list, "run": _run, "report": _report}
    return commands[arguments.cl_command](arguments, output)


def _add_run(parser: Parser) -> None:
    parser.add_argument("benchmark", metavar="BENCHMARK", help=", ".join(BENCHMARKS))
    parser.add_argument(
        "--data", default="fashion-mnist", metavar="D", help="what it is cut from (default: fashion-mnist)"
    )
    parser.add_argument("--per-experience", type=at_least(2), metavar="N", help="training samples of each experience")
    parser.add_argument(
        "--class-order", choices=("fixed", "shuffled"), default="fixed", help="shuffled by the seed, too"
    )
    group = parser.add_argument_group("learners")
    group.add_argument(
        "--strategy",
        action="append",
        required=True,
        metavar="S",
        help=f"{', '.join(STRATEGIES)}; several at once as lwf+replay; repeat the option for several runs",
    )
    group.add_argument("--buffer", type=at_least(1), action="append", metavar="N", help="samples kept; may be repeated")
    group.add_argument("--replay-batch", type=at_least(1), metavar="N", help="samples replayed in a mini-batch")
    group.add_argument("--after", metavar="LAYER", help="where latent replay and feature heads cut the network")
    group.add_argument("--network", default="lenet5", metavar="NETWORK", help=f"{', '.join(MODELS)} (default: lenet5)")
    group.add_argument("--checkpoint", metavar="CKPT", help="begin with this trained model instead of --network")
    group = parser.add_argument_group("training")
    defaults = LearnerSettings()
    group.add_argument(
        "--seeds", type=at_least(1), default=1, metavar="K", help="runs with seeds 0 to K - 1 (default: 1)"
    )
    group.add_argument("--epochs", type=at_least(1), default=defaults.epochs, metavar="N", help="of each experience")
    group.add_argument("--batch", type=at_least(1), default=defaults.batch, metavar="N", help="new samples a step (32)")
    group.add_argument("--lr", type=real, default=defaults.learning_rate, dest="learning_rate", help="(default: 0.05)")
    group.add_argument("--momentum", type=real, default=defaults.momentum, help="(default: 0)")
    group.add_argument(
        "--statistics", choices=("batch", "running", "frozen"), default="batch", help="what L1BN normalizes by"
    )
    group = parser.add_argument_group("results")
    group.add_argument("--output", required=True, metavar="DIR", help="folder of records, one a run")
    group.add_argument("--checkpoint-every", type=at_least(1), default=200, metavar="N", help="steps (default: 200)")
    group.add_argument("--watts", type=_watts, action="append", metavar="BOARD=W", help="for the modelled energy")
    group.add_argument("--plot", action="store_true", help="draw matrices and curves into DIR")
    add_device(parser)


def _watts(text: str) -> tuple[str, float]:
    board, equals, power = text.partition("=")
    if not equals or not board:
        raise argparse.ArgumentTypeError(f"{text!r} is no power of a board; write kv260=5.5")
    return board, real(power)


def _list(arguments: argparse.Namespace, output: Output) -> int:
    benchmarks = {name: _first_line(build) for name, build in BENCHMARKS.items()}
    strategies = {name: _first_line(kind) for name, kind in STRATEGIES.items()}
    output.table(("benchmark", ""), list(benchmarks.items()))
    output.line()
    output.table(("strategy", ""), list(strategies.items()))
    output.document("strop.cl-list/1", {"benchmarks": benchmarks, "strategies": strategies})
    return OK


def _first_line(thing: Any) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]


def _run(arguments: argparse.Namespace, output: Output) -> int:
    folder = Path(arguments.output).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    records = go_through(_runs(arguments, folder), output)
    _show(records, folder, arguments.plot, False, "strop.cl-run/1", output)
    return OK


def _runs(arguments: argparse.Namespace, folder: Path) -> list[Run]:
    """Return every run that the command line asks for, its strategy checked before any begins."""
    buffers = arguments.buffer or [None]
    if arguments.buffer and not any(takes(name, "capacity") for name in arguments.strategy):
        raise InputError("--buffer: none of the strategies keeps samples; leave it out")
    told = {"data": arguments.data, "class_order": arguments.class_order, "per_experience": arguments.per_experience}
    started = checkpoint_path(arguments.checkpoint) if arguments.checkpoint else None
    runs = []
    for name in dict.fromkeys(arguments.strategy):
        for buffer in buffers if takes(name, "capacity") else [None]:
            for seed in range(arguments.seeds):

                def benchmark(seed: int = seed) -> Benchmark:
                    return load_benchmark(
                        arguments.benchmark,
                        source=arguments.data,
                        seed=seed,
                        per_experience=arguments.per_experience,
                        class_order=arguments.class_order,
                    )

                def learner(found: Benchmark, name: str = name, buffer: Any = buffer, seed: int = seed) -> Any:
                    where = {"device": arguments.device, "threads": arguments.threads}
                    if started is not None:
                        model = Model.load(started, **where)
                    else:
                        shape, classes = found.image_shape, found.classes
                        model = Model.create(arguments.network, input=shape, classes=classes, seed=seed, **where)
                    settings = LearnerSettings(
                        batch=arguments.batch,
                        learning_rate=arguments.learning_rate,
                        epochs=arguments.epochs,
                        momentum=arguments.momentum,
                        statistics=arguments.statistics,
                        seed=seed,
                    )
                    options = {"replay_batch": arguments.replay_batch, "after": arguments.after}
                    taken = {option: value for option, value in options.items() if takes(name, option)}
                    return learner_for(model, name, buffer=buffer, seed=seed, settings=settings, **taken)

                file = f"{arguments.benchmark}-{name}{'' if buffer is None else f'-{buffer}'}-seed{seed}"
                path = folder / (file.replace("/", "_").replace(":", "-") + ".json")
                runs.append(
                    Run(
                        *(name, seed, path, benchmark, learner, told, arguments.checkpoint_every),
                        watts=dict(arguments.watts) if arguments.watts else None,
                        where={"device": arguments.device, "threads": arguments.threads},
                    )
                )
    return runs


def _report(arguments: argparse.Namespace, output: Output) -> int:
    folder = Path(arguments.folder).expanduser()
    paths = sorted(path for path in folder.glob("*.json") if not path.name.endswith(".progress.json"))
    if not paths:
        raise DataError(f"{folder} has no records (*.json) of finished runs; strop cl run --output writes them")
    records = [read_record(path) for path in paths]
    _show(records, folder, arguments.plot, arguments.markdown, "strop.cl-report/1", output)
    return OK


def _show(records: list[RunRecord], folder: Path, plot: bool, markdown: bool, schema: str, output: Output) -> None:
    rows = results_table(records)
    if markdown:
        output.line(markdown_table(rows).rstrip())
    else:
        head = [
            "benchmark",
            "strategy",
            ">buffer",
            ">accuracy",
            ">forgetting",
            ">anytime",
            ">learner",
            ">seconds",
            ">seeds",
        ]
        cells = []
        for row in rows:
            spreads = [row.metrics[name] for name in ("average_accuracy", "forgetting", "anytime_accuracy")]
            shown = [
                f"{100 * s.mean:.2f}" + (f" ± {100 * s.deviation:.2f}" if s.deviation is not None else "") + " %"
                for s in spreads
            ]
            sizes = (size(row.buffer_bytes), size(row.memory_bytes))
            cells.append(
                (row.benchmark, row.strategy, sizes[0], *shown, sizes[1], f"{row.seconds.mean:.1f}", len(row.seeds))
            )
        output.table(head, cells)
    pictures = plot_report(records, folder) if plot else []
    for picture in pictures:
        output.line(f"drawn: {picture}")
    document = {"records": [record.to_dict() for record in records], "pictures": [str(path) for path in pictures]}
    output.document(schema, document)
