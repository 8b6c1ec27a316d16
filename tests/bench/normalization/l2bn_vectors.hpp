// Twins of l2bn_loops.hpp, in the vectors and the manner of hls/native/streaming_vectors.hpp, after which this is included, inside the
// namespace of an instruction set.

inline void SumSquareVector(const int8_t *x, uint32_t words, int32_t sum[kQuad], int32_t squares[kQuad]) {
  I32 total = {};
  I32 total_squares = {};
  for (uint32_t at = 0; at < words * kWordBytes; at += kVectorBytes) {
    const I8 v = Transposed4x4(Load<I8>(x + at));
    total = AddFours(total, v);
    total_squares = AddProducts(total_squares, v, v);
  }
  AddRuns(total, sum);
  AddRuns(total_squares, squares);
}

// The constants of v. `kNarrow`: M and R have 16 bits, and dy * M - x * R is one instruction on pairs of them.
template <bool kNarrow>
struct L2GradientVectors {
  I8 lower, upper;
  I32 factors[kQuad];  // M; narrow: with -R in the upper half
  I32 slope[kQuad];    // -R
  I32 mean[kQuad];     // negative, too

  explicit L2GradientVectors(const L2QuadGradient &g) : lower(All8(g.low)), upper(All8(kMaxInt8)) {
    for (uint32_t j = 0; j < kQuad; ++j) {
      slope[j] = All32(-g.slope[j]);
      factors[j] = kNarrow ? All32(g.multiplier[j] & 0xFFFF) | slope[j] << 16 : All32(g.multiplier[j]);
      mean[j] = All32(-g.mean[j]);
    }
  }
  void Find(I8 error, I8 y, I8 x, I32 v[kQuad]) const {
    const I8 dy = MaskedError(error, y, lower, upper);
    if (!kNarrow) {
      I32 wide[kQuad];
      I32 values[kQuad];
      Channels(dy, wide);
      Channels(x, values);
      for (uint32_t j = 0; j < kQuad; ++j) v[j] = wide[j] * factors[j] + values[j] * slope[j] + mean[j];
      return;
    }
    const I32 low = All32(0xFFFF);
    const I32 dy02 = (I32)(((I16)dy << 8) >> 8);
    const I32 dy13 = (I32)((I16)dy >> 8);
    const I32 x02 = (I32)(((I16)x << 8) >> 8);
    const I32 x13 = (I32)((I16)x >> 8);
    v[0] = AddPairs(mean[0], (dy02 & low) | (x02 << 16), factors[0]);
    v[1] = AddPairs(mean[1], (dy13 & low) | (x13 << 16), factors[1]);
    v[2] = AddPairs(mean[2], (I32)((U32)dy02 >> 16) | (x02 & ~low), factors[2]);
    v[3] = AddPairs(mean[3], (I32)((U32)dy13 >> 16) | (x13 & ~low), factors[3]);
  }
};

template <bool kCommon, bool kPartly, bool kNarrow>
inline void L2NormGradientParts(const int8_t *error, const int8_t *y, const int8_t *x, int8_t *target, uint32_t words,
                                uint32_t images, const L2QuadGradient &gradient, int32_t shift,
                                const QuadDither &dither, uint32_t first, uint32_t &over, uint32_t &half) {
  Saturation counts(shift);
  const DitherShift<kCommon> bits(shift);
  const L2GradientVectors<kNarrow> constants(gradient);
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

inline void L2NormGradientVector(const int8_t *error, const int8_t *y, const int8_t *x, int8_t *target, uint32_t words,
                                 uint32_t images, const L2QuadGradient &gradient, int32_t shift,
                                 const QuadDither &dither, uint32_t first, uint32_t &over, uint32_t &half) {
  bool narrow = true;
  for (uint32_t j = 0; j < kQuad; ++j) {
    narrow = narrow && Magnitude(gradient.multiplier[j]) < 32768 && Magnitude(gradient.slope[j]) < 32768;
  }
  const bool usual = IsCommonShift(shift) && images == kImages && narrow;
  const auto run = usual ? L2NormGradientParts<true, false, true> : L2NormGradientParts<false, true, false>;
  run(error, y, x, target, words, images, gradient, shift, dither, first, over, half);
}

constexpr L2Leaves kL2Leaves = {SumSquareVector, L2NormGradientVector};
