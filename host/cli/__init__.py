"""The `strop` command. `main` is the entry point; each command has a module here, exit codes stand in `exit_codes`."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from strop.host.cli import (
    cl,
    demo,
    doctor,
    estimate,
    evaluate,
    export,
    finetune,
    import_,
    info,
    overlay,
    predict,
    selftest,
    train,
)
from strop.host.cli.arguments import Parser
from strop.host.cli.exit_codes import BROKEN_PIPE, UNEXPECTED, UsageError, exit_code_of
from strop.host.cli.extensions import COMMANDS_GROUP, extensions
from strop.host.cli.output import Output
from strop.host.version import strop_version
from strop.runtime.contract import C

__all__ = ["main"]

COMMANDS = (
    *(demo, train, finetune, evaluate, predict, import_, export),
    *(cl, info, estimate, doctor, selftest, overlay),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (sys.argv[1:] if None); return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    output = Output("--json" in words)
    debug = "--debug" in words
    try:
        arguments = build_parser().parse_args(words)
        with _terminated_as_interrupted():
            code: int = arguments.run(arguments, output)
        sys.stdout.flush()
        return code
    except SystemExit as leave:  # --help and --version
        return leave.code if isinstance(leave.code, int) else 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that closing it says nothing
        return BROKEN_PIPE
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        return _report(error, output)


def build_parser() -> Parser:
    """Return the parser of the whole command line."""
    parser = Parser(
        prog="strop",
        description="Train neural networks in 8-bit integers with L1 batch normalization.",
        epilog="Start with `strop demo`; `strop doctor` says whether this machine has what it takes.",
    )
    parser.add_argument("--version", action="version", version=version())
    commands = parser.add_subparsers(metavar="COMMAND", required=True, dest="command")
    for module in (*COMMANDS, *extensions(COMMANDS_GROUP)):
        module.add_parser(commands)
    return parser


def version() -> str:
    """Return the versions of strop, its contract and its numerics."""
    return f"strop {strop_version()}, contract {C.CONTRACT_VERSION}, numerics {C.NUMERICS_VERSION}"


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM be what Ctrl-C is: a training keeps its checkpoint, and a board's kernel is not left running."""
    taken = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL and threading.current_thread() is threading.main_thread()
    if taken:
        signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        if taken:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _report(error: BaseException, output: Output) -> int:
    """Say what went wrong, once, in the form that was asked for; return the exit code."""
    code = exit_code_of(error)
    message = str(error) or type(error).__name__
    if isinstance(error, KeyboardInterrupt):
        message = str(error) or "interrupted"
    elif isinstance(error, UsageError):
        output.note(error.usage)
    elif code == UNEXPECTED and not isinstance(error, OSError):
        message = f"{type(error).__name__}: {message}. This should not happen: please report it with what --debug shows"
    output.error(message)
    kind = "Interrupted" if isinstance(error, KeyboardInterrupt) else type(error).__name__
    output.document("strop.error/1", {"error": {"type": kind, "message": message, "exit_code": code}})
    return code
