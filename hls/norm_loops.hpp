// The leaf loops of L1BN, on runs of words of one quad (NUMERICS.md 1.3, 1.7). Bytes of channels and images that do not exist are 0.
#ifndef STROP_LEAVES
#error "define STROP_LEAVES, the namespace of this compilation: see leaf_loops.hpp"
#endif

namespace strop {
namespace STROP_LEAVES {

// M is within +-(2^17 - 1) (1.3 step 6). Said like this the tool sees that one multiplier of a DSP takes it.
static inline int32_t Signed18(int32_t m) { return static_cast<int32_t>(static_cast<uint32_t>(m) << 14) >> 14; }

// The same of 25 bits, its other operand.
static inline int32_t Signed25(int32_t m) { return static_cast<int32_t>(static_cast<uint32_t>(m) << 7) >> 7; }

// The sum of each channel is added to `sum`.
static inline void SumWords(const int8_t *x, uint32_t words, int32_t sum[kQuad]) {
  int32_t total[kQuad] = {0, 0, 0, 0};
SumWords_Word:
  for (uint32_t w = 0; w < words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 128
#pragma HLS PIPELINE II = kWordCycles
  SumWords_Byte:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
      total[b % kQuad] += x[w * kWordBytes + b];
    }
  }
SumWords_Channel:
  for (uint32_t j = 0; j < kQuad; ++j) {
#pragma HLS UNROLL
    sum[j] += total[j];
  }
}

// Sum and count of the values above each channel's threshold, and how many equal it, are added to `found`: deviation and sign sum
// follow exactly (l1bn.hpp).
static inline void CountAbove(const int8_t *x, uint32_t words, const int32_t threshold[kQuad], QuadAbove &found) {
  int32_t sum[kQuad] = {0, 0, 0, 0};
  int32_t above[kQuad] = {0, 0, 0, 0};
  int32_t equal[kQuad] = {0, 0, 0, 0};
CountAbove_Word:
  for (uint32_t w = 0; w < words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 128
#pragma HLS PIPELINE II = kWordCycles
  CountAbove_Byte:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
      const uint32_t j = b % kQuad;
      const int32_t value = x[w * kWordBytes + b];
      sum[j] += value > threshold[j] ? value : 0;
      above[j] += value > threshold[j] ? 1 : 0;
      equal[j] += value == threshold[j] ? 1 : 0;
    }
  }
CountAbove_Channel:
  for (uint32_t j = 0; j < kQuad; ++j) {
#pragma HLS UNROLL
    found.sum[j] += sum[j];
    found.above[j] += above[j];
    found.equal[j] += equal[j];
  }
}

// y = clamp((x * M + C) >> S, low, 127) for the first `images` images of each word, 0 beyond: 1.3 step 7 (Eq. 9, 10).
static inline void NormalizeWords(const int8_t *x, int8_t *y, uint32_t words, uint32_t images, const QuadNorm &norm) {
NormalizeWords_Word:
  for (uint32_t w = 0; w < words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 128
#pragma HLS PIPELINE II = kWordCycles
  NormalizeWords_Byte:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
      const uint32_t j = b % kQuad;
      const int32_t q =
          (x[w * kWordBytes + b] * Signed18(norm.multiplier[j]) + norm.constant[j]) >> STROP_SCALE_FRACTION;
      y[w * kWordBytes + b] = b / kQuad < images ? Sat8(q, norm.low) : int8_t{0};
    }
  }
}

// S1 = sum dy and S2 = sum dy * x of each channel are added: 1.7 steps 1 and 2.
static inline void MaskedSums(const int8_t *error, const int8_t *y, const int8_t *x, uint32_t words, int32_t low,
                              int32_t sum_dy[kQuad], int32_t sum_dy_x[kQuad]) {
  int32_t s1[kQuad] = {0, 0, 0, 0};
  int32_t s2[kQuad] = {0, 0, 0, 0};
MaskedSums_Word:
  for (uint32_t w = 0; w < words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 128
#pragma HLS PIPELINE II = kWordCycles
  MaskedSums_Byte:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
      const uint32_t at = w * kWordBytes + b;
      const int32_t dy = Masked(error[at], y[at], low);
      s1[b % kQuad] += dy;
      s2[b % kQuad] += dy * x[at];
    }
  }
MaskedSums_Channel:
  for (uint32_t j = 0; j < kQuad; ++j) {
#pragma HLS UNROLL
    sum_dy[j] += s1[j];
    sum_dy_x[j] += s2[j];
  }
}

// v = dy * M - P - sgn(x - mu) * Q (Eq. 20) of one value of channel j.
static inline int32_t NormGradient(int8_t error, int8_t y, int32_t x, const QuadGradient &g, uint32_t j) {
  const int32_t above = x > g.threshold[j] ? 1 : 0;
  const int32_t below = x < g.threshold[j] + 1 - g.whole[j] ? 1 : 0;
  return Masked(error, y, g.low) * Signed18(g.multiplier[j]) - g.mean[j] - (above - below) * g.slope[j];
}

// Largest magnitude of v in the first `images` images, for the site's first use.
static inline uint32_t NormGradientMaxAbs(const int8_t *error, const int8_t *y, const int8_t *x, uint32_t words,
                                          uint32_t images, const QuadGradient &gradient) {
  int32_t largest = 0;
NormGradientMaxAbs_Word:
  for (uint32_t w = 0; w < words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 128
#pragma HLS PIPELINE II = kWordCycles
  NormGradientMaxAbs_Byte:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
      const uint32_t at = w * kWordBytes + b;
      const int32_t magnitude = Magnitude(NormGradient(error[at], y[at], x[at], gradient, b % kQuad));
      largest = (b / kQuad < images && magnitude > largest) ? magnitude : largest;
    }
  }
  return static_cast<uint32_t>(largest);
}

// target = sat(dsh(v, shift)) for the first `images` images of each word, 0 beyond; counts of 1.4 are added to over and half.
// `first` is the index of the first word in its quad.
static inline void NormGradientWords(const int8_t *error, const int8_t *y, const int8_t *x, int8_t *target,
                                     uint32_t words, uint32_t images, const QuadGradient &gradient, int32_t shift,
                                     const QuadDither &dither, uint32_t first, uint32_t &over, uint32_t &half) {
  const SaturationBounds bound = BoundsFor(shift);
  uint32_t above = 0;
  uint32_t above_half = 0;
  DitherWalk walk = WalkFrom(dither, first);
NormGradientWords_Word:
  for (uint32_t w = 0; w < words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 128
#pragma HLS PIPELINE II = kWordCycles
    const uint32_t index = DitherProduct(walk.index);
  NormGradientWords_Byte:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
      const uint32_t at = w * kWordBytes + b;
      const int32_t v = b / kQuad < images ? NormGradient(error[at], y[at], x[at], gradient, b % kQuad) : 0;
      above += Magnitude(v) > bound.over ? 1 : 0;
      above_half += Magnitude(v) > bound.half ? 1 : 0;
      target[at] = Sat8((v + DitherBits(dither.lane[b] + index, shift)) >> shift, -kMaxInt8);
    }
    NextWord(dither, walk);
  }
  over += above;
  half += above_half;
}

}  // namespace STROP_LEAVES
}  // namespace strop
