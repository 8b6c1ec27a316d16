#!/bin/sh
# One step of Vitis HLS for one board, by whatever of its commands is there: run_hls.sh BOARD csim|csynth|cosim|ip [BUILD FOLDER]
# The Makefile's vitis-* targets call it. Synthesis comes before cosim and ip in the same run. STROP_HLS_FLOW=tcl takes the Tcl twin
# where both ways are there. Not run here with the real tool.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
board=${1-} step=${2-} build=${3-$here/../../build/vitis}

complain() {
  echo "run_hls.sh: $*" >&2
  exit 2
}

config=$here/$board.cfg
if [ -z "$board" ] || [ "$board" != "$(basename "$board")" ] || [ ! -f "$config" ]; then
  complain "there is no board \"$board\"; allowed: $(cd "$here" && echo *.cfg | sed 's/\.cfg//g'). For example: make -C hls vitis-ip BOARD=kv260"
fi
case $step in
  csim) steps=csim ;;
  csynth) steps=csynth ;;
  cosim) steps="csynth cosim" ;;
  ip) steps="csynth export" ;;
  *) complain "there is no step \"$step\"; allowed: csim, csynth, cosim, ip" ;;
esac

have() { command -v "$1" >/dev/null 2>&1; }

flow=${STROP_HLS_FLOW-}
if have v++ && have vitis-run && [ "$flow" != tcl ]; then
  tool=unified
elif have vitis_hls; then
  tool="vitis_hls -f"
elif have vitis-run; then
  tool="vitis-run --mode hls --tcl"
else
  complain "no Vitis HLS: neither v++ with vitis-run (2023.2 and later) nor vitis_hls was found. It comes with AMD's Vitis and with
  Vivado, for x86-64 Linux. Where it is installed, its commands come by:
    source <install>/<version>/Vitis/settings64.sh      (older ones: <install>/Vitis/<version>/ or <install>/Vitis_HLS/<version>/)
  It must be of 2022.1 or newer: since 2022 older ones, unless patched, cannot export an IP. Then once more: make -C hls vitis-$step BOARD=$board"
fi

mkdir -p "$build/$board"
work=$(cd "$build/$board" && pwd)
cd "$work" # where the tools leave their logs
[ "$step" != ip ] || rm -rf "$work/ip" # after a failure no older one is left
if [ "$tool" != unified ]; then
  # shellcheck disable=SC2086 # the command and its options
  STROP_HLS_CONFIG=$config STROP_HLS_STEPS=$steps STROP_HLS_WORK=$work exec $tool "$here/run_hls.tcl"
fi

for each in $steps; do
  case $each in
    csynth) v++ -c --mode hls --config "$config" --work_dir "$work/component" ;;
    export) vitis-run --mode hls --package --config "$config" --work_dir "$work/component" ;;
    *) vitis-run --mode hls "--$each" --config "$config" --work_dir "$work/component" ;;
  esac
done
if [ "$step" = ip ]; then
  packed=$work/component/hls/impl/ip
  [ -f "$packed/component.xml" ] || complain "vitis-run --package ended well but left no $packed/component.xml"
  cp -R "$packed" "$work/ip"
  echo "The IP is in $work/ip"
fi
