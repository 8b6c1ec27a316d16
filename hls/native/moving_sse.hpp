// Twins of the leaf loops that move short stretches, in whole 16-byte vectors: what is written past a stretch is written again by
// the next, or lies in the slack behind the row. Included inside the namespace of an instruction set, like packing_sse.hpp.

inline void Store16(int8_t *to, __m128i value) { _mm_storeu_si128(reinterpret_cast<__m128i *>(to), value); }

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
