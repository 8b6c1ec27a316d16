// What L1 batch normalization computes for a channel, from the sums over its values: NUMERICS.md 1.3 and 1.7, Wu et al. Eq. 5, 9-11,
// 17-20. A quad of channels at a time, whose words in DRAM are read and written as bursts.
#ifndef STROP_CHANNEL_NORM_HPP
#define STROP_CHANNEL_NORM_HPP

#include "map_words.hpp"

namespace strop {

constexpr int32_t kStatisticScale = 1 << STROP_STATISTIC_FRACTION;
constexpr int32_t kMaxMultiplier = (1 << 17) - 1;
constexpr int64_t kMaxConstant = int64_t{1} << 30;
constexpr int32_t kMaxFixedStatistic = 32767;

inline int32_t LowerClamp(const strop_command &c) { return c.activation == STROP_ACTIVATION_RELU ? 0 : -kMaxInt8; }

// Backward: mu and sigma do not depend on the mini-batch, or so little that it is left out (1.12).
inline bool HasConstantStatistics(const strop_command &c) {
  return (c.flags & (STROP_FLAG_FIXED | STROP_FLAG_RUNNING)) != 0;
}

// ---- words of a quad's channels --------------------------------------------------------------------------------------

// One word a channel: gamma, beta, exponents and the like.
struct QuadWords {
  int32_t of[kQuad];
};

inline QuadWords ReadQuad(const int32_t *words, uint32_t base, const MapShape &shape, uint32_t quad) {
  QuadWords values = {{0, 0, 0, 0}};
  BurstReadWords(values.of, words, base + 4 * quad * kQuad, ChannelsIn(shape, quad));
  return values;
}

inline void WriteQuad(int32_t *words, uint32_t base, const MapShape &shape, uint32_t quad, const QuadWords &values) {
  BurstWriteWords(words, base + 4 * quad * kQuad, values.of, ChannelsIn(shape, quad));
}

// strop_channel_statistics of a quad.
constexpr uint32_t kStatisticWords = sizeof(strop_channel_statistics) / 4;

struct QuadStatistics {
  int32_t mu[kQuad];
  int32_t sigma[kQuad];
  int32_t multiplier[kQuad];
  int32_t sign_sum[kQuad];
};

inline uint32_t StatisticsAt(const strop_command &c, uint32_t quad) {
  return c.statistics + 4 * quad * kQuad * kStatisticWords;
}

inline QuadStatistics ReadStatistics(const int32_t *words, const strop_command &c, const MapShape &shape,
                                     uint32_t quad) {
  int32_t of[kQuad][kStatisticWords] = {};
  QuadStatistics s;
  BurstReadWords(of[0], words, StatisticsAt(c, quad), ChannelsIn(shape, quad) * kStatisticWords);
ReadStatistics_Channel:
  for (uint32_t j = 0; j < kQuad; ++j) {
#pragma HLS UNROLL
    s.mu[j] = of[j][0];
    s.sigma[j] = of[j][1];
    s.multiplier[j] = of[j][2];
    s.sign_sum[j] = of[j][3];
  }
  return s;
}

inline void WriteStatistics(int32_t *words, const strop_command &c, const MapShape &shape, uint32_t quad,
                            const QuadStatistics &s) {
  int32_t of[kQuad][kStatisticWords];
WriteStatistics_Channel:
  for (uint32_t j = 0; j < kQuad; ++j) {
#pragma HLS UNROLL
    of[j][0] = s.mu[j];
    of[j][1] = s.sigma[j];
    of[j][2] = s.multiplier[j];
    of[j][3] = s.sign_sum[j];
  }
  BurstWriteWords(words, StatisticsAt(c, quad), of[0], ChannelsIn(shape, quad) * kStatisticWords);
}

// While a mini-batch is measured, the words of a quad's statistics hold these sums, each of all its channels: [4][channels].
enum class Measured : uint32_t {
  kSum,       // of all values
  kSumAbove,  // of those above the mean
  kCountAbove,
  kCountEqual  // of those equal to the threshold
};

inline uint32_t MeasuredAt(const strop_command &c, const MapShape &shape, uint32_t quad, Measured kind) {
  return StatisticsAt(c, quad) + 4 * static_cast<uint32_t>(kind) * ChannelsIn(shape, quad);
}

inline QuadWords ReadMeasured(const int32_t *words, const strop_command &c, const MapShape &shape, uint32_t quad,
                              Measured kind) {
  QuadWords values = {{0, 0, 0, 0}};
  BurstReadWords(values.of, words, MeasuredAt(c, shape, quad, kind), ChannelsIn(shape, quad));
  return values;
}

// ---- statistics ------------------------------------------------------------------------------------------------------

// x > threshold means x > mu; x == threshold means x == mu only where mu is a whole number of the int8 grid. Fixed statistics may lie
// beyond int8, where no x reaches.
inline int32_t Threshold(int32_t mu) {
  return static_cast<int32_t>(Clamp(mu >> STROP_STATISTIC_FRACTION, -128, kMaxInt8));
}
inline bool MuIsWhole(int32_t mu) { return (mu & (kStatisticScale - 1)) == 0; }

inline int32_t MeanOf(int32_t sum, const MapShape &shape) {
  return static_cast<int32_t>(RoundDivide(int64_t{sum} * kStatisticScale, shape.batch * shape.map));
}

struct ChannelStatistics {
  int32_t mu;
  int32_t sigma;
  int32_t sign_sum;
};

// Eq. 11 and the sign sum of one channel about mu, from its sums. The sum of abs(x - mu) needs no subtraction for each value: with A
// the values above mu it is 2*sum(A) - sum - mu*(2*#A - m). About a running mean, which may lie beyond int8, it needs 34 bits.
inline ChannelStatistics MeasuredStatistics(int32_t mu, int32_t sum, int32_t sum_above, int32_t above, int32_t equal,
                                            const MapShape &shape) {
  const int32_t m = static_cast<int32_t>(shape.batch * shape.map);
  const int64_t deviation = int64_t{kStatisticScale} * (2 * int64_t{sum_above} - sum) + int64_t{mu} * (m - 2 * above);
  const int32_t below = m - above - (MuIsWhole(mu) ? equal : 0);
  const int32_t sigma = static_cast<int32_t>(RoundDivide(deviation, m));
  return {mu, sigma < 1 ? 1 : sigma, above - below};
}

// What inference takes instead: a running statistic on the grid of int8.
inline int32_t OnGrid(int32_t running, int32_t exponent, int32_t least) {
  const int64_t value = RoundShift(running, STROP_RUNNING_FRACTION - STROP_STATISTIC_FRACTION - exponent);
  return static_cast<int32_t>(Clamp(value, least, kMaxFixedStatistic));
}

inline int32_t RunningMu(int32_t running, int32_t exponent) { return OnGrid(running, exponent, -kMaxFixedStatistic); }

inline int32_t RunningSigma(int32_t running, int32_t exponent) { return OnGrid(running, exponent, 1); }

// Algorithm 1: mu and sigma in units of 2^-16 of the real value join the running averages.
inline int32_t AdvancedRunning(int32_t running, int32_t statistic, int32_t exponent, bool first) {
  const int64_t seen = RoundShift(statistic, STROP_STATISTIC_FRACTION + exponent - STROP_RUNNING_FRACTION);
  return Sat32(first ? seen : running + RoundShift(seen - running, STROP_RUNNING_SHIFT));
}

// M of 1.3 step 5: gamma / sigma with the output exponent folded in.
inline int32_t MultiplierOf(int32_t gamma, int32_t sigma, int32_t exponent) {
  const int64_t gamma_q12 = RoundShift(gamma, 8);
  const int32_t shift = STROP_STATISTIC_FRACTION + exponent + STROP_SCALE_FRACTION - 12;
  return static_cast<int32_t>(
      Clamp(RoundDivide(gamma_q12 * (int64_t{1} << shift), sigma), -kMaxMultiplier, kMaxMultiplier));
}

// ---- constants of a pass ---------------------------------------------------------------------------------------------

// What deviations are measured from, as a threshold: the mean of each channel of a quad, or with RUNNING the running mean with this
// mini-batch in it, which is written later (1.12).
inline void FindThresholds(const int32_t *words, const strop_command &c, const MapShape &shape, uint32_t quad,
                           bool first_step, int32_t threshold[kQuad]) {
  const bool running = (c.flags & STROP_FLAG_RUNNING) != 0;
  const QuadWords zero = {{0, 0, 0, 0}};
  const QuadWords sum = ReadMeasured(words, c, shape, quad, Measured::kSum);
  const QuadWords mu = running ? ReadQuad(words, c.running_mu, shape, quad) : zero;
  const QuadWords exponent = running ? ReadQuad(words, c.source_exponent, shape, quad) : zero;
FindThresholds_Channel:
  for (uint32_t j = 0; j < kQuad; ++j) {
#pragma HLS LOOP_TRIPCOUNT min = 4 max = 4
    const int32_t mean = MeanOf(sum.of[j], shape);
    const int32_t advanced = AdvancedRunning(mu.of[j], mean, exponent.of[j], first_step);
    threshold[j] = Threshold(running ? RunningMu(advanced, exponent.of[j]) : mean);
  }
}

// 1.3 step 6 for the channels of a quad.
inline void FindNorm(const int32_t *words, const strop_command &c, const MapShape &shape, uint32_t quad,
                     QuadNorm &norm) {
  const QuadStatistics s = ReadStatistics(words, c, shape, quad);
  const QuadWords beta = ReadQuad(words, c.beta, shape, quad);
  const uint32_t channels = ChannelsIn(shape, quad);
  norm.low = LowerClamp(c);
FindNorm_Channel:
  for (uint32_t j = 0; j < kQuad; ++j) {
#pragma HLS LOOP_TRIPCOUNT min = 4 max = 4
    const int64_t shifted = RoundShift(beta.of[j], STROP_PARAMETER_FRACTION - c.exponent - STROP_SCALE_FRACTION);
    const int64_t offset = RoundShift(int64_t{s.mu[j]} * s.multiplier[j], STROP_STATISTIC_FRACTION);
    const int64_t constant = Clamp(shifted - offset + (1 << (STROP_SCALE_FRACTION - 1)), -kMaxConstant, kMaxConstant);
    norm.multiplier[j] = s.multiplier[j];
    norm.constant[j] = j < channels ? static_cast<int32_t>(constant) : 0;
  }
}

// The constants of Eq. 20 for the channels of a quad: 1.7 step 3. Where the statistics are constants the mean terms are absent.
inline void FindGradient(const int32_t *words, const strop_command &c, const MapShape &shape, uint32_t quad,
                         QuadGradient &gradient) {
  const bool constant = HasConstantStatistics(c);
  const QuadStatistics s = ReadStatistics(words, c, shape, quad);
  const QuadWords zero = {{0, 0, 0, 0}};
  const QuadWords gamma = constant ? zero : ReadQuad(words, c.grad_gamma, shape, quad);
  const QuadWords beta = constant ? zero : ReadQuad(words, c.grad_beta, shape, quad);
  const int64_t m = shape.batch * shape.map;
  gradient.low = LowerClamp(c);
FindGradient_Channel:
  for (uint32_t j = 0; j < kQuad; ++j) {
#pragma HLS LOOP_TRIPCOUNT min = 4 max = 4
    const int64_t b = RoundDivide(int64_t{gamma.of[j]} * 256, m);
    const int64_t a = RoundDivide(int64_t{beta.of[j]} * 256, m) - RoundDivide(b * s.sign_sum[j], m);
    gradient.multiplier[j] = s.multiplier[j];
    gradient.threshold[j] = Threshold(s.mu[j]);
    gradient.whole[j] = MuIsWhole(s.mu[j]) ? 1 : 0;
    gradient.mean[j] = static_cast<int32_t>(RoundShift(a * s.multiplier[j], 8));
    gradient.slope[j] = static_cast<int32_t>(RoundShift(b * s.multiplier[j], 8));
  }
}

}  // namespace strop

#endif  // STROP_CHANNEL_NORM_HPP
