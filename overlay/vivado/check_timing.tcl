# No bitstream without timing: everything routed, everything constrained, no negative slack.

# Returns {setup_slack_ns VALUE hold_slack_ns VALUE}, or ends with an error that names the report to read.
proc demand_timing {build_folder} {
  demand_routing [report_route_status -return_string]
  demand_constraints [check_timing -return_string]
  set setup [worst_slack max]
  set hold [worst_slack min]
  foreach {kind slack} [list setup $setup hold $hold] {
    if {$slack < 0} {
      error "timing is not met: the worst $kind slack is $slack ns; see [file join $build_folder timing.rpt]. Another\
        placement directive may do, or a slower clock in hls/model/board_facts.hpp"
    }
  }
  # also covers what has no path, such as pulse widths
  if {[string first "All user specified timing constraints are met." [report_timing_summary -return_string]] < 0} {
    error "the timing summary does not say that all constraints are met; see [file join $build_folder timing.rpt]"
  }
  return [list setup_slack_ns $setup hold_slack_ns $hold]
}

proc demand_routing {report} {
  set routable [number_in $report {# of routable nets[^:]*:\s*(\d+)} "the route status"]
  set routed [number_in $report {# of fully routed nets[^:]*:\s*(\d+)} "the route status"]
  set wrong [number_in $report {# of nets with routing errors[^:]*:\s*(\d+)} "the route status"]
  if {$routable == 0 || $routed != $routable || $wrong != 0} {
    error "the design is not routed: $routed of $routable nets, $wrong with errors"
  }
}

proc demand_constraints {report} {
  foreach check {no_clock unconstrained_internal_endpoints} {
    set count [number_in $report "checking $check \\((\\d+)\\)" "check_timing"]
    if {$count != 0} {
      error "check_timing finds $count times $check: the timing of these was not analyzed"
    }
  }
}

proc number_in {report pattern name} {
  if {![regexp -- $pattern $report -> number]} {
    error "the report of $name is not understood: nothing in it matches $pattern"
  }
  return $number
}

proc worst_slack {delay_type} {
  set path [get_timing_paths -delay_type $delay_type -max_paths 1]
  if {[llength $path] == 0} {
    error "there are no timing paths of type $delay_type: nothing was analyzed"
  }
  return [get_property SLACK [lindex $path 0]]
}
