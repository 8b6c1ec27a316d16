// The leaf loops for 64-bit ARM with the dot product instructions of ARMv8.2.
#include "leaf_table.hpp"

#if defined(__aarch64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("arch=armv8.2-a+dotprod"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif

#include <arm_neon.h>
#include <stddef.h>

#include "make_leaf_table.hpp"

#define STROP_LEAVES neon_dot
#include "../leaf_loops.hpp"
#undef STROP_LEAVES

namespace strop {
namespace neon_dot {
namespace {

inline int32x4_t AddDots(int32x4_t sum, int8x16_t a, int8x16_t b) { return vdotq_s32(sum, a, b); }

#include "mac_neon.hpp"
#include "vectors_neon.hpp"

// after that, which it uses
#include "vector_twins.hpp"

native::LeafTable MakeTable() {
  native::LeafTable table = STROP_MAKE_LEAF_TABLE(neon_dot);
  table.MacTile = MacTileNeon;
  UseVectorTwins(table);
  return table;
}

}  // namespace
}  // namespace neon_dot
}  // namespace strop

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace strop {
namespace native {
const LeafTable &NeonDotLeaves() {
  static const LeafTable table = neon_dot::MakeTable();
  return table;
}
}  // namespace native
}  // namespace strop

#endif  // __aarch64__
