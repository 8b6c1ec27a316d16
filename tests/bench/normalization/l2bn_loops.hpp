// The leaf loops that L2BN has and L1BN has not, as plain as those of hls/norm_loops.hpp. Included inside the namespace of the portable
// leaf loops; hence no include guard.

inline void SumSquareWords(const int8_t *x, uint32_t words, int32_t sum[kQuad], int32_t squares[kQuad]) {
  int32_t total[kQuad] = {0, 0, 0, 0};
  int32_t total_squares[kQuad] = {0, 0, 0, 0};
  for (uint32_t b = 0; b < words * kWordBytes; ++b) {
    total[b % kQuad] += x[b];
    total_squares[b % kQuad] += x[b] * x[b];
  }
  for (uint32_t j = 0; j < kQuad; ++j) {
    sum[j] += total[j];
    squares[j] += total_squares[j];
  }
}

// target = sat(dsh(v, shift)) with the v of L2QuadGradient, else as NormGradientWords.
inline void L2NormGradientWords(const int8_t *error, const int8_t *y, const int8_t *x, int8_t *target, uint32_t words,
                                uint32_t images, const L2QuadGradient &g, int32_t shift, const QuadDither &dither,
                                uint32_t first, uint32_t &over, uint32_t &half) {
  const SaturationBounds bound = BoundsFor(shift);
  uint32_t above = 0;
  uint32_t above_half = 0;
  DitherWalk walk = WalkFrom(dither, first);
  for (uint32_t w = 0; w < words; ++w) {
    const uint32_t index = DitherProduct(walk.index);
    for (uint32_t b = 0; b < kWordBytes; ++b) {
      const uint32_t j = b % kQuad;
      const uint32_t at = w * kWordBytes + b;
      const int32_t dy = Masked(error[at], y[at], g.low);
      const int32_t v = b / kQuad < images ? dy * g.multiplier[j] - x[at] * g.slope[j] - g.mean[j] : 0;
      above += Magnitude(v) > bound.over ? 1 : 0;
      above_half += Magnitude(v) > bound.half ? 1 : 0;
      target[at] = Sat8((v + DitherBits(dither.lane[b] + index, shift)) >> shift, -kMaxInt8);
    }
    NextWord(dither, walk);
  }
  over += above;
  half += above_half;
}
