"""The Vivado scripts, run for real in a Tcl interpreter against a mock of Vivado: no bitstream is made here.

What is expected stands here as literals from public sources (UG585, UG1085, PG082, PG201, PYNQ's own base designs), and
is not read from the board table.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from dry_run import ROUTED, SCRIPTS, DryRun, dry_run
from strop.hls import SOURCE_FOLDER
from strop.overlay.boards import BOARDS
from strop.overlay.hwh import check_hwh, read_hwh

pytestmark = pytest.mark.usefixtures("tclsh")


class Public(NamedTuple):
    """What is known of a board from public sources."""

    part: str
    board_part: str
    clock_mhz: str
    gigabytes: float
    zynqmp: bool


PUBLIC = {
    "pynq-z1": Public("xc7z020clg400-1", "www.digilentinc.com:pynq-z1:part0:1.0", "100", 0.5, False),
    "pynq-z2": Public("xc7z020clg400-1", "tul.com.tw:pynq-z2:part0:1.0", "100", 0.5, False),
    "ultra96-v2": Public("xczu3eg-sbva484-1-i", "avnet.com:ultra96v2:part0:1.2", "200", 2, True),
    "kv260": Public("xck26-sfvc784-2LV-c", "xilinx.com:kv260_som:part0:1.3", "200", 4, True),
    "zcu104": Public("xczu7ev-ffvc1156-2-e", "xilinx.com:zcu104:part0:1.1", "200", 2, True),
}
ZYNQ7_SETTINGS = {
    "PCW_USE_M_AXI_GP0": "1",
    "PCW_EN_CLK0_PORT": "1",
    "PCW_EN_RST0_PORT": "1",
    "PCW_FPGA_FCLK0_ENABLE": "1",
    "PCW_USE_FABRIC_INTERRUPT": "1",
    "PCW_IRQ_F2P_INTR": "1",
    **{f"PCW_USE_S_AXI_HP{port}": "1" for port in range(4)},
    **{f"PCW_S_AXI_HP{port}_DATA_WIDTH": "64" for port in range(4)},
}
ZYNQMP_SETTINGS = {
    "PSU__USE__M_AXI_GP0": "1",
    "PSU__USE__M_AXI_GP1": "0",
    "PSU__USE__M_AXI_GP2": "0",
    "PSU__USE__IRQ0": "1",
    "PSU__USE__FABRIC__RST": "1",
    "PSU__FPGA_PL0_ENABLE": "1",
    "PSU__CRL_APB__PL0_REF_CTRL__SRCSEL": "IOPLL",
    **{f"PSU__USE__S_AXI_GP{port}": "1" for port in (2, 3, 4, 5)},
    **{f"PSU__SAXIGP{port}__DATA_WIDTH": "128" for port in (2, 3, 4, 5)},
}
BUNDLES = ("bytes", "words", "maps", "filters")
every_board = pytest.mark.parametrize("name", list(PUBLIC))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DryRun]:
    """The scripts run once for every board, with a Vivado that has its files and meets timing."""
    if shutil.which("tclsh") is None:
        pytest.skip("needs tclsh; on Debian and Ubuntu: sudo apt-get install tcl")
    return {name: dry_run(board, tmp_path_factory.mktemp("run") / name) for name, board in BOARDS.items()}


@every_board
def test_the_scripts_run_to_the_end(name: str, runs: dict[str, DryRun]) -> None:
    """Protects syntax, names of cells and pins, options and order, as far as the mock knows them."""
    assert runs[name].succeeded, runs[name].error
    assert runs[name].output.rstrip().endswith("strop.bit")


@every_board
def test_part_and_board_are_the_public_ones(name: str, runs: dict[str, DryRun]) -> None:
    """Protects against a bitstream for another chip."""
    project = runs[name].project()
    assert (project["part"], project["board_part"]) == (PUBLIC[name].part, PUBLIC[name].board_part)
    assert project["source_mgmt_mode"] == "All"  # as public designs in memory have it


@every_board
def test_the_ps_is_set_up_for_four_memory_ports(name: str, runs: dict[str, DryRun]) -> None:
    """Protects PS type, port widths and clock, with the PLL that PYNQ expects on Zynq UltraScale+."""
    ps, clock, settings = (
        ("zynq_ultra_ps_e_0", "PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ", ZYNQMP_SETTINGS)
        if PUBLIC[name].zynqmp
        else ("processing_system7_0", "PCW_FPGA0_PERIPHERAL_FREQMHZ", ZYNQ7_SETTINGS)
    )
    found = runs[name].settings(ps)
    expected = settings | {clock: PUBLIC[name].clock_mhz}
    assert {key: found.get(key) for key in expected} == expected


@every_board
def test_each_kernel_port_has_a_memory_port_of_its_own(name: str, runs: dict[str, DryRun]) -> None:
    """Protects what the cycle model assumes: no port of the kernel waits for another one before DRAM."""
    joined = dict(runs[name].records["interface"])
    memory = {}
    for bundle in BUNDLES:
        interconnect = joined[f"strop_kernel_0/m_axi_{bundle}"].split("/")[0]
        memory[bundle] = joined[f"{interconnect}/M00_AXI"].split("/")[1]
    suffix = "_FPD" if PUBLIC[name].zynqmp else ""
    assert memory == {bundle: f"S_AXI_HP{port}{suffix}" for port, bundle in enumerate(BUNDLES)}


def test_the_ports_are_the_kernels() -> None:
    """Protects the names of the scripts' ports: they are the bundles that the kernel declares."""
    kernel = (SOURCE_FOLDER / "kernel.cpp").read_text(encoding="utf-8")
    assert tuple(re.findall(r"mode=m_axi port=\w+ bundle=(\w+)", kernel)) == BUNDLES


@every_board
def test_one_clock_and_its_resets(name: str, runs: dict[str, DryRun]) -> None:
    """Protects against clock crossings: every clock pin hangs on the first PL clock, every reset on proc_sys_reset."""
    drivers = {sink: source for source, sink in runs[name].records["net"]}
    clock, reset = ("pl_clk0", "pl_resetn0") if PUBLIC[name].zynqmp else ("FCLK_CLK0", "FCLK_RESET0_N")
    clocked = {source for sink, source in drivers.items() if re.search(r"(clk|CLK)$", sink, re.I)}
    assert {source.split("/")[1] for source in clocked} == {clock}
    resets = {sink: source.split("/")[1] for sink, source in drivers.items() if re.search(r"(rst_n|resetn)$", sink)}
    assert len(resets) == 7 and set(resets.values()) == {"peripheral_aresetn", "interconnect_aresetn"}
    assert drivers["proc_sys_reset_0/ext_reset_in"].split("/")[1] == reset


@every_board
def test_the_interrupt_goes_through_axi_intc(name: str, runs: dict[str, DryRun]) -> None:
    """Protects interrupts under PYNQ, which sees only those behind an axi_intc."""
    drivers = {sink: source for source, sink in runs[name].records["net"]}
    pin = "zynq_ultra_ps_e_0/pl_ps_irq0" if PUBLIC[name].zynqmp else "processing_system7_0/IRQ_F2P"
    assert drivers[pin] == "axi_intc_0/irq"
    assert drivers["axi_intc_0/intr"] == "strop_kernel_0/interrupt"


@every_board
def test_addresses(name: str, runs: dict[str, DryRun]) -> None:
    """Protects the address map: registers where the family's PS master reaches them, all DRAM, and nothing but DRAM."""
    public = PUBLIC[name]
    kernel, intc = (0xA000_0000, 0xA001_0000) if public.zynqmp else (0x4000_0000, 0x4180_0000)
    registers, memory = {}, {}
    for space, segment, *place in runs[name].records["segment"]:
        where = None if place == ["excluded"] else (int(place[0]), int(place[1]))
        (memory if space.startswith("strop_kernel_0/") else registers)[space, segment] = where
    ps = "zynq_ultra_ps_e_0" if public.zynqmp else "processing_system7_0"
    assert registers == {
        (f"{ps}/Data", "strop_kernel_0/s_axi_control/Reg"): (kernel, 65536),
        (f"{ps}/Data", "axi_intc_0/S_AXI/Reg"): (intc, 65536),
    }
    gigabyte = 1 << 30
    expected = {}
    for port, bundle in enumerate(BUNDLES):
        space = f"strop_kernel_0/Data_m_axi_{bundle}"
        if not public.zynqmp:
            expected[space, f"{ps}/S_AXI_HP{port}/HP{port}_DDR_LOWOCM"] = (0, gigabyte // 2)
            continue
        prefix = f"{ps}/SAXIGP{port + 2}/HP{port}"
        expected[space, f"{prefix}_DDR_LOW"] = (0, 2 * gigabyte)
        expected |= {(space, f"{prefix}_LPS_OCM"): None, (space, f"{prefix}_QSPI"): None}
        if public.gigabytes > 2:
            expected[space, f"{prefix}_DDR_HIGH"] = (0x8_0000_0000, int((public.gigabytes - 2) * gigabyte))
    assert memory == expected


@every_board
def test_the_files_of_an_overlay_are_left(name: str, runs: dict[str, DryRun]) -> None:
    """Protects the names that PYNQ and the packaging look for, and that the .hwh fits contract and board table."""
    folder = runs[name].folder
    assert {path.name for path in folder.iterdir() if path.is_file()} == {
        *("strop.bit", "strop.hwh", "facts.txt", "timing.rpt", "utilization.rpt")
    }
    facts = dict(line.split(" ", 1) for line in (folder / "facts.txt").read_text(encoding="utf-8").splitlines())
    used = {"luts": "31415", "flip_flops": "27182", "dsps": "161", "brams": "99.5"}
    used["urams"] = "48" if PUBLIC[name].zynqmp else "0"
    assert facts == used | {
        "vivado": BOARDS[name].vivado,
        "vitis_hls": "2024.1",
        "setup_slack_ns": "0.123",
        "hold_slack_ns": "0.021",
    }
    assert check_hwh(read_hwh(folder / "strop.hwh"), BOARDS[name]) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"setup_slack": -0.001}, "timing is not met: the worst setup slack is -0.001 ns; see .*timing.rpt"),
        ({"hold_slack": -0.02}, "timing is not met: the worst hold slack is -0.02 ns"),
        ({"pulse_width_slack": -0.1}, "does not say that all constraints are met"),
        ({"route_report": ROUTED.replace("routed nets............. :        1000", "routed nets... : 999")},
         "the design is not routed: 999 of 1000 nets, 0 with errors"),
        ({"route_report": ROUTED.replace("errors.......... :           0", "errors... : 2")}, "1000 nets, 2 with err"),
        ({"route_report": "nothing\n"}, "the report of the route status is not understood"),
        ({"no_clock": 3}, "check_timing finds 3 times no_clock"),
        ({"unconstrained": 1}, "check_timing finds 1 times unconstrained_internal_endpoints"),
    ],
)  # fmt: skip
def test_no_bitstream_without_timing(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    """Protects boards from a bitstream that works by luck; the reports stay, so that one can see why."""
    ran = dry_run(BOARDS["pynq-z2"], tmp_path / "run", **changes)
    assert not ran.succeeded and re.search(message, ran.error), ran.error
    assert {path.name for path in ran.folder.iterdir() if path.is_file()} == {"timing.rpt", "utilization.rpt"}


@pytest.mark.parametrize("name", ["pynq-z2", "kv260"])
def test_missing_board_files_only_warn(name: str, tmp_path: Path) -> None:
    """Protects owners of a bare Vivado: it goes on, because the PL has no pins, and says what that may cost."""
    ran = dry_run(BOARDS[name], tmp_path / "run", board_parts=("xilinx.com:zcu102:part0:3.4",))
    assert ran.succeeded, ran.error
    assert f"WARNING: strop: the files of board {BOARDS[name].board_part} are not installed" in ran.output
    assert "up to 50 % faster on the board than timing was met for" in ran.output
    assert ran.project()["board_part"] == ""
    assert check_hwh(read_hwh(ran.folder / "strop.hwh"), BOARDS[name]) == []
    assert not [record for record in ran.records["segment"] if "DDR_HIGH" in record[1]]  # no preset, no such segment


def test_another_version_of_the_boards_files_serves(tmp_path: Path) -> None:
    """Protects owners of newer board files, of which the newest is taken, and of differently spelled ones."""
    known = ("xilinx.com:kv260_som:part0:1.2", "xilinx.com:kv260_som:part0:1.4", "xilinx.com:kr260_som:part0:9.0")
    ran = dry_run(BOARDS["kv260"], tmp_path / "newer", board_parts=known)
    assert ran.project()["board_part"] == "xilinx.com:kv260_som:part0:1.4"
    ran = dry_run(BOARDS["ultra96-v2"], tmp_path / "case", board_parts=("avnet.com:Ultra96v2:part0:1.2",))
    assert ran.project()["board_part"] == "avnet.com:Ultra96v2:part0:1.2" and "WARNING" not in ran.output


def test_the_clock_is_what_the_ps_makes_of_it(tmp_path: Path) -> None:
    """Protects the manifest's clock: not what was asked for, but what the dividers gave."""
    ran = dry_run(BOARDS["zcu104"], tmp_path / "run", clock_ratio=0.9375)
    design = read_hwh(ran.folder / "strop.hwh")
    assert design.clock_mhz == 187.5 and check_hwh(design, BOARDS["zcu104"]) == []


@pytest.mark.parametrize("version", ["2019.2", "2021.2_AR76780", "unknown"])
def test_an_old_vivado_is_refused(version: str, tmp_path: Path) -> None:
    """Protects against an IP that cannot be exported: the error says why the version matters, before anything runs."""
    ran = dry_run(BOARDS["pynq-z2"], tmp_path / "run", version=version)
    assert not ran.succeeded and f"this is Vivado {version}; the scripts need 2022.1 or a newer one" in ran.error
    assert "answer record 76960" in ran.error and set(ran.calls()) == {"version"}


def test_a_patched_vivado_is_no_other_one(tmp_path: Path) -> None:
    """Protects owners of a patched version, whose name has more behind the number."""
    ran = dry_run(BOARDS["pynq-z2"], tmp_path / "run", version="2023.1_AR000035739")
    assert ran.succeeded, ran.error


def test_a_missing_kernel_is_named(tmp_path: Path) -> None:
    """Protects who forgot the export from Vitis HLS."""
    catalog = ("xilinx.com:ip:processing_system7:5.5", "xilinx.com:ip:smartconnect:1.0")
    ran = dry_run(BOARDS["pynq-z2"], tmp_path / "run", catalog=catalog)
    assert not ran.succeeded
    assert "no strop:hls:strop_kernel; for the kernel, IP_FOLDER must hold what Vitis HLS exported" in ran.error


def test_a_folder_without_the_kernel_is_refused_at_once(tmp_path: Path) -> None:
    """Protects hours: that the IP is where it should be is asked before the build, and not further down."""
    ran = dry_run(BOARDS["pynq-z2"], tmp_path / "run", component="solution/impl/ip/component.xml")
    assert not ran.succeeded and "create_project" not in ran.calls()
    assert f"there is no component.xml in {tmp_path / 'run' / 'ip'}; IP_FOLDER must be" in ran.error
    assert "make -C hls vitis-ip BOARD=" in ran.error


BESIDE, HIDDEN = "design/strop", ".gen/sources_1/bd/strop"


@pytest.mark.parametrize(("products", "place"), [("beside", BESIDE), ("hidden", HIDDEN)])
def test_products_are_taken_from_where_vivado_puts_them(products: str, place: str, tmp_path: Path) -> None:
    """Protects builds with every version: newer ones hide what they generate, and older runs may have left another."""
    built = tmp_path / "run" / "built"
    for old in (BESIDE, HIDDEN, ".srcs/sources_1/bd/strop"):
        (built / old / "hw_handoff").mkdir(parents=True)
        (built / old / "hw_handoff" / "strop.hwh").write_text("old", encoding="utf-8")
    ran = dry_run(BOARDS["pynq-z2"], tmp_path / "run", products=products)
    assert ran.succeeded, ran.error
    assert ("read_verilog", str(built / place / "hdl" / "strop_wrapper.v")) in ran.records["call"]
    assert check_hwh(read_hwh(built / "strop.hwh"), BOARDS["pynq-z2"]) == []
    assert len(list(built.rglob("strop.hwh"))) == 2  # Vivado's and its copy
    assert {path.name for path in (tmp_path / "run").glob(".*")} == set()  # nothing beside the build's folder


def test_products_that_are_nowhere_stop_the_build_early(tmp_path: Path) -> None:
    """Protects hours of synthesis from a version that puts its products elsewhere: the error says where was looked."""
    ran = dry_run(BOARDS["pynq-z2"], tmp_path / "run", products="elsewhere")
    assert not ran.succeeded and "synth_design" not in ran.calls()
    assert re.search(r"there are 0 files strop.hwh, expected is one. Looked in: .*/\.gen .*/\.srcs .*design", ran.error)


def test_what_an_earlier_run_left_is_not_taken(tmp_path: Path) -> None:
    """Protects against yesterday's bitstream beside today's error."""
    old = tmp_path / "run" / "built"
    old.mkdir(parents=True)
    for name in ("strop.bit", "strop.hwh", "facts.txt"):
        (old / name).write_text("old", encoding="utf-8")
    ran = dry_run(BOARDS["pynq-z2"], tmp_path / "run", setup_slack=-1)
    assert not ran.succeeded and not (ran.folder / "strop.bit").exists() and not (ran.folder / "facts.txt").exists()


def test_scripts_redefine_no_command_of_vivado() -> None:
    """Protects Vivado's own commands: one of the scripts' procedures of that name would replace it."""
    procedures = {name for path in SCRIPTS.glob("*.tcl") for name in re.findall(r"^proc (\S+)", path.read_text(), re.M)}
    commands = {name for path in SCRIPTS.parents[1].glob("tests/overlay/vivado_mock*.tcl")
                for name in re.findall(r"^mocked (\S+)", path.read_text(), re.M)}  # fmt: skip
    others = {"create_cell", "create_net", "connect_net", "report_timing", "read_bd", "version", "write_report"}
    assert procedures and len(commands) > 30 and not procedures & (commands | others)
