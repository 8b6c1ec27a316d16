# The block design: PS, kernel, interconnect, reset and interrupt controller, all on one clock.
#
#   kernel m_axi_* -- SmartConnect each -- HP ports -- DRAM        PS master -- SmartConnect -- kernel, axi_intc
#   kernel interrupt -- axi_intc -- PS       (PYNQ finds interrupts only behind an axi_intc)

set kernel_ports {m_axi_bytes m_axi_words m_axi_maps m_axi_filters}

# Set the board if its files are installed. Else go on, because the PL has no pins here and the board's image configures
# the PS, but not in silence: the PL clock's divisors are then computed for Vivado's default PLLs, and PYNQ 3.1 writes
# them over whatever PLLs the image booted with (PYNQ 4.0 looks for the nearest ones). Another version of the same
# board's files serves as well. Returns 1 if a board was set, else 0.
proc set_installed_board_part {wanted} {
  set same_board {}
  foreach part [get_board_parts -quiet] {
    if {[string equal -nocase $part $wanted]} {
      set same_board [list $part]
      break
    }
    if {[string match -nocase "[join [lrange [split $wanted :] 0 1] :]:*" $part]} {
      lappend same_board $part
    }
  }
  set part [lindex [lsort -dictionary $same_board] end]
  if {$part eq ""} {
    puts "WARNING: strop: the files of board $wanted are not installed, and they are strongly advised: the PL clock is\
      computed for Vivado's default PLLs and may come out up to 50 % faster on the board than timing was met for. strop\
      measures it after loading and refuses a faster one. Vivado gets the files from its store of boards (Tools, Vivado\
      Store) or from the board's maker"
    return 0
  }
  set_property board_part $part [current_project]
  return 1
}

# The newest version of an IP of the catalog.
proc newest_ip {name} {
  set found [lindex [lsort -dictionary [get_ipdefs -quiet $name:*]] end]
  if {$found eq ""} {
    error "the IP catalog has no $name; for the kernel, IP_FOLDER must hold what Vitis HLS exported"
  }
  return $found
}

proc add_cell {ip name {settings {}}} {
  set cell [create_bd_cell -type ip -vlnv [newest_ip $ip] $name]
  if {[llength $settings]} {
    set_property -dict $settings $cell
  }
  return $cell
}

proc connect_interfaces {from to} {
  connect_bd_intf_net [get_bd_intf_pins $from] [get_bd_intf_pins $to]
}

proc connect_pins {from args} {
  foreach to $args {
    connect_bd_net [get_bd_pins $from] [get_bd_pins $to]
  }
}

proc create_block_design {board preset} {
  set family [dict get $board family]
  set ps [dict get $board ps_ip]_0
  add_cell xilinx.com:ip:[dict get $board ps_ip] $ps
  automate_$family [get_bd_cells $ps] $preset
  set_property -dict [settings_$family $board] [get_bd_cells $ps] ;# after the preset, which sets clocks and ports too
  add_cell strop:hls:strop_kernel strop_kernel_0
  add_cell xilinx.com:ip:proc_sys_reset proc_sys_reset_0
  set clock $ps/[dict get $board clock_pin]
  connect_pins $clock proc_sys_reset_0/slowest_sync_clk strop_kernel_0/ap_clk
  foreach pin [port_clocks_$family $board] {
    connect_pins $clock $ps/$pin
  }
  connect_pins $ps/[dict get $board reset_pin] proc_sys_reset_0/ext_reset_in
  connect_pins proc_sys_reset_0/peripheral_aresetn strop_kernel_0/ap_rst_n
  connect_memory $board $ps $clock
  connect_control $board $ps $clock
}

# One interconnect a port, so that no port of the kernel waits for another one before DRAM.
proc connect_memory {board ps clock} {
  set number 0
  foreach kernel_port $::kernel_ports memory_port [dict get $board memory_ports] {
    set interconnect memory_$number
    add_cell xilinx.com:ip:smartconnect $interconnect {CONFIG.NUM_SI 1 CONFIG.NUM_MI 1}
    connect_interconnect_clock $interconnect $clock
    connect_interfaces strop_kernel_0/$kernel_port $interconnect/S00_AXI
    connect_interfaces $interconnect/M00_AXI $ps/$memory_port
    incr number
  }
}

proc connect_control {board ps clock} {
  add_cell xilinx.com:ip:axi_intc axi_intc_0 {CONFIG.C_IRQ_CONNECTION 1}
  add_cell xilinx.com:ip:smartconnect control {CONFIG.NUM_SI 1 CONFIG.NUM_MI 2}
  connect_interconnect_clock control $clock
  connect_pins $clock axi_intc_0/s_axi_aclk
  connect_pins proc_sys_reset_0/peripheral_aresetn axi_intc_0/s_axi_aresetn
  connect_interfaces $ps/[dict get $board ps_master] control/S00_AXI
  connect_interfaces control/M00_AXI strop_kernel_0/s_axi_control
  connect_interfaces control/M01_AXI axi_intc_0/s_axi
  connect_pins strop_kernel_0/interrupt axi_intc_0/intr
  connect_pins axi_intc_0/irq $ps/[dict get $board interrupt_pin]
}

proc connect_interconnect_clock {interconnect clock} {
  connect_pins $clock $interconnect/aclk
  connect_pins proc_sys_reset_0/interconnect_aresetn $interconnect/aresetn
}
