# What a build leaves: reports, strop.bit and strop.hwh, and facts.txt, from which the manifest is made.

# The .hwh that Vivado made of the block design: below the folder that create_bd_design was given, or, by a project in
# memory of newer versions, in hidden folders of the project or of where Vivado works.
proc generated_hwh {build_folder} {
  set folders [list [file join $build_folder design]]
  foreach home [list [get_property -quiet DIRECTORY [current_project]] [pwd]] {
    foreach hidden {.gen .srcs} {
      lappend folders [file normalize [file join $home $hidden]]
    }
  }
  return [only_file [lsort -unique $folders] strop.hwh]
}

proc write_reports {build_folder} {
  report_utilization -file [file join $build_folder utilization.rpt]
  report_timing_summary -file [file join $build_folder timing.rpt]
}

# One stem for both: PYNQ looks for the .hwh beside the .bit.
proc write_overlay {build_folder hwh} {
  file copy -force $hwh [file join $build_folder strop.hwh]
  write_bitstream -force [file join $build_folder strop.bit]
}

# Lines of a name and a value; strop.overlay.package reads them.
proc write_facts {build_folder ip_folder slacks} {
  set tools [list vivado [version -short] vitis_hls [packager_version $ip_folder]]
  set facts [dict merge $tools $slacks [utilization [report_utilization -return_string]]]
  set text ""
  dict for {name value} $facts {
    append text "$name $value\n"
  }
  write_text [file join $build_folder facts.txt] $text
}

# Vitis HLS and Vivado are released together; an exported IP says by which release it was packaged.
proc packager_version {ip_folder} {
  set description [read_text [file join $ip_folder component.xml]]
  if {![regexp {<xilinx:xilinxVersion>([^<]+)</xilinx:xilinxVersion>} $description -> version]} {
    return unknown
  }
  return $version
}

# Rows are named by family: Slice LUTs on Zynq-7000, CLB LUTs on Zynq UltraScale+. Only the latter may have UltraRAM.
proc utilization {report} {
  set found {}
  foreach {name pattern} {
    luts {(?:Slice|CLB) LUTs\*?}
    flip_flops {(?:Slice|CLB) Registers}
    dsps {DSPs}
    brams {Block RAM Tile}
  } {
    lappend found $name [number_in $report "\\|\\s*$pattern\\s*\\|\\s*(\[\\d.\]+)\\s*\\|" "utilization ($name)"]
  }
  set urams 0
  regexp {\|\s*URAM\s*\|\s*(\d+)\s*\|} $report -> urams
  return [concat $found urams $urams]
}
