"""Records of runs: whole through a file, refused when wrong; and tables that cannot flatter."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from run_records import ROWS, run_record
from strop.host.continual.metrics import AccuracyMatrix, Summary
from strop.host.continual.report import (
    SCHEMA,
    RunRecord,
    markdown_table,
    read_record,
    results_table,
    size,
    write_record,
)
from strop.runtime.errors import DataError, InputError

NAMED = {"experiences": ("first", "second"), "samples": (50, 50)}


@pytest.mark.parametrize("changes", [{}, NAMED, {"modelled_joules": None, "curve": (), "memory": {}}])
def test_a_record_survives_its_file(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Protects results: what is read is what was written, and nothing else is left in the folder."""
    record = run_record(**changes)
    assert write_record(record, tmp_path / "run.json") == (tmp_path / "run.json").resolve()
    assert read_record(tmp_path / "run.json") == record and os.listdir(tmp_path) == ["run.json"]


def test_a_file_tells_readers_what_it_is_and_the_figures(tmp_path: Path) -> None:
    """Protects other programs: a schema's name, and the metrics, although they follow from the matrix."""
    content = json.loads(write_record(run_record(), tmp_path / "run.json").read_text(encoding="utf-8"))
    assert content["schema"] == SCHEMA == "strop.continual-run/1" and content["matrix"] == {"R": ROWS}
    assert content["metrics"]["average_accuracy"] == 0.625 and content["metrics"]["forgetting"] == 0.4


def test_numpy_numbers_and_lists_are_taken() -> None:
    """Protects callers who count with numpy: the record holds plain numbers, which JSON can hold, too."""
    record = run_record(seed=np.int64(3), curve=[[np.int64(5), np.float64(0.5)]], seconds=np.array([1.0, 2.0]))
    assert record == run_record(seed=3, curve=((5, 0.5),), seconds=(1.0, 2.0))
    assert RunRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record
    assert run_record(settings={"shape": (1, 2)}).settings == {"shape": [1, 2]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"benchmark": None}, "benchmark is None; it is text"),
        ({"seed": -1}, "seed is -1"),
        ({"matrix": ROWS}, "matrix is of type list; it is an AccuracyMatrix"),
        ({"seconds": (1.0,)}, "seconds has 1 values; the matrix is of 2 experiences"),
        ({"seconds": ()}, "seconds has 0 values"),
        ({"seconds": (1.0, math.nan)}, "seconds has the value nan"),
        ({"experiences": ("one",)}, "experiences has 1 values; the matrix is of 2"),
        ({"samples": (5, 0)}, "samples is 0"),
        ({"experiences": "ab"}, "experiences is 'ab'; it is a list"),
        ({"modelled_seconds": {"kv260": -1.0}}, "modelled_seconds has the value -1.0"),
        ({"modelled_joules": [1.0]}, r"modelled_joules is \[1.0\]; it is a mapping"),
        ({"buffer_bytes": 0.5}, "buffer_bytes is 0.5"),
        ({"memory": {"arena": None}}, "memory of arena is None"),
        ({"settings": {"device": object()}}, "settings must be what JSON can hold"),
        ({"settings": {"rate": math.inf}}, "settings must be what JSON can hold"),
        ({"curve": [(1, 0.5, 2)]}, r"a point of the curve is \(1, 0.5, 2\)"),
        ({"curve": [(5, 0.5), (4, 0.5)]}, r"the point \(4, 0.5\); samples seen never fall"),
        ({"curve": [(5, 62.5)]}, "accuracy is 0 to 1"),
        ({"curve": 3}, "curve is 3; it is a list"),
    ],
)
def test_wrong_parts_are_refused(changes: dict[str, Any], message: str) -> None:
    """Protects a file of results from what a reader could not make sense of."""
    with pytest.raises(InputError, match=message):
        run_record(**changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expecting value"),
        ("[" * 100_000, "run.json: "),
        ("[]", 'expected is a JSON object whose "schema" is "strop.continual-run/1"'),
        ('{"schema": "strop.continual-run/2"}', "no record of a run"),
        ('{"schema": "strop.continual-run/1", "seed": 0}', "lacks benchmark, strategy, matrix, curve"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """Protects `read_record`: the path and what is wrong stand in the error."""
    path = tmp_path / "run.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        read_record(path)
    assert str(path) in str(caught.value)


def test_files_with_wrong_values_are_refused(tmp_path: Path) -> None:
    """Protects against a file that was edited by hand; and one that is missing or cannot be written is told."""
    path = write_record(run_record(), tmp_path / "run.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    for part, value in {"matrix": {"R": [[0.0], [2.0]]}, "seed": "zero", "curve": None}.items():
        path.write_text(json.dumps({**content, part: value}), encoding="utf-8")
        with pytest.raises(DataError, match=r"run\.json: "):
            read_record(path)
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match=r"run\.json: "):
        read_record(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_record(tmp_path / "none.json")
    with pytest.raises(InputError, match="does not exist; make it first"):
        write_record(run_record(), tmp_path / "none" / "run.json")


def four_runs() -> list[RunRecord]:
    """Three seeds of replay, out of order, and one of naive between them."""
    lower = AccuracyMatrix([[0.1, 0.0], [0.9, 0.25], [0.5, 0.55]])
    replay = run_record(strategy="replay", buffer_bytes=392_000)
    return [
        replace(replay, seed=2, matrix=lower, seconds=(2.0, 3.0), modelled_seconds={"kv260": 7.0}),
        run_record(modelled_joules=None),
        replace(replay, seed=0, memory={"arena": 7_000_000}),
        replace(replay, seed=1),
    ]


def test_rows_are_summarized_over_seeds() -> None:
    """Protects the table: one row for each strategy and buffer, boards that all runs have, seeds in their order."""
    replay, naive = results_table(four_runs())
    assert (replay.strategy, replay.buffer_bytes, replay.seeds) == ("replay", 392_000, (0, 1, 2))
    accuracy = replay.metrics["average_accuracy"]
    assert accuracy.count == 3 and accuracy.mean == pytest.approx((0.625 + 0.625 + 0.525) / 3)
    assert accuracy.deviation == pytest.approx(np.std([0.625, 0.625, 0.525], ddof=1))
    assert replay.seconds.mean == pytest.approx(13 / 3) and replay.memory_bytes == 7_000_000
    assert replay.modelled_seconds == {"kv260": Summary(pytest.approx(17 / 3), pytest.approx(2 / math.sqrt(3)), 3)}
    assert (naive.strategy, naive.seeds, naive.metrics["forgetting"]) == ("naive", (0,), Summary(0.4, None, 1))
    assert naive.modelled_joules == {} and results_table([]) == []


def test_the_same_seed_twice_is_no_second_sample() -> None:
    """Protects the deviation: a run that was read twice, or two settings under one name, are told apart."""
    with pytest.raises(InputError, match="two records of naive on a benchmark .* have the seed 0; tabulate them apart"):
        results_table([run_record(), run_record()])
    with pytest.raises(InputError, match=r"\(their settings differ in learning_rate\)"):
        results_table([run_record(), run_record(settings={**run_record().settings, "learning_rate": 0.1})])
    other = [run_record(buffer_bytes=784), run_record(benchmark="another"), run_record(strategy="replay")]
    assert len(results_table([run_record(), *other])) == 4


def test_markdown() -> None:
    """Protects the published table: percent, deviations only where there are several runs, what is modelled marked."""
    rows = results_table([*four_runs(), run_record(strategy="a|b")])
    lines = markdown_table(rows).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    assert cells[0][:6] == ["benchmark", "strategy", "buffer", "seeds", "average accuracy, %", "forgetting, %"]
    assert cells[0][-3:] == ["kv260, modelled s", "pynq-z2, modelled s", "pynq-z2, modelled J"]
    assert {len(line) for line in cells} == {len(cells[0])}
    assert cells[2][:6] == ["a benchmark", "replay", "392 kB", "3", "59.17 ± 5.77", "40.00 ± 0.00"]
    assert cells[2][-5:] == ["7.0 MB", "4.3 ± 0.6", "5.7 ± 1.2", "-", "80.0 ± 0.0"]
    assert cells[3][1:5] == ["naive", "0", "1", "62.50"] and cells[3][-3:] == ["5.0", "40.0", "-"]
    assert cells[4][1] == "a\\|b"


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [(0, "0"), (784, "784 B"), (1000, "1 kB"), (392_000, "392 kB"), (999_499, "999 kB"), (999_500, "1.0 MB")],
)
def test_size(nbytes: int, text: str) -> None:
    """Protects the buffer's column: k is 1,000, and nothing reads 1000 kB."""
    assert size(nbytes) == text
