// Twins that move operands and results in 16-byte vectors, for AVX2 and AVX-512 alike. Included after Fold, the sum of a weight
// gradient's 4 partial sums.

// Four taps of a quad at a time, so that each channel's are stored together.
inline void FoldColumnsSse(const int32_t sums[][kImages], uint32_t quads, uint32_t taps, int32_t *filters) {
  for (uint32_t q = 0; q < quads; ++q, sums += taps, filters += kQuad * taps) {
    uint32_t t = 0;
    for (; t + 4 <= taps; t += 4) {
      const __m128i a = Fold(sums[t]);
      const __m128i b = Fold(sums[t + 1]);
      const __m128i c = Fold(sums[t + 2]);
      const __m128i d = Fold(sums[t + 3]);
      const __m128i ab_low = _mm_unpacklo_epi32(a, b);
      const __m128i ab_high = _mm_unpackhi_epi32(a, b);
      const __m128i cd_low = _mm_unpacklo_epi32(c, d);
      const __m128i cd_high = _mm_unpackhi_epi32(c, d);
      __m128i *to = reinterpret_cast<__m128i *>(filters + t);
      _mm_storeu_si128(to, _mm_unpacklo_epi64(ab_low, cd_low));
      _mm_storeu_si128(reinterpret_cast<__m128i *>(filters + taps + t), _mm_unpackhi_epi64(ab_low, cd_low));
      _mm_storeu_si128(reinterpret_cast<__m128i *>(filters + 2 * taps + t), _mm_unpacklo_epi64(ab_high, cd_high));
      _mm_storeu_si128(reinterpret_cast<__m128i *>(filters + 3 * taps + t), _mm_unpackhi_epi64(ab_high, cd_high));
    }
    for (; t < taps; ++t) {
      const __m128i one = Fold(sums[t]);
      filters[t] = _mm_extract_epi32(one, 0);
      filters[taps + t] = _mm_extract_epi32(one, 1);
      filters[2 * taps + t] = _mm_extract_epi32(one, 2);
      filters[3 * taps + t] = _mm_extract_epi32(one, 3);
    }
  }
}

inline int32_t Four(const int8_t *from) {
  int32_t four;
  __builtin_memcpy(&four, from, sizeof four);
  return four;
}

inline void TurnFiltersSse(const int8_t *const strip[kQuad], uint32_t from, const uint8_t *taps, uint32_t count,
                           WeightTile weights, uint32_t row, uint32_t group) {
  const __m128i order = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  int8_t *to[kQuad];
  for (uint32_t c = 0; c < kQuad; ++c) to[c] = weights[row + c] + group * kQuad;
  for (uint32_t t = 0; t < count; ++t) {
    const uint32_t at = from + taps[t] * kQuad;
    const __m128i four =
        _mm_setr_epi32(Four(strip[0] + at), Four(strip[1] + at), Four(strip[2] + at), Four(strip[3] + at));
    const __m128i turned = _mm_shuffle_epi8(four, order);
    const int32_t rows[kQuad] = {_mm_extract_epi32(turned, 0), _mm_extract_epi32(turned, 1),
                                 _mm_extract_epi32(turned, 2), _mm_extract_epi32(turned, 3)};
    for (uint32_t c = 0; c < kQuad; ++c) __builtin_memcpy(to[c] + t * kQuad, &rows[c], sizeof rows[c]);
  }
}
