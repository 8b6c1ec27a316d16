// The leaf loops for AVX-512 with VNNI: compiled from the common text, with twins written for these vectors.
#include "leaf_table.hpp"

#if defined(__x86_64__)

#include <immintrin.h>

#include "make_leaf_table.hpp"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,prefer-vector-width=512")
#endif

#define STROP_LEAVES avx512
#include "../leaf_loops.hpp"
#undef STROP_LEAVES

namespace strop {
namespace avx512 {
namespace {

#include "mac_avx512.hpp"
#include "vectors_avx512.hpp"

// after that, which it uses
#include "vector_twins.hpp"

native::LeafTable MakeTable() {
  native::LeafTable table = STROP_MAKE_LEAF_TABLE(avx512);
  table.MacTile = MacTileVnni;
  table.FoldColumns = FoldColumnsSse;
  table.TurnFilters = TurnFiltersSse;
  table.TransposeErrors = TransposeErrorsVnni;
  UseVectorTwins(table);
  return table;
}

}  // namespace
}  // namespace avx512
}  // namespace strop

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace strop {
namespace native {
const LeafTable &Avx512VnniLeaves() {
  static const LeafTable table = avx512::MakeTable();
  return table;
}
}  // namespace native
}  // namespace strop

#endif  // __x86_64__
