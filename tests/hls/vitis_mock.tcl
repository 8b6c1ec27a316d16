# The commands of Vitis HLS that a build script may use, without the tool: each checks its options, its values and that it comes in time,
# and is written to a log. After UG1399, "Vitis HLS Command Reference"; whatever is not here is an error.
#
# Spellings are those of public scripts, read in an index of GitHub. Those that begin "This file is generated automatically by Vitis HLS"
# say config_interface -m_axi_addr64=0 -m_axi_latency 0 -m_axi_num_read_outstanding 16 in one line: a boolean has its value in the same
# word, a number in the next one. Others have a boolean bare or with =1, =true, =false, and a number after =, as the tool's own log has it.
# No script was found with a boolean and its value apart. Further lines found: create_clock -period 150MHz -name default;
# set_clock_uncertainty 27%; open_solution -reset -flow_target vivado solution1; open_component -reset NAME -flow_target vivado;
# csim_design -argv "..." -O; cosim_design -O -argv "..."; export_design -format ip_catalog -vendor V -library L -version 1.0 -ipname N.
#
#   tclsh vitis_mock.tcl SCRIPT LOG project|component      the older flow, with projects and solutions, or the newer one
#
# A line of the log is a command and its arguments, with tabs between them.

lassign $argv script log flow
set auto_noexec 1 ;# an unknown command is an error, never a program of that name
set log_file [open $log w]
fconfigure $log_file -buffering line

set done {}      ;# what has been called
set test_files {} ;# names of files that the test bench may open
set sources 0

set power {^(1|2|4|8|16|32|64|128|256|512|1024)$}
set count {^[1-9]\d*$}
set any {.}
set name {^[A-Za-z_]\w*$}
set interface_booleans -m_axi_addr64
array set interface_options [list \
  m_axi_alignment_byte_size $power m_axi_max_widen_bitwidth {^(0|(8|16|32|64|128|256|512|1024))$} \
  m_axi_latency {^\d+$} m_axi_max_read_burst_length $power m_axi_max_write_burst_length $power \
  m_axi_num_read_outstanding $count m_axi_num_write_outstanding $count]

proc need {command args} {
  foreach earlier $args {
    if {$earlier ni $::done} { error "mock: $command before $earlier" }
  }
}

proc refuse_after {command later} {
  if {$later in $::done} { error "mock: $command after $later" }
}

# Log the call and return its options, with the words that are none as "words". `flags` take no value, `options` are name and pattern.
# Options of config_interface may have theirs after a =, flags among them.
proc read_call {command arguments flags options words} {
  puts $::log_file [join [linsert $arguments 0 $command] "\t"]
  lappend ::done $command
  array set patterns $options
  set found [dict create words {}]
  while {[llength $arguments]} {
    set arguments [lassign $arguments word]
    if {[regexp {^(-m_axi_\w+)=(.*)$} $word -> word value]} {
      if {$word in $flags} {
        if {$value ni {0 1 true false}} { error "mock: $command $word: \"$value\" is no value of it" }
      } else {
        set arguments [linsert $arguments 0 $value]
      }
    }
    if {$word in $flags} {
      dict set found $word 1
    } elseif {[info exists patterns($word)]} {
      if {![llength $arguments]} { error "mock: $command $word wants a value" }
      set arguments [lassign $arguments value]
      if {![regexp $patterns($word) $value]} { error "mock: $command $word: \"$value\" is no value of it" }
      dict set found $word $value
    } elseif {[string match "-*" $word]} {
      error "mock: $command has no option $word"
    } else {
      dict lappend found words $word
    }
  }
  set others [dict get $found words]
  if {[llength $others] != $words} { error "mock: $command wants $words words besides its options, not \"$others\"" }
  return $found
}

proc start_work {found} {
  set ::project [lindex [dict get $found words] 0]
  file mkdir $::project
}

if {$flow eq "component"} {
  proc open_component {args} {
    start_work [read_call open_component $args -reset {-flow_target ^(vivado|vitis)$} 1]
    lappend ::done open_solution
    set ::packed $::project/hls/impl/ip
  }
  set opened open_component
} else {
  proc open_project {args} {
    start_work [read_call open_project $args -reset {} 1]
  }
  proc open_solution {args} {
    need open_solution open_project set_top
    set found [read_call open_solution $args -reset {-flow_target ^(vivado|vitis)$} 1]
    set ::packed $::project/[lindex [dict get $found words] 0]/impl/ip
  }
  set opened open_project
}

proc set_top {args} {
  need set_top $::opened
  read_call set_top $args {} {} 1
}

proc add_files {args} {
  need add_files $::opened
  refuse_after add_files csynth_design
  set found [read_call add_files $args -tb [list -cflags $::any -csimflags $::any] 1]
  set path [lindex [dict get $found words] 0]
  if {![file isfile $path]} { error "mock: add_files: there is no file $path" }
  if {[dict exists $found -tb]} {
    lappend ::test_files [file tail $path]
  } else {
    incr ::sources
  }
}

proc set_part {args} {
  need set_part open_solution
  set found [read_call set_part $args {} {} 1]
  if {![regexp {^xc[a-z0-9]+-[-a-zA-Z0-9]+$|^xc7z\d+[a-z]+\d+-\d$} [dict get $found words]]} { error "mock: no such part" }
}

proc create_clock {args} {
  need create_clock open_solution
  read_call create_clock $args {} [list -period {^\d+(\.\d+)?(ns|MHz)?$} -name $::name] 0
}

proc set_clock_uncertainty {args} {
  need set_clock_uncertainty create_clock
  set found [read_call set_clock_uncertainty $args {} {} 1]
  if {![regexp {^\d+(\.\d+)?(%|ns)?$} [dict get $found words]]} { error "mock: set_clock_uncertainty: no such margin" }
}

proc config_interface {args} {
  need config_interface open_solution
  refuse_after config_interface csynth_design
  set options {}
  foreach {option pattern} [array get ::interface_options] { lappend options -$option $pattern }
  read_call config_interface $args $::interface_booleans $options 0
}

proc run_bench {command arguments} {
  set found [read_call $command $arguments -O [list -argv $::any] 0]
  foreach file [dict get $found -argv] {
    if {$file ni $::test_files} { error "mock: $command: the test bench is given $file, which add_files -tb did not name" }
  }
}

proc csim_design {args} {
  need csim_design set_top add_files set_part
  run_bench csim_design $args
}

proc csynth_design {args} {
  need csynth_design set_top add_files set_part create_clock
  if {!$::sources} { error "mock: csynth_design without a source" }
  read_call csynth_design $args {} {} 0
}

proc cosim_design {args} {
  need cosim_design csynth_design
  run_bench cosim_design $args
}

proc export_design {args} {
  need export_design csynth_design
  set found [read_call export_design $args {} [list -format ^(ip_catalog|xo|syn_dcp|sysgen)$ -vendor $::any \
    -library $::any -ipname $::name -version {^\d+\.\d+$}] 0]
  file mkdir $::packed
  set component [open $::packed/component.xml w]
  puts $component [join [lmap key {-vendor -library -ipname -version} { dict get $found $key }] ":"]
  close $component
}

source $script
