// L1 batch normalization, training and inference, forward and backward: NUMERICS.md 1.3 and 1.7, Wu et al. Eq. 5, 9-11, 17-20.
// Channels are independent, and a channel's values lie side by side, so each pass streams one run of memory.
#ifndef STROP_L1BN_HPP
#define STROP_L1BN_HPP

#include "site.hpp"

namespace strop {

constexpr int32_t kStatisticScale = 1 << STROP_STATISTIC_FRACTION;
constexpr int32_t kMaxMultiplier = (1 << 17) - 1;
constexpr int64_t kMaxConstant = int64_t{1} << 30;
constexpr int32_t kMaxFixedStatistic = 32767;

inline uint32_t ValuesPerChannel(const strop_command &c) { return c.batch * c.height_out * c.width_out; }

inline int32_t LowerClamp(const strop_command &c) { return c.activation == STROP_ACTIVATION_RELU ? 0 : -kMaxInt8; }

struct ChannelStatistics {
  int32_t mu;
  int32_t sigma;
  int32_t multiplier;
  int32_t sign_sum;
};

// x > threshold means x > mu; x == threshold means x == mu only where mu is a whole number of the int8 grid.
inline int32_t Threshold(int32_t mu) { return mu >> STROP_STATISTIC_FRACTION; }
inline bool MuIsWhole(int32_t mu) { return (mu & (kStatisticScale - 1)) == 0; }

// Eq. 5 and 11 and the sign sum, of one mini-batch and channel. The sum of abs(x - mu) needs no subtraction for each value:
// with A the values above mu it is 2*sum(A) - sum - mu*(2*#A - m).
inline ChannelStatistics MeasureChannel(Lane &lane, const int8_t *dram, uint32_t source, uint32_t values) {
  int8_t *x = lane.tiles.row[0];
  const bool held = values <= kRow;  // a short channel is read once
  int32_t sum = 0;
MeasureChannel_Sum:
  for (uint32_t at = 0; at < values; at += kRow) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 33
    const uint32_t count = Smaller(kRow, values - at);
    BurstRead(x, dram, source + at, count);
    sum += STROP_LEAF(lane, SumRow)(x, count);
  }
  const int32_t m = static_cast<int32_t>(values);
  const int32_t mu = static_cast<int32_t>(RoundDivide(int64_t{sum} * kStatisticScale, m));
  int32_t sum_above = 0;
  int32_t above = 0;
  int32_t equal = 0;
MeasureChannel_Deviation:
  for (uint32_t at = 0; at < values; at += kRow) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 33
    const uint32_t count = Smaller(kRow, values - at);
    if (!held) BurstRead(x, dram, source + at, count);
    STROP_LEAF(lane, CountAbove)(x, count, Threshold(mu), sum_above, above, equal);
  }
  const int64_t deviation = int64_t{kStatisticScale} * (2 * int64_t{sum_above} - sum) + int64_t{mu} * (m - 2 * above);
  const int32_t below = m - above - (MuIsWhole(mu) ? equal : 0);
  const int32_t sigma = static_cast<int32_t>(RoundDivide(deviation, m));
  return {mu, sigma < 1 ? 1 : sigma, 0, above - below};
}

// Algorithm 1: mu and sigma in units of 2^-16 of the real value join the running averages.
inline void AdvanceRunning(int32_t *words, uint32_t at, int32_t statistic, int32_t exponent, bool first) {
  const int64_t seen = RoundShift(statistic, STROP_STATISTIC_FRACTION + exponent - STROP_RUNNING_FRACTION);
  const int64_t running = ReadWord(words, at);
  WriteWord(words, at, Sat32(first ? seen : running + RoundShift(seen - running, STROP_RUNNING_SHIFT)));
}

// 1.3 steps 3 to 9 for one channel.
inline void L1bnForwardChannel(Lane &lane, int8_t *dram, int32_t *words, const strop_command &c, uint32_t k,
                               bool first_step) {
  const uint32_t values = ValuesPerChannel(c);
  const uint32_t source = c.source + k * c.source_plane;
  const int32_t exponent = ReadWord(words, c.source_exponent + 4 * k);
  const uint32_t running_mu = c.running_mu + 4 * k;
  const uint32_t running_sigma = c.running_sigma + 4 * k;
  ChannelStatistics s;
  if (c.flags & STROP_FLAG_FIXED) {
    const int32_t shift = STROP_RUNNING_FRACTION - STROP_STATISTIC_FRACTION - exponent;
    s.mu = static_cast<int32_t>(
        Clamp(RoundShift(ReadWord(words, running_mu), shift), -kMaxFixedStatistic, kMaxFixedStatistic));
    s.sigma = static_cast<int32_t>(Clamp(RoundShift(ReadWord(words, running_sigma), shift), 1, kMaxFixedStatistic));
    s.sign_sum = 0;
  } else {
    s = MeasureChannel(lane, dram, source, values);
    AdvanceRunning(words, running_mu, s.mu, exponent, first_step);
    AdvanceRunning(words, running_sigma, s.sigma, exponent, first_step);
  }
  const int64_t gamma_q12 = RoundShift(ReadWord(words, c.gamma + 4 * k), 8);
  const int32_t gamma_shift = STROP_STATISTIC_FRACTION + c.exponent + STROP_SCALE_FRACTION - 12;
  s.multiplier = static_cast<int32_t>(
      Clamp(RoundDivide(gamma_q12 * (int64_t{1} << gamma_shift), s.sigma), -kMaxMultiplier, kMaxMultiplier));
  const int64_t beta =
      RoundShift(ReadWord(words, c.beta + 4 * k), STROP_PARAMETER_FRACTION - c.exponent - STROP_SCALE_FRACTION);
  const int64_t offset = RoundShift(int64_t{s.mu} * s.multiplier, STROP_STATISTIC_FRACTION);
  const int32_t constant =
      static_cast<int32_t>(Clamp(beta - offset + (1 << (STROP_SCALE_FRACTION - 1)), -kMaxConstant, kMaxConstant));
  const bool held = (c.flags & STROP_FLAG_FIXED) == 0 && values <= kRow;
L1bnForward_Normalize:
  for (uint32_t at = 0; at < values; at += kRow) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 33
    const uint32_t count = Smaller(kRow, values - at);
    if (!held) BurstRead(lane.tiles.row[0], dram, source + at, count);
    STROP_LEAF(lane, NormalizeRow)(lane.tiles.row[0], lane.tiles.row[1], count, s.multiplier, constant, LowerClamp(c));
    BurstWrite(dram, c.target + k * c.target_plane + at, lane.tiles.row[1], count);
  }
  const uint32_t at = c.statistics + k * static_cast<uint32_t>(sizeof(strop_channel_statistics));
  WriteWord(words, STROP_FIELD_AT(at, strop_channel_statistics, mu), s.mu);
  WriteWord(words, STROP_FIELD_AT(at, strop_channel_statistics, sigma), s.sigma);
  WriteWord(words, STROP_FIELD_AT(at, strop_channel_statistics, multiplier), s.multiplier);
  WriteWord(words, STROP_FIELD_AT(at, strop_channel_statistics, sign_sum), s.sign_sum);
}

inline void L1bnForwardShare(Lane &lane, int8_t *dram, int32_t *words, const strop_command &c, bool first_step) {
  const uint32_t last = lane.Last(c.channels_out);
L1bnForward_Channel:
  for (uint32_t k = lane.First(c.channels_out); k < last; ++k) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
    L1bnForwardChannel(lane, dram, words, c, k, first_step);
  }
}

inline uint32_t L1bnForward(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c) {
  const uint32_t steps = static_cast<uint32_t>(ReadWord(words, c.running_steps));
  STROP_ON_LANES(machine, uint64_t{c.channels_out} * ValuesPerChannel(c),
                 L1bnForwardShare(lane, dram, words, c, steps == 0));
  if ((c.flags & STROP_FLAG_FIXED) == 0 && steps != 0xFFFFFFFFu) {
    WriteWord(words, c.running_steps, static_cast<int32_t>(steps + 1));
  }
  WriteWord(words, c.target_exponent, c.exponent);
  return STROP_STATUS_OK;
}

// The constants of Eq. 20 for one channel: v = dy * M + (below, at or above).
struct MeanTerms {
  int32_t below;
  int32_t at;
  int32_t above;
};

// 1.7 steps 1 to 3: sums, gradients of gamma and beta (Eq. 17), and the mean terms.
inline MeanTerms MeasureGradient(Lane &lane, const int8_t *dram, int32_t *words, const strop_command &c, uint32_t k,
                                 const ChannelStatistics &s) {
  const uint32_t values = ValuesPerChannel(c);
  int32_t s1 = 0;
  int32_t s2 = 0;
MeasureGradient_Row:
  for (uint32_t at = 0; at < values; at += kRow) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 33
    const uint32_t count = Smaller(kRow, values - at);
    BurstRead(lane.tiles.row[0], dram, c.source + k * c.source_plane + at, count);
    BurstRead(lane.tiles.row[1], dram, c.source_2 + k * c.source_2_plane + at, count);
    BurstRead(lane.tiles.row[2], dram, c.source_3 + k * c.source_3_plane + at, count);
    STROP_LEAF(lane, MaskedSums)
    (lane.tiles.row[0], lane.tiles.row[2], lane.tiles.row[1], lane.tiles.row[3], count, LowerClamp(c), s1, s2);
  }
  const int64_t m = values;
  const int64_t t = int64_t{s2} * kStatisticScale - int64_t{s.mu} * s1;
  const int32_t grad_gamma = Sat32(RoundDivide(t, s.sigma));
  const int64_t b = RoundDivide(int64_t{grad_gamma} * 256, m);
  const int64_t a = RoundDivide(int64_t{s1} * 256, m) - RoundDivide(b * s.sign_sum, m);
  const int32_t p = static_cast<int32_t>(RoundShift(a * s.multiplier, 8));
  const int32_t q = static_cast<int32_t>(RoundShift(b * s.multiplier, 8));
  WriteWord(words, c.grad_gamma + 4 * k, grad_gamma);
  WriteWord(words, c.grad_beta + 4 * k, s1);
  return {q - p, MuIsWhole(s.mu) ? -p : q - p, -p - q};
}

// 1.7 steps 1 to 4 for the channels of this lane; `mode` kMeasure looks for the largest v instead of storing.
inline void L1bnBackwardShare(Lane &lane, int8_t *dram, int32_t *words, const strop_command &c, StoreMode mode,
                              int32_t shift, uint32_t dither) {
  const uint32_t values = ValuesPerChannel(c);
  const uint32_t last = lane.Last(c.channels_out);
L1bnBackward_Channel:
  for (uint32_t k = lane.First(c.channels_out); k < last; ++k) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
    const uint32_t at_k = c.statistics + k * static_cast<uint32_t>(sizeof(strop_channel_statistics));
    const ChannelStatistics s = {ReadWord(words, STROP_FIELD_AT(at_k, strop_channel_statistics, mu)),
                                 ReadWord(words, STROP_FIELD_AT(at_k, strop_channel_statistics, sigma)),
                                 ReadWord(words, STROP_FIELD_AT(at_k, strop_channel_statistics, multiplier)),
                                 ReadWord(words, STROP_FIELD_AT(at_k, strop_channel_statistics, sign_sum))};
    const bool fixed = (c.flags & STROP_FLAG_FIXED) != 0;
    MeanTerms mean = {0, 0, 0};
    if (!fixed) mean = MeasureGradient(lane, dram, words, c, k, s);
    const bool held = !fixed && values <= kRow;  // MeasureGradient left x in row 1 and dy in row 3
  L1bnBackward_Row:
    for (uint32_t at = 0; at < values; at += kRow) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 33
      const uint32_t count = Smaller(kRow, values - at);
      if (!held) {
        int32_t unused_s1 = 0;
        int32_t unused_s2 = 0;
        BurstRead(lane.tiles.row[0], dram, c.source + k * c.source_plane + at, count);
        BurstRead(lane.tiles.row[1], dram, c.source_2 + k * c.source_2_plane + at, count);
        BurstRead(lane.tiles.row[2], dram, c.source_3 + k * c.source_3_plane + at, count);
        STROP_LEAF(lane, MaskedSums)
        (lane.tiles.row[0], lane.tiles.row[2], lane.tiles.row[1], lane.tiles.row[3], count, LowerClamp(c), unused_s1,
         unused_s2);
      }
      STROP_LEAF(lane, NormGradientRow)
      (lane.tiles.row[3], lane.tiles.row[1], lane.tiles.wide[0], count, s.multiplier, Threshold(s.mu), mean.below,
       mean.at, mean.above);
      StoreRow(lane, dram, lane.tiles.wide[0], count, mode, shift, dither, k * values + at,
               c.target + k * c.target_plane + at);
    }
  }
}

inline uint32_t L1bnBackward(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c) {
  const uint32_t dither = NextDither(words, c.dither);
  const Site site = ReadSite(words, c.site);
  const uint32_t elements = c.channels_out * ValuesPerChannel(c);
  ClearCounters(machine);
  int32_t shift = site.next;
  if (!site.set) {
    STROP_ON_LANES(machine, elements, L1bnBackwardShare(lane, dram, words, c, StoreMode::kMeasure, 0, 0));
    shift = ShiftFor(MaxAbsOfLanes(machine));
  }
  STROP_ON_LANES(machine, elements, L1bnBackwardShare(lane, dram, words, c, StoreMode::kDither, shift, dither));
  AdvanceSite(machine, words, c.site, site.set, shift, elements, STROP_ERROR_RATE_LOG2);
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
