# The processing system of a Zynq UltraScale+ (IP zynq_ultra_ps_e; parameters as in PG201). Its slave S_AXI_GP2 is the
# port S_AXI_HP0_FPD, and so on up to GP5 and HP3; its master M_AXI_GP0 is M_AXI_HPM0_FPD.

proc automate_zynqmp {ps preset} {
  if {$preset} {
    apply_bd_automation -rule xilinx.com:bd_rule:zynq_ultra_ps_e -config {apply_board_preset 1} $ps
  }
}

# The PL clock comes from the IOPLL because PYNQ (3.1 and 4.0) forces that source when it loads an overlay: divisors for
# another PLL would make another frequency.
proc settings_zynqmp {board} {
  set settings [list \
    CONFIG.PSU__USE__M_AXI_GP0 1 \
    CONFIG.PSU__USE__M_AXI_GP1 0 \
    CONFIG.PSU__USE__M_AXI_GP2 0 \
    CONFIG.PSU__FPGA_PL0_ENABLE 1 \
    CONFIG.PSU__CRL_APB__PL0_REF_CTRL__SRCSEL IOPLL \
    CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ [dict get $board clock_mhz] \
    CONFIG.PSU__USE__FABRIC__RST 1 \
    CONFIG.PSU__USE__IRQ0 1]
  for {set port 0} {$port < [llength [dict get $board memory_ports]]} {incr port} {
    lappend settings CONFIG.PSU__USE__S_AXI_GP[expr {$port + 2}] 1
    lappend settings CONFIG.PSU__SAXIGP[expr {$port + 2}]__DATA_WIDTH [dict get $board port_bits]
  }
  return $settings
}

# M_AXI_HPM0_FPD runs on maxihpm0_fpd_aclk, S_AXI_HP0_FPD on saxihp0_fpd_aclk.
proc port_clocks_zynqmp {board} {
  set clocks {}
  foreach port [concat [dict get $board ps_master] [dict get $board memory_ports]] {
    lappend clocks [string tolower [string map {M_AXI_ maxi S_AXI_ saxi} $port]]_aclk
  }
  return $clocks
}

proc dram_segments_zynqmp {port} {
  set prefix SAXIGP[expr {$port + 2}]/HP${port}
  return [list low ${prefix}_DDR_LOW high ${prefix}_DDR_HIGH \
    others [list ${prefix}_LPS_OCM ${prefix}_QSPI ${prefix}_PCIE_LOW]]
}
