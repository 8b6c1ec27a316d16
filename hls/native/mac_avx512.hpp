// Twins of the loops around the MAC array for AVX-512 with VNNI. Included inside a namespace of leaves_avx512.cpp.
//
// dpbusd takes one unsigned operand: map values are raised by 128 (their sign bit flipped), and what that adds, 128 times the sum of
// the left operand, is taken off where a sum starts.

inline __m512i Load64(const void *from) { return _mm512_loadu_si512(from); }

inline __m512i Flipped(const int8_t *word) { return _mm512_xor_si512(Load64(word), _mm512_set1_epi8(-128)); }

// 128 times the sum of `count` weights.
inline int32_t Excess(const int8_t *weights, uint32_t count) {
  __m512i total = _mm512_setzero_si512();
  const __m512i flip = _mm512_set1_epi8(-128);
  uint32_t at = 0;
  for (; at + 64 <= count; at += 64) total = _mm512_dpbusd_epi32(total, flip, Load64(weights + at));
  const __mmask64 tail = (__mmask64{1} << (count - at)) - 1;
  total = _mm512_dpbusd_epi32(total, flip, _mm512_maskz_loadu_epi8(tail, weights + at));
  return _mm512_reduce_add_epi32(total);
}

template <int kRows, int kWords>
inline void ForwardBlock(const WeightTile weights, uint32_t first_group, const Operands &operands, uint32_t row,
                         uint32_t word, uint32_t groups, bool accumulate, const int32_t *excess,
                         AccumulatorTile accumulator) {
  __m512i sum[kRows][kWords];
  const int8_t *left[kRows];
  for (int r = 0; r < kRows; ++r) {
    left[r] = weights[row + r] + first_group * kQuad;
    const __m512i over = _mm512_set1_epi32(excess[row + r]);
    for (int w = 0; w < kWords; ++w) {
      const __m512i start = accumulate ? _mm512_load_si512(accumulator[row + r][word + w]) : _mm512_setzero_si512();
      sum[r][w] = _mm512_sub_epi32(start, over);
    }
  }
  const int8_t *base[kWords];
  for (int w = 0; w < kWords; ++w) base[w] = operands.planes + operands.word_offset[word + w] * kWordBytes;
  for (uint32_t g = 0; g < groups; ++g) {
    const size_t at = size_t{operands.group_offset[g]} * kWordBytes;
    __m512i right[kWords];
    for (int w = 0; w < kWords; ++w) right[w] = Flipped(base[w] + at);
    for (int r = 0; r < kRows; ++r) {
      int32_t four;
      __builtin_memcpy(&four, left[r] + g * kQuad, sizeof four);
      const __m512i a = _mm512_set1_epi32(four);
      for (int w = 0; w < kWords; ++w) sum[r][w] = _mm512_dpbusd_epi32(sum[r][w], right[w], a);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int w = 0; w < kWords; ++w) _mm512_store_si512(accumulator[row + r][word + w], sum[r][w]);
  }
}

template <int kWords>
inline void ForwardWords(const WeightTile weights, uint32_t first_group, const Operands &operands, uint32_t rows,
                         uint32_t word, uint32_t groups, bool accumulate, const int32_t *excess,
                         AccumulatorTile accumulator) {
  uint32_t row = 0;
  for (; row + 4 < rows; row += 8) {
    ForwardBlock<8, kWords>(weights, first_group, operands, row, word, groups, accumulate, excess, accumulator);
  }
  if (row < rows) {
    ForwardBlock<4, kWords>(weights, first_group, operands, row, word, groups, accumulate, excess, accumulator);
  }
}

inline void ForwardTile(const WeightTile weights, uint32_t first_group, const Operands &operands, uint32_t rows,
                        uint32_t words, uint32_t groups, bool accumulate, AccumulatorTile accumulator) {
  int32_t excess[kTileRows];
  for (uint32_t row = 0; row < rows; ++row) excess[row] = Excess(weights[row] + first_group * kQuad, groups * kQuad);
  for (uint32_t row = rows; row < (rows + 7) / 8 * 8; ++row) excess[row] = 0;  // rows that only fill a block
  uint32_t word = 0;
  for (; word + 3 <= words; word += 3) {
    ForwardWords<3>(weights, first_group, operands, rows, word, groups, accumulate, excess, accumulator);
  }
  if (word + 2 == words) {
    ForwardWords<2>(weights, first_group, operands, rows, word, groups, accumulate, excess, accumulator);
  } else if (word < words) {
    ForwardWords<1>(weights, first_group, operands, rows, word, groups, accumulate, excess, accumulator);
  }
}

// 16 errors: each group of 4 images to the 4 channels that it meets.
inline __m512i SpreadErrors(const int8_t *errors) {
  const __m512i spread = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
  const __m128i sixteen = _mm_loadu_si128(reinterpret_cast<const __m128i *>(errors));
  return _mm512_permutexvar_epi32(spread, _mm512_castsi128_si512(sixteen));
}

// A word's [16 images][4 channels] as [4 image groups][4 channels][4 images].
inline __m512i Transposed(__m512i word) {
  const __m512i order = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  return _mm512_shuffle_epi8(word, order);
}

template <int kRows, int kColumns>
inline void GradientBlock(const Operands &operands, uint32_t row, uint32_t column, uint32_t words, bool accumulate,
                          const __m512i *excess, AccumulatorTile accumulator) {
  __m512i sum[kRows][kColumns];
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kColumns; ++c) {
      const __m512i start = accumulate ? _mm512_load_si512(accumulator[row + r][column + c]) : _mm512_setzero_si512();
      sum[r][c] = _mm512_sub_epi32(start, excess[r]);
    }
  }
  const int8_t *base[kColumns];
  for (int c = 0; c < kColumns; ++c) base[c] = operands.planes + operands.group_offset[column + c] * kWordBytes;
  for (uint32_t w = 0; w < words; ++w) {
    const size_t at = size_t{operands.word_offset[w]} * kWordBytes;
    __m512i right[kColumns];
    for (int c = 0; c < kColumns; ++c) right[c] = Transposed(Flipped(base[c] + at));
    for (int r = 0; r < kRows; ++r) {
      const __m512i left = SpreadErrors(operands.errors[row + r] + w * kImages);
      for (int c = 0; c < kColumns; ++c) sum[r][c] = _mm512_dpbusd_epi32(sum[r][c], right[c], left);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kColumns; ++c) _mm512_store_si512(accumulator[row + r][column + c], sum[r][c]);
  }
}

template <int kRows>
inline void GradientRows(const Operands &operands, uint32_t row, uint32_t columns, uint32_t words, bool accumulate,
                         AccumulatorTile accumulator) {
  __m512i excess[kRows];
  const __m512i flip = _mm512_set1_epi8(-128);
  for (int r = 0; r < kRows; ++r) {
    excess[r] = _mm512_setzero_si512();
    for (uint32_t w = 0; w < words; ++w) {
      excess[r] = _mm512_dpbusd_epi32(excess[r], flip, SpreadErrors(operands.errors[row + r] + w * kImages));
    }
  }
  uint32_t column = 0;
  for (; column + 3 <= columns; column += 3) {
    GradientBlock<kRows, 3>(operands, row, column, words, accumulate, excess, accumulator);
  }
  if (column + 2 == columns) {
    GradientBlock<kRows, 2>(operands, row, column, words, accumulate, excess, accumulator);
  } else if (column < columns) {
    GradientBlock<kRows, 1>(operands, row, column, words, accumulate, excess, accumulator);
  }
}

inline void MacTileVnni(MacMode mode, const WeightTile weights, uint32_t first_group, const Operands &operands,
                        uint32_t rows, uint32_t words, uint32_t groups, bool accumulate, bool finish,
                        AccumulatorTile partial, AccumulatorTile finished) {
  (void)finish;
  (void)finished;  // the emulator has one accumulator tile
  if (mode == MacMode::kForward) {
    ForwardTile(weights, first_group, operands, rows, words, groups, accumulate, partial);
    return;
  }
  uint32_t row = 0;
  for (; row + 4 < rows; row += 8) GradientRows<8>(operands, row, groups, words, accumulate, partial);
  if (row < rows) GradientRows<4>(operands, row, groups, words, accumulate, partial);
}

inline void TransposeErrorsVnni(const int8_t *map, uint32_t plane, uint32_t quads, const uint32_t *places,
                                uint32_t count, ErrorTile errors) {
  const __m512i gather = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  constexpr size_t kStep = sizeof(errors[0]);
  for (uint32_t quad = 0; quad < quads; ++quad, map += plane) {
    for (uint32_t w = 0; w < count; ++w) {
      const __m512i by_channel = _mm512_permutexvar_epi32(gather, Transposed(Load64(map + places[w] * kWordBytes)));
      int8_t *to = errors[quad * kQuad] + w * kImages;
      _mm_storeu_si128(reinterpret_cast<__m128i *>(to), _mm512_castsi512_si128(by_channel));
      _mm_storeu_si128(reinterpret_cast<__m128i *>(to + kStep), _mm512_extracti32x4_epi32(by_channel, 1));
      _mm_storeu_si128(reinterpret_cast<__m128i *>(to + 2 * kStep), _mm512_extracti32x4_epi32(by_channel, 2));
      _mm_storeu_si128(reinterpret_cast<__m128i *>(to + 3 * kStep), _mm512_extracti32x4_epi32(by_channel, 3));
    }
  }
}

inline __m128i Fold(const int32_t *sums) {
  const __m512i all = _mm512_load_si512(sums);
  const __m256i halves = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
  return _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
}

#include "mac_sse.hpp"
