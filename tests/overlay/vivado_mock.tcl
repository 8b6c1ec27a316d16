# Vivado's commands as far as overlay/vivado uses them, played by a small model that refuses what Vivado would refuse:
#
#   tclsh vivado_mock.tcl SCENARIO RECORD SCRIPT ARGUMENTS...
#
# SCENARIO is a file with a Tcl dictionary: what this Vivado and this run of it are like. RECORD is written even if the
# script fails: lines of tab-separated fields, first what was called, then the block design as it stood.
#
# It knows the scripts' commands and options and no others, the pins of the cells that they place, those of their
# parameters that are in ip_parameters.txt, and the order of a build. It synthesizes nothing.

if {[llength $argv] < 3} {
  error "vivado_mock.tcl takes SCENARIO, RECORD, SCRIPT and the script's arguments"
}
set argv [lassign $argv scenario_file record_file script_file]
set argc [llength $argv]
set file [open $scenario_file r]
set scenario [read $file]
close $file

set calls {}
set stages {} ;# what was done, in order

proc scenario {key} {
  return [dict get $::scenario $key]
}

proc refuse {text} {
  error "mock: $text"
}

# A command of the mock: its calls are recorded. Options are declared with a dash for a flag and with a dash and a colon
# for one that takes a value; what is no option is in `operands`.
proc mocked {name options body} {
  set opened "lappend ::calls \[list $name {*}\$args\]
    set operands \[parse_options $name {$options} \$args\]"
  proc ::$name {args} "$opened\n$body"
}

proc parse_options {name options arguments} {
  upvar 1 option option
  array set option {}
  set operands {}
  while {[llength $arguments]} {
    set arguments [lassign $arguments argument]
    if {"$argument:" in $options} {
      if {![llength $arguments]} {
        refuse "$name: $argument takes a value"
      }
      set arguments [lassign $arguments option($argument)]
    } elseif {$argument in $options} {
      set option($argument) 1
    } elseif {[string match -* $argument] && ![string is double $argument]} {
      refuse "$name has no option $argument; known here: $options"
    } else {
      lappend operands $argument
    }
  }
  return $operands
}

proc unknown {args} {
  refuse "there is no command [lindex $args 0]"
}

# Note a stage of the build; those that must lie behind it are demanded.
proc reach {stage args} {
  foreach needed $args {
    if {$needed ni $::stages} {
      refuse "$stage before $needed; done so far: $::stages"
    }
  }
  lappend ::stages $stage
}

proc touch {path text} {
  file mkdir [file dirname $path]
  set file [open $path w]
  puts -nonewline $file $text
  close $file
}

set mock_folder [file dirname [file normalize [info script]]]
source [file join $mock_folder vivado_mock_design.tcl]
source [file join $mock_folder vivado_mock_hwh.tcl]
read_parameters [file join $mock_folder ip_parameters.txt]

mocked version {-short} { return [scenario version] }

mocked create_project {-in_memory -part:} {
  reach project
  set ::project [dict create part $option(-part) board_part "" target_language "" ip_repo_paths "" \
    source_mgmt_mode None directory [pwd]]
}
mocked current_project {} { return project }
mocked get_board_parts {-quiet} { return [scenario board_parts] }
mocked update_ip_catalog {} {
  foreach folder [dict get $::project ip_repo_paths] {
    if {![llength [glob -nocomplain -directory $folder component.xml]]} {
      refuse "there is no IP in $folder"
    }
  }
  reach catalog project
}
mocked get_ipdefs {-quiet} {
  if {"catalog" ni $::stages} { refuse "the IP catalog is not read yet" }
  return [lsearch -all -inline -glob [scenario catalog] [lindex $operands 0]]
}

mocked set_property {-dict:} {
  if {[info exists option(-dict)]} {
    set settings $option(-dict)
    lassign $operands object
  } else {
    lassign $operands name value object
    set settings [list $name $value]
  }
  foreach {name value} $settings {
    set_one_property $object $name $value
  }
}

proc set_one_property {object name value} {
  if {$object eq "project"} {
    if {![dict exists $::project $name]} { refuse "a project has no property $name" }
    if {$name eq "board_part" && $value ni [scenario board_parts]} { refuse "the board $value is not installed" }
    if {$name eq "source_mgmt_mode" && $value ni {None DisplayOnly All}} { refuse "$name $value" }
    dict set ::project $name $value
  } elseif {$object eq "file:strop.bd"} {
    if {[list $name $value] ne {synth_checkpoint_mode None}} { refuse "$name $value of the block design" }
    reach checkpoint_mode saved
  } else {
    configure_cell $object $name $value
  }
}

mocked get_files {} {
  if {$operands ne "strop.bd" || "saved" ni $::stages} { refuse "there is no file $operands" }
  return file:strop.bd
}
mocked generate_target {} {
  # without a project nothing is synthesized beforehand, so the design must be told to have no checkpoints of its own
  reach generated validated saved checkpoint_mode
  touch [file join [product_folder] hw_handoff strop.hwh] [hardware_description]
}
# Where products of a block design land: beside it, or in a hidden folder of the project.
proc product_folder {} {
  switch [scenario products] {
    beside { return [file join $::design_folder strop] }
    hidden { return [file join [dict get $::project directory] .gen sources_1 bd strop] }
    elsewhere { return [file join [dict get $::project directory] unheard_of] }
  }
}
mocked make_wrapper {-files: -top} {
  reach wrapper generated
  set wrapper [file join [product_folder] hdl strop_wrapper.v]
  touch $wrapper "module strop_wrapper; endmodule\n"
  return $wrapper
}
mocked read_verilog {} {
  foreach path [lindex $operands 0] {
    if {![file isfile $path]} { refuse "there is no file $path" }
  }
  reach read wrapper
}
mocked synth_design {-top: -part:} {
  if {$option(-top) ne "strop_wrapper" || $option(-part) ne [dict get $::project part]} {
    refuse "synthesis of $option(-top) for $option(-part)"
  }
  reach synthesized generated read
}
mocked opt_design {} { reach optimized synthesized }
mocked place_design {} { reach placed optimized }
mocked phys_opt_design {} { reach physically_optimized placed }
mocked route_design {} { reach routed placed }

mocked report_utilization {-file: -return_string} {
  reach utilization routed
  return [report_to option [scenario utilization_report]]
}
mocked report_timing_summary {-file: -return_string} {
  reach timing_summary routed
  set met [expr {[scenario setup_slack] >= 0 && [scenario hold_slack] >= 0 && [scenario pulse_width_slack] >= 0}]
  return [report_to option [expr {$met ? "All user specified timing constraints are met.\n"
    : "Timing constraints are not met.\n"}]]
}
proc report_to {options text} {
  upvar 1 $options option
  if {[info exists option(-file)]} {
    touch $option(-file) $text
    return ""
  }
  return $text
}
mocked report_route_status {-return_string} {
  reach route_status routed
  return [scenario route_report]
}
mocked check_timing {-return_string} {
  reach constraints routed
  return "1. checking no_clock ([scenario no_clock])
4. checking unconstrained_internal_endpoints ([scenario unconstrained])
"
}
mocked get_timing_paths {-delay_type: -max_paths:} {
  reach paths routed
  if {$option(-delay_type) ni {max min}} { refuse "paths of type $option(-delay_type)" }
  return path:$option(-delay_type)
}
mocked get_property {-quiet} {
  lassign $operands name object
  if {[list $name $object] eq {DIRECTORY project}} { return [dict get $::project directory] }
  if {$name ne "SLACK" || ![string match path:* $object]} { refuse "$name of $object" }
  reach slack_[string range $object 5 end] routed
  return [scenario [expr {$object eq "path:max" ? "setup_slack" : "hold_slack"}]]
}
mocked write_bitstream {-force} {
  reach bitstream routed route_status constraints slack_max slack_min timing_summary
  touch [lindex $operands 0] [string cat "a bitstream of the mock for " [dict get $::project part] "\n"]
}

proc write_record {} {
  set record [open $::record_file w]
  foreach call $::calls {
    puts $record [join [list call [lindex $call 0] [lrange $call 1 end]] "\t"]
  }
  if {[info exists ::project]} {
    dict for {name value} $::project {
      puts $record [join [list project $name $value] "\t"]
    }
  }
  foreach line [design_record] {
    puts $record [join $line "\t"]
  }
  close $record
}

set failed [catch {source $script_file} message details]
write_record
if {$failed} {
  puts stderr $message
  exit 1
}
