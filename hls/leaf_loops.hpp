// The inner loops of the kernel: all that touches every element. Synthesizable, and compiled again for each instruction set of
// the emulator from this same text (native/leaves_*.cpp), in a namespace of its own: STROP_LEAVES. Hence no include guards.
// Arguments are on-chip arrays; `count` is at most the array's length. Equations: NUMERICS.md.
#include "fixed_point.hpp"
#include "runs.hpp"
#include "sgd_constants.hpp"
#include "tiles.hpp"

// after those, which they use
#include "mac_loops.hpp"
#include "streaming_loops.hpp"
