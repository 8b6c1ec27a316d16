// Twins of l2bn_loops.hpp, in the vectors and the manner of hls/native/streaming_vectors.hpp, after which this is included, inside the
// namespace of an instruction set.

inline void SumSquareVector(const int8_t *x, uint32_t words, int32_t sum[kQuad], int32_t squares[kQuad]) {
  I32 total = {};
  I32 total_squares = {};
  for (uint32_t i = 0; i < words * kParts; ++i) {
    const I8 v = Transposed4x4(Load<I8>(x + i * kVectorBytes));
    total = AddFours(total, v);
    total_squares = AddProducts(total_squares, v, v);
  }
  AddRuns(total, sum);
  AddRuns(total_squares, squares);
}

inline void L2NormGradientVector(const int8_t *error, const int8_t *y, const int8_t *x, int8_t *target, uint32_t words,
                                 uint32_t images, const L2QuadGradient &gradient, int32_t shift,
                                 const QuadDither &dither, uint32_t first, uint32_t &over, uint32_t &half) {
  Saturation counts(shift);
  const DitherShift bits(shift);
  const I8 lower = All8(gradient.low);
  const I8 upper = All8(kMaxInt8);
  const I8 lowest = All8(-kMaxInt8);
  U32 r[kParts][kQuad];
  LoadDither(dither.lane, r);
  for (uint32_t part = 0; part < kParts; ++part) {
    const I32 present = Channel<0>(Present(images, part));
    DitherWalk walk = WalkFrom(dither, first);
    for (uint32_t w = 0; w < words; ++w) {
      const uint32_t at = w * kWordBytes + part * kVectorBytes;
      const uint32_t position = walk.index * kDitherHigh;
      I32 dy[kQuad];
      I32 value[kQuad];
      I32 q[kQuad];
      Channels(MaskedError(Load<I8>(error + at), Load<I8>(y + at), lower, upper), dy);
      Channels(Load<I8>(x + at), value);
      for (uint32_t j = 0; j < kQuad; ++j) {
        const I32 mean = (value[j] * gradient.slope[j] + gradient.constant[j]) >> kSlopeFraction;
        const I32 v = (dy[j] * gradient.multiplier[j] - mean) & present;
        counts.Count(v);
        q[j] = (v + bits.Bits(r[part][j] + position)) >> shift;
      }
      Store(target + at, Larger8(PackChannels(q[0], q[1], q[2], q[3]), lowest));
      NextWord(dither, walk);
    }
  }
  counts.AddTo(over, half);
}

inline NormEngine MakeNormEngine() {
  NormEngine engine = {};
  UseStreamingVectors(engine.l1);
  engine.l2 = {SumSquareVector, L2NormGradientVector};
  return engine;
}
