// Twins of InterleaveRows and TransposeRows in 16-byte vectors. Included inside the namespace of an instruction set, so that
// each has them compiled for itself; hence no include guard and no namespace here.

inline void Transpose4(__m128i x0, __m128i x1, __m128i x2, __m128i x3, __m128i out[4]) {
  const __m128i low01 = _mm_unpacklo_epi8(x0, x1);
  const __m128i high01 = _mm_unpackhi_epi8(x0, x1);
  const __m128i low23 = _mm_unpacklo_epi8(x2, x3);
  const __m128i high23 = _mm_unpackhi_epi8(x2, x3);
  out[0] = _mm_unpacklo_epi16(low01, low23);
  out[1] = _mm_unpackhi_epi16(low01, low23);
  out[2] = _mm_unpacklo_epi16(high01, high23);
  out[3] = _mm_unpackhi_epi16(high01, high23);
}

inline __m128i Load16(const int8_t *from) { return _mm_loadu_si128(reinterpret_cast<const __m128i *>(from)); }

inline void InterleaveRowsSse(const int8_t *row0, const int8_t *row1, const int8_t *row2, const int8_t *row3,
                              uint32_t words, uint32_t group, ColumnTile b) {
  for (uint32_t word = 0; word < words; ++word) {
    const uint32_t at = word * kVector;
    __m128i out[4];
    Transpose4(Load16(row0 + at), Load16(row1 + at), Load16(row2 + at), Load16(row3 + at), out);
    __m128i *to = reinterpret_cast<__m128i *>(b[word][group]);
    for (int i = 0; i < 4; ++i) _mm_store_si128(to + i, out[i]);
  }
}

// Here the unit that moves is a group of four depth values, 32 bits.
inline void TransposeRowsSse(const int8_t *row0, const int8_t *row1, const int8_t *row2, const int8_t *row3,
                             uint32_t groups, uint32_t column, ColumnTile b) {
  int8_t(*to)[kWord] = b[column / kVector];
  const uint32_t lane = column % kVector * kGroup;
  uint32_t group = 0;
  for (; group + 4 <= groups; group += 4) {
    const uint32_t at = group * kGroup;
    const __m128i x0 = Load16(row0 + at);
    const __m128i x1 = Load16(row1 + at);
    const __m128i x2 = Load16(row2 + at);
    const __m128i x3 = Load16(row3 + at);
    const __m128i low01 = _mm_unpacklo_epi32(x0, x1);
    const __m128i high01 = _mm_unpackhi_epi32(x0, x1);
    const __m128i low23 = _mm_unpacklo_epi32(x2, x3);
    const __m128i high23 = _mm_unpackhi_epi32(x2, x3);
    _mm_store_si128(reinterpret_cast<__m128i *>(to[group + 0] + lane), _mm_unpacklo_epi64(low01, low23));
    _mm_store_si128(reinterpret_cast<__m128i *>(to[group + 1] + lane), _mm_unpackhi_epi64(low01, low23));
    _mm_store_si128(reinterpret_cast<__m128i *>(to[group + 2] + lane), _mm_unpacklo_epi64(high01, high23));
    _mm_store_si128(reinterpret_cast<__m128i *>(to[group + 3] + lane), _mm_unpackhi_epi64(high01, high23));
  }
  for (; group < groups; ++group) {
    const int8_t *rows[4] = {row0, row1, row2, row3};
    for (uint32_t i = 0; i < 4; ++i) __builtin_memcpy(to[group] + lane + i * kGroup, rows[i] + group * kGroup, kGroup);
  }
}
