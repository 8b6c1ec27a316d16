// What the cycle model knows of the boards: clocks, ports, memories, budgets. The shape of the MAC array and of the tiles is in
// ../boards.hpp. Nothing here was measured by this project: each line names where it comes from.
#ifndef STROP_MODEL_BOARD_FACTS_HPP
#define STROP_MODEL_BOARD_FACTS_HPP

#include "../boards.hpp"
extern "C" {
#include "../native/model.h"
}

namespace strop {
namespace model {

inline constexpr uint32_t ArrayMacs(Board board) {
  return kTileShapes[board].mac_rows * STROP_IMAGE_GROUP * STROP_QUAD;
}

// Clocks: what public kernels of this kind are built for: 100 MHz on Zynq-7000 (VTA, PYNQ-HelloWorld), 5 ns on xczu3eg
// (finn-hlslib). Ports: HP ports have 64 bits on Zynq-7000 (UG585, 5.1), 128 bits on Zynq UltraScale+ (UG1085, "PS-PL AXI
// interfaces").
// Memory controller: width x rate x what of it is usable. Zynq-7000: at most about 75 % (UG585, 22.3.2); Zynq UltraScale+: 92.5 %
// was measured on Ultra96 and 75 % on ZCU102 (Manev et al., FPT 2019), which stands here for the boards with 64-bit DDR4.
// Budgets: DS190 (7z020), DS891 (ZU3EG, ZU7EV), DS987 (K26; its LUTs and flip-flops as public pages of KV260 give them).
constexpr strop_board kBoards[kBoardCount] = {
    {"native", "", 0, 16, 0, 0, ArrayMacs(kNative), 0, 0, 0, 0, 0},
    // 16-bit DDR3 at 1050 MT/s, 512 MB (PYNQ-Z2 reference manual)
    {"pynq-z2", "xc7z020clg400-1", 100, 8, 1575, 512, ArrayMacs(kPynqZ2), 53200, 106400, 220, 140, 0},
    // 32-bit LPDDR4 at 1066 MT/s, 2 GB (Ultra96-V2 hardware user's guide)
    {"ultra96-v2", "xczu3eg-sbva484-1-i", 200, 16, 3944, 2048, ArrayMacs(kUltra96V2), 70560, 141120, 360, 216, 0},
    // 64-bit DDR4 at 2400 MT/s, 4 GB (DS987)
    {"kv260", "xck26-sfvc784-2LV-c", 200, 16, 14400, 4096, ArrayMacs(kKv260), 117120, 234240, 1248, 144, 64},
    // 64-bit DDR4 at 2133 MT/s or more, 2 GB (UG1267); the rate is not verified
    {"zcu104", "xczu7ev-ffvc1156-2-e", 200, 16, 12798, 2048, ArrayMacs(kZcu104), 230400, 460800, 1728, 312, 96},
};

}  // namespace model
}  // namespace strop

#endif  // STROP_MODEL_BOARD_FACTS_HPP
