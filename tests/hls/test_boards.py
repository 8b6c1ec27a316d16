"""The kernel with the tiles of a board, and the cycle model held to it, on more networks than the recorded ones.

`make -C hls csim-boards` replays the recorded programs for every board. Here one board meets networks that are recorded
on the spot, by the emulator: shapes that divide nothing, and one that people train.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import record_golden
from golden import read_golden
from networks import es_fl
from strop.runtime.emulator import EmulatorDevice
from strop.runtime.graph import L1BN, Conv2d, Flatten, GlobalAveragePool, Linear, MaxPool2d, NetworkGraph, ReLU

HLS = Path(__file__).resolve().parents[2] / "hls"
BOARD = "kKv260"
DEPTHWISE = NetworkGraph(
    "depthwise",
    (3, 19, 23),
    (
        *(Conv2d(8, (3, 3), padding=(1, 1)), L1BN(), ReLU()),
        *(Conv2d(8, (3, 3), (2, 2), (1, 1), groups=8), L1BN(), ReLU()),
        *(Conv2d(20, (1, 1), groups=2), L1BN(), ReLU(), MaxPool2d((3, 3), (1, 1))),
        *(GlobalAveragePool(), Linear(6)),
    ),
)
# the largest filter and stride on pixels, more channels than a tile has rows, a map flattened that no filter covers
LARGE = NetworkGraph(
    "large-filters",
    (2, 40, 300),
    (
        *(Conv2d(6, (15, 15), (4, 4), (7, 7)), L1BN(), ReLU(), MaxPool2d()),
        *(Conv2d(130, (5, 5), (3, 1), (2, 2)), L1BN(), ReLU(), MaxPool2d((4, 4), (4, 4), (1, 1))),
        *(Flatten(), Linear(40), L1BN(), ReLU(), Linear(5)),
    ),
)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test bench of BOARD, compiled."""
    if shutil.which("make") is None or shutil.which("g++") is None:
        pytest.skip("needs make and g++")
    folder = tmp_path_factory.mktemp("bench")
    target = folder / f"board-{BOARD}"
    made = subprocess.run(["make", "-C", HLS, f"BUILD={folder}", target], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return target


@pytest.mark.slow
@pytest.mark.parametrize(("graph", "batch"), [(es_fl(), 20), (DEPTHWISE, 18), (LARGE, 3)], ids=lambda x: str(x)[:12])
def test_a_board_gives_the_emulators_bytes_and_the_models_counts(
    graph: NetworkGraph, batch: int, bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects tiles of another shape than the emulator's, and every count of the model, in all kinds of steps."""
    monkeypatch.setattr(record_golden, "FOLDER", tmp_path)
    monkeypatch.setattr(record_golden, "ReferenceDevice", EmulatorDevice)
    monkeypatch.setattr(record_golden, "STEPS", 1)
    record_golden.record_network(graph, batch, "conv1", seed=1)
    record_golden.record_stream(graph, batch, seed=2)
    ran = subprocess.run([bench, *sorted(tmp_path.glob("*.bin"))], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("modelled as counted") == 5


@pytest.mark.slow
def test_a_wrong_byte_is_seen(bench: Path, tmp_path: Path) -> None:
    """Protects the test above from a bench that always agrees."""
    recorded = HLS.parent / "tests" / "hls" / "golden" / "small-wide-train.bin"
    data = bytearray(recorded.read_bytes())
    expected = read_golden(recorded).expected[0][1]
    at = bytes(data).rindex(expected.tobytes()) + int(np.flatnonzero(expected)[0])
    data[at] ^= 1
    (tmp_path / "wrong.bin").write_bytes(data)
    ran = subprocess.run([bench, tmp_path / "wrong.bin"], capture_output=True, text=True, check=False)
    assert ran.returncode == 1 and "DIFFERENT" in ran.stdout and "expected" in ran.stderr
