// Twins of the leaf loops of activations by table, written once for vectors of kVectorBytes. See vector_twins.hpp.
//
// A table of 256 bytes is 16 vectors of 16 bytes, each the same in all lanes of 16 bytes. A lookup asks all of them by the lower half of
// each byte, and only the one that the upper half names answers with something else than 0.

struct ByteTable {
  I8 of[16];

  // Byte `byte` of each of the table's words.
  ByteTable(const int8_t *strip, uint32_t byte) {
    for (uint32_t high = 0; high < 16; ++high) {
      int8_t run[kVectorBytes];
      for (uint32_t low = 0; low < kVectorBytes; ++low) run[low] = strip[4 * (16 * high + low % 16) + byte];
      of[high] = Load<I8>(run);
    }
  }
};

// Index of a lookup in part `high`: its upper bit is set where the value lies in another part. `x` has 128 added to it.
inline I8 PartIndex(I8 x, uint32_t high) {
  return AddSaturatedUnsigned8(x ^ All8(static_cast<int32_t>(16 * high)), All8(0x70));
}

inline I8 LookUp(const ByteTable &table, I8 x) {
  I8 found = {};
  for (uint32_t high = 0; high < 16; ++high) found |= LookUp16(table.of[high], PartIndex(x, high));
  return found;
}

inline void ActivateWordsVector(const int8_t *x, int8_t *y, uint32_t words, uint32_t images, uint32_t channels,
                                const int8_t (*table)[kStrip]) {
  const ByteTable values(table[0], 0);
  const I8 flip = All8(-128);
  int32_t exists[kQuad];
  for (uint32_t j = 0; j < kQuad; ++j) exists[j] = j < channels ? -1 : 0;
  const I8 of_channels = QuadBytes(exists);
  for (uint32_t part = 0; part < kParts; ++part) {
    const I8 kept = Present(images, part) & of_channels;
    for (uint32_t w = 0; w < words; ++w) {
      const uint32_t at = w * kWordBytes + part * kVectorBytes;
      Store(y + at, LookUp(values, Load<I8>(x + at) ^ flip) & kept);
    }
  }
}

inline void ActivationGradientWordsVector(const int8_t *error, const int8_t *x, int8_t *target, uint32_t words,
                                          const int8_t (*table)[kStrip], const QuadDither &dither, uint32_t first) {
  const ByteTable lower(table[0], 2);
  const ByteTable upper(table[0], 3);
  const DitherShift<true> bits(STROP_SLOPE_FRACTION);
  const I8 flip = All8(-128);
  const I8 low = All8(-kMaxInt8);
  U32 r[kParts][kQuad];
  LoadDither(dither.lane, r);
  for (uint32_t part = 0; part < kParts; ++part) {
    DitherWalk walk = WalkFrom(dither, first);
    for (uint32_t w = 0; w < words; ++w) {
      const uint32_t at = w * kWordBytes + part * kVectorBytes;
      const uint32_t position = walk.index * kDitherHigh;
      const I8 place = Load<I8>(x + at) ^ flip;
      I8 slope_low = {};
      I8 slope_high = {};
      for (uint32_t high = 0; high < 16; ++high) {
        const I8 index = PartIndex(place, high);
        slope_low |= LookUp16(lower.of[high], index);
        slope_high |= LookUp16(upper.of[high], index);
      }
      I32 e[kQuad];
      I32 l[kQuad];
      I32 h[kQuad];
      Channels(Load<I8>(error + at), e);
      Channels(slope_low, l);
      Channels(slope_high, h);
      I32 q[kQuad];
      for (uint32_t j = 0; j < kQuad; ++j) {
        const I32 slope = (h[j] << 8) | (l[j] & 0xFF);
        q[j] = AddPairs(bits.Bits(r[part][j] + position), e[j] & 0xFFFF, slope) >> STROP_SLOPE_FRACTION;
      }
      Store(target + at, Larger8(PackChannels(q[0], q[1], q[2], q[3]), low));
      NextWord(dither, walk);
    }
  }
}
