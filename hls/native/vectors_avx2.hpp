// What streaming_vectors.hpp needs beyond the arithmetic of vector types, for AVX2. Included inside a namespace of
// leaves_avx2.cpp.

constexpr uint32_t kVectorBytes = 32;

typedef int8_t I8 __attribute__((vector_size(kVectorBytes)));
typedef int16_t I16 __attribute__((vector_size(kVectorBytes)));
typedef int32_t I32 __attribute__((vector_size(kVectorBytes)));
typedef uint32_t U32 __attribute__((vector_size(kVectorBytes)));

inline __m256i M(I8 v) { return (__m256i)v; }
inline __m256i M(I16 v) { return (__m256i)v; }
inline __m256i M(I32 v) { return (__m256i)v; }

inline I8 Larger8(I8 a, I8 b) { return (I8)_mm256_max_epi8(M(a), M(b)); }
inline I16 Larger16(I16 a, I16 b) { return (I16)_mm256_max_epi16(M(a), M(b)); }
inline I16 Smaller16(I16 a, I16 b) { return (I16)_mm256_min_epi16(M(a), M(b)); }
inline I32 Larger32(I32 a, I32 b) { return (I32)_mm256_max_epi32(M(a), M(b)); }
inline I32 Smaller32(I32 a, I32 b) { return (I32)_mm256_min_epi32(M(a), M(b)); }
inline I32 Absolute32(I32 a) { return (I32)_mm256_abs_epi32(M(a)); }
inline I8 AddSaturated8(I8 a, I8 b) { return (I8)_mm256_adds_epi8(M(a), M(b)); }
inline I8 AddSaturatedUnsigned8(I8 a, I8 b) { return (I8)_mm256_adds_epu8(M(a), M(b)); }

// In every 16 bytes: table[index], 0 where the index has its upper bit set; bits 4 to 6 do not count.
inline I8 LookUp16(I8 table, I8 index) { return (I8)_mm256_shuffle_epi8(M(table), M(index)); }

// count + 1 in the lanes where a > b.
inline I32 CountLarger(I32 count, I32 a, I32 b) { return count - (I32)(a > b); }

// True if a byte is 127 or -127, the limits of int8 here.
inline bool AnyAtLimit(I8 v) {
  return _mm256_movemask_epi8(_mm256_cmpgt_epi8(_mm256_abs_epi8(M(v)), _mm256_set1_epi8(126))) != 0;
}
inline bool AnySet(I32 mask) { return _mm256_testz_si256(M(mask), M(mask)) == 0; }

// sum + the sum of each two products of 16 bits.
inline I32 AddPairs(I32 sum, I32 a, I32 b) { return sum + (I32)_mm256_madd_epi16(M(a), M(b)); }

// Every 16 bytes as a matrix of 4 x 4, transposed: [image][channel] to [channel][image] and back.
inline I8 Transposed4x4(I8 v) {
  return (I8)_mm256_shuffle_epi8(
      M(v), _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)));
}

// Four vectors of 32-bit values, saturated to int8: in every 16 bytes four of each after the other.
inline I8 PackInOrder(I32 a, I32 b, I32 c, I32 d) {
  return (I8)_mm256_packs_epi16(_mm256_packs_epi32(M(a), M(b)), _mm256_packs_epi32(M(c), M(d)));
}

// Four channels as the bytes of words.
inline I8 PackChannels(I32 c0, I32 c1, I32 c2, I32 c3) { return Transposed4x4(PackInOrder(c0, c1, c2, c3)); }

// sum + the sum of each four bytes.
inline I32 AddFours(I32 sum, I8 v) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), M(v));
  return sum + (I32)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

// sum + the sum of each four products. maddubs takes one unsigned operand: |a|, and b with a's sign; no int8 is -128, so two products
// fit int16.
inline I32 AddProducts(I32 sum, I8 a, I8 b) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(M(a)), _mm256_sign_epi8(M(b), M(a)));
  return sum + (I32)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

// 16 bytes from every `step`-th place, one place for each 16 bytes of a vector.
inline I8 LoadLanes(const int8_t *from, uint32_t step) {
  const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i *>(from));
  return (I8)_mm256_inserti128_si256(_mm256_castsi128_si256(low),
                                     _mm_loadu_si128(reinterpret_cast<const __m128i *>(from + step)), 1);
}

// In every 16 bytes: the four 32-bit values that begin at bytes 0, 1, 2 and 3.
inline I8 Sliding(I8 v) {
  return (I8)_mm256_shuffle_epi8(
      M(v), _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5, 3, 4, 5, 6)));
}

// In every 16 bytes: the lower or upper halves of a and b, byte by byte or 16 bits by 16 bits in turn.
inline I8 ZipLow8(I8 a, I8 b) { return (I8)_mm256_unpacklo_epi8(M(a), M(b)); }
inline I8 ZipHigh8(I8 a, I8 b) { return (I8)_mm256_unpackhi_epi8(M(a), M(b)); }
inline I8 ZipLow16(I8 a, I8 b) { return (I8)_mm256_unpacklo_epi16(M(a), M(b)); }
inline I8 ZipHigh16(I8 a, I8 b) { return (I8)_mm256_unpackhi_epi16(M(a), M(b)); }

// In every 16 bytes of four vectors: rows of 32-bit values become columns.
inline void Transpose4x4x32(I8 rows[4]) {
  const __m256i low01 = _mm256_unpacklo_epi32(M(rows[0]), M(rows[1]));
  const __m256i high01 = _mm256_unpackhi_epi32(M(rows[0]), M(rows[1]));
  const __m256i low23 = _mm256_unpacklo_epi32(M(rows[2]), M(rows[3]));
  const __m256i high23 = _mm256_unpackhi_epi32(M(rows[2]), M(rows[3]));
  rows[0] = (I8)_mm256_unpacklo_epi64(low01, low23);
  rows[1] = (I8)_mm256_unpackhi_epi64(low01, low23);
  rows[2] = (I8)_mm256_unpacklo_epi64(high01, high23);
  rows[3] = (I8)_mm256_unpackhi_epi64(high01, high23);
}
