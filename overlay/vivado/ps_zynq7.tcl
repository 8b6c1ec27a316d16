# The processing system of a Zynq-7000 (IP processing_system7; parameters as in PG082).

proc automate_zynq7 {ps preset} {
  # the pins of DRAM and of the fixed peripherals lead outside whether or not the board is known
  apply_bd_automation -rule xilinx.com:bd_rule:processing_system7 \
    -config [list make_external "FIXED_IO, DDR" apply_board_preset $preset Master Disable Slave Disable] $ps
}

proc settings_zynq7 {board} {
  set settings [list \
    CONFIG.PCW_USE_M_AXI_GP0 1 \
    CONFIG.PCW_EN_CLK0_PORT 1 \
    CONFIG.PCW_FPGA_FCLK0_ENABLE 1 \
    CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ [dict get $board clock_mhz] \
    CONFIG.PCW_EN_RST0_PORT 1 \
    CONFIG.PCW_USE_FABRIC_INTERRUPT 1 \
    CONFIG.PCW_IRQ_F2P_INTR 1]
  for {set port 0} {$port < [llength [dict get $board memory_ports]]} {incr port} {
    lappend settings CONFIG.PCW_USE_S_AXI_HP$port 1
    lappend settings CONFIG.PCW_S_AXI_HP${port}_DATA_WIDTH [dict get $board port_bits]
  }
  return $settings
}

proc port_clocks_zynq7 {board} {
  set clocks {}
  foreach port [concat [dict get $board ps_master] [dict get $board memory_ports]] {
    lappend clocks ${port}_ACLK
  }
  return $clocks
}

# Address segments of memory port number `port`: its DRAM, and what must stay out of reach.
proc dram_segments_zynq7 {port} {
  return [list low S_AXI_HP$port/HP${port}_DDR_LOWOCM high {} others {}]
}
