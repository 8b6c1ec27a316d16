# Reading, writing and finding files.

proc read_text {path} {
  set file [open $path r]
  set text [read $file]
  close $file
  return $text
}

proc write_text {path text} {
  set file [open $path w]
  puts -nonewline $file $text
  close $file
}

# The one file of that name below some folders. Where Vivado puts what it generates differs from version to version, and
# its hidden folders must be named: a * does not match them.
proc only_file {folders name} {
  set found {}
  set waiting $folders
  while {[llength $waiting]} {
    set waiting [lassign $waiting here]
    lappend found {*}[glob -nocomplain -types f -directory $here -- $name]
    lappend waiting {*}[glob -nocomplain -types d -directory $here -- * .gen .srcs]
  }
  set found [lsort -unique $found]
  if {[llength $found] != 1} {
    error "there are [llength $found] files $name, expected is one. Looked in: $folders. Found: $found"
  }
  return [lindex $found 0]
}
