# The mock's block design: cells with the pins that their settings give them, nets, and address spaces.

set cells {}      ;# cell: vlnv, settings
set drivers {}    ;# input pin: output pin
set interfaces {} ;# interface pin: the one at the other end
set segments {}   ;# address space: segment, {offset range} or excluded
set design_folder ""
set external {} ;# interfaces of the PS that lead outside
set parameters {} ;# kind of a cell: parameter, pattern of its values
set preset_applied 0

mocked create_bd_design {-dir:} {
  reach design catalog
  if {$operands ne "strop"} { refuse "a block design $operands" }
  if {![file isdirectory $option(-dir)]} { refuse "there is no folder $option(-dir)" }
  set ::design_folder $option(-dir)
}

mocked create_bd_cell {-type: -vlnv:} {
  if {"design" ni $::stages} { refuse "there is no block design yet" }
  if {$option(-type) ne "ip" || $option(-vlnv) ni [scenario catalog]} { refuse "the catalog has no $option(-vlnv)" }
  if {[dict exists $::cells $operands]} { refuse "there already is a cell $operands" }
  dict set ::cells $operands [dict create vlnv $option(-vlnv) settings {}]
  return cell:$operands
}

mocked get_bd_cells {} {
  if {![dict exists $::cells $operands]} { refuse "there is no cell $operands" }
  return cell:$operands
}

mocked apply_bd_automation {-rule: -config:} {
  set name [string range [lindex $operands 0] 5 end]
  if {![dict exists $::cells $name] || $option(-rule) ne "xilinx.com:bd_rule:[kind_of $name]"} {
    refuse "the rule $option(-rule) for $operands"
  }
  set config $option(-config)
  # answers that each rule asks for; a Zynq-7000 has pins of its own for DRAM and the fixed peripherals
  set known {apply_board_preset {^[01]$}}
  if {[kind_of $name] eq "processing_system7"} {
    lappend known make_external {^(FIXED_IO|DDR)(, (FIXED_IO|DDR))?$} Master ^Disable$ Slave ^Disable$
    if {[dict exists $config make_external]} {
      set ::external [split [string map {", " ,} [dict get $config make_external]] ,]
    }
  }
  dict for {key value} $config {
    if {![dict exists $known $key] || ![regexp [dict get $known $key] $value]} { refuse "$option(-rule): $key $value" }
  }
  if {[dict get $config apply_board_preset]} {
    if {[dict get $::project board_part] eq ""} { refuse "a preset without a board" }
    set ::preset_applied 1
    dict set ::cells $name settings [scenario preset] ;# whatever was set before is lost
  }
}

proc kind_of {cell} { return [lindex [split [dict get $::cells $cell vlnv] :] 2] }

proc configure_cell {object name value} {
  if {![string match cell:* $object] || ![string match CONFIG.* $name]} { refuse "set $name of $object" }
  set cell [string range $object 5 end]
  set name [string range $name 7 end]
  set kind [kind_of $cell]
  if {![dict exists $::parameters $kind $name]} { refuse "$kind has no parameter $name that ip_parameters.txt knows" }
  set pattern [dict get $::parameters $kind $name]
  if {![regexp "^(?:$pattern)\$" $value]} { refuse "$name of $kind is $value, not one of $pattern" }
  dict set ::cells $cell settings $name $value
}

proc read_parameters {path} {
  set file [open $path r]
  foreach line [split [read $file] "\n"] {
    if {$line eq "" || [string match #* $line]} continue
    set names [lassign [split $line] kind pattern]
    foreach name $names { dict set ::parameters $kind $name $pattern }
  }
  close $file
}

proc setting {cell name default} {
  set settings [dict get $::cells $cell settings]
  return [expr {[dict exists $settings $name] ? [dict get $settings $name] : $default}]
}

# Pins of a cell as {name {direction type}}: direction I or O; type clk, rst or intr.
# Interfaces as {name role}: role master or slave.
proc pins_of {cell} {
  switch [kind_of $cell] {
    strop_kernel { return {ap_clk {I clk} ap_rst_n {I rst} interrupt {O intr}} }
    smartconnect { return {aclk {I clk} aresetn {I rst}} }
    proc_sys_reset {
      return {slowest_sync_clk {I clk} ext_reset_in {I rst} peripheral_aresetn {O rst} interconnect_aresetn {O rst}}
    }
    axi_intc {
      set pins {s_axi_aclk {I clk} s_axi_aresetn {I rst} intr {I intr}}
      # the default is an interface, which the PS has no counterpart for
      if {[setting $cell C_IRQ_CONNECTION 0] == 1} { lappend pins irq {O intr} }
      return $pins
    }
    processing_system7 { return [zynq7_pins $cell] }
    zynq_ultra_ps_e { return [zynqmp_pins $cell] }
  }
}

proc interfaces_of {cell} {
  set found {}
  switch [kind_of $cell] {
    strop_kernel {
      return {m_axi_bytes master m_axi_words master m_axi_maps master m_axi_filters master s_axi_control slave}
    }
    axi_intc { return {s_axi slave} }
    smartconnect {
      for {set i 0} {$i < [setting $cell NUM_SI 2]} {incr i} { lappend found [format S%02d_AXI $i] slave }
      for {set i 0} {$i < [setting $cell NUM_MI 1]} {incr i} { lappend found [format M%02d_AXI $i] master }
    }
    processing_system7 {
      if {[setting $cell PCW_USE_M_AXI_GP0 0]} { lappend found M_AXI_GP0 master }
      for {set i 0} {$i < 4} {incr i} {
        if {[setting $cell PCW_USE_S_AXI_HP$i 0]} { lappend found S_AXI_HP$i slave }
      }
    }
    zynq_ultra_ps_e {
      foreach {i name default} {0 M_AXI_HPM0_FPD 1 1 M_AXI_HPM1_FPD 1 2 M_AXI_HPM0_LPD 0} {
        if {[setting $cell PSU__USE__M_AXI_GP$i $default]} { lappend found $name master }
      }
      for {set i 0} {$i < 4} {incr i} {
        if {[setting $cell PSU__USE__S_AXI_GP[expr {$i + 2}] 0]} { lappend found S_AXI_HP${i}_FPD slave }
      }
    }
  }
  return $found
}

proc zynq7_pins {cell} {
  set pins {}
  foreach {name role} [interfaces_of $cell] { lappend pins ${name}_ACLK {I clk} }
  if {[setting $cell PCW_EN_CLK0_PORT 0] && [setting $cell PCW_FPGA_FCLK0_ENABLE 0]} { lappend pins FCLK_CLK0 {O clk} }
  if {[setting $cell PCW_EN_RST0_PORT 0]} { lappend pins FCLK_RESET0_N {O rst} }
  if {[setting $cell PCW_USE_FABRIC_INTERRUPT 0] && [setting $cell PCW_IRQ_F2P_INTR 0]} {
    lappend pins IRQ_F2P {I intr}
  }
  return $pins
}

proc zynqmp_pins {cell} {
  set pins {}
  foreach {name role} [interfaces_of $cell] {
    lappend pins [string tolower [string map {M_AXI_ maxi S_AXI_ saxi} $name]]_aclk {I clk}
  }
  if {[setting $cell PSU__FPGA_PL0_ENABLE 0]} { lappend pins pl_clk0 {O clk} }
  if {[setting $cell PSU__USE__FABRIC__RST 0]} { lappend pins pl_resetn0 {O rst} }
  if {[setting $cell PSU__USE__IRQ0 0]} { lappend pins pl_ps_irq0 {I intr} }
  return $pins
}

# What a pin or interface pin is; refuses what the cell does not have.
proc described {path of what} {
  lassign [split $path /] cell name
  if {![dict exists $::cells $cell]} { refuse "there is no cell $cell" }
  set known [$of $cell]
  if {![dict exists $known $name]} { refuse "$cell has no $what $name; it has [dict keys $known]" }
  return [dict get $known $name]
}

mocked get_bd_pins {} {
  described [lindex $operands 0] pins_of pin
  return [lindex $operands 0]
}
mocked get_bd_intf_pins {} {
  described [lindex $operands 0] interfaces_of interface
  return [lindex $operands 0]
}

mocked connect_bd_net {} {
  lassign $operands from to
  lassign [described $from pins_of pin] from_direction from_type
  lassign [described $to pins_of pin] to_direction to_type
  if {$from_type ne $to_type} { refuse "$from is $from_type, $to is $to_type" }
  if {$from_direction ne "O"} { refuse "$from drives nothing" }
  if {$to_direction ne "I"} { refuse "a second driver: $from and $to are both outputs" }
  if {[dict exists $::drivers $to]} { refuse "a second driver for $to: [dict get $::drivers $to], now $from" }
  dict set ::drivers $to $from
}

mocked connect_bd_intf_net {} {
  lassign $operands from to
  if {[described $from interfaces_of interface] ne "master"} { refuse "$from is no master" }
  if {[described $to interfaces_of interface] ne "slave"} { refuse "$to is no slave" }
  foreach pin $operands {
    if {[dict exists $::interfaces $pin]} { refuse "$pin is connected already" }
  }
  dict set ::interfaces $from $to
  dict set ::interfaces $to $from
}

# Address spaces by their master interface, and segments by their slave interface with {base range}.
proc spaces {} {
  set found {}
  foreach cell [dict keys $::cells] {
    foreach {name role} [interfaces_of $cell] {
      if {$role ne "master" || [kind_of $cell] eq "smartconnect"} continue
      if {[kind_of $cell] eq "strop_kernel"} {
        lappend found $cell/Data_$name $cell/$name
      } else {
        lappend found $cell/Data $cell/$name
      }
    }
  }
  return $found
}

proc segments_behind {path} {
  lassign [split $path /] cell name
  switch [kind_of $cell] {
    smartconnect {
      set found {}
      foreach {pin role} [interfaces_of $cell] {
        if {$role eq "master" && [dict exists $::interfaces $cell/$pin]} {
          lappend found {*}[segments_behind [dict get $::interfaces $cell/$pin]]
        }
      }
      return $found
    }
    axi_intc { return [list $cell/S_AXI/Reg {any 0x10000}] }
    strop_kernel { return [list $cell/$name/Reg {any 0x10000}] }
    processing_system7 {
      regexp {HP(\d)} $name -> i
      return [list $cell/S_AXI_HP$i/HP${i}_DDR_LOWOCM {0x0 0x40000000}]
    }
    zynq_ultra_ps_e {
      regexp {HP(\d)} $name -> i
      set prefix $cell/SAXIGP[expr {$i + 2}]/HP${i}
      set found [list ${prefix}_DDR_LOW {0x0 0x80000000} ${prefix}_LPS_OCM {0xFF000000 0x1000000} \
        ${prefix}_QSPI {0xC0000000 0x20000000}]
      if {$::preset_applied && [scenario high_dram] > 0} {
        lappend found ${prefix}_DDR_HIGH [list 0x800000000 [scenario high_dram]]
      }
      return $found
    }
  }
}

proc segments_of_space {space} {
  set found {}
  foreach {name interface} [spaces] {
    if {$name eq $space && [dict exists $::interfaces $interface]} {
      lappend found {*}[segments_behind [dict get $::interfaces $interface]]
    }
  }
  return $found
}

mocked get_bd_addr_spaces {} {
  if {![dict exists [spaces] $operands]} { refuse "there is no address space $operands" }
  return $operands
}
mocked get_bd_addr_segs {-quiet} {
  foreach space [dict keys [spaces]] {
    if {[dict exists [segments_of_space $space] $operands]} { return $operands }
  }
  if {[info exists option(-quiet)]} { return {} }
  refuse "no address space reaches a segment $operands"
}

mocked assign_bd_address {-offset: -range: -target_address_space: -force} {
  set space $option(-target_address_space)
  set reached [segments_of_space $space]
  if {![dict exists $reached $operands]} { refuse "$space does not reach $operands" }
  lassign [dict get $reached $operands] base most
  set offset [expr {$option(-offset)}]
  # a unit may stand behind a range, but no public script was found that says 2048M
  if {![regexp {^0x[0-9A-F]+$} $option(-range)]} { refuse "a range of $option(-range)" }
  set range [expr {$option(-range)}]
  if {$range > $most || ($base ne "any" && $offset != $base)} {
    refuse "$operands spans $most bytes from $base, not $option(-range) from $option(-offset)"
  }
  if {[string match strop_kernel_0/* $space] && $offset + $range > 1 << [scenario address_bits]} {
    refuse "$space has addresses of [scenario address_bits] bits, too few for $operands"
  }
  if {[dict exists $::segments $space]} {
    dict for {other place} [dict get $::segments $space] {
      if {$place eq "excluded"} continue
      lassign $place start length
      if {$offset < $start + $length && $start < $offset + $range} { refuse "$operands overlaps $other in $space" }
    }
  }
  dict set ::segments $space $operands [list $offset $range]
}

mocked exclude_bd_addr_seg {-target_address_space:} {
  set space $option(-target_address_space)
  if {![dict exists [segments_of_space $space] $operands]} { refuse "$space does not reach $operands" }
  dict set ::segments $space $operands excluded
}

# Stricter than Vivado, which lets an open interrupt pass.
mocked validate_bd_design {} {
  foreach cell [dict keys $::cells] {
    foreach {name description} [pins_of $cell] {
      if {[lindex $description 0] eq "I" && ![dict exists $::drivers $cell/$name]} {
        refuse "nothing drives $cell/$name"
      }
    }
    foreach {name role} [interfaces_of $cell] {
      if {![dict exists $::interfaces $cell/$name]} { refuse "$cell/$name is not connected" }
    }
    if {[kind_of $cell] eq "processing_system7" && [lsort $::external] ne {DDR FIXED_IO}} {
      refuse "DDR and FIXED_IO of $cell must lead outside; outside are: $::external"
    }
  }
  foreach space [dict keys [spaces]] {
    foreach segment [dict keys [segments_of_space $space]] {
      if {![dict exists $::segments $space $segment]} { refuse "$segment is neither assigned nor excluded in $space" }
    }
  }
  reach validated design
}
mocked save_bd_design {} { reach saved design }

proc design_record {} {
  set lines {}
  dict for {cell content} $::cells {
    lappend lines [list cell $cell [dict get $content vlnv]]
    dict for {name value} [dict get $content settings] { lappend lines [list setting $cell $name $value] }
  }
  dict for {to from} $::drivers { lappend lines [list net $from $to] }
  dict for {from to} $::interfaces {
    if {[described $from interfaces_of interface] eq "master"} { lappend lines [list interface $from $to] }
  }
  dict for {space places} $::segments {
    dict for {segment place} $places { lappend lines [list segment $space $segment {*}$place] }
  }
  return $lines
}
