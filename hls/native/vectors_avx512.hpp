// What streaming_vectors.hpp needs beyond the arithmetic of vector types, for AVX-512 with VNNI. Included inside a namespace of
// leaves_avx512.cpp.

constexpr uint32_t kVectorBytes = 64;

typedef int8_t I8 __attribute__((vector_size(kVectorBytes)));
typedef int16_t I16 __attribute__((vector_size(kVectorBytes)));
typedef int32_t I32 __attribute__((vector_size(kVectorBytes)));
typedef uint32_t U32 __attribute__((vector_size(kVectorBytes)));

inline __m512i M(I8 v) { return (__m512i)v; }
inline __m512i M(I16 v) { return (__m512i)v; }
inline __m512i M(I32 v) { return (__m512i)v; }

inline I8 Larger8(I8 a, I8 b) { return (I8)_mm512_max_epi8(M(a), M(b)); }
inline I16 Larger16(I16 a, I16 b) { return (I16)_mm512_max_epi16(M(a), M(b)); }
inline I16 Smaller16(I16 a, I16 b) { return (I16)_mm512_min_epi16(M(a), M(b)); }
inline I32 Larger32(I32 a, I32 b) { return (I32)_mm512_max_epi32(M(a), M(b)); }
inline I32 Smaller32(I32 a, I32 b) { return (I32)_mm512_min_epi32(M(a), M(b)); }
inline I32 Absolute32(I32 a) { return (I32)_mm512_abs_epi32(M(a)); }
inline I8 AddSaturated8(I8 a, I8 b) { return (I8)_mm512_adds_epi8(M(a), M(b)); }
inline I8 AddSaturatedUnsigned8(I8 a, I8 b) { return (I8)_mm512_adds_epu8(M(a), M(b)); }

// In every 16 bytes: table[index], 0 where the index has its upper bit set; bits 4 to 6 do not count.
inline I8 LookUp16(I8 table, I8 index) { return (I8)_mm512_shuffle_epi8(M(table), M(index)); }

// count + 1 in the lanes where a > b.
inline I32 CountLarger(I32 count, I32 a, I32 b) {
  return (I32)_mm512_mask_sub_epi32(M(count), _mm512_cmpgt_epi32_mask(M(a), M(b)), M(count), _mm512_set1_epi32(-1));
}

// True if a byte is 127 or -127, the limits of int8 here.
inline bool AnyAtLimit(I8 v) { return _mm512_cmpgt_epi8_mask(_mm512_abs_epi8(M(v)), _mm512_set1_epi8(126)) != 0; }
inline bool AnySet(I32 mask) { return _mm512_test_epi32_mask(M(mask), M(mask)) != 0; }

// sum + the sum of each two products of 16 bits.
inline I32 AddPairs(I32 sum, I32 a, I32 b) { return (I32)_mm512_dpwssd_epi32(M(sum), M(a), M(b)); }

// Every 16 bytes as a matrix of 4 x 4, transposed: [image][channel] to [channel][image] and back.
inline I8 Transposed4x4(I8 v) {
  return (I8)_mm512_shuffle_epi8(
      M(v), _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)));
}

// Four vectors of 32-bit values, saturated to int8: in every 16 bytes four of each after the other.
inline I8 PackInOrder(I32 a, I32 b, I32 c, I32 d) {
  return (I8)_mm512_packs_epi16(_mm512_packs_epi32(M(a), M(b)), _mm512_packs_epi32(M(c), M(d)));
}

// Four channels as the bytes of words.
inline I8 PackChannels(I32 c0, I32 c1, I32 c2, I32 c3) { return Transposed4x4(PackInOrder(c0, c1, c2, c3)); }

// sum + the sum of each four bytes.
inline I32 AddFours(I32 sum, I8 v) { return (I32)_mm512_dpbusd_epi32(M(sum), _mm512_set1_epi8(1), M(v)); }

// sum + the sum of each four products. dpbusd takes one unsigned operand: |a|, and b with a's sign.
inline I32 AddProducts(I32 sum, I8 a, I8 b) {
  const __m512i signed_b = _mm512_mask_sub_epi8(M(b), _mm512_movepi8_mask(M(a)), _mm512_setzero_si512(), M(b));
  return (I32)_mm512_dpbusd_epi32(M(sum), _mm512_abs_epi8(M(a)), signed_b);
}

// 16 bytes from every `step`-th place, one place for each 16 bytes of a vector.
inline I8 LoadLanes(const int8_t *from, uint32_t step) {
  const auto at = [&](uint32_t i) { return _mm_loadu_si128(reinterpret_cast<const __m128i *>(from + i * step)); };
  __m512i v = _mm512_castsi128_si512(at(0));
  v = _mm512_inserti32x4(v, at(1), 1);
  v = _mm512_inserti32x4(v, at(2), 2);
  return (I8)_mm512_inserti32x4(v, at(3), 3);
}

// In every 16 bytes: the four 32-bit values that begin at bytes 0, 1, 2 and 3.
inline I8 Sliding(I8 v) {
  return (I8)_mm512_shuffle_epi8(M(v),
                                 _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5, 3, 4, 5, 6)));
}

// In every 16 bytes: the lower or upper halves of a and b, byte by byte or 16 bits by 16 bits in turn.
inline I8 ZipLow8(I8 a, I8 b) { return (I8)_mm512_unpacklo_epi8(M(a), M(b)); }
inline I8 ZipHigh8(I8 a, I8 b) { return (I8)_mm512_unpackhi_epi8(M(a), M(b)); }
inline I8 ZipLow16(I8 a, I8 b) { return (I8)_mm512_unpacklo_epi16(M(a), M(b)); }
inline I8 ZipHigh16(I8 a, I8 b) { return (I8)_mm512_unpackhi_epi16(M(a), M(b)); }

// In every 16 bytes of four vectors: rows of 32-bit values become columns.
inline void Transpose4x4x32(I8 rows[4]) {
  const __m512i low01 = _mm512_unpacklo_epi32(M(rows[0]), M(rows[1]));
  const __m512i high01 = _mm512_unpackhi_epi32(M(rows[0]), M(rows[1]));
  const __m512i low23 = _mm512_unpacklo_epi32(M(rows[2]), M(rows[3]));
  const __m512i high23 = _mm512_unpackhi_epi32(M(rows[2]), M(rows[3]));
  rows[0] = (I8)_mm512_unpacklo_epi64(low01, low23);
  rows[1] = (I8)_mm512_unpackhi_epi64(low01, low23);
  rows[2] = (I8)_mm512_unpacklo_epi64(high01, high23);
  rows[3] = (I8)_mm512_unpackhi_epi64(high01, high23);
}
