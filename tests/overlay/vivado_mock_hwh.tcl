# The mock's .hwh: the elements that PYNQ and strop.overlay.hwh read, written from the mock's block design.

proc hardware_description {} {
  set modules ""
  foreach cell [dict keys $::cells] {
    append modules [module_element $cell]
  }
  regexp {^(xc[a-z0-9]+?)-?((?:clg|sbva|sfvc|ffvc)\d+)-} [dict get $::project part] -> device package
  # the name of a Zynq-7000 comes without xc
  set device [regsub {^xc(7z)} $device {\1}]
  return "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\" ?>
<EDKSYSTEM EDWVERSION=\"1.2\" TIMESTAMP=\"mock\" VIVADOVERSION=\"[scenario version]\">
<SYSTEMINFO ARCH=\"mock\" BOARD=\"[dict get $::project board_part]\" DEVICE=\"$device\" NAME=\"strop\"
  PACKAGE=\"$package\"/>
<EXTERNALPORTS/><EXTERNALINTERFACES/>
<MODULES>
$modules</MODULES>
</EDKSYSTEM>
"
}

proc module_element {cell} {
  set vlnv [dict get $::cells $cell vlnv]
  set text "<MODULE FULLNAME=\"/$cell\" INSTANCE=\"$cell\" MODTYPE=\"[kind_of $cell]\" VLNV=\"$vlnv\">\n"
  if {[kind_of $cell] eq "strop_kernel"} {
    append text "<ADDRESSBLOCKS><ADDRESSBLOCK INTERFACE=\"s_axi_control\" NAME=\"Reg\" USAGE=\"register\"><REGISTERS>\n"
    foreach {name offset access} [scenario registers] {
      append text "<REGISTER NAME=\"$name\"><PROPERTY NAME=\"ADDRESS_OFFSET\" VALUE=\"$offset\"/>"
      append text "<PROPERTY NAME=\"ACCESS\" VALUE=\"$access\"/></REGISTER>\n"
    }
    append text "</REGISTERS></ADDRESSBLOCK></ADDRESSBLOCKS>\n"
  }
  append text "<PARAMETERS>\n"
  dict for {name value} [concat [dict get $::cells $cell settings] [actual_clock $cell]] {
    append text "<PARAMETER NAME=\"$name\" VALUE=\"$value\"/>\n"
  }
  append text "</PARAMETERS>\n<PORTS>\n"
  foreach {name description} [pins_of $cell] {
    append text "<PORT DIR=\"[lindex $description 0]\" NAME=\"$name\"><CONNECTIONS>"
    dict for {to from} $::drivers {
      if {"$cell/$name" eq $from} {
        lassign [split $to /] instance port
      } elseif {"$cell/$name" eq $to} {
        lassign [split $from /] instance port
      } else continue
      append text "<CONNECTION INSTANCE=\"$instance\" PORT=\"$port\"/>"
    }
    append text "</CONNECTIONS></PORT>\n"
  }
  append text "</PORTS>\n<MEMORYMAP>\n"
  dict for {space places} $::segments {
    if {[lindex [split $space /] 0] eq $cell} {
      dict for {segment place} $places { append text [memory_element $space $segment $place] }
    }
  }
  return "$text</MEMORYMAP>\n</MODULE>\n"
}

proc memory_element {space segment place} {
  if {$place eq "excluded"} { return "" }
  lassign $place offset range
  lassign [split $segment /] instance interface block
  set type [expr {$block eq "Reg" ? "REGISTER" : "MEMORY"}]
  set text {<MEMRANGE ADDRESSBLOCK="%s" BASEVALUE="0x%08llX" HIGHVALUE="0x%08llX" INSTANCE="%s" }
  append text {MASTERBUSINTERFACE="%s" MEMTYPE="%s"/>%s}
  set master [file tail [dict get [spaces] $space]]
  return [format $text $block $offset [expr {$offset + $range - 1}] $instance $master $type \n]
}

# A PS tells what its dividers can make of the clock that was asked for.
proc actual_clock {cell} {
  switch [kind_of $cell] {
    processing_system7 {
      return [list PCW_ACT_FPGA0_PERIPHERAL_FREQMHZ \
        [expr {[scenario clock_ratio] * [setting $cell PCW_FPGA0_PERIPHERAL_FREQMHZ 50]}]]
    }
    zynq_ultra_ps_e {
      return [list PSU__CRL_APB__PL0_REF_CTRL__ACT_FREQMHZ \
        [expr {[scenario clock_ratio] * [setting $cell PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ 100]}]]
    }
  }
  return {}
}
