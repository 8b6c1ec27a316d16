// The leaf loops for AVX-512 with VNNI, compiled from the common text, with hand-written twins of the MAC tile and its packing.
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

#include "moving_sse.hpp"

// dpbusd takes one unsigned operand: b + 128. What that adds, 128 * sum(a), is taken off at the start.
template <int kRows, int kWords>
inline void MacBlock(const RowTile a, uint32_t first, const ColumnTile b, uint32_t word, uint32_t groups,
                     bool accumulate, AccumulatorTile accumulator) {
  const __m512i flip = _mm512_set1_epi8(-128);
  __m512i sum[kRows][kWords];
  for (int r = 0; r < kRows; ++r) {
    __m512i total = _mm512_setzero_si512();
    uint32_t at = 0;
    for (; at + 16 <= groups; at += 16) {
      total = _mm512_dpbusd_epi32(total, flip, _mm512_load_si512(a[first + r] + at * kGroup));
    }
    const __mmask16 tail = static_cast<__mmask16>((1u << (groups - at)) - 1);
    total = _mm512_dpbusd_epi32(total, flip, _mm512_maskz_loadu_epi32(tail, a[first + r] + at * kGroup));
    const __m512i excess = _mm512_set1_epi32(_mm512_reduce_add_epi32(total));
    for (int w = 0; w < kWords; ++w) {
      const __m512i start =
          accumulate ? _mm512_load_si512(accumulator[first + r] + (word + w) * kVector) : _mm512_setzero_si512();
      sum[r][w] = _mm512_sub_epi32(start, excess);
    }
  }
  for (uint32_t g = 0; g < groups; ++g) {
    __m512i column[kWords];
    for (int w = 0; w < kWords; ++w) column[w] = _mm512_xor_si512(_mm512_load_si512(b[word + w][g]), flip);
    for (int r = 0; r < kRows; ++r) {
      int32_t four;
      __builtin_memcpy(&four, a[first + r] + g * kGroup, sizeof four);
      const __m512i row = _mm512_set1_epi32(four);
      for (int w = 0; w < kWords; ++w) sum[r][w] = _mm512_dpbusd_epi32(sum[r][w], column[w], row);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int w = 0; w < kWords; ++w) _mm512_store_si512(accumulator[first + r] + (word + w) * kVector, sum[r][w]);
  }
}

template <int kWords>
inline void MacWords(const RowTile a, uint32_t rows, const ColumnTile b, uint32_t word, uint32_t groups,
                     bool accumulate, AccumulatorTile accumulator) {
  uint32_t row = 0;
  for (; row + 8 <= rows; row += 8) MacBlock<8, kWords>(a, row, b, word, groups, accumulate, accumulator);
  for (; row + 4 <= rows; row += 4) MacBlock<4, kWords>(a, row, b, word, groups, accumulate, accumulator);
  for (; row + 2 <= rows; row += 2) MacBlock<2, kWords>(a, row, b, word, groups, accumulate, accumulator);
  if (row < rows) MacBlock<1, kWords>(a, row, b, word, groups, accumulate, accumulator);
}

void MacTileVnni(const RowTile a, uint32_t rows, const ColumnTile b, uint32_t words, uint32_t groups, bool accumulate,
                 AccumulatorTile accumulator) {
  uint32_t word = 0;
  for (; word + 2 <= words; word += 2) MacWords<2>(a, rows, b, word, groups, accumulate, accumulator);
  if (word < words) MacWords<1>(a, rows, b, word, groups, accumulate, accumulator);
}

// Runs are mostly shorter than a vector: one masked move each.
void CompactRunsMasked(const int32_t *accumulators, const Runs &runs, int32_t *target) {
  for (uint32_t run = 0; run < runs.count; ++run) {
    const int32_t *from = accumulators + runs.start[run];
    const uint32_t length = runs.length[run];
    for (uint32_t i = 0; i < length; i += 16) {
      const uint32_t left = length - i;
      const __mmask16 mask = static_cast<__mmask16>(left >= 16 ? 0xFFFFu : (1u << left) - 1);
      _mm512_mask_storeu_epi32(target + i, mask, _mm512_maskz_loadu_epi32(mask, from + i));
    }
    target += length;
  }
}

void SpreadRunsMasked(const int8_t *dram, uint32_t offset, const Runs &runs, uint32_t cells, int8_t *target) {
  for (uint32_t i = 0; i < cells; i += 64) _mm512_storeu_si512(target + i, _mm512_setzero_si512());
  const int8_t *from = dram + offset;
  for (uint32_t run = 0; run < runs.count; ++run) {
    int8_t *to = target + runs.start[run];
    const uint32_t length = runs.length[run];
    for (uint32_t i = 0; i < length; i += 64) {
      const uint32_t left = length - i;
      const __mmask64 mask = left >= 64 ? ~__mmask64{0} : (__mmask64{1} << left) - 1;
      _mm512_mask_storeu_epi8(to + i, mask, _mm512_maskz_loadu_epi8(mask, from + i));
    }
    from += length;
  }
}

native::LeafTable MakeTable() {
  native::LeafTable table = STROP_MAKE_LEAF_TABLE(avx512);
  table.MacTile = MacTileVnni;
  table.InterleaveRows = InterleaveRowsSse;
  table.TransposeRows = TransposeRowsSse;
  table.GatherFilters = GatherFiltersSse;
  table.MaxPoolRow2 = MaxPoolRow2Sse;
  table.MaxPoolBackwardRow2 = MaxPoolBackwardRow2Sse;
  table.CompactRuns = CompactRunsMasked;
  table.SpreadRuns = SpreadRunsMasked;
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
