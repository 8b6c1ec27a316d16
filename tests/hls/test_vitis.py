"""The settings that Vitis HLS is given, held to the tables that they come from. No tool of AMD's takes part."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from golden import read_golden
from strop.runtime.estimate import boards
from vitis_config import CONFIGS, HLS, flags_of, read_config

KERNEL, BENCH = "../kernel.cpp", "../../tests/hls/vitis_testbench.cpp"
GOLDEN = HLS.parent / "tests" / "hls" / "golden"
ZYNQ7, ZYNQMP = re.compile("xc7z"), re.compile("xczu|xck26")
BOARDS = sorted(CONFIGS)
# UG1399, "HLS Config File Commands": the keys that are used, of some 150
DOCUMENTED = {
    *("part", "flow_target", "clock", "clock_uncertainty"),
    *("syn.top", "syn.file", "syn.file_cflags", "syn.file_csimflags", "tb.file", "tb.file_cflags"),
    *("csim.O", "csim.argv", "cosim.O", "cosim.argv"),
    *(f"package.{key}" for key in ("output.format", "ip.vendor", "ip.library", "ip.name", "ip.version")),
    *(f"syn.interface.m_axi_{key}" for key in ("addr64", "max_widen_bitwidth", "alignment_byte_size", "latency")),
    *(f"syn.interface.m_axi_max_{way}_burst_length" for way in ("read", "write")),
    *(f"syn.interface.m_axi_num_{way}_outstanding" for way in ("read", "write")),
}


def number(settings: dict[str, list[str]], option: str) -> int:
    """Return a setting of the memory ports."""
    return int(settings[f"syn.interface.m_axi_{option}"][0])


def constant(path: str, name: str) -> int:
    """Return a number that a header of the kernel defines."""
    found = re.search(rf"\b{name}\b\s*=?\s*(\d+)", (HLS / path).read_text(encoding="utf-8"))
    assert found is not None, f"{path} has no {name}"
    return int(found[1])


def tile_shapes() -> dict[str, int]:
    """Return the rows of the MAC array of each board, by its name in boards.hpp, in the order of the cycle model."""
    text = (HLS / "boards.hpp").read_text(encoding="utf-8")
    names = re.search(r"enum Board : uint32_t \{ kNative, (.*), kBoardCount", text)
    assert names is not None
    rows = {name: int(first) for first, name in re.findall(r"^    \{(\d+), .*// (k\w+)$", text, re.MULTILINE)}
    return {name: rows[name] for name in names[1].split(", ")}


def test_every_board_has_a_config() -> None:
    """Protects a board that is added to the model: it can be built, or this fails."""
    assert set(CONFIGS) == set(boards())


@pytest.mark.parametrize("name", BOARDS)
def test_part_clock_and_ports_are_the_boards(name: str) -> None:
    """Protects against hardware for another part, clock or port width than what the model and the overlay speak of."""
    settings, board = read_config(CONFIGS[name]), boards()[name]
    assert settings["part"] == [board.part]
    assert settings["clock"] == [f"{board.clock_mhz}MHz"]
    assert settings["flow_target"] == ["vivado"]
    assert number(settings, "max_widen_bitwidth") == 8 * board.port_bytes
    assert number(settings, "alignment_byte_size") == board.port_bytes


@pytest.mark.parametrize("name", BOARDS)
def test_ports_suit_the_family_and_the_model(name: str) -> None:
    """Protects addresses, bursts and requests under way: the family's limits, and what the cycle model counts with."""
    settings, board = read_config(CONFIGS[name]), boards()[name]
    assert bool(ZYNQ7.match(board.part)) != bool(ZYNQMP.match(board.part))
    assert number(settings, "addr64") == (0 if ZYNQ7.match(board.part) else 1)
    for way in ("read", "write"):
        beats = number(settings, f"max_{way}_burst_length")
        assert beats <= 16  # AXI3 of Zynq-7000; the model's buffers of an adapter hold no longer ones
        assert 128 <= beats * board.port_bytes <= 192
        assert number(settings, f"num_{way}_outstanding") == constant("model/cost.hpp", "kOutstanding")
    assert number(settings, "latency") == constant("model/cost.hpp", "kLatency")


@pytest.mark.parametrize("name", BOARDS)
def test_the_kernel_is_compiled_for_the_board(name: str) -> None:
    """Protects the tiles: the board's constant, and UltraRAM where the array is wide, as boards.hpp demands."""
    settings, shapes = read_config(CONFIGS[name]), tile_shapes()
    constant_name = dict(zip(boards(), shapes, strict=True))[name]
    assert boards()[name].array_macs == shapes[constant_name] * 64
    expected = ["-std=c++14", f"-DSTROP_BOARD={constant_name}"]
    expected += ["-DSTROP_WIDE_ARRAY=1"] if shapes[constant_name] >= 8 else []
    assert settings["syn.file"] == [KERNEL]
    assert settings["syn.top"] == ["strop_kernel"]
    assert flags_of(settings, "syn.file_cflags", KERNEL).split() == expected
    assert flags_of(settings, "syn.file_csimflags", KERNEL) == "-D__SYNTHESIS__"
    assert flags_of(settings, "tb.file_cflags", BENCH) == "-std=c++14"


@pytest.mark.parametrize("name", BOARDS)
def test_files_and_programs_are_there(name: str) -> None:
    """Protects simulations: every file is there, all recorded programs take part, and none is deeper than the ports."""
    settings = read_config(CONFIGS[name])
    for path in (*settings["syn.file"], *settings["tb.file"]):
        assert (CONFIGS[name].parent / path).resolve().is_file(), path
    recorded = sorted(path.name for path in GOLDEN.glob("*.bin"))
    assert sorted(Path(path).name for path in settings["tb.file"] if path != BENCH) == recorded
    assert settings["csim.argv"][0].split() == recorded
    assert set(settings["cosim.argv"][0].split()) <= set(recorded)
    depth = constant("kernel.hpp", "STROP_COSIM_DEPTH")
    assert max(read_golden(path).arena_bytes for path in GOLDEN.glob("*.bin")) <= depth
    assert depth % 64 == 0


def test_configs_hold_the_same_documented_keys() -> None:
    """Protects against a misspelt key, and against one that a board was forgotten for."""
    for name, path in CONFIGS.items():
        assert set(read_config(path)) == DOCUMENTED, name


def test_the_ip_has_the_name_that_the_driver_is_bound_by() -> None:
    """Protects the driver: it is found by vendor, library, name and version of the IP."""
    registers = pytest.importorskip("strop.overlay.registers")
    for path in CONFIGS.values():
        settings = read_config(path)
        vlnv = ":".join(settings[f"package.ip.{part}"][0] for part in ("vendor", "library", "name", "version"))
        assert vlnv == registers.KERNEL_VLNV
        assert settings["package.output.format"] == ["ip_catalog"]


def test_all_ports_are_told_to_share_the_arena() -> None:
    """Protects co-simulation, where ports that are not aliased have a memory each; the tool wants equal depths."""
    text = (HLS / "kernel.cpp").read_text(encoding="utf-8")
    masters = re.findall(r"mode=m_axi port=(\w+) bundle=(\w+) offset=slave depth=(\w+)\)", text)
    alias = re.search(r"#pragma HLS ALIAS ports=(\S+) distance=0", text)
    assert len(masters) == text.count("mode=m_axi") == len({bundle for _, bundle, _ in masters}) == 4
    assert {depth for _, _, depth in masters} == {"STROP_COSIM_DEPTH"}
    assert alias is not None and alias[1].split(",") == [port for port, _, _ in masters]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test bench of Vitis HLS with the tiles of one board, compiled with the flags of its config file."""
    if shutil.which("make") is None or shutil.which("g++") is None:
        pytest.skip("needs make and g++")
    target = tmp_path_factory.mktemp("bench") / "vitis-pynq-z2"
    command = ["make", "-C", str(HLS), f"BUILD={target.parent}", str(target)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return target


@pytest.mark.slow
def test_the_test_bench_agrees_and_can_differ(bench: Path, tmp_path: Path) -> None:
    """Protects what the tool will run: found by bare names where it runs, equal bytes, and a flipped bit is seen."""
    for path in GOLDEN.glob("small-*.bin"):
        shutil.copy(path, tmp_path)
    names = read_config(CONFIGS["pynq-z2"])["csim.argv"][0].split()
    ran = subprocess.run([bench, *names], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [f"{name}: equal" for name in names]
    run, wrong = read_golden(tmp_path / names[0]), bytearray((tmp_path / names[0]).read_bytes())
    wrong[wrong.rindex(run.expected[0][1].tobytes()) + run.expected[0][1].size // 2] ^= 1
    (tmp_path / "wrong.bin").write_bytes(wrong)
    ran = subprocess.run([bench, "wrong.bin"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 1 and "wrong.bin: DIFFERENT" in ran.stdout and "expected" in ran.stderr


@pytest.mark.slow
def test_a_program_deeper_than_the_ports_is_refused(bench: Path, tmp_path: Path) -> None:
    """Protects co-simulation from reading beyond what it copied: the arena's size is compared with the ports' depth."""
    data = bytearray((GOLDEN / "small-wide-infer.bin").read_bytes())
    data[52:60] = (constant("kernel.hpp", "STROP_COSIM_DEPTH") + 1).to_bytes(8, "little")
    (tmp_path / "deep.bin").write_bytes(data)
    ran = subprocess.run([bench, tmp_path / "deep.bin"], capture_output=True, text=True, check=False)
    assert ran.returncode == 1 and "raise STROP_COSIM_DEPTH" in ran.stderr
