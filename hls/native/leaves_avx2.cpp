// The leaf loops for AVX2, compiled from the common text, with hand-written twins of the MAC tile and its packing.
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

#include "moving_sse.hpp"

// Rows x one word of 16 columns. maddubs takes one unsigned operand: |b| and a with b's sign; 2 * 127 * 127 fits int16.
template <int kRows>
inline void MacRows(const RowTile a, uint32_t first, const int8_t (*b)[kWord], uint32_t groups, bool accumulate,
                    uint32_t word, AccumulatorTile accumulator) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i low[kRows];
  __m256i high[kRows];
  for (int r = 0; r < kRows; ++r) {
    const __m256i *from = reinterpret_cast<const __m256i *>(accumulator[first + r] + word * kVector);
    low[r] = accumulate ? _mm256_load_si256(from) : _mm256_setzero_si256();
    high[r] = accumulate ? _mm256_load_si256(from + 1) : _mm256_setzero_si256();
  }
  for (uint32_t g = 0; g < groups; ++g) {
    const __m256i b_low = _mm256_load_si256(reinterpret_cast<const __m256i *>(b[g]));
    const __m256i b_high = _mm256_load_si256(reinterpret_cast<const __m256i *>(b[g]) + 1);
    const __m256i abs_low = _mm256_abs_epi8(b_low);
    const __m256i abs_high = _mm256_abs_epi8(b_high);
    for (int r = 0; r < kRows; ++r) {
      int32_t four;
      __builtin_memcpy(&four, a[first + r] + g * kGroup, sizeof four);
      const __m256i a4 = _mm256_set1_epi32(four);
      low[r] =
          _mm256_add_epi32(low[r], _mm256_madd_epi16(_mm256_maddubs_epi16(abs_low, _mm256_sign_epi8(a4, b_low)), ones));
      high[r] = _mm256_add_epi32(high[r],
                                 _mm256_madd_epi16(_mm256_maddubs_epi16(abs_high, _mm256_sign_epi8(a4, b_high)), ones));
    }
  }
  for (int r = 0; r < kRows; ++r) {
    __m256i *to = reinterpret_cast<__m256i *>(accumulator[first + r] + word * kVector);
    _mm256_store_si256(to, low[r]);
    _mm256_store_si256(to + 1, high[r]);
  }
}

void MacTileAvx2(const RowTile a, uint32_t rows, const ColumnTile b, uint32_t words, uint32_t groups, bool accumulate,
                 AccumulatorTile accumulator) {
  for (uint32_t word = 0; word < words; ++word) {
    uint32_t row = 0;
    for (; row + 4 <= rows; row += 4) MacRows<4>(a, row, b[word], groups, accumulate, word, accumulator);
    for (; row + 2 <= rows; row += 2) MacRows<2>(a, row, b[word], groups, accumulate, word, accumulator);
    if (row < rows) MacRows<1>(a, row, b[word], groups, accumulate, word, accumulator);
  }
}

native::LeafTable MakeTable() {
  native::LeafTable table = STROP_MAKE_LEAF_TABLE(avx2);
  table.MacTile = MacTileAvx2;
  table.InterleaveRows = InterleaveRowsSse;
  table.TransposeRows = TransposeRowsSse;
  table.GatherFilters = GatherFiltersSse;
  table.MaxPoolRow2 = MaxPoolRow2Sse;
  table.MaxPoolBackwardRow2 = MaxPoolBackwardRow2Sse;
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
