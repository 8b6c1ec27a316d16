# Vitis HLS without the unified command line: the same settings, from the same file. Not run here: tests run it against a mock.
#
#   STROP_HLS_CONFIG=hls/vitis/pynq-z2.cfg STROP_HLS_STEPS="csynth export" STROP_HLS_WORK=build/vitis/pynq-z2 \
#     vitis_hls -f hls/vitis/run_hls.tcl            # or: vitis-run --mode hls --tcl hls/vitis/run_hls.tcl
#
# Arguments come by the environment, because vitis-run passes none to a script. Steps: csim, csynth, cosim, export, in this order; cosim
# and export need csynth in the same run. `export` leaves the IP in STROP_HLS_WORK/ip. A key that is not understood is an error.

namespace eval strop {
  variable once {
    part flow_target clock clock_uncertainty syn.top csim.O csim.argv cosim.O cosim.argv package.output.format
    package.ip.vendor package.ip.library package.ip.name package.ip.version
    syn.interface.m_axi_addr64 syn.interface.m_axi_max_widen_bitwidth syn.interface.m_axi_alignment_byte_size
    syn.interface.m_axi_max_read_burst_length syn.interface.m_axi_max_write_burst_length syn.interface.m_axi_latency
    syn.interface.m_axi_num_read_outstanding syn.interface.m_axi_num_write_outstanding
  }
  # As the tool itself writes them: a boolean in one word with its value, which would else be a word too many.
  variable booleans {-m_axi_addr64}
  variable repeated {syn.file syn.file_cflags syn.file_csimflags tb.file tb.file_cflags}
  variable step_order {csim csynth cosim export}
  variable settings {} ;# key -> list of values
  variable config_folder
}

proc strop::argument {name} {
  if {![info exists ::env($name)] || $::env($name) eq ""} {
    error "$name is not set; run_hls.tcl says at its top what it needs"
  }
  return $::env($name)
}

# Fill `settings` from a config file. `part` stands before the section, all other keys in [hls].
proc strop::read_settings {path} {
  variable once
  variable repeated
  variable settings
  set file [open $path]
  set lines [split [read $file] "\n"]
  close $file
  set section ""
  set number 0
  foreach line $lines {
    incr number
    set line [string trim $line]
    if {$line eq "" || [string match "#*" $line]} continue
    if {$line eq "\[hls\]"} {
      set section hls
      continue
    }
    if {![regexp {^([^=\s]+)\s*=\s*(\S.*)$} $line -> key value]} {
      error "$path:$number: \"$line\" is neither \[hls\] nor key=value"
    }
    if {$key ni $once && $key ni $repeated} {
      error "$path:$number: the key $key is not understood; allowed: [lsort [concat $once $repeated]]"
    }
    if {($key eq "part") != ($section eq "")} {
      error "$path:$number: the key $key is in the wrong section; part stands before \[hls\], all other keys in it"
    }
    if {$key in $once && [dict exists $settings $key]} { error "$path:$number: the key $key is there twice" }
    dict lappend settings $key $value
  }
  foreach key [concat $once syn.file tb.file] {
    if {![dict exists $settings $key]} { error "$path: the key $key is missing" }
  }
}

# The value of a key that is there once.
proc strop::value {key} {
  variable settings
  return [lindex [dict get $settings $key] 0]
}

# The flags of a source: entries of `key` are "path,flags".
proc strop::flags_of {key source} {
  variable settings
  set flags {}
  if {![dict exists $settings $key]} { return "" }
  foreach entry [dict get $settings $key] {
    if {![regexp {^([^,]+),(.+)$} $entry -> of given]} { error "$key is \"$entry\"; it must be path,flags" }
    if {$of ni [concat [dict get $settings syn.file] [dict get $settings tb.file]]} {
      error "$key speaks of $of, which is no syn.file and no tb.file"
    }
    if {$of eq $source} { lappend flags $given }
  }
  return [join $flags " "]
}

# Paths in a config file count from its folder; the tool would take them from where it runs.
proc strop::add_sources {key options flag_keys} {
  variable settings
  variable config_folder
  foreach source [dict get $settings $key] {
    set path [file normalize [file join $config_folder $source]]
    if {![file exists $path]} { error "$key=$source: there is no $path" }
    set all $options
    foreach {option flag_key} $flag_keys {
      set flags [flags_of $flag_key $source]
      if {$flags ne ""} { lappend all $option $flags }
    }
    add_files {*}$all $path
  }
}

proc strop::add_all_sources {} {
  add_sources syn.file {} {-cflags syn.file_cflags -csimflags syn.file_csimflags}
  add_sources tb.file -tb {-cflags tb.file_cflags}
}

# What was a project with solutions became a component.
proc strop::open_work {} {
  variable settings
  variable booleans
  if {[llength [info commands ::open_component]]} {
    open_component -reset strop_kernel -flow_target [value flow_target]
    set_top [value syn.top]
    add_all_sources
  } else {
    open_project -reset strop_kernel
    set_top [value syn.top]
    add_all_sources
    open_solution -reset -flow_target [value flow_target] solution
  }
  set_part [value part]
  create_clock -period [value clock] -name default
  set_clock_uncertainty [value clock_uncertainty]
  foreach key [dict keys $settings syn.interface.*] {
    set option -[string range $key [string length syn.interface.] end]
    if {$option in $booleans} {
      config_interface $option=[value $key]
    } else {
      config_interface $option [value $key]
    }
  }
}

proc strop::simulate {command prefix} {
  set options [list -argv [value $prefix.argv]]
  switch [value $prefix.O] {
    true { lappend options -O }
    false {}
    default { error "$prefix.O is [value $prefix.O]; allowed: true, false" }
  }
  $command {*}$options
}

proc strop::export_ip {} {
  export_design -format [value package.output.format] -vendor [value package.ip.vendor] \
    -library [value package.ip.library] -ipname [value package.ip.name] -version [value package.ip.version]
  foreach folder {strop_kernel/solution/impl/ip strop_kernel/hls/impl/ip} {
    if {[file exists $folder/component.xml]} {
      file delete -force ip
      file copy $folder ip
      puts "The IP is in [file normalize ip]"
      return
    }
  }
  error "export_design left no impl/ip/component.xml below [pwd]/strop_kernel"
}

proc strop::check_steps {steps} {
  variable step_order
  set last -1
  foreach step $steps {
    set index [lsearch -exact $step_order $step]
    if {$index < 0} { error "there is no step $step; allowed: $step_order" }
    if {$index <= $last} { error "the steps are \"$steps\"; their order is: $step_order" }
    if {$step in {cosim export} && "csynth" ni $steps} { error "$step needs csynth in the same run: csynth $step" }
    set last $index
  }
}

proc strop::main {} {
  variable config_folder
  set config [file normalize [argument STROP_HLS_CONFIG]]
  set steps [argument STROP_HLS_STEPS]
  set work [file normalize [argument STROP_HLS_WORK]]
  check_steps $steps
  set config_folder [file dirname $config]
  read_settings $config
  file mkdir $work
  cd $work
  open_work
  foreach step $steps {
    switch $step {
      csim { simulate csim_design csim }
      csynth { csynth_design }
      cosim { simulate cosim_design cosim }
      export { export_ip }
    }
  }
}

# Without `exit` the tool waits for commands, and after an error its exit status differs by version.
if {[catch strop::main message]} {
  puts stderr "run_hls.tcl: $message"
  exit 1
}
exit 0
