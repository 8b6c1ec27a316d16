"""The record of one run of a strategy over a benchmark, as a file, and tables of several."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from strop.host.atomic_file import why_not_writable, write_atomically
from strop.host.checked import file_path, real, whole
from strop.host.continual.metrics import METRICS, AccuracyMatrix, Summary, summarize
from strop.runtime.errors import DataError, InputError

SCHEMA = "strop.continual-run/1"


@dataclass(frozen=True)
class RunRecord:
    """What one run of a strategy over a benchmark, with one seed, has given.

    matrix: accuracy after each experience. curve: points along the stream, training samples seen so far and the mean
    accuracy on the experiences seen so far. seconds: wall time of training on each experience, on the device that ran.
    modelled_seconds: what training would take on each board that the cycle model knows, by name; modelled_joules alike,
    or None. buffer_bytes: replay memory. memory: bytes of each part of the device's and the strategy's memory, by name.
    settings: what the run was told, as JSON can hold it (tuples become lists). digest: of the state at the end.
    experiences and samples: the name of each experience and how many training samples it has; empty if not told.

    Raises InputError for parts that do not fit together, and for numbers that are none.
    """

    benchmark: str
    strategy: str
    seed: int
    matrix: AccuracyMatrix
    curve: tuple[tuple[int, float], ...]
    seconds: tuple[float, ...]
    modelled_seconds: Mapping[str, float]
    modelled_joules: Mapping[str, float] | None
    buffer_bytes: int
    memory: Mapping[str, int]
    settings: Mapping[str, Any]
    digest: str
    experiences: tuple[str, ...] = field(default=())
    samples: tuple[int, ...] = field(default=())

    def __post_init__(self) -> None:
        for name in ("benchmark", "strategy", "digest"):
            _text(name, getattr(self, name))
        if not isinstance(self.matrix, AccuracyMatrix):
            raise InputError(f"matrix is of type {type(self.matrix).__name__}; it is an AccuracyMatrix")
        joules = self.modelled_joules
        checked = {
            "seed": whole("seed", self.seed, 0),
            "curve": _curve(self.curve),
            "seconds": tuple(_amount("seconds", value) for value in _listed("seconds", self.seconds)),
            "modelled_seconds": _amounts("modelled_seconds", self.modelled_seconds),
            "modelled_joules": None if joules is None else _amounts("modelled_joules", joules),
            "buffer_bytes": whole("buffer_bytes", self.buffer_bytes, 0),
            "memory": {part: whole(f"memory of {part}", n, 0) for part, n in _mapped("memory", self.memory).items()},
            "settings": plain(self.settings),
            "experiences": tuple(_text("experiences", name) for name in _listed("experiences", self.experiences)),
            "samples": tuple(whole("samples", count, 1) for count in _listed("samples", self.samples)),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        for name in ("seconds", "experiences", "samples"):
            count, optional = len(getattr(self, name)), name != "seconds"
            if count != self.matrix.experiences and (count or not optional):
                raise InputError(f"{name} has {count} values; the matrix is of {self.matrix.experiences} experiences")

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data that JSON can hold, and for readers the figures of the matrix."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        plain["matrix"] = self.matrix.to_dict()
        return {
            "schema": SCHEMA,
            **plain,
            "curve": [list(point) for point in self.curve],
            "metrics": self.matrix.metrics(),
        }

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> RunRecord:
        """Return the record that `to_dict` described. Raises InputError for anything else."""
        if not isinstance(content, Mapping) or content.get("schema") != SCHEMA:
            raise InputError(f'no record of a run: expected is a JSON object whose "schema" is "{SCHEMA}"')
        names = [each.name for each in fields(RunRecord)]
        missing = [name for name in names if name not in content]
        if missing:
            raise InputError(f"a record of a run lacks {', '.join(missing)}")
        return RunRecord(
            **{**{name: content[name] for name in names}, "matrix": AccuracyMatrix.from_dict(content["matrix"])}
        )


def write_record(record: RunRecord, path: str | Path) -> Path:
    """Write the record as a JSON file, whole or not at all; return its path. InputError where it cannot be written."""
    target = file_path(path)
    reason = why_not_writable(target)
    if reason is not None:
        raise InputError(f"cannot write a record to {target}: {reason}")
    text = json.dumps(record.to_dict(), indent=1, allow_nan=False) + "\n"
    try:
        return write_atomically(target, [text.encode()])
    except OSError as error:
        raise InputError(f"cannot write a record to {target}: {error.strerror or error}") from error


def read_record(path: str | Path) -> RunRecord:
    """Return the record in a file that `write_record` wrote. Raises DataError where it is missing or something else."""
    source = file_path(path)
    try:
        return RunRecord.from_dict(json.loads(source.read_bytes()))
    except OSError as error:
        raise DataError(f"{source}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, or, as InputError, no record
        raise DataError(f"{source}: {error}") from error


@dataclass(frozen=True)
class ResultRow:
    """Runs of one strategy with one buffer over one benchmark, summarized over their seeds.

    metrics: each of METRICS. seconds: wall time of training on all experiences. modelled_seconds, modelled_joules: by
    board, for the boards that all the runs have. memory_bytes: the largest sum of a run's parts.
    """

    benchmark: str
    strategy: str
    buffer_bytes: int
    seeds: tuple[int, ...]
    metrics: Mapping[str, Summary]
    seconds: Summary
    modelled_seconds: Mapping[str, Summary]
    modelled_joules: Mapping[str, Summary]
    memory_bytes: int


def results_table(records: Iterable[RunRecord]) -> list[ResultRow]:
    """Return a row for each benchmark, strategy and buffer size, in the order in which they first occur.

    Raises InputError where two records of a row have the same seed: the deviation over seeds would be too small.
    """
    return [_row(group) for group in grouped(records)]


def grouped(records: Iterable[RunRecord]) -> list[list[RunRecord]]:
    """Return the records of each row of `results_table`, sorted by seed. Raises as that does."""
    groups: dict[tuple[str, str, int], dict[int, RunRecord]] = {}
    for record in records:
        runs = groups.setdefault((record.benchmark, record.strategy, record.buffer_bytes), {})
        twin = runs.setdefault(record.seed, record)
        if twin is not record:
            raise InputError(
                f"two records of {record.strategy} on {record.benchmark} with a buffer of {record.buffer_bytes} bytes "
                f"have the seed {record.seed}{_difference(twin, record)}; tabulate them apart"
            )
    return [[runs[seed] for seed in sorted(runs)] for runs in groups.values()]


def markdown_table(rows: Sequence[ResultRow]) -> str:
    """Return the rows as a Markdown table: percent as mean ± sample deviation, seconds and joules of a whole run.

    "host s" is wall time on the device that ran; what the cycle model says of a board is marked "modelled".
    """
    boards = [*dict.fromkeys(board for row in rows for board in row.modelled_seconds)]
    powered = [*dict.fromkeys(board for row in rows for board in row.modelled_joules)]
    head = ["benchmark", "strategy", "buffer", "seeds", *(f"{name.replace('_', ' ')}, %" for name in METRICS)]
    head += ["memory", "host s"]
    head += [f"{board}, modelled s" for board in boards] + [f"{board}, modelled J" for board in powered]
    lines = [head, ["---", "---", *["---:"] * (len(head) - 2)]]
    for row in rows:
        cells = [row.benchmark, row.strategy, size(row.buffer_bytes), str(len(row.seeds))]
        cells += [spread(row.metrics[name], 100.0, 2) for name in METRICS]
        cells += [size(row.memory_bytes), spread(row.seconds, 1.0, 1)]
        cells += [spread(row.modelled_seconds.get(board), 1.0, 1) for board in boards]
        cells += [spread(row.modelled_joules.get(board), 1.0, 1) for board in powered]
        lines.append([cell.replace("|", "\\|").replace("\n", " ") for cell in cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def plain(settings: Any) -> dict[str, Any]:
    """Return settings as a record holds them: as JSON gives them back. Raises InputError for what JSON cannot hold."""
    try:
        found: dict[str, Any] = json.loads(json.dumps(_mapped("settings", settings), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"settings must be what JSON can hold: {error}") from error
    return found


def size(nbytes: int) -> str:
    """Return a number of bytes as people read it: "0", "784 B", "392 kB", "2.5 MB"; k is 1,000."""
    if nbytes < 1000:
        return f"{nbytes} B" if nbytes else "0"
    if nbytes < 999_500:
        return f"{nbytes / 1e3:.0f} kB"
    return f"{nbytes / 1e6:.1f} MB"


def spread(summary: Summary | None, factor: float, digits: int) -> str:
    """Return mean and deviation, times `factor`, as people read them: "93.41 ± 0.20"; "-" for None."""
    if summary is None:
        return "-"
    mean = f"{summary.mean * factor:.{digits}f}"
    return mean if summary.deviation is None else f"{mean} ± {summary.deviation * factor:.{digits}f}"


def _row(group: list[RunRecord]) -> ResultRow:
    first = group[0]
    return ResultRow(
        first.benchmark,
        first.strategy,
        first.buffer_bytes,
        tuple(record.seed for record in group),
        {name: summarize(getattr(record.matrix, name) for record in group) for name in METRICS},
        summarize(sum(record.seconds) for record in group),
        _by_board([record.modelled_seconds for record in group]),
        _by_board([record.modelled_joules or {} for record in group]),
        max(sum(record.memory.values()) for record in group),
    )


def _by_board(found: list[Mapping[str, float]]) -> dict[str, Summary]:
    return {
        board: summarize(values[board] for values in found)
        for board in found[0]
        if all(board in values for values in found)
    }


def _difference(one: RunRecord, other: RunRecord) -> str:
    names = [*dict.fromkeys([*one.settings, *other.settings])]
    differing = [name for name in names if one.settings.get(name) != other.settings.get(name)]
    return f" (their settings differ in {', '.join(differing)})" if differing else ""


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{name} is {value!r}; it is text")
    return value


def _listed(name: str, values: Any) -> list[Any]:
    if isinstance(values, (str, Mapping)) or not isinstance(values, Iterable):
        raise InputError(f"{name} is {values!r}; it is a list")
    return list(values)


def _mapped(name: str, values: Any) -> dict[str, Any]:
    if not isinstance(values, Mapping) or not all(isinstance(key, str) for key in values):
        raise InputError(f"{name} is {values!r}; it is a mapping with names for keys")
    return dict(values)


def _amount(name: str, value: Any) -> float:
    amount = real(name, value)
    if not (math.isfinite(amount) and amount >= 0.0):
        raise InputError(f"{name} has the value {amount}; it is finite and not below 0")
    return amount


def _amounts(name: str, values: Any) -> dict[str, float]:
    return {board: _amount(name, value) for board, value in _mapped(name, values).items()}


def _curve(points: Any) -> tuple[tuple[int, float], ...]:
    found: list[tuple[int, float]] = []
    for point in _listed("curve", points):
        pair = _listed("a point of the curve", point)
        if len(pair) != 2:
            raise InputError(f"a point of the curve is {point!r}; it is a pair: samples seen, accuracy")
        seen, accuracy = whole("samples seen", pair[0], 0), _amount("accuracy", pair[1])
        if accuracy > 1.0 or (found and seen < found[-1][0]):
            raise InputError(f"the curve has the point {point!r}; samples seen never fall, accuracy is 0 to 1")
        found.append((seen, accuracy))
    return tuple(found)
