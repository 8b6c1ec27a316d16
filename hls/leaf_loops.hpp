// The inner loops of the kernel: all that touches every element. Synthesizable, and compiled again for each instruction set of
// the emulator from this same text (native/leaves_*.cpp), in a namespace of its own: STROP_LEAVES. Hence no include guards.
// Arguments are on-chip arrays; `count` is at most the array's length. Equations: NUMERICS.md.
#include "counters.hpp"
#include "fixed_point.hpp"
#include "quad_constants.hpp"
#include "sgd_constants.hpp"
#include "sigmoid_tables.hpp"
#include "softmax_tables.hpp"
#include "tiles.hpp"

// after those, which they use
#include "mac_loops.hpp"
#include "requantize_loops.hpp"
#ifndef __SYNTHESIS__
#include "native/depthwise_loops.hpp"
#endif

// after that, whose rounding they use
#include "activation_loops.hpp"
#include "map_loops.hpp"
#include "norm_loops.hpp"
#include "sgd_loops.hpp"
#include "softmax_loops.hpp"

// and after that
#include "output_loss_loops.hpp"
