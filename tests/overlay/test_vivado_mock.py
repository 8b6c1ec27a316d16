"""That the mock of Vivado can refuse: the scripts, broken in one place each; what it knows is Vivado's."""

from __future__ import annotations

import importlib.util
import re
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from dry_run import HERE, SCRIPTS, dry_run
from strop.overlay.boards import BOARDS
from strop.overlay.hwh import PS_CLOCKS

needs_tclsh = pytest.mark.usefixtures("tclsh")


def broken_scripts(folder: Path, file: str, old: str, new: str) -> Path:
    """Return a copy of the scripts in which one place is changed."""
    shutil.copytree(SCRIPTS, folder)
    text = (folder / file).read_text(encoding="utf-8")
    assert text.count(old) == 1, (file, old)
    (folder / file).write_text(text.replace(old, new), encoding="utf-8")
    return folder


@needs_tclsh
@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("block_design.tcl", "  connect_pins strop_kernel_0/interrupt axi_intc_0/intr\n", "",
         "nothing drives axi_intc_0/intr"),
        ("block_design.tcl", "connect_pins axi_intc_0/irq $ps", "connect_pins strop_kernel_0/interrupt $ps/IRQ_F2P\n"
         "  connect_pins axi_intc_0/irq $ps", "a second driver for processing_system7_0/IRQ_F2P"),
        ("block_design.tcl", "strop_kernel_0/s_axi_control\n", "strop_kernel_0/s_axi_ctrl\n",
         "strop_kernel_0 has no interface s_axi_ctrl"),
        ("block_design.tcl", "{CONFIG.C_IRQ_CONNECTION 1}", "{}", "axi_intc_0 has no pin irq"),
        ("block_design.tcl", "connect_pins $clock axi_intc_0/s_axi_aclk", "", "nothing drives axi_intc_0/s_axi_aclk"),
        ("block_design.tcl", "proc_sys_reset_0/peripheral_aresetn strop_kernel_0", "$clock strop_kernel_0",
         "FCLK_CLK0 is clk, strop_kernel_0/ap_rst_n is rst"),
        ("block_design.tcl", "  set_property -dict [settings_$family $board] [get_bd_cells $ps]", "#",
         "processing_system7_0 has no pin FCLK_CLK0"),
        ("block_design.tcl", "  automate_$family [get_bd_cells $ps] $preset\n"
         "  set_property -dict [settings_$family $board] [get_bd_cells $ps]",
         "  set_property -dict [settings_$family $board] [get_bd_cells $ps]\n  automate_$family [get_bd_cells $ps] 1",
         "processing_system7_0 has no pin FCLK_CLK0"),
        ("block_design.tcl", "$interconnect/M00_AXI $ps/$memory_port", "$interconnect/M00_AXI $ps/S_AXI_HP0",
         "S_AXI_HP0 is connected already"),
        ("addresses.tcl", "  assign_segment $ps/Data axi_intc_0", "# ", "axi_intc_0/S_AXI/Reg is neither assigned nor"),
        ("addresses.tcl", "[dict get $board intc_base]", "[dict get $board kernel_base]", "overlaps strop_kernel_0"),
        ("addresses.tcl", "min($mbytes, $::low_dram_mbytes)", "4096", "spans 0x40000000 bytes .*, not 0x100000000"),
        ("build.tcl", "opt_design\nplace_design\n", "place_design\nopt_design\n", "placed before optimized"),
        ("build.tcl", "validate_bd_design\n", "", "generated before validated"),
        ("build.tcl", "set slacks [demand_timing $build_folder]\nwrite_overlay $build_folder $hwh",
         "write_overlay $build_folder $hwh\nset slacks [demand_timing $build_folder]", "bitstream before route_status"),
        ("build.tcl", "set_property synth_checkpoint_mode None $design", "", "generated before checkpoint_mode"),
        ("build.tcl", "phys_opt_design\n", "physical_opt_design\n", "there is no command physical_opt_design"),
        ("check_timing.tcl", "set hold [worst_slack min]", "set hold 0", "bitstream before slack_min"),
        ("build.tcl", "place_design\n", "place_design -effort high\n", "place_design has no option -effort"),
        ("addresses.tcl", "0x10000\n", "64K\n", "a range of 64K"),
        ("build.tcl", "source_mgmt_mode All", "source_mgmt_mode Everything", "source_mgmt_mode Everything"),
        ("build.tcl", "file mkdir [file join $build_folder design]\n", "", "there is no folder .*/built/design"),
        ("ps_zynq7.tcl", "HP${port}_DATA_WIDTH [dict get $board port_bits]", "HP${port}_DATAWIDTH 64",
         "processing_system7 has no parameter PCW_S_AXI_HP0_DATAWIDTH"),
        ("ps_zynq7.tcl", "[dict get $board port_bits]", "128", "PCW_S_AXI_HP0_DATA_WIDTH of .* is 128, not one of"),
        ("ps_zynq7.tcl", "PCW_FPGA0_PERIPHERAL_FREQMHZ", "PCW_FCLK0_PERIPHERAL_FREQMHZ",
         "processing_system7 has no parameter PCW_FCLK0_PERIPHERAL_FREQMHZ"),
        ("ps_zynq7.tcl", "FIXED_IO, DDR", "FIXED_IO DDR", "processing_system7: make_external FIXED_IO DDR"),
        ("ps_zynq7.tcl", "FIXED_IO, DDR", "DDR3, FIXED_IO", "processing_system7: make_external DDR3, FIXED_IO"),
        ("ps_zynq7.tcl", "FIXED_IO, DDR", "FIXED_IO", "must lead outside; outside are: FIXED_IO"),
        ("ps_zynq7.tcl", "Slave Disable", "Slaves Disable", "processing_system7: Slaves Disable"),
        ("block_design.tcl", "CONFIG.NUM_SI 1 CONFIG.NUM_MI 2", "CONFIG.NUM_SI 1 CONFIG.NUM_MASTERS 2",
         "smartconnect has no parameter NUM_MASTERS"),
    ],
)  # fmt: skip
def test_the_mock_refuses_broken_scripts(file: str, old: str, new: str, message: str, tmp_path: Path) -> None:
    """Protects the scripts' own tests from a mock that lets everything pass."""
    scripts = broken_scripts(tmp_path / "scripts", file, old, new)
    ran = dry_run(BOARDS["pynq-z2"], tmp_path / "run", scripts=scripts)
    assert not ran.succeeded and re.search(message, ran.error), ran.error
    assert not (ran.folder / "strop.bit").exists()


@needs_tclsh
@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("ps_zynqmp.tcl", "CONFIG.PSU__USE__M_AXI_GP1 0", "CONFIG.PSU__USE__M_AXI_GP1 1",
         "nothing drives zynq_ultra_ps_e_0/maxihpm1_fpd_aclk"),
        ("ps_zynqmp.tcl", "${prefix}_QSPI", "", "HP0_QSPI is neither assigned nor excluded"),
        ("addresses.tcl", "$::high_dram_base [", "0x80000000 [", "HP0_DDR_HIGH spans .* not .* from 0x80000000"),
        ("ps_zynqmp.tcl", "__DATA_WIDTH [dict", "_DATA_WIDTH [dict", "no parameter PSU__SAXIGP2_DATA_WIDTH"),
        ("ps_zynqmp.tcl", "[dict get $board port_bits]", "256", "PSU__SAXIGP2__DATA_WIDTH of .* is 256, not one of"),
        ("ps_zynqmp.tcl", "PL0_REF_CTRL__FREQMHZ", "PL0_REF_CTRL_FREQMHZ", "no parameter .*PL0_REF_CTRL_FREQMHZ"),
        ("ps_zynqmp.tcl", "SRCSEL IOPLL", "SRCSEL {IO PLL}", "PL0_REF_CTRL__SRCSEL of .* is IO PLL, not one of IOPLL"),
        ("ps_zynqmp.tcl", "apply_board_preset 1", "apply_board_preset 1 make_external DDR",
         "zynq_ultra_ps_e: make_external DDR"),
    ],
)  # fmt: skip
def test_the_mock_refuses_broken_scripts_for_zynqmp(
    file: str, old: str, new: str, message: str, tmp_path: Path
) -> None:
    """Protects the same where the families differ."""
    scripts = broken_scripts(tmp_path / "scripts", file, old, new)
    ran = dry_run(BOARDS["kv260"], tmp_path / "run", scripts=scripts)
    assert not ran.succeeded and re.search(message, ran.error), ran.error


@needs_tclsh
def test_32_bit_addresses_reach_no_high_memory(tmp_path: Path) -> None:
    """Protects the mock's own check that a kernel's addresses are wide enough for what it is given."""
    ran = dry_run(BOARDS["kv260"], tmp_path / "run", address_bits=32)
    assert not ran.succeeded and "has addresses of 32 bits, too few for" in ran.error


def known_parameters(ps: str) -> dict[str, str]:
    """Return the parameters of a PS that the mock knows: name and pattern of the values."""
    lines = (HERE / "ip_parameters.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    return {name: values for kind, values, *names in rows for name in names if kind == ps}


@pytest.mark.parametrize(
    ("ps", "example"), [("processing_system7", "resizer.hwh"), ("zynq_ultra_ps_e", "rfsoc_sam.hwh")]
)
def test_the_mocks_parameters_are_those_that_vivado_writes(ps: str, example: str) -> None:
    """Protects the mock from knowing what Vivado does not: each name stands in an .hwh that Vivado wrote.

    Such files come with a package of pynq's, so this runs where pynq is installed: .venv-pynq4/bin/pytest tests/overlay
    """
    package = importlib.util.find_spec("pynqmetadata")
    if package is None or package.origin is None:
        pytest.skip("needs pynqmetadata, which comes with pynq")
    path = Path(package.origin).parent / "tests" / "hwhs" / example
    if not path.exists():
        pytest.skip(f"this pynqmetadata has no {example}")
    module = next(module for module in ElementTree.parse(path).iter("MODULE") if module.get("MODTYPE") == ps)
    written = {element.get("NAME", ""): element.get("VALUE", "") for element in module.iter("PARAMETER")}
    known = known_parameters(ps)
    assert PS_CLOCKS[ps] in known and len(known) > 30
    assert {
        name: written.get(name) for name, values in known.items() if not re.fullmatch(values, written.get(name, ""))
    } == {}
