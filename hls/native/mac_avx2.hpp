// Twins of the loops around the MAC array for AVX2. Included inside a namespace of leaves_avx2.cpp.
//
// maddubs takes one unsigned operand: the magnitude of a map value, its sign given to the left operand. No int8 is -128, so the sum of
// two products, at most 2 * 127 * 127, fits int16.

struct Halves {
  __m256i low;
  __m256i high;
};

inline Halves LoadHalves(const void *from) {
  const __m256i *at = static_cast<const __m256i *>(from);
  return {_mm256_loadu_si256(at), _mm256_loadu_si256(at + 1)};
}

inline __m256i AddProducts(__m256i sum, __m256i magnitude, __m256i signs, __m256i left) {
  const __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(left, signs));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

template <int kRows>
inline void ForwardBlock(const WeightTile weights, uint32_t first_group, const Operands &operands, uint32_t row,
                         uint32_t word, uint32_t groups, bool accumulate, AccumulatorTile accumulator) {
  Halves sum[kRows];
  for (int r = 0; r < kRows; ++r) {
    sum[r] =
        accumulate ? LoadHalves(accumulator[row + r][word]) : Halves{_mm256_setzero_si256(), _mm256_setzero_si256()};
  }
  const int8_t *base = operands.planes + operands.word_offset[word] * kWordBytes;
  for (uint32_t g = 0; g < groups; ++g) {
    const Halves right = LoadHalves(base + size_t{operands.group_offset[g]} * kWordBytes);
    const Halves magnitude = {_mm256_abs_epi8(right.low), _mm256_abs_epi8(right.high)};
    for (int r = 0; r < kRows; ++r) {
      int32_t four;
      __builtin_memcpy(&four, weights[row + r] + (first_group + g) * kQuad, sizeof four);
      const __m256i left = _mm256_set1_epi32(four);
      sum[r].low = AddProducts(sum[r].low, magnitude.low, right.low, left);
      sum[r].high = AddProducts(sum[r].high, magnitude.high, right.high, left);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    __m256i *to = reinterpret_cast<__m256i *>(accumulator[row + r][word]);
    _mm256_store_si256(to, sum[r].low);
    _mm256_store_si256(to + 1, sum[r].high);
  }
}

// A word's [16 images][4 channels] as [4 image groups][4 channels][4 images].
inline __m256i Transposed(__m256i half) {
  const __m256i order =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  return _mm256_shuffle_epi8(half, order);
}

// 16 errors: each group of 4 images to the 4 channels that it meets.
inline Halves SpreadErrors(const int8_t *errors) {
  const __m128i sixteen = _mm_loadu_si128(reinterpret_cast<const __m128i *>(errors));
  const __m256i all = _mm256_castsi128_si256(sixteen);
  return {_mm256_permutevar8x32_epi32(all, _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1)),
          _mm256_permutevar8x32_epi32(all, _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3))};
}

template <int kRows>
inline void GradientBlock(const Operands &operands, uint32_t row, uint32_t column, uint32_t words, bool accumulate,
                          AccumulatorTile accumulator) {
  Halves sum[kRows];
  for (int r = 0; r < kRows; ++r) {
    sum[r] =
        accumulate ? LoadHalves(accumulator[row + r][column]) : Halves{_mm256_setzero_si256(), _mm256_setzero_si256()};
  }
  const int8_t *base = operands.planes + operands.group_offset[column] * kWordBytes;
  for (uint32_t w = 0; w < words; ++w) {
    const Halves word = LoadHalves(base + size_t{operands.word_offset[w]} * kWordBytes);
    const Halves right = {Transposed(word.low), Transposed(word.high)};
    const Halves magnitude = {_mm256_abs_epi8(right.low), _mm256_abs_epi8(right.high)};
    for (int r = 0; r < kRows; ++r) {
      const Halves left = SpreadErrors(operands.errors[row + r] + w * kImages);
      sum[r].low = AddProducts(sum[r].low, magnitude.low, right.low, left.low);
      sum[r].high = AddProducts(sum[r].high, magnitude.high, right.high, left.high);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    __m256i *to = reinterpret_cast<__m256i *>(accumulator[row + r][column]);
    _mm256_store_si256(to, sum[r].low);
    _mm256_store_si256(to + 1, sum[r].high);
  }
}

inline void MacTileAvx2(MacMode mode, const WeightTile weights, uint32_t first_group, const Operands &operands,
                        uint32_t rows, uint32_t words, uint32_t groups, bool accumulate, bool finish,
                        AccumulatorTile partial, AccumulatorTile finished) {
  (void)finish;
  (void)finished;  // the emulator has one accumulator tile
  const bool forward = mode == MacMode::kForward;
  for (uint32_t outer = 0; outer < (forward ? words : groups); ++outer) {
    for (uint32_t row = 0; row < rows; row += 4) {
      if (forward) {
        ForwardBlock<4>(weights, first_group, operands, row, outer, groups, accumulate, partial);
      } else {
        GradientBlock<4>(operands, row, outer, words, accumulate, partial);
      }
    }
  }
}

inline __m128i Fold(const int32_t *sums) {
  const Halves all = LoadHalves(sums);
  const __m256i halves = _mm256_add_epi32(all.low, all.high);
  return _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
}

#include "mac_sse.hpp"
