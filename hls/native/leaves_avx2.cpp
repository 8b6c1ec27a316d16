// The leaf loops for AVX2: compiled from the common text, with twins written for these vectors.
#include "leaf_table.hpp"

#if defined(__x86_64__)

#include <immintrin.h>

#include "make_leaf_table.hpp"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif

#define STROP_LEAVES avx2
#include "../leaf_loops.hpp"
#undef STROP_LEAVES

namespace strop {
namespace avx2 {
namespace {

#include "mac_avx2.hpp"
#include "vectors_avx2.hpp"

// after that, which it uses
#include "vector_twins.hpp"

native::LeafTable MakeTable() {
  native::LeafTable table = STROP_MAKE_LEAF_TABLE(avx2);
  table.MacTile = MacTileAvx2;
  table.FoldColumns = FoldColumnsSse;
  table.TurnFilters = TurnFiltersSse;
  UseVectorTwins(table);
  return table;
}

}  // namespace
}  // namespace avx2
}  // namespace strop

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace strop {
namespace native {
const LeafTable &Avx2Leaves() {
  static const LeafTable table = avx2::MakeTable();
  return table;
}
}  // namespace native
}  // namespace strop

#endif  // __x86_64__
