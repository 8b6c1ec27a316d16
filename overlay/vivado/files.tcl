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

# The one file of that name below a folder. Where Vivado puts what it generates differs from version to version.
proc only_file {folder name} {
  set found {}
  set waiting [list $folder]
  while {[llength $waiting]} {
    set waiting [lassign $waiting here]
    lappend found {*}[glob -nocomplain -types f -directory $here -- $name]
    lappend waiting {*}[glob -nocomplain -types d -directory $here -- *]
  }
  if {[llength $found] != 1} {
    error "below $folder there are [llength $found] files $name, expected is one: $found"
  }
  return [lindex $found 0]
}
