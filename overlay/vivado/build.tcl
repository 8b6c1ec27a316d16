# From the exported kernel to a bitstream, in memory, without a project on disk:
#
#   vivado -mode batch -source build.tcl -tclargs BOARD_FILE IP_FOLDER BUILD_FOLDER
#
# BOARD_FILE is what `python3 -m strop.overlay.boards BOARD --tcl` prints. It leaves strop.bit, strop.hwh, facts.txt and
# reports in BUILD_FOLDER, and ends with an error and without strop.bit if anything is wrong, timing included. Folders
# design, .gen and .srcs in BUILD_FOLDER are Vivado's, and are deleted first.
#
# Not run here: Vivado. The tests run these files against a mock of its commands (tests/overlay/vivado_mock.tcl).

set scripts [file dirname [file normalize [info script]]]
foreach script {files ps_zynq7 ps_zynqmp block_design addresses check_timing outputs} {
  source [file join $scripts $script.tcl]
}

if {[llength $argv] != 3} {
  error "build.tcl takes BOARD_FILE, IP_FOLDER and BUILD_FOLDER; it got [llength $argv] arguments: $argv"
}
lassign $argv board_file ip_folder build_folder
set board [read_text $board_file]
set ip_folder [file normalize $ip_folder]
set build_folder [file normalize $build_folder]
file mkdir $build_folder
# A project in memory may put what it generates into hidden folders of where Vivado works.
cd $build_folder
# What an earlier run left must not be taken for this one's.
foreach name {strop.bit strop.hwh facts.txt} {
  file delete [file join $build_folder $name]
}
foreach folder {design .gen .srcs} {
  file delete -force [file join $build_folder $folder]
}
file mkdir [file join $build_folder design]

# A patched version has more behind its number.
if {![regexp {^\d+\.\d+} [version -short] release] || [package vcompare $release 2022.1] < 0} {
  error "this is Vivado [version -short]; the scripts need 2022.1 or a newer one. Since 2022 older ones fail when Vitis\
    HLS exports the kernel, unless patched: the date overflows the IP's revision (AMD's answer record 76960)"
}
if {![file isfile [file join $ip_folder component.xml]]} {
  error "there is no component.xml in $ip_folder; IP_FOLDER must be where Vitis HLS exported the kernel to, for\
    example build/vitis/pynq-z2/ip. It comes by: make -C hls vitis-ip BOARD=pynq-z2"
}

create_project -in_memory -part [dict get $board part]
set_property source_mgmt_mode All [current_project]
set preset [set_installed_board_part [dict get $board board_part]]
set_property target_language Verilog [current_project]
set_property ip_repo_paths [list $ip_folder] [current_project]
update_ip_catalog

create_bd_design -dir [file join $build_folder design] strop
create_block_design $board $preset
assign_addresses $board
validate_bd_design
save_bd_design

set design [get_files strop.bd]
set_property synth_checkpoint_mode None $design ;# one synthesis of everything: there are no runs without a project
generate_target all $design
read_verilog [make_wrapper -files $design -top]
set hwh [generated_hwh $build_folder] ;# before hours of synthesis: it may lie where nobody looked

synth_design -top strop_wrapper -part [dict get $board part]
opt_design
place_design
phys_opt_design
route_design

write_reports $build_folder ;# before timing is judged: who failed wants to read them
set slacks [demand_timing $build_folder]
write_overlay $build_folder $hwh
write_facts $build_folder $ip_folder $slacks
puts "strop: built [file join $build_folder strop.bit]"
