// What streaming_vectors.hpp needs beyond the arithmetic of vector types, for NEON. Included inside a namespace of leaves_neon*.cpp,
// after AddDots.

constexpr uint32_t kVectorBytes = 16;

typedef int8_t I8 __attribute__((vector_size(kVectorBytes)));
typedef int16_t I16 __attribute__((vector_size(kVectorBytes)));
typedef int32_t I32 __attribute__((vector_size(kVectorBytes)));
typedef uint32_t U32 __attribute__((vector_size(kVectorBytes)));

inline I8 Larger8(I8 a, I8 b) { return (I8)vmaxq_s8((int8x16_t)a, (int8x16_t)b); }
inline I16 Larger16(I16 a, I16 b) { return (I16)vmaxq_s16((int16x8_t)a, (int16x8_t)b); }
inline I16 Smaller16(I16 a, I16 b) { return (I16)vminq_s16((int16x8_t)a, (int16x8_t)b); }
inline I32 Larger32(I32 a, I32 b) { return (I32)vmaxq_s32((int32x4_t)a, (int32x4_t)b); }
inline I32 Smaller32(I32 a, I32 b) { return (I32)vminq_s32((int32x4_t)a, (int32x4_t)b); }
inline I32 Absolute32(I32 a) { return (I32)vabsq_s32((int32x4_t)a); }
inline I8 AddSaturated8(I8 a, I8 b) { return (I8)vqaddq_s8((int8x16_t)a, (int8x16_t)b); }
inline I8 AddSaturatedUnsigned8(I8 a, I8 b) { return (I8)vqaddq_u8((uint8x16_t)a, (uint8x16_t)b); }

// table[index], 0 where the index has its upper bit set; bits 4 to 6 do not count.
inline I8 LookUp16(I8 table, I8 index) {
  const uint8x16_t place = vandq_u8((uint8x16_t)index, vdupq_n_u8(0x8F));
#if defined(__aarch64__)
  return (I8)vqtbl1q_s8((int8x16_t)table, place);
#else
  const int8x8x2_t halves = {{vget_low_s8((int8x16_t)table), vget_high_s8((int8x16_t)table)}};
  const int8x16_t places = vreinterpretq_s8_u8(place);
  return (I8)vcombine_s8(vtbl2_s8(halves, vget_low_s8(places)), vtbl2_s8(halves, vget_high_s8(places)));
#endif
}

// count + 1 in the lanes where a > b.
inline I32 CountLarger(I32 count, I32 a, I32 b) { return count - (I32)(a > b); }

inline bool AnySet(I32 mask) {
  const uint32x2_t any = vorr_u32(vget_low_u32((uint32x4_t)mask), vget_high_u32((uint32x4_t)mask));
  return (vget_lane_u32(any, 0) | vget_lane_u32(any, 1)) != 0;
}
// True if a byte is 127 or -127, the limits of int8 here.
inline bool AnyAtLimit(I8 v) { return AnySet((I32)vcgtq_s8(vabsq_s8((int8x16_t)v), vdupq_n_s8(126))); }

// sum + the sum of each two products of 16 bits.
inline I32 AddPairs(I32 sum, I32 a, I32 b) {
  const I32 low = ((a << 16) >> 16) * ((b << 16) >> 16);
  return sum + low + (a >> 16) * (b >> 16);
}

// A matrix of 4 x 4 bytes, transposed: [image][channel] to [channel][image] and back.
inline I8 Transposed4x4(I8 v) {
  const int8x8x2_t even_odd = vuzp_s8(vget_low_s8((int8x16_t)v), vget_high_s8((int8x16_t)v));
  const int8x8x2_t channels = vuzp_s8(even_odd.val[0], even_odd.val[1]);  // 0 and 1, 2 and 3
  return (I8)vcombine_s8(channels.val[0], channels.val[1]);
}

// Four vectors of 32-bit values, saturated to int8, one after the other.
inline I8 PackInOrder(I32 a, I32 b, I32 c, I32 d) {
  const int16x8_t low = vcombine_s16(vqmovn_s32((int32x4_t)a), vqmovn_s32((int32x4_t)b));
  const int16x8_t high = vcombine_s16(vqmovn_s32((int32x4_t)c), vqmovn_s32((int32x4_t)d));
  return (I8)vcombine_s8(vqmovn_s16(low), vqmovn_s16(high));
}

// Four channels as the bytes of words.
inline I8 PackChannels(I32 c0, I32 c1, I32 c2, I32 c3) { return Transposed4x4(PackInOrder(c0, c1, c2, c3)); }

// sum + the sum of each four bytes, or of each four products.
inline I32 AddFours(I32 sum, I8 v) { return (I32)vpadalq_s16((int32x4_t)sum, vpaddlq_s8((int8x16_t)v)); }
inline I32 AddProducts(I32 sum, I8 a, I8 b) { return (I32)AddDots((int32x4_t)sum, (int8x16_t)a, (int8x16_t)b); }

// 16 bytes; wider vectors hold several places, `step` apart.
inline I8 LoadLanes(const int8_t *from, uint32_t step) {
  (void)step;
  return (I8)vld1q_s8(from);
}

// The four 32-bit values that begin at bytes 0, 1, 2 and 3.
inline I8 Sliding(I8 v) {
  const int8x16_t b = (int8x16_t)v;
  const int32x4_t at0 = vreinterpretq_s32_s8(b);
  const int32x4_t at1 = vreinterpretq_s32_s8(vextq_s8(b, b, 1));
  const int32x4_t at2 = vreinterpretq_s32_s8(vextq_s8(b, b, 2));
  const int32x4_t at3 = vreinterpretq_s32_s8(vextq_s8(b, b, 3));
  const int32x2_t low = vzip_s32(vget_low_s32(at0), vget_low_s32(at1)).val[0];
  const int32x2_t high = vzip_s32(vget_low_s32(at2), vget_low_s32(at3)).val[0];
  return (I8)vreinterpretq_s8_s32(vcombine_s32(low, high));
}

// The lower or upper halves of a and b, byte by byte or 16 bits by 16 bits in turn.
inline I8 ZipLow8(I8 a, I8 b) { return (I8)vzipq_s8((int8x16_t)a, (int8x16_t)b).val[0]; }
inline I8 ZipHigh8(I8 a, I8 b) { return (I8)vzipq_s8((int8x16_t)a, (int8x16_t)b).val[1]; }
inline I8 ZipLow16(I8 a, I8 b) { return (I8)vzipq_s16((int16x8_t)a, (int16x8_t)b).val[0]; }
inline I8 ZipHigh16(I8 a, I8 b) { return (I8)vzipq_s16((int16x8_t)a, (int16x8_t)b).val[1]; }

// Four vectors: rows of 32-bit values become columns.
inline void Transpose4x4x32(I8 rows[4]) {
  const int32x4x2_t t01 = vtrnq_s32((int32x4_t)rows[0], (int32x4_t)rows[1]);
  const int32x4x2_t t23 = vtrnq_s32((int32x4_t)rows[2], (int32x4_t)rows[3]);
  rows[0] = (I8)vcombine_s32(vget_low_s32(t01.val[0]), vget_low_s32(t23.val[0]));
  rows[1] = (I8)vcombine_s32(vget_low_s32(t01.val[1]), vget_low_s32(t23.val[1]));
  rows[2] = (I8)vcombine_s32(vget_high_s32(t01.val[0]), vget_high_s32(t23.val[0]));
  rows[3] = (I8)vcombine_s32(vget_high_s32(t01.val[1]), vget_high_s32(t23.val[1]));
}
