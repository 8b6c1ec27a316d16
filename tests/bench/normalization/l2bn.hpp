// L2 batch normalization on the engine that runs L1BN, to measure one against the other; no part of the kernel. Ioffe & Szegedy 2015, in
// the equations of Wu et al.: Eq. 4 to 7. One lane. Where the two norms agree (normalize, gradient sums, what a channel is told), the
// kernel's leaf loops and its arithmetic of a channel run; the passes around them are written here, span by span as the kernel's.
#ifndef STROP_BENCH_L2BN_HPP
#define STROP_BENCH_L2BN_HPP

#include "channel_norm.hpp"
#include "site.hpp"

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

// One pass over maps of `shape`: work(span) for each span in turn.
template <typename Work>
inline void EachSpan(const MapShape &shape, const Work &work) {
  const uint32_t spans = SpansOf(shape);
  for (uint32_t i = 0; i < spans; ++i) work(SpanAt(shape, i, 0, spans));
}

// The first word of a span of a map.
inline int8_t *WordsAt(int8_t *dram, uint32_t offset, uint32_t plane, const Span &span) {
  return dram + offset + span.quad * plane + span.first * kWordBytes;
}

// ---- forward ---------------------------------------------------------------------------------------------------------

// One pass for both sums, which wait in the words of the quad's statistics: the sum in place of mu, the sum of squares
// (127^2 * m < 2^31) in place of sigma.
inline void SumSquares(const L2Leaves &leaves, int8_t *dram, int32_t *words, const strop_command &c,
                       const MapShape &shape) {
  QuadStatistics sums = {};
  EachSpan(shape, [&](const Span &span) {
    if (span.opens) sums = {};
    leaves.SumSquareWords(WordsAt(dram, c.source, c.source_plane, span), span.count, sums.mu, sums.sigma);
    if (span.closes) WriteStatistics(words, c, shape, span.quad, sums);
  });
}

inline void L2Statistics(int32_t *words, const strop_command &c, const MapShape &shape, bool first_step) {
  for (uint32_t quad = 0; quad < shape.quads; ++quad) {
    const QuadStatistics sums = ReadStatistics(words, c, shape, quad);
    const QuadWords exponent = ReadQuad(words, c.source_exponent, shape, quad);
    const QuadWords gamma = ReadQuad(words, c.gamma, shape, quad);
    QuadWords mu = ReadQuad(words, c.running_mu, shape, quad);
    QuadWords sigma = ReadQuad(words, c.running_sigma, shape, quad);
    QuadStatistics s = {};
    for (uint32_t j = 0; j < ChannelsIn(shape, quad); ++j) {
      s.mu[j] = MeanOf(sums.mu[j], shape);
      s.sigma[j] = DeviationL2(sums.mu[j], sums.sigma[j], int64_t{shape.batch} * shape.map);
      s.multiplier[j] = MultiplierOf(gamma.of[j], s.sigma[j], c.exponent);
      mu.of[j] = AdvancedRunning(mu.of[j], s.mu[j], exponent.of[j], first_step);
      sigma.of[j] = AdvancedRunning(sigma.of[j], s.sigma[j], exponent.of[j], first_step);
    }
    WriteQuad(words, c.running_mu, shape, quad, mu);
    WriteQuad(words, c.running_sigma, shape, quad, sigma);
    WriteStatistics(words, c, shape, quad, s);
  }
}

inline void Normalize(const native::LeafTable &leaves, int8_t *dram, const int32_t *words, const strop_command &c,
                      const MapShape &shape) {
  QuadNorm norm = {};
  EachSpan(shape, [&](const Span &span) {
    if (span.opens) FindNorm(words, c, shape, span.quad, norm);
    leaves.NormalizeWords(WordsAt(dram, c.source, c.source_plane, span), WordsAt(dram, c.target, c.target_plane, span),
                          span.count, span.images, norm);
  });
}

inline void L2bnForward(const NormEngine &engine, int8_t *dram, int32_t *words, const strop_command &c) {
  const MapShape shape = OutputShape(c);
  const int32_t steps = ReadWord(words, c.running_steps);
  SumSquares(engine.l2, dram, words, c, shape);
  L2Statistics(words, c, shape, steps == 0);
  Normalize(engine.l1, dram, words, c, shape);
  WriteWord(words, c.running_steps, steps + 1);
  WriteWord(words, c.target_exponent, c.exponent);
}

// ---- backward --------------------------------------------------------------------------------------------------------

// The gradients of gamma and beta: sums over a mini-batch, and a division a channel.
inline void ParameterGradients(const native::LeafTable &leaves, int8_t *dram, int32_t *words, const strop_command &c,
                               const MapShape &shape) {
  QuadWords sum = {};
  QuadWords sum_x = {};
  EachSpan(shape, [&](const Span &span) {
    if (span.opens) sum = sum_x = {};
    leaves.MaskedSums(WordsAt(dram, c.source, c.source_plane, span), WordsAt(dram, c.source_3, c.source_3_plane, span),
                      WordsAt(dram, c.source_2, c.source_2_plane, span), span.count, LowerClamp(c), sum.of, sum_x.of);
    if (!span.closes) return;
    WriteQuad(words, c.grad_beta, shape, span.quad, sum);
    WriteQuad(words, c.grad_gamma, shape, span.quad, sum_x);
  });
  for (uint32_t quad = 0; quad < shape.quads; ++quad) {
    const QuadStatistics s = ReadStatistics(words, c, shape, quad);
    const QuadWords beta = ReadQuad(words, c.grad_beta, shape, quad);
    QuadWords gamma = ReadQuad(words, c.grad_gamma, shape, quad);
    for (uint32_t j = 0; j < ChannelsIn(shape, quad); ++j) {
      const int64_t scaled = int64_t{gamma.of[j]} * kStatisticScale - int64_t{s.mu[j]} * beta.of[j];
      gamma.of[j] = Sat32(RoundDivide(scaled, s.sigma[j]));
    }
    WriteQuad(words, c.grad_gamma, shape, quad, gamma);
  }
}

// dL/dx = gamma / sigma * (dy - mean(dy) - xhat * mean(dy * xhat)); of xhat = (x * 2^F - mu) / sigma, x gets a factor and mu joins the mean.
inline L2QuadGradient L2GradientOf(const int32_t *words, const strop_command &c, const MapShape &shape, uint32_t quad) {
  L2QuadGradient gradient = {{0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}, LowerClamp(c)};
  const QuadStatistics s = ReadStatistics(words, c, shape, quad);
  const QuadWords gamma = ReadQuad(words, c.grad_gamma, shape, quad);
  const QuadWords beta = ReadQuad(words, c.grad_beta, shape, quad);
  const int64_t m = int64_t{shape.batch} * shape.map;
  constexpr int32_t kFraction = 8;  // of a and b
  for (uint32_t j = 0; j < ChannelsIn(shape, quad); ++j) {
    const int64_t b = RoundDivide(int64_t{gamma.of[j]} * (1 << kFraction), m);
    const int64_t a = RoundDivide(int64_t{beta.of[j]} * (1 << kFraction), m);
    const int64_t slope =
        RoundDivide(s.multiplier[j] * b, int64_t{s.sigma[j]} << (kFraction - STROP_STATISTIC_FRACTION));
    gradient.multiplier[j] = s.multiplier[j];
    gradient.slope[j] = static_cast<int32_t>(Clamp(slope, -kMaxSlope, kMaxSlope));
    const int64_t mean = RoundShift(a * s.multiplier[j], kFraction) -
                         RoundShift(int64_t{s.mu[j]} * gradient.slope[j], STROP_STATISTIC_FRACTION);
    gradient.mean[j] = static_cast<int32_t>(Clamp(mean, -kMaxConstant, kMaxConstant));
  }
  return gradient;
}

inline void InputGradient(Lane &lane, const L2Leaves &leaves, int8_t *dram, const int32_t *words,
                          const strop_command &c, const MapShape &shape, int32_t shift, uint32_t off) {
  L2QuadGradient gradient = {};
  QuadDither dither = {};
  EachSpan(shape, [&](const Span &span) {
    if (span.opens) {
      gradient = L2GradientOf(words, c, shape, span.quad);
      FindDither(shape, span.quad, off, dither);
    }
    leaves.NormGradientWords(
        WordsAt(dram, c.source, c.source_plane, span), WordsAt(dram, c.source_3, c.source_3_plane, span),
        WordsAt(dram, c.source_2, c.source_2_plane, span), WordsAt(dram, c.target, c.target_plane, span), span.count,
        span.images, gradient, shift, dither, span.first, lane.over, lane.half);
  });
}

// The site must be set: a first step's search for its shift is not measured.
inline void L2bnBackward(Machine &machine, const NormEngine &engine, int8_t *dram, int32_t *words,
                         const strop_command &c) {
  const MapShape shape = OutputShape(c);
  const uint32_t off = NextDither(words, c.dither);
  const Site site = ReadSite(words, c.site);
  const int32_t arriving = ReadWord(words, c.source_exponent);
  const int32_t shift = FollowingShift(site, arriving);
  ParameterGradients(engine.l1, dram, words, c, shape);
  ClearCounters(machine);
  InputGradient(STROP_LANE(machine, 0), engine.l2, dram, words, c, shape, shift, off);
  AdvanceSite(machine, words, c.site, site.set, shift, arriving, ElementsOf(shape), STROP_ERROR_RATE_LOG2);
  const int32_t error_exponent = arriving + c.exponent + STROP_SCALE_FRACTION - shift;
  for (uint32_t quad = 0; quad < shape.quads; ++quad) {
    QuadWords exponent = ReadQuad(words, c.source_2_exponent, shape, quad);
    for (uint32_t j = 0; j < kQuad; ++j) exponent.of[j] = error_exponent - exponent.of[j];
    WriteQuad(words, c.target_exponent, shape, quad, exponent);
  }
}

}  // namespace strop

#endif  // STROP_BENCH_L2BN_HPP
