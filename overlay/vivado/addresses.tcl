# Who sees what at which address: the PS its two register blocks, the kernel DRAM and nothing else.

set register_range 0x10000
set low_dram_mbytes 2048 ;# of a Zynq UltraScale+: what lies beyond is at high_dram_base
set high_dram_base 0x800000000

proc assign_addresses {board} {
  set ps [dict get $board ps_ip]_0
  assign_segment $ps/Data strop_kernel_0/s_axi_control/Reg [dict get $board kernel_base] $::register_range
  assign_segment $ps/Data axi_intc_0/S_AXI/Reg [dict get $board intc_base] $::register_range
  set port 0
  foreach kernel_port $::kernel_ports {
    assign_dram $board $ps $port strop_kernel_0/Data_$kernel_port
    incr port
  }
}

proc assign_dram {board ps port space} {
  set segments [dram_segments_[dict get $board family] $port]
  set mbytes [dict get $board dram_mbytes]
  assign_segment $space $ps/[dict get $segments low] 0x0 [hex_bytes [expr {min($mbytes, $::low_dram_mbytes)}]]
  set unwanted [dict get $segments others]
  set high [dict get $segments high]
  if {$high ne ""} {
    # Without the board's files the PS has no such segment. It should not be missed: Linux takes contiguous buffers from
    # below 4 GiB, where low DRAM is. Not verified on a board.
    if {[dict get $board address_bits] > 32 && $mbytes > $::low_dram_mbytes \
      && [llength [get_bd_addr_segs -quiet $ps/$high]]} {
      assign_segment $space $ps/$high $::high_dram_base [hex_bytes [expr {$mbytes - $::low_dram_mbytes}]]
    } else {
      lappend unwanted $high
    }
  }
  foreach segment $unwanted {
    set found [get_bd_addr_segs -quiet $ps/$segment]
    if {[llength $found]} {
      exclude_bd_addr_seg -target_address_space [get_bd_addr_spaces $space] $found
    }
  }
}

# What a range is given as; write_bd_tcl writes it so, too.
proc hex_bytes {mbytes} {
  return [format 0x%llX [expr {$mbytes << 20}]]
}

proc assign_segment {space segment offset range} {
  assign_bd_address -offset $offset -range $range -target_address_space [get_bd_addr_spaces $space] \
    [get_bd_addr_segs $segment] -force
}
