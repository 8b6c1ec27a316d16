// The leaf loops for NEON: compiled from the common text, with twins written for these vectors. Every 64-bit ARM processor has NEON; a
// 32-bit one may not.
#include "leaf_table.hpp"

#if defined(__aarch64__) || defined(__arm__)

#if defined(__arm__)
#pragma GCC push_options
#pragma GCC target("fpu=neon")
#endif

#include <arm_neon.h>
#include <stddef.h>

#include "make_leaf_table.hpp"

#define STROP_LEAVES neon
#include "../leaf_loops.hpp"
#undef STROP_LEAVES

namespace strop {
namespace neon {
namespace {

// No int8 is -128, so the sum of two products, at most 2 * 127 * 127, fits int16.
inline int32x4_t AddDots(int32x4_t sum, int8x16_t a, int8x16_t b) {
  const int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b));
  const int16x8_t high = vmull_s8(vget_high_s8(a), vget_high_s8(b));
#if defined(__aarch64__)
  return vpadalq_s16(sum, vpaddq_s16(low, high));
#else
  return vpadalq_s16(sum, vcombine_s16(vpadd_s16(vget_low_s16(low), vget_high_s16(low)),
                                       vpadd_s16(vget_low_s16(high), vget_high_s16(high))));
#endif
}

#include "mac_neon.hpp"
#include "vectors_neon.hpp"

// after that, which it uses
#include "vector_twins.hpp"

native::LeafTable MakeTable() {
  native::LeafTable table = STROP_MAKE_LEAF_TABLE(neon);
  table.MacTile = MacTileNeon;
  UseVectorTwins(table);
  return table;
}

}  // namespace
}  // namespace neon
}  // namespace strop

#if defined(__arm__)
#pragma GCC pop_options
#endif

namespace strop {
namespace native {
const LeafTable &NeonLeaves() {
  static const LeafTable table = neon::MakeTable();
  return table;
}
}  // namespace native
}  // namespace strop

#endif
