// L2 batch normalization on the engine that runs L1BN, to measure one against the other; no part of the kernel. Ioffe & Szegedy 2015, in
// the equations of Wu et al.: Eq. 4 to 7. Where the two norms agree (normalize, gradient sums, gradients of gamma and beta) the
// kernel's own code runs.
#ifndef STROP_BENCH_L2BN_HPP
#define STROP_BENCH_L2BN_HPP

#include "l1bn.hpp"

namespace strop {

constexpr int64_t kMaxSlope = (1 << 23) - 1;

// Backward: v = dy * multiplier - x * slope - mean. Like the multiplier, the slope is rounded to a whole number: either moves v by at most
// half of |dy| or |x|, a few hundredths of the step that v is requantized to.
struct L2QuadGradient {
  int32_t multiplier[kQuad];
  int32_t slope[kQuad];
  int32_t mean[kQuad];
  int32_t low;
};

// The leaf loops that L1BN has not, for one instruction set.
struct L2Leaves {
  void (*SumSquareWords)(const int8_t *, uint32_t, int32_t *, int32_t *);
  void (*NormGradientWords)(const int8_t *, const int8_t *, const int8_t *, int8_t *, uint32_t, uint32_t,
                            const L2QuadGradient &, int32_t, const QuadDither &, uint32_t, uint32_t &, uint32_t &);
};

// The leaf loops of both norms for one instruction set; of L1BN only those that a training step calls.
struct NormEngine {
  native::LeafTable l1;
  L2Leaves l2;
};

// The largest r with r * r <= x, bit by bit: x < 2^28, an int8 variance with 2F fraction bits.
inline uint32_t SquareRoot(uint32_t x) {
  uint32_t root = 0;
  for (uint32_t bit = 1u << 13; bit != 0; bit >>= 1) {
    const uint32_t trial = root | bit;
    if (trial * trial <= x) root = trial;
  }
  return root;
}

// Eq. 6 to the nearest 2^-F, exactly: m^2 * variance = m * sum(x^2) - (sum x)^2 < 2^48.
inline int32_t DeviationL2(int32_t sum, int32_t squares, int64_t m) {
  const int64_t spread = m * squares - int64_t{sum} * sum;
  const uint32_t variance =
      static_cast<uint32_t>(RoundDivide(spread * (int64_t{kStatisticScale} * kStatisticScale), m * m));
  const uint32_t root = SquareRoot(variance);
  const uint32_t nearest = root + (variance - root * root > root ? 1 : 0);
  return nearest < 1 ? 1 : static_cast<int32_t>(nearest);
}

// One pass for both sums: kSum and, in the next word, the sum of squares (127^2 * m < 2^31).
inline void SumSquareShare(Lane &lane, const L2Leaves &leaves, const int8_t *dram, int32_t *words,
                           const strop_command &c, const MapShape &shape) {
  const uint32_t last = lane.Last(WordsOf(shape));
  for (uint32_t at = lane.First(WordsOf(shape)); at < last; at = AfterSpan(shape, at, last)) {
    const Span span = SpanAt(shape, at, last);
    int32_t sum[kQuad] = {0, 0, 0, 0};
    int32_t squares[kQuad] = {0, 0, 0, 0};
    leaves.SumSquareWords(dram + OffsetOf(c.source, c.source_plane, span), span.count, sum, squares);
    for (uint32_t j = 0; j < ChannelsIn(shape, span.quad); ++j) {
      AddWord(words, StatisticsAt(c, span.quad * kQuad + j) + kSum, sum[j]);
      AddWord(words, StatisticsAt(c, span.quad * kQuad + j) + kSumAbove, squares[j]);
    }
  }
}

inline void L2StatisticsShare(Lane &lane, int32_t *words, const strop_command &c, const MapShape &shape,
                              bool first_step) {
  const uint32_t last = lane.Last(c.channels_out);
  for (uint32_t k = lane.First(c.channels_out); k < last; ++k) {
    const int32_t sum = ReadWord(words, StatisticsAt(c, k) + kSum);
    const int32_t squares = ReadWord(words, StatisticsAt(c, k) + kSumAbove);
    const int32_t exponent = ReadWord(words, c.source_exponent + 4 * k);
    ChannelStatistics s = {MeanOf(sum, shape), DeviationL2(sum, squares, shape.batch * shape.map), 0, 0};
    AdvanceRunning(words, c.running_mu + 4 * k, s.mu, exponent, first_step);
    AdvanceRunning(words, c.running_sigma + 4 * k, s.sigma, exponent, first_step);
    const int64_t gamma_q12 = RoundShift(ReadWord(words, c.gamma + 4 * k), 8);
    const int32_t gamma_shift = STROP_STATISTIC_FRACTION + c.exponent + STROP_SCALE_FRACTION - 12;
    s.multiplier = static_cast<int32_t>(
        Clamp(RoundDivide(gamma_q12 * (int64_t{1} << gamma_shift), s.sigma), -kMaxMultiplier, kMaxMultiplier));
    WriteStatistics(words, c, k, s);
  }
}

inline void L2bnForward(Machine &machine, const L2Leaves &leaves, int8_t *dram, int32_t *words,
                        const strop_command &c) {
  const MapShape shape = OutputShape(c);
  const uint32_t steps = static_cast<uint32_t>(ReadWord(words, c.running_steps));
  ClearStatistics(words, c);
  STROP_ON_LANES(machine, BytesOf(shape), SumSquareShare(lane, leaves, dram, words, c, shape));
  STROP_ON_LANES(machine, kChannelWork * c.channels_out, L2StatisticsShare(lane, words, c, shape, steps == 0));
  STROP_ON_LANES(machine, BytesOf(shape), NormalizeShare(lane, dram, words, c, shape));
  WriteWord(words, c.running_steps, static_cast<int32_t>(steps + 1));
  WriteWord(words, c.target_exponent, c.exponent);
}

// dL/dx = gamma / sigma * (dy - mean(dy) - xhat * mean(dy * xhat)); of xhat = (x * 2^F - mu) / sigma, x gets a factor and mu joins the mean.
inline L2QuadGradient L2GradientOf(const int32_t *words, const strop_command &c, const MapShape &shape, uint32_t quad) {
  L2QuadGradient gradient = {{0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}, LowerClamp(c)};
  for (uint32_t j = 0; j < ChannelsIn(shape, quad); ++j) {
    const uint32_t k = quad * kQuad + j;
    const ChannelStatistics s = ReadStatistics(words, c, k);
    const int64_t m = shape.batch * shape.map;
    const int64_t b = RoundDivide(int64_t{ReadWord(words, c.grad_gamma + 4 * k)} * 256, m);
    const int64_t a = RoundDivide(int64_t{ReadWord(words, c.grad_beta + 4 * k)} * 256, m);
    constexpr int32_t kFractionOfB = 8;
    const int64_t slope = RoundDivide(s.multiplier * b, int64_t{s.sigma} << (kFractionOfB - STROP_STATISTIC_FRACTION));
    gradient.multiplier[j] = s.multiplier;
    gradient.slope[j] = static_cast<int32_t>(Clamp(slope, -kMaxSlope, kMaxSlope));
    const int64_t mean =
        RoundShift(a * s.multiplier, 8) - RoundShift(int64_t{s.mu} * gradient.slope[j], STROP_STATISTIC_FRACTION);
    gradient.mean[j] = static_cast<int32_t>(Clamp(mean, -kMaxConstant, kMaxConstant));
  }
  return gradient;
}

inline void L2NormGradientShare(Lane &lane, const L2Leaves &leaves, int8_t *dram, const int32_t *words,
                                const strop_command &c, const MapShape &shape, int32_t shift, uint32_t off) {
  const uint32_t last = lane.Last(WordsOf(shape));
  QuadDither dither;
  for (uint32_t at = lane.First(WordsOf(shape)); at < last; at = AfterSpan(shape, at, last)) {
    const Span span = SpanAt(shape, at, last);
    const L2QuadGradient gradient = L2GradientOf(words, c, shape, span.quad);
    FindDither(shape, span.quad, off, dither);
    leaves.NormGradientWords(
        dram + OffsetOf(c.source, c.source_plane, span), dram + OffsetOf(c.source_3, c.source_3_plane, span),
        dram + OffsetOf(c.source_2, c.source_2_plane, span), dram + OffsetOf(c.target, c.target_plane, span),
        span.count, span.images, gradient, shift, dither, span.first, lane.over, lane.half);
  }
}

// The site must be set: a first step's search for its shift is not measured.
inline void L2bnBackward(Machine &machine, const L2Leaves &leaves, int8_t *dram, int32_t *words,
                         const strop_command &c) {
  const MapShape shape = OutputShape(c);
  const uint32_t dither = NextDither(words, c.dither);
  const Site site = ReadSite(words, c.site);
  MeasureGradient(machine, dram, words, c, shape);
  ClearCounters(machine);
  STROP_ON_LANES(machine, 4 * BytesOf(shape),
                 L2NormGradientShare(lane, leaves, dram, words, c, shape, site.next, dither));
  AdvanceSite(machine, words, c.site, site.set, site.next, ElementsOf(shape), STROP_ERROR_RATE_LOG2);
  const int32_t error_exponent = ReadWord(words, c.source_exponent) + c.exponent + STROP_SCALE_FRACTION - site.next;
  for (uint32_t k = 0; k < c.channels_out; ++k) {
    WriteWord(words, c.target_exponent + 4 * k, error_exponent - ReadWord(words, c.source_2_exponent + 4 * k));
  }
}

}  // namespace strop

#endif  // STROP_BENCH_L2BN_HPP
