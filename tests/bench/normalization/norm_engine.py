"""The engine's integer batch norms from Python: the kernel's L1BN and its twin with L2 (l2bn.hpp), for comparison.

Both run the same command on the same arena: maps int8 in words of 16 images and 4 channels, as contract.h has them.
"""

from __future__ import annotations

import ctypes
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from paper_costs import Norm
from strop.runtime.contract import COMMAND, C
from strop.runtime.planner import align
from strop.runtime.reference.layout import map_words, pack_map, unpack_map

Direction = Literal["forward", "backward"]
ISA_NUMBERS = {"portable": 1, "avx2": 2, "avx512-vnni": 3}  # STROP_ISA_*, hls/native/emulator.h
HERE = Path(__file__).resolve().parent
HLS = HERE.parents[2] / "hls"
EXPONENT = 5  # of the values before the norm; any would do
OUTPUT_EXPONENT = 3


def compile_engine(folder: Path) -> ctypes.CDLL:
    """Compile the engine with g++ as runtime/build_emulator.py compiles the kernel; load it from `folder`."""
    library = folder / "norm_bench.so"
    kernel = ("lanes", "thread_pool", "leaves_portable", "leaves_avx2", "leaves_avx512")
    sources = [HERE / "norm_bench.cpp", *(HLS / "native" / f"{name}.cpp" for name in kernel)]
    flags = ["-std=c++14", "-O3", "-fPIC", "-shared", "-pthread", "-Wno-unknown-pragmas", "-Wno-psabi"]
    subprocess.run(["g++", *flags, f"-I{HLS}", f"-I{HERE}", *map(str, sources), "-o", str(library)], check=True)
    engine = ctypes.CDLL(str(library))
    engine.strop_bench_board.restype = ctypes.c_char_p
    engine.strop_bench_cycles.restype = ctypes.c_uint64
    return engine


def boards(engine: ctypes.CDLL) -> list[str]:
    """Return the names of the boards that the cycle model knows; their places are `NormLayerRun.cycles`' indices."""
    names: list[str] = []
    while name := engine.strop_bench_board(len(names)):
        names.append(name.decode())
    return names


def instruction_sets(engine: ctypes.CDLL) -> list[str]:
    """Return the instruction sets that this processor has, slowest first."""
    return [name for name, number in ISA_NUMBERS.items() if engine.strop_bench_supports(number)]


@dataclass(frozen=True)
class Values:
    """One layer's mini-batch: x and the gradient of the output, int8 [C, N, H, W]; gamma and beta, real [C]."""

    x: NDArray[np.int8]
    error: NDArray[np.int8]
    gamma: NDArray[np.float64]
    beta: NDArray[np.float64]


def normal_values(channels: int, batch: int, side: int, seed: int = 0) -> Values:
    """Draw maps as training has them: each channel normal with its own mean, and saturated now and then."""
    generator = np.random.default_rng(seed)
    shape = (channels, batch, side, side)
    means = generator.normal(0, 12, (channels, 1, 1, 1))
    x = np.clip(np.rint(generator.normal(means, 32, shape)), -127, 127).astype(np.int8)
    error = np.clip(np.rint(generator.normal(1, 25, shape)), -127, 127).astype(np.int8)
    return Values(x, error, generator.uniform(0.6, 1.4, channels), generator.normal(0, 0.3, channels))


class NormLayerRun:
    """An arena and commands for one layer, on which either norm runs; `shift` is that of the last requantization."""

    def __init__(self, engine: ctypes.CDLL, isa: str, values: Values, shift: int) -> None:
        self._engine, self._isa = engine, ISA_NUMBERS[isa]
        channels, batch, height, width = values.x.shape
        self._shape = values.x.shape
        self._words = map_words(*values.x.shape)
        self._at: dict[str, int] = {}
        size = 0
        maps = {name: int(np.prod(self._words)) for name in ("x", "y", "error", "dx")}
        rows = ("gamma", "beta", "running_mu", "running_sigma", "grad_gamma", "grad_beta", "x_exponent", "dx_exponent")
        small = {"statistics": 16 * channels, "site": 32, "scalars": 64}
        for name, nbytes in {**maps, **dict.fromkeys(rows, 4 * channels), **small}.items():
            self._at[name] = size
            size += align(nbytes)
        block = np.zeros(size + C.ALIGN_BYTES, np.uint8)
        start = -block.ctypes.data % C.ALIGN_BYTES
        self._arena = block[start : start + size]
        self._map("x")[:] = pack_map(values.x)
        self._map("error")[:] = pack_map(values.error)
        fraction = 2.0**C.PARAMETER_FRACTION
        self.row("gamma")[:] = np.rint(values.gamma * fraction)
        self.row("beta")[:] = np.rint(values.beta * fraction)
        self.row("x_exponent")[:] = EXPONENT
        self._int32("site", 8)[:3] = (1, shift, shift)
        self._shift = shift
        at, plane = self._at, int(np.prod(self._words[1:]))
        scalars = {
            name: at["scalars"] + 4 * i for i, name in enumerate(("steps", "dither", "y_exponent", "e_exponent"))
        }
        shape = {"batch": batch, "channels_out": channels, "height_out": height, "width_out": width}
        parameters = {name: at[name] for name in rows[:6]} | {"statistics": at["statistics"], "site": at["site"]}
        common = {**shape, **parameters, "activation": C.ACTIVATION_RELU, "exponent": OUTPUT_EXPONENT}
        common |= {"running_steps": scalars["steps"], "dither": scalars["dither"], "target_plane": plane}
        common |= {"source_plane": plane, "source_2_plane": plane, "source_3_plane": plane}
        forward = {"source": at["x"], "target": at["y"], "source_exponent": at["x_exponent"]}
        backward = {"source": at["error"], "source_2": at["x"], "source_3": at["y"], "target": at["dx"]}
        backward |= {"source_exponent": scalars["e_exponent"], "source_2_exponent": at["x_exponent"]}
        self._commands = {
            "forward": _command(
                common | forward | {"opcode": C.OP_L1BN_FORWARD, "target_exponent": scalars["y_exponent"]}
            ),
            "backward": _command(
                common | backward | {"opcode": C.OP_L1BN_BACKWARD, "target_exponent": at["dx_exponent"]}
            ),
        }

    def run(self, norm: Norm, direction: Direction, repeats: int = 1) -> None:
        """Run one pass `repeats` times; each leaves the shift as it was."""
        command, backward = self._commands[direction], int(direction == "backward")
        arguments = (self._isa, 1 if norm == "l1" else 2, backward, repeats)
        self._engine.strop_bench_norm(
            *arguments, ctypes.c_void_p(self._arena.ctypes.data), ctypes.c_void_p(command.ctypes.data)
        )
        self._int32("site", 8)[:3] = (1, self._shift, self._shift)

    def cycles(self, board: int, norm: Norm, direction: Direction) -> int:
        """Return the modelled cycles of one pass on a board, hls/model/."""
        command = ctypes.c_void_p(self._commands[direction].ctypes.data)
        return int(self._engine.strop_bench_cycles(board, 1 if norm == "l1" else 2, command))

    def map(self, name: str) -> NDArray[np.int8]:
        """Return a map, "y" or "dx", int8 [C, N, H, W]."""
        return unpack_map(self._map(name), *self._shape[:2])

    def row(self, name: str) -> NDArray[np.int32]:
        """Return a row of per-channel words, int32 [C], in place."""
        return self._int32(name, self._shape[0])

    def statistics(self) -> NDArray[np.int32]:
        """Return mu, sigma, M and the sign sum of every channel, int32 [C, 4]."""
        return self._int32("statistics", 4 * self._shape[0]).reshape(-1, 4)

    def saturated(self) -> tuple[int, int]:
        """Return how many values of the last dx passed the largest magnitude, and half of it (NUMERICS 1.4)."""
        over, half = self._int32("site", 8)[3:5]
        return int(over), int(half)

    def padding_is_zero(self) -> bool:
        """Whether the bytes of y and dx that stand for no channel or image are 0."""
        present = pack_map(np.ones(self._shape, np.int8))
        return all(not np.any(self._map(name)[present == 0]) for name in ("y", "dx"))

    def _map(self, name: str) -> NDArray[np.int8]:
        at = self._at[name]
        return self._arena[at : at + int(np.prod(self._words))].view(np.int8).reshape(self._words)

    def _int32(self, name: str, count: int) -> NDArray[np.int32]:
        return self._arena[self._at[name] : self._at[name] + 4 * count].view(np.int32)


def _command(fields: dict[str, int]) -> NDArray[np.void]:
    command = np.zeros(1, COMMAND)
    for name, value in fields.items():
        command[name] = value
    return command
