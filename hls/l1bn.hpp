// L1 batch normalization, training and inference, forward and backward: NUMERICS.md 1.3 and 1.7, Wu et al. Eq. 5, 9-11, 17-20.
// Each pass streams the words of all quads, divided among the lanes. What it finds for a channel is added up in that channel's own words
// of the arena, and a few divisions a channel stand between the passes.
#ifndef STROP_L1BN_HPP
#define STROP_L1BN_HPP

#include "map_words.hpp"
#include "site.hpp"

namespace strop {

constexpr int32_t kStatisticScale = 1 << STROP_STATISTIC_FRACTION;
constexpr int32_t kMaxMultiplier = (1 << 17) - 1;
constexpr int64_t kMaxConstant = int64_t{1} << 30;
constexpr int32_t kMaxFixedStatistic = 32767;
constexpr uint64_t kChannelWork = 256;  // the divisions of a channel, in bytes of a pass

inline int32_t LowerClamp(const strop_command &c) { return c.activation == STROP_ACTIVATION_RELU ? 0 : -kMaxInt8; }

struct ChannelStatistics {
  int32_t mu;
  int32_t sigma;
  int32_t multiplier;
  int32_t sign_sum;
};

inline uint32_t StatisticsAt(const strop_command &c, uint32_t k) {
  return c.statistics + k * static_cast<uint32_t>(sizeof(strop_channel_statistics));
}

inline ChannelStatistics ReadStatistics(const int32_t *words, const strop_command &c, uint32_t k) {
  const uint32_t at = StatisticsAt(c, k);
  return {ReadWord(words, STROP_FIELD_AT(at, strop_channel_statistics, mu)),
          ReadWord(words, STROP_FIELD_AT(at, strop_channel_statistics, sigma)),
          ReadWord(words, STROP_FIELD_AT(at, strop_channel_statistics, multiplier)),
          ReadWord(words, STROP_FIELD_AT(at, strop_channel_statistics, sign_sum))};
}

inline void WriteStatistics(int32_t *words, const strop_command &c, uint32_t k, const ChannelStatistics &s) {
  const uint32_t at = StatisticsAt(c, k);
  WriteWord(words, STROP_FIELD_AT(at, strop_channel_statistics, mu), s.mu);
  WriteWord(words, STROP_FIELD_AT(at, strop_channel_statistics, sigma), s.sigma);
  WriteWord(words, STROP_FIELD_AT(at, strop_channel_statistics, multiplier), s.multiplier);
  WriteWord(words, STROP_FIELD_AT(at, strop_channel_statistics, sign_sum), s.sign_sum);
}

// x > threshold means x > mu; x == threshold means x == mu only where mu is a whole number of the int8 grid. Fixed statistics may lie
// beyond int8, where no x reaches.
inline int32_t Threshold(int32_t mu) {
  return static_cast<int32_t>(Clamp(mu >> STROP_STATISTIC_FRACTION, -128, kMaxInt8));
}
inline bool MuIsWhole(int32_t mu) { return (mu & (kStatisticScale - 1)) == 0; }

// ---- forward ---------------------------------------------------------------------------------------------------------

// While a mini-batch is measured, the four words of a channel's statistics hold these sums, as offsets from StatisticsAt.
constexpr uint32_t kSum = 0;       // of all values
constexpr uint32_t kSumAbove = 4;  // of those above the mean
constexpr uint32_t kCountAbove = 8;
constexpr uint32_t kCountEqual = 12;  // of those equal to the threshold

inline int32_t MeanOf(int32_t sum, const MapShape &shape) {
  return static_cast<int32_t>(RoundDivide(int64_t{sum} * kStatisticScale, shape.batch * shape.map));
}

inline void SumShare(Lane &lane, const int8_t *dram, int32_t *words, const strop_command &c, const MapShape &shape) {
  const uint32_t last = lane.Last(WordsOf(shape));
L1bnSum_Span:
  for (uint32_t at = lane.First(WordsOf(shape)); at < last; at = AfterSpan(shape, at, last)) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 65536
    const Span span = SpanAt(shape, at, last);
    int32_t sum[kQuad] = {0, 0, 0, 0};
    STROP_READ_ROW(x, lane.tiles.row[0], dram, OffsetOf(c.source, c.source_plane, span), BytesIn(span));
    STROP_LEAF(lane, SumWords)(x, span.count, sum);
  L1bnSum_Channel:
    for (uint32_t j = 0; j < ChannelsIn(shape, span.quad); ++j) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4
      AddWord(words, StatisticsAt(c, span.quad * kQuad + j) + kSum, sum[j]);
    }
  }
}

// What is above the mean and what equals it. Bytes that stand for no image are 0 and are counted like values: taken off here.
inline void DeviationShare(Lane &lane, const int8_t *dram, int32_t *words, const strop_command &c,
                           const MapShape &shape) {
  const uint32_t last = lane.Last(WordsOf(shape));
L1bnDeviation_Span:
  for (uint32_t at = lane.First(WordsOf(shape)); at < last; at = AfterSpan(shape, at, last)) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 65536
    const Span span = SpanAt(shape, at, last);
    const uint32_t channels = ChannelsIn(shape, span.quad);
    const int32_t absent = static_cast<int32_t>(span.count * (kImages - span.images));
    int32_t threshold[kQuad] = {0, 0, 0, 0};
    QuadAbove found = {{0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}};
  L1bnDeviation_Threshold:
    for (uint32_t j = 0; j < channels; ++j) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4
      const int32_t sum = ReadWord(words, StatisticsAt(c, span.quad * kQuad + j) + kSum);
      threshold[j] = Threshold(MeanOf(sum, shape));
    }
    STROP_READ_ROW(x, lane.tiles.row[0], dram, OffsetOf(c.source, c.source_plane, span), BytesIn(span));
    STROP_LEAF(lane, CountAbove)(x, span.count, threshold, found);
  L1bnDeviation_Channel:
    for (uint32_t j = 0; j < channels; ++j) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4
      const uint32_t sums = StatisticsAt(c, span.quad * kQuad + j);
      AddWord(words, sums + kSumAbove, found.sum[j]);
      AddWord(words, sums + kCountAbove, found.above[j] - (threshold[j] < 0 ? absent : 0));
      AddWord(words, sums + kCountEqual, found.equal[j] - (threshold[j] == 0 ? absent : 0));
    }
  }
}

// Eq. 5 and 11 and the sign sum of one channel, from its sums. The sum of abs(x - mu) needs no subtraction for each value: with A
// the values above mu it is 2*sum(A) - sum - mu*(2*#A - m).
inline ChannelStatistics MeasuredStatistics(const int32_t *words, const strop_command &c, const MapShape &shape,
                                            uint32_t k) {
  const uint32_t sums = StatisticsAt(c, k);
  const int32_t sum = ReadWord(words, sums + kSum);
  const int32_t above = ReadWord(words, sums + kCountAbove);
  const int32_t m = static_cast<int32_t>(shape.batch * shape.map);
  const int32_t mu = MeanOf(sum, shape);
  const int64_t deviation =
      int64_t{kStatisticScale} * (2 * int64_t{ReadWord(words, sums + kSumAbove)} - sum) + int64_t{mu} * (m - 2 * above);
  const int32_t below = m - above - (MuIsWhole(mu) ? ReadWord(words, sums + kCountEqual) : 0);
  const int32_t sigma = static_cast<int32_t>(RoundDivide(deviation, m));
  return {mu, sigma < 1 ? 1 : sigma, 0, above - below};
}

// What inference takes instead.
inline ChannelStatistics RunningStatistics(const int32_t *words, const strop_command &c, uint32_t k, int32_t exponent) {
  const int32_t shift = STROP_RUNNING_FRACTION - STROP_STATISTIC_FRACTION - exponent;
  const int64_t mu = RoundShift(ReadWord(words, c.running_mu + 4 * k), shift);
  const int64_t sigma = RoundShift(ReadWord(words, c.running_sigma + 4 * k), shift);
  return {static_cast<int32_t>(Clamp(mu, -kMaxFixedStatistic, kMaxFixedStatistic)),
          static_cast<int32_t>(Clamp(sigma, 1, kMaxFixedStatistic)), 0, 0};
}

// Algorithm 1: mu and sigma in units of 2^-16 of the real value join the running averages.
inline void AdvanceRunning(int32_t *words, uint32_t at, int32_t statistic, int32_t exponent, bool first) {
  const int64_t seen = RoundShift(statistic, STROP_STATISTIC_FRACTION + exponent - STROP_RUNNING_FRACTION);
  const int64_t running = ReadWord(words, at);
  WriteWord(words, at, Sat32(first ? seen : running + RoundShift(seen - running, STROP_RUNNING_SHIFT)));
}

// 1.3 steps 3 to 5, 8 and 9 of the channels of this lane.
inline void StatisticsShare(Lane &lane, int32_t *words, const strop_command &c, const MapShape &shape,
                            bool first_step) {
  const uint32_t last = lane.Last(c.channels_out);
L1bnStatistics_Channel:
  for (uint32_t k = lane.First(c.channels_out); k < last; ++k) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
    const int32_t exponent = ReadWord(words, c.source_exponent + 4 * k);
    ChannelStatistics s;
    if (c.flags & STROP_FLAG_FIXED) {
      s = RunningStatistics(words, c, k, exponent);
    } else {
      s = MeasuredStatistics(words, c, shape, k);
      AdvanceRunning(words, c.running_mu + 4 * k, s.mu, exponent, first_step);
      AdvanceRunning(words, c.running_sigma + 4 * k, s.sigma, exponent, first_step);
    }
    const int64_t gamma_q12 = RoundShift(ReadWord(words, c.gamma + 4 * k), 8);
    const int32_t gamma_shift = STROP_STATISTIC_FRACTION + c.exponent + STROP_SCALE_FRACTION - 12;
    s.multiplier = static_cast<int32_t>(
        Clamp(RoundDivide(gamma_q12 * (int64_t{1} << gamma_shift), s.sigma), -kMaxMultiplier, kMaxMultiplier));
    WriteStatistics(words, c, k, s);
  }
}

// 1.3 step 6 for the channels of a quad.
inline QuadNorm NormOf(const int32_t *words, const strop_command &c, const MapShape &shape, uint32_t quad) {
  QuadNorm norm = {{0, 0, 0, 0}, {0, 0, 0, 0}, LowerClamp(c)};
NormOf_Channel:
  for (uint32_t j = 0; j < ChannelsIn(shape, quad); ++j) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4
    const uint32_t k = quad * kQuad + j;
    const ChannelStatistics s = ReadStatistics(words, c, k);
    const int64_t beta =
        RoundShift(ReadWord(words, c.beta + 4 * k), STROP_PARAMETER_FRACTION - c.exponent - STROP_SCALE_FRACTION);
    const int64_t offset = RoundShift(int64_t{s.mu} * s.multiplier, STROP_STATISTIC_FRACTION);
    norm.multiplier[j] = s.multiplier;
    norm.constant[j] =
        static_cast<int32_t>(Clamp(beta - offset + (1 << (STROP_SCALE_FRACTION - 1)), -kMaxConstant, kMaxConstant));
  }
  return norm;
}

inline void NormalizeShare(Lane &lane, int8_t *dram, const int32_t *words, const strop_command &c,
                           const MapShape &shape) {
  const uint32_t last = lane.Last(WordsOf(shape));
L1bnNormalize_Span:
  for (uint32_t at = lane.First(WordsOf(shape)); at < last; at = AfterSpan(shape, at, last)) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 65536
    const Span span = SpanAt(shape, at, last);
    const QuadNorm norm = NormOf(words, c, shape, span.quad);
    const uint32_t target = OffsetOf(c.target, c.target_plane, span);
    STROP_READ_ROW(x, lane.tiles.row[0], dram, OffsetOf(c.source, c.source_plane, span), BytesIn(span));
    STROP_WRITE_ROW(y, lane.tiles.row[1], dram, target);
    STROP_LEAF(lane, NormalizeWords)(x, y, span.count, span.images, norm);
    STROP_FLUSH_ROW(y, dram, target, BytesIn(span));
  }
}

inline void ClearStatistics(int32_t *words, const strop_command &c) {
ClearStatistics_Channel:
  for (uint32_t k = 0; k < c.channels_out; ++k) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
    WriteStatistics(words, c, k, {0, 0, 0, 0});
  }
}

inline uint32_t L1bnForward(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c) {
  const MapShape shape = OutputShape(c);
  const uint32_t steps = static_cast<uint32_t>(ReadWord(words, c.running_steps));
  const bool fixed = (c.flags & STROP_FLAG_FIXED) != 0;
  if (!fixed) {
    ClearStatistics(words, c);
    STROP_ON_LANES(machine, BytesOf(shape), SumShare(lane, dram, words, c, shape));
    STROP_ON_LANES(machine, BytesOf(shape), DeviationShare(lane, dram, words, c, shape));
  }
  STROP_ON_LANES(machine, kChannelWork * c.channels_out, StatisticsShare(lane, words, c, shape, steps == 0));
  STROP_ON_LANES(machine, BytesOf(shape), NormalizeShare(lane, dram, words, c, shape));
  if (!fixed && steps != 0xFFFFFFFFu) WriteWord(words, c.running_steps, static_cast<int32_t>(steps + 1));
  WriteWord(words, c.target_exponent, c.exponent);
  return STROP_STATUS_OK;
}

// ---- backward --------------------------------------------------------------------------------------------------------

// 1.7 steps 1 and 2: S1 is added up in grad_beta, S2 in grad_gamma.
inline void GradientSumsShare(Lane &lane, const int8_t *dram, int32_t *words, const strop_command &c,
                              const MapShape &shape) {
  const uint32_t last = lane.Last(WordsOf(shape));
GradientSums_Span:
  for (uint32_t at = lane.First(WordsOf(shape)); at < last; at = AfterSpan(shape, at, last)) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 65536
    const Span span = SpanAt(shape, at, last);
    int32_t s1[kQuad] = {0, 0, 0, 0};
    int32_t s2[kQuad] = {0, 0, 0, 0};
    STROP_READ_ROW(error, lane.tiles.row[0], dram, OffsetOf(c.source, c.source_plane, span), BytesIn(span));
    STROP_READ_ROW(x, lane.tiles.row[1], dram, OffsetOf(c.source_2, c.source_2_plane, span), BytesIn(span));
    STROP_READ_ROW(y, lane.tiles.row[2], dram, OffsetOf(c.source_3, c.source_3_plane, span), BytesIn(span));
    STROP_LEAF(lane, MaskedSums)(error, y, x, span.count, LowerClamp(c), s1, s2);
  GradientSums_Channel:
    for (uint32_t j = 0; j < ChannelsIn(shape, span.quad); ++j) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4
      AddWord(words, c.grad_beta + 4 * (span.quad * kQuad + j), s1[j]);
      AddWord(words, c.grad_gamma + 4 * (span.quad * kQuad + j), s2[j]);
    }
  }
}

// 1.7 step 3: the gradients of gamma and beta (Eq. 17), for the channels of this lane.
inline void ParameterGradientShare(Lane &lane, int32_t *words, const strop_command &c) {
  const uint32_t last = lane.Last(c.channels_out);
ParameterGradient_Channel:
  for (uint32_t k = lane.First(c.channels_out); k < last; ++k) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
    const ChannelStatistics s = ReadStatistics(words, c, k);
    const int64_t s1 = ReadWord(words, c.grad_beta + 4 * k);
    const int64_t s2 = ReadWord(words, c.grad_gamma + 4 * k);
    const int64_t t = s2 * kStatisticScale - s.mu * s1;
    WriteWord(words, c.grad_gamma + 4 * k, Sat32(RoundDivide(t, s.sigma)));
  }
}

// The constants of Eq. 20 for the channels of a quad: 1.7 step 3.
inline QuadGradient GradientOf(const int32_t *words, const strop_command &c, const MapShape &shape, uint32_t quad) {
  QuadGradient gradient = {{0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}, LowerClamp(c)};
GradientOf_Channel:
  for (uint32_t j = 0; j < ChannelsIn(shape, quad); ++j) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4
    const uint32_t k = quad * kQuad + j;
    const ChannelStatistics s = ReadStatistics(words, c, k);
    gradient.multiplier[j] = s.multiplier;
    gradient.threshold[j] = Threshold(s.mu);
    gradient.whole[j] = MuIsWhole(s.mu) ? 1 : 0;
    if (c.flags & STROP_FLAG_FIXED) continue;
    const int64_t m = shape.batch * shape.map;
    const int64_t b = RoundDivide(int64_t{ReadWord(words, c.grad_gamma + 4 * k)} * 256, m);
    const int64_t s1 = ReadWord(words, c.grad_beta + 4 * k);
    const int64_t a = RoundDivide(s1 * 256, m) - RoundDivide(b * s.sign_sum, m);
    gradient.mean[j] = static_cast<int32_t>(RoundShift(a * s.multiplier, 8));
    gradient.slope[j] = static_cast<int32_t>(RoundShift(b * s.multiplier, 8));
  }
  return gradient;
}

// 1.7 step 4. `mode` kMeasure looks for the largest v instead of storing.
inline void NormGradientShare(Lane &lane, int8_t *dram, const int32_t *words, const strop_command &c,
                              const MapShape &shape, StoreMode mode, int32_t shift, uint32_t off) {
  const uint32_t last = lane.Last(WordsOf(shape));
  QuadDither dither;
NormGradient_Span:
  for (uint32_t at = lane.First(WordsOf(shape)); at < last; at = AfterSpan(shape, at, last)) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 65536
    const Span span = SpanAt(shape, at, last);
    const QuadGradient gradient = GradientOf(words, c, shape, span.quad);
    STROP_READ_ROW(error, lane.tiles.row[0], dram, OffsetOf(c.source, c.source_plane, span), BytesIn(span));
    STROP_READ_ROW(x, lane.tiles.row[1], dram, OffsetOf(c.source_2, c.source_2_plane, span), BytesIn(span));
    STROP_READ_ROW(y, lane.tiles.row[2], dram, OffsetOf(c.source_3, c.source_3_plane, span), BytesIn(span));
    if (mode == StoreMode::kMeasure) {
      const uint32_t largest = STROP_LEAF(lane, NormGradientMaxAbs)(error, y, x, span.count, span.images, gradient);
      lane.max_abs = largest > lane.max_abs ? largest : lane.max_abs;
      continue;
    }
    const uint32_t target = OffsetOf(c.target, c.target_plane, span);
    FindDither(shape, span.quad, off, dither);
    STROP_WRITE_ROW(dx, lane.tiles.row[3], dram, target);
    STROP_LEAF(lane, NormGradientWords)
    (error, y, x, dx, span.count, span.images, gradient, shift, dither, span.first, lane.over, lane.half);
    STROP_FLUSH_ROW(dx, dram, target, BytesIn(span));
  }
}

inline void MeasureGradient(Machine &machine, const int8_t *dram, int32_t *words, const strop_command &c,
                            const MapShape &shape) {
MeasureGradient_Clear:
  for (uint32_t k = 0; k < c.channels_out; ++k) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
    WriteWord(words, c.grad_gamma + 4 * k, 0);
    WriteWord(words, c.grad_beta + 4 * k, 0);
  }
  STROP_ON_LANES(machine, 3 * BytesOf(shape), GradientSumsShare(lane, dram, words, c, shape));
  STROP_ON_LANES(machine, kChannelWork * c.channels_out, ParameterGradientShare(lane, words, c));
}

inline uint32_t L1bnBackward(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c) {
  const MapShape shape = OutputShape(c);
  const uint32_t dither = NextDither(words, c.dither);
  const Site site = ReadSite(words, c.site);
  if ((c.flags & STROP_FLAG_FIXED) == 0) MeasureGradient(machine, dram, words, c, shape);
  ClearCounters(machine);
  int32_t shift = site.next;
  const uint64_t work = 4 * BytesOf(shape);
  if (!site.set) {
    STROP_ON_LANES(machine, work, NormGradientShare(lane, dram, words, c, shape, StoreMode::kMeasure, 0, 0));
    shift = ShiftFor(MaxAbsOfLanes(machine));
  }
  STROP_ON_LANES(machine, work, NormGradientShare(lane, dram, words, c, shape, StoreMode::kDither, shift, dither));
  AdvanceSite(machine, words, c.site, site.set, shift, ElementsOf(shape), STROP_ERROR_RATE_LOG2);
  const int32_t error_exponent = ReadWord(words, c.source_exponent) + c.exponent + STROP_SCALE_FRACTION - shift;
L1bnBackward_Exponent:
  for (uint32_t k = 0; k < c.channels_out; ++k) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
    WriteWord(words, c.target_exponent + 4 * k, error_exponent - ReadWord(words, c.source_2_exponent + 4 * k));
  }
  return STROP_STATUS_OK;
}

}  // namespace strop

#endif  // STROP_L1BN_HPP
