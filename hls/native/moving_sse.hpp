// Twins of the leaf loops that move bytes, in 16-byte vectors. Included inside the namespace of an instruction set, so that each has
// them compiled for itself; hence no include guard and no namespace here. Pooling rows are whole on-chip rows: the twins read and
// write up to a vector past `count` there.

inline __m128i Load16(const int8_t *from) { return _mm_loadu_si128(reinterpret_cast<const __m128i *>(from)); }

inline void Store16(int8_t *to, __m128i value) { _mm_storeu_si128(reinterpret_cast<__m128i *>(to), value); }

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

inline void InterleaveRowsSse(const int8_t *planes, const uint32_t rows[kGroup], uint32_t words, uint32_t group,
                              ColumnTile b) {
  for (uint32_t word = 0; word < words; ++word) {
    const uint32_t at = word * kVector;
    __m128i out[4];
    Transpose4(Load16(planes + rows[0] + at), Load16(planes + rows[1] + at), Load16(planes + rows[2] + at),
               Load16(planes + rows[3] + at), out);
    __m128i *to = reinterpret_cast<__m128i *>(b[word][group]);
    for (int i = 0; i < 4; ++i) _mm_store_si128(to + i, out[i]);
  }
}

// Here the unit that moves is a group of four depth values, 32 bits.
inline void TransposeRowsSse(const int8_t *planes, const uint32_t rows[kGroup], uint32_t groups, uint32_t column,
                             ColumnTile b) {
  int8_t(*to)[kWord] = b[column / kVector];
  const uint32_t lane = column % kVector * kGroup;
  uint32_t group = 0;
  for (; group + 4 <= groups; group += 4) {
    const uint32_t at = group * kGroup;
    const __m128i x0 = Load16(planes + rows[0] + at);
    const __m128i x1 = Load16(planes + rows[1] + at);
    const __m128i x2 = Load16(planes + rows[2] + at);
    const __m128i x3 = Load16(planes + rows[3] + at);
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
    for (uint32_t i = 0; i < 4; ++i)
      __builtin_memcpy(to[group] + lane + i * kGroup, planes + rows[i] + group * kGroup, kGroup);
  }
}

inline void GatherFiltersSse(const int8_t *dram, uint32_t offset, uint32_t step, uint32_t taps, uint32_t channels,
                             int8_t *row) {
  for (uint32_t channel = 0; channel < channels; ++channel) {
    const int8_t *from = dram + offset + channel * step;
    int8_t *to = row + channel * taps;
    uint32_t tap = 0;
    for (; tap + 16 <= taps; tap += 16) Store16(to + tap, Load16(from + tap));
    for (; tap < taps; ++tap) to[tap] = from[tap];
  }
}

// Max pooling 2x2 in 16-bit lanes, one a window: its low byte is the left value, its high byte the right one.
inline void MaxPoolRow2Sse(const int8_t *row0, const int8_t *row1, int8_t *target, uint32_t count) {
  const __m128i low = _mm_set1_epi16(0xFF);
  for (uint32_t i = 0; i < count; i += 8) {
    const __m128i larger = _mm_max_epi8(Load16(row0 + 2 * i), Load16(row1 + 2 * i));
    const __m128i both = _mm_max_epi8(larger, _mm_srli_epi16(larger, 8));
    _mm_storel_epi64(reinterpret_cast<__m128i *>(target + i),
                     _mm_packus_epi16(_mm_and_si128(both, low), _mm_setzero_si128()));
  }
}

// Errors past `count` are taken as 0, so the cells behind the last window get 0.
inline void MaxPoolBackwardRow2Sse(const int8_t *error, const int8_t *row0, const int8_t *row1, int8_t *target0,
                                   int8_t *target1, uint32_t count) {
  const __m128i low = _mm_set1_epi16(0xFF);
  for (uint32_t i = 0; i < count; i += 8) {
    uint64_t errors;
    __builtin_memcpy(&errors, error + i, sizeof errors);
    if (count - i < 8) errors &= (uint64_t{1} << (8 * (count - i))) - 1;
    const __m128i e = _mm_and_si128(_mm_cvtepi8_epi16(_mm_cvtsi64_si128(static_cast<long long>(errors))), low);
    const __m128i top = Load16(row0 + 2 * i);
    const __m128i bottom = Load16(row1 + 2 * i);
    const __m128i a = _mm_srai_epi16(_mm_slli_epi16(top, 8), 8);
    const __m128i b = _mm_srai_epi16(top, 8);
    const __m128i c = _mm_srai_epi16(_mm_slli_epi16(bottom, 8), 8);
    const __m128i d = _mm_srai_epi16(bottom, 8);
    const __m128i right_top = _mm_cmpgt_epi16(b, a);
    const __m128i right_bottom = _mm_cmpgt_epi16(d, c);
    const __m128i lower = _mm_cmpgt_epi16(_mm_max_epi16(c, d), _mm_max_epi16(a, b));
    const __m128i up = _mm_andnot_si128(lower, e);
    const __m128i down = _mm_and_si128(lower, e);
    Store16(target0 + 2 * i,
            _mm_or_si128(_mm_andnot_si128(right_top, up), _mm_slli_epi16(_mm_and_si128(right_top, up), 8)));
    Store16(target1 + 2 * i,
            _mm_or_si128(_mm_andnot_si128(right_bottom, down), _mm_slli_epi16(_mm_and_si128(right_bottom, down), 8)));
  }
}
