// Twins of the leaf loops of requantization and L1BN, written once for vectors of kVectorBytes. See vector_twins.hpp.
//
// A vector holds whole images of a word, four channels each. Where 32 bits a value are needed there is a vector for each channel: the
// word's 32-bit lanes with that channel's byte moved to the top and down again.

constexpr uint32_t kParts = kWordBytes / kVectorBytes;  // vectors in a word
constexpr uint32_t kPartImages = kVectorBytes / kQuad;  // images in a vector

template <typename Vector, typename T>
inline Vector Load(const T *from) {
  Vector v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}

template <typename Vector, typename T>
inline void Store(T *to, Vector v) {
  __builtin_memcpy(to, &v, sizeof v);
}

inline I8 All8(int32_t x) { return I8{} + static_cast<int8_t>(x); }
inline I32 All32(int32_t x) { return I32{} + x; }

// Channel j of each image.
template <int j>
inline I32 Channel(I8 v) {
  return (j == 3 ? (I32)v : (I32)v << (24 - 8 * j)) >> 24;
}

inline void Channels(I8 v, I32 c[kQuad]) {
  c[0] = Channel<0>(v);
  c[1] = Channel<1>(v);
  c[2] = Channel<2>(v);
  c[3] = Channel<3>(v);
}

inline int32_t SumLanes(I32 v) {
  int32_t sum = 0;
  for (uint32_t i = 0; i < kPartImages; ++i) sum += v[i];
  return sum;
}

// A number for each channel as bytes of a word, and as those of a word transposed 4x4.
inline I8 QuadBytes(const int32_t quad[kQuad]) {
  I8 v;
  for (uint32_t b = 0; b < kVectorBytes; ++b) v[b] = static_cast<int8_t>(quad[b % kQuad]);
  return v;
}
inline I8 QuadRuns(const int32_t quad[kQuad]) { return Transposed4x4(QuadBytes(quad)); }

// Adds the lanes of channel-wise sums ([channel][4 images] transposed) to `sum`.
inline void AddRuns(I32 v, int32_t sum[kQuad]) {
  for (uint32_t i = 0; i < kPartImages; ++i) sum[i % kQuad] += v[i];
}

// The bytes of the first `images` images of part `part` of a word.
inline I8 Present(uint32_t images, uint32_t part) {
  I8 v;
  for (uint32_t b = 0; b < kVectorBytes; ++b) v[b] = part * kPartImages + b / kQuad < images ? -1 : 0;
  return v;
}

inline I8 MaskedError(I8 error, I8 y, I8 low, I8 high) { return error & (I8)(y > low) & (I8)(y < high); }

// ---- requantization --------------------------------------------------------------------------------------------------

// Counts of 1.4: how many magnitudes are above the bounds.
struct Saturation {
  I32 over_bound, half_bound;
  I32 over, half;

  explicit Saturation(int32_t shift) : over{}, half{} {
    const SaturationBounds bound = BoundsFor(shift);
    over_bound = All32(bound.over);
    half_bound = All32(bound.half);
  }
  // `q` is what v became. Only a value at the limit may have been over, and those are few.
  void Count(const I32 v[kQuad], I8 q) {
    for (uint32_t j = 0; j < kQuad; ++j) half = CountLarger(half, Absolute32(v[j]), half_bound);
    if (__builtin_expect(AnyAtLimit(q), 0)) {
      for (uint32_t j = 0; j < kQuad; ++j) over = CountLarger(over, Absolute32(v[j]), over_bound);
    }
  }
  void AddTo(uint32_t &over_count, uint32_t &half_count) const {
    over_count += static_cast<uint32_t>(SumLanes(over));
    half_count += static_cast<uint32_t>(SumLanes(half));
  }
};

// The bits that dsh adds, for indices whose dither stands in the upper 16 bits of `r`. `kCommon`: the shift is from 1 to 16.
template <bool kCommon>
struct DitherShift {
  int32_t down;
  U32 kept;

  explicit DitherShift(int32_t shift)
      : down(shift == 0 ? 0 : 32 - shift), kept(U32{} + (shift == 0 ? 0u : (shift > 16 ? ~0u << (shift - 16) : ~0u))) {}
  I32 Bits(U32 r) const { return kCommon ? (I32)(r >> down) : (I32)((r >> down) & kept); }
};

inline bool IsCommonShift(int32_t shift) { return shift >= 1 && shift <= 16; }

constexpr uint32_t kDitherHigh = static_cast<uint32_t>(STROP_DITHER_STEP)
                                 << 16;  // index times this: dither in the upper 16 bits

// The dither of each channel's lanes at position 0.
inline void LoadDither(const uint32_t *lanes, U32 r[kParts][kQuad]) {
  alignas(kVectorBytes) uint32_t planar[kQuad][kImages];
  for (uint32_t b = 0; b < kWordBytes; ++b) planar[b % kQuad][b / kQuad] = lanes[b] << 16;
  for (uint32_t part = 0; part < kParts; ++part) {
    for (uint32_t j = 0; j < kQuad; ++j) r[part][j] = Load<U32>(planar[j] + part * kPartImages);
  }
}

inline uint32_t MaxAbsWordsVector(const AccumulatorTile accumulator, uint32_t row, uint32_t words) {
  I32 largest = {};
  for (uint32_t j = 0; j < kQuad; ++j) {
    for (uint32_t i = 0; i < words * kParts; ++i) {
      const int32_t *from = accumulator[row + j][0] + i * kPartImages;
      largest = Larger32(largest, Absolute32(Load<I32>(from)));
    }
  }
  int32_t most = 0;
  for (uint32_t i = 0; i < kPartImages; ++i) most = largest[i] > most ? largest[i] : most;
  return static_cast<uint32_t>(most);
}

inline void RequantizeWordsVector(const AccumulatorTile accumulator, uint32_t row, uint32_t words, int32_t shift,
                                  int8_t *target, uint32_t &over, uint32_t &half) {
  Saturation counts(shift);
  const I32 rounding = All32(shift > 0 ? 1 << (shift - 1) : 0);
  const I8 low = All8(-kMaxInt8);
  for (uint32_t i = 0; i < words * kParts; ++i) {
    I32 v[kQuad];
    I32 q[kQuad];
    for (uint32_t j = 0; j < kQuad; ++j) {
      v[j] = Load<I32>(accumulator[row + j][0] + i * kPartImages);
      q[j] = (v[j] + rounding) >> shift;
    }
    const I8 packed = Larger8(PackChannels(q[0], q[1], q[2], q[3]), low);
    counts.Count(v, packed);
    Store(target + i * kVectorBytes, packed);
  }
  counts.AddTo(over, half);
}

template <bool kCommon>
inline void RequantizeDithered(const AccumulatorTile accumulator, uint32_t row, uint32_t words, int32_t shift,
                               const uint32_t *lane_dither, const uint32_t *positions, int8_t *target, uint32_t &over,
                               uint32_t &half) {
  Saturation counts(shift);
  const DitherShift<kCommon> dither(shift);
  const I8 low = All8(-kMaxInt8);
  U32 r[kParts][kQuad];
  LoadDither(lane_dither, r);
  for (uint32_t w = 0; w < words; ++w) {
    const uint32_t position = positions[w] * kDitherHigh;
    for (uint32_t part = 0; part < kParts; ++part) {
      I32 v[kQuad];
      I32 q[kQuad];
      for (uint32_t j = 0; j < kQuad; ++j) {
        v[j] = Load<I32>(accumulator[row + j][w] + part * kPartImages);
        q[j] = (v[j] + dither.Bits(r[part][j] + position)) >> shift;
      }
      const I8 packed = Larger8(PackChannels(q[0], q[1], q[2], q[3]), low);
      counts.Count(v, packed);
      Store(target + w * kWordBytes + part * kVectorBytes, packed);
    }
  }
  counts.AddTo(over, half);
}

inline void RequantizeDitheredWordsVector(const AccumulatorTile accumulator, uint32_t row, uint32_t words,
                                          int32_t shift, const uint32_t *lane_dither, const uint32_t *positions,
                                          int8_t *target, uint32_t &over, uint32_t &half) {
  const auto run = IsCommonShift(shift) ? RequantizeDithered<true> : RequantizeDithered<false>;
  run(accumulator, row, words, shift, lane_dither, positions, target, over, half);
}

// ---- L1BN ------------------------------------------------------------------------------------------------------------

inline void SumWordsVector(const int8_t *x, uint32_t words, int32_t sum[kQuad]) {
  I32 total[2] = {};  // two, so that additions need not wait for each other
  for (uint32_t i = 0; i < words * kParts; ++i) {
    total[i % 2] = AddFours(total[i % 2], Transposed4x4(Load<I8>(x + i * kVectorBytes)));
  }
  AddRuns(total[0] + total[1], sum);
}

inline void CountAboveVector(const int8_t *x, uint32_t words, const int32_t threshold[kQuad], QuadAbove &found) {
  const I8 bound = QuadRuns(threshold);
  const I8 one = All8(1);
  I32 sum = {};
  I32 above = {};
  I32 equal = {};
  for (uint32_t i = 0; i < words * kParts; ++i) {
    const I8 v = Transposed4x4(Load<I8>(x + i * kVectorBytes));
    sum = AddFours(sum, v & (I8)(v > bound));
    above = AddFours(above, one & (I8)(v > bound));
    equal = AddFours(equal, one & (I8)(v == bound));
  }
  AddRuns(sum, found.sum);
  AddRuns(above, found.above);
  AddRuns(equal, found.equal);
}

inline void NormalizeWordsVector(const int8_t *x, int8_t *y, uint32_t words, uint32_t images, const QuadNorm &norm) {
  const I8 low = All8(norm.low);
  for (uint32_t part = 0; part < kParts; ++part) {
    const I8 present = Present(images, part);
    for (uint32_t w = 0; w < words; ++w) {
      const uint32_t at = w * kWordBytes + part * kVectorBytes;
      I32 q[kQuad];
      Channels(Load<I8>(x + at), q);
      for (uint32_t j = 0; j < kQuad; ++j) {
        q[j] = (q[j] * norm.multiplier[j] + norm.constant[j]) >> STROP_SCALE_FRACTION;
      }
      Store(y + at, present & Larger8(PackChannels(q[0], q[1], q[2], q[3]), low));
    }
  }
}

inline void MaskedSumsVector(const int8_t *error, const int8_t *y, const int8_t *x, uint32_t words, int32_t low,
                             int32_t sum_dy[kQuad], int32_t sum_dy_x[kQuad]) {
  const I8 lower = All8(low);
  const I8 upper = All8(kMaxInt8);
  I32 s1 = {};
  I32 s2 = {};
  for (uint32_t at = 0; at < words * kWordBytes; at += kVectorBytes) {
    const I8 masked = MaskedError(Load<I8>(error + at), Load<I8>(y + at), lower, upper);
    const I8 dy = Transposed4x4(masked);
    s1 = AddFours(s1, dy);
    s2 = AddProducts(s2, Transposed4x4(Load<I8>(x + at)), dy);
  }
  AddRuns(s1, sum_dy);
  AddRuns(s2, sum_dy_x);
}

// The constants of v. `kNarrow`: M and Q have 16 bits, and dy * M - sign * Q is one instruction on pairs of them.
template <bool kNarrow>
struct GradientVectors {
  I8 lower, upper;
  I8 threshold, under;  // the sign is 1 above the one, -1 below the other
  I32 factors[kQuad];   // M; narrow: with -Q in the upper half
  I32 slope[kQuad];     // -Q
  I32 mean[kQuad];      // -P

  explicit GradientVectors(const QuadGradient &g) : lower(All8(g.low)), upper(All8(kMaxInt8)) {
    int32_t below[kQuad];
    for (uint32_t j = 0; j < kQuad; ++j) {
      below[j] = g.threshold[j] + 1 - g.whole[j];
      slope[j] = All32(-g.slope[j]);
      factors[j] = kNarrow ? All32(g.multiplier[j] & 0xFFFF) | slope[j] << 16 : All32(g.multiplier[j]);
      mean[j] = All32(-g.mean[j]);
    }
    threshold = QuadBytes(g.threshold);
    under = QuadBytes(below);
  }
  // v of 1.7 step 4.
  void Find(I8 error, I8 y, I8 x, I32 v[kQuad]) const {
    const I8 dy = MaskedError(error, y, lower, upper);
    const I8 sign = (I8)(x < under) - (I8)(x > threshold);  // a mask is -1
    if (!kNarrow) {
      I32 wide[kQuad];
      I32 signs[kQuad];
      Channels(dy, wide);
      Channels(sign, signs);
      for (uint32_t j = 0; j < kQuad; ++j) v[j] = wide[j] * factors[j] + signs[j] * slope[j] + mean[j];
      return;
    }
    const I32 low = All32(0xFFFF);
    const I32 dy02 = (I32)(((I16)dy << 8) >> 8);
    const I32 dy13 = (I32)((I16)dy >> 8);
    const I32 sign02 = (I32)(((I16)sign << 8) >> 8);
    const I32 sign13 = (I32)((I16)sign >> 8);
    v[0] = AddPairs(mean[0], (dy02 & low) | (sign02 << 16), factors[0]);
    v[1] = AddPairs(mean[1], (dy13 & low) | (sign13 << 16), factors[1]);
    v[2] = AddPairs(mean[2], (I32)((U32)dy02 >> 16) | (sign02 & ~low), factors[2]);
    v[3] = AddPairs(mean[3], (I32)((U32)dy13 >> 16) | (sign13 & ~low), factors[3]);
  }
};

inline bool IsNarrow(const QuadGradient &g) {
  bool narrow = true;
  for (uint32_t j = 0; j < kQuad; ++j) {
    narrow = narrow && Magnitude(g.multiplier[j]) < 32768 && Magnitude(g.slope[j]) < 32768;
  }
  return narrow;
}

// `kPartly`: not all images of a word are there.
template <bool kCommon, bool kPartly, bool kNarrow>
inline void NormGradientParts(const int8_t *error, const int8_t *y, const int8_t *x, int8_t *target, uint32_t words,
                              uint32_t images, const QuadGradient &gradient, int32_t shift, const QuadDither &dither,
                              uint32_t first, uint32_t &over, uint32_t &half) {
  Saturation counts(shift);
  const DitherShift<kCommon> bits(shift);
  const GradientVectors<kNarrow> constants(gradient);
  const I8 lowest = All8(-kMaxInt8);
  U32 r[kParts][kQuad];
  LoadDither(dither.lane, r);
  for (uint32_t part = 0; part < kParts; ++part) {
    const I32 present = (I32)Present(images, part);
    DitherWalk walk = WalkFrom(dither, first);
    for (uint32_t w = 0; w < words; ++w) {
      const uint32_t at = w * kWordBytes + part * kVectorBytes;
      const uint32_t position = walk.index * kDitherHigh;
      I32 v[kQuad];
      I32 q[kQuad];
      constants.Find(Load<I8>(error + at), Load<I8>(y + at), Load<I8>(x + at), v);
      for (uint32_t j = 0; j < kQuad; ++j) {
        if (kPartly) v[j] &= present;
        q[j] = (v[j] + bits.Bits(r[part][j] + position)) >> shift;
      }
      const I8 packed = Larger8(PackChannels(q[0], q[1], q[2], q[3]), lowest);
      counts.Count(v, packed);
      Store(target + at, packed);
      NextWord(dither, walk);
    }
  }
  counts.AddTo(over, half);
}

inline void NormGradientWordsVector(const int8_t *error, const int8_t *y, const int8_t *x, int8_t *target,
                                    uint32_t words, uint32_t images, const QuadGradient &gradient, int32_t shift,
                                    const QuadDither &dither, uint32_t first, uint32_t &over, uint32_t &half) {
  // what training meets nearly always has a loop of its own
  const bool usual = IsCommonShift(shift) && images == kImages && IsNarrow(gradient);
  const auto run = usual ? NormGradientParts<true, false, true> : NormGradientParts<false, true, false>;
  run(error, y, x, target, words, images, gradient, shift, dither, first, over, half);
}
