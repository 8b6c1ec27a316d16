// L1 batch normalization, training and inference, forward and backward: NUMERICS.md 1.3 and 1.7. Each pass streams the words of all
// quads, divided among the lanes (span_work.hpp). What it finds for a channel is added up in that channel's own words of the arena, and
// a few divisions a channel (channel_norm.hpp) stand between the passes.
#ifndef STROP_L1BN_HPP
#define STROP_L1BN_HPP

#include "site.hpp"
#include "stream_pass.hpp"

namespace strop {

constexpr uint64_t kQuadWork = 1024;  // the divisions of a quad of channels, in bytes of a pass

// Words of 0 for all channels.
inline void ClearChannels(int32_t *words, uint32_t base, const MapShape &shape) {
ClearChannels_Quad:
  for (uint32_t quad = 0; quad < shape.quads; ++quad) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1024
    WriteQuad(words, base, shape, quad, {{0, 0, 0, 0}});
  }
}

// ---- forward ---------------------------------------------------------------------------------------------------------

// 1.3 steps 3 to 5 and 8: from the sums of a quad's channels to their statistics, and on with the running ones. With RUNNING these are
// what normalizes, too (1.12).
inline QuadStatistics MeasuredQuad(int32_t *words, const strop_command &c, const MapShape &shape, uint32_t quad,
                                   const QuadWords &exponent, bool first_step) {
  const QuadWords sum = ReadMeasured(words, c, shape, quad, Measured::kSum);
  const QuadWords sum_above = ReadMeasured(words, c, shape, quad, Measured::kSumAbove);
  const QuadWords above = ReadMeasured(words, c, shape, quad, Measured::kCountAbove);
  const QuadWords equal = ReadMeasured(words, c, shape, quad, Measured::kCountEqual);
  QuadWords mu = ReadQuad(words, c.running_mu, shape, quad);
  QuadWords sigma = ReadQuad(words, c.running_sigma, shape, quad);
  const bool running = (c.flags & STROP_FLAG_RUNNING) != 0;
  QuadStatistics result = {};
MeasuredQuad_Channel:
  for (uint32_t j = 0; j < ChannelsIn(shape, quad); ++j) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4
    const int32_t mean = MeanOf(sum.of[j], shape);
    mu.of[j] = AdvancedRunning(mu.of[j], mean, exponent.of[j], first_step);
    result.mu[j] = running ? RunningMu(mu.of[j], exponent.of[j]) : mean;
    const ChannelStatistics s =
        MeasuredStatistics(result.mu[j], sum.of[j], sum_above.of[j], above.of[j], equal.of[j], shape);
    sigma.of[j] = AdvancedRunning(sigma.of[j], s.sigma, exponent.of[j], first_step);
    result.sigma[j] = running ? RunningSigma(sigma.of[j], exponent.of[j]) : s.sigma;
    result.sign_sum[j] = running ? 0 : s.sign_sum;
  }
  WriteQuad(words, c.running_mu, shape, quad, mu);
  WriteQuad(words, c.running_sigma, shape, quad, sigma);
  return result;
}

inline QuadStatistics RunningQuad(const int32_t *words, const strop_command &c, const MapShape &shape, uint32_t quad,
                                  const QuadWords &exponent) {
  const QuadWords mu = ReadQuad(words, c.running_mu, shape, quad);
  const QuadWords sigma = ReadQuad(words, c.running_sigma, shape, quad);
  QuadStatistics result = {};
RunningQuad_Channel:
  for (uint32_t j = 0; j < ChannelsIn(shape, quad); ++j) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4
    result.mu[j] = RunningMu(mu.of[j], exponent.of[j]);
    result.sigma[j] = RunningSigma(sigma.of[j], exponent.of[j]);
  }
  return result;
}

// 1.3 steps 3 to 5, 8 and 9 of the quads of this lane.
inline void StatisticsShare(Lane &lane, int32_t *words, const strop_command &c, const MapShape &shape,
                            bool first_step) {
  const uint32_t last = lane.Last(shape.quads);
Statistics_Quad:
  for (uint32_t quad = lane.First(shape.quads); quad < last; ++quad) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1024
    const QuadWords exponent = ReadQuad(words, c.source_exponent, shape, quad);
    const QuadWords gamma = ReadQuad(words, c.gamma, shape, quad);
    QuadStatistics s = (c.flags & STROP_FLAG_FIXED) ? RunningQuad(words, c, shape, quad, exponent)
                                                    : MeasuredQuad(words, c, shape, quad, exponent, first_step);
  Statistics_Multiplier:
    for (uint32_t j = 0; j < ChannelsIn(shape, quad); ++j) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4
      s.multiplier[j] = MultiplierOf(gamma.of[j], s.sigma[j], c.exponent);
    }
    WriteStatistics(words, c, shape, quad, s);
  }
}

// The sums of the mini-batch, in the words of its statistics.
inline void MeasureMap(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram, int32_t *words,
                       const strop_command &c, const MapShape &shape, bool first_step) {
MeasureMap_Clear:
  for (uint32_t quad = 0; quad < shape.quads; ++quad) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1024
    WriteStatistics(words, c, shape, quad, {});
  }
  const StreamPass sum = PassOver(StreamKind::kSum, c, shape, 1);
  StreamPass deviation = PassOver(StreamKind::kDeviation, c, shape, 1);
  deviation.first_step = first_step;
  STROP_ON_LANES(machine, BytesOf(shape), StreamShare(lane, maps, filters, dram, words, c, sum));
  STROP_ON_LANES(machine, BytesOf(shape), StreamShare(lane, maps, filters, dram, words, c, deviation));
}

inline uint32_t L1bnForward(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram, int32_t *words,
                            const strop_command &c) {
  const MapShape shape = OutputShape(c);
  const uint32_t steps = static_cast<uint32_t>(ReadWord(words, c.running_steps));
  const bool fixed = (c.flags & STROP_FLAG_FIXED) != 0;
  if (!fixed) MeasureMap(machine, maps, filters, dram, words, c, shape, steps == 0);
  STROP_ON_LANES(machine, kQuadWork * shape.quads, StatisticsShare(lane, words, c, shape, steps == 0));
  const StreamPass normalize = PassOver(StreamKind::kNormalize, c, shape, 1);
  STROP_ON_LANES(machine, BytesOf(shape), StreamShare(lane, maps, filters, dram, words, c, normalize));
  if (!fixed && steps != 0xFFFFFFFFu) WriteWord(words, c.running_steps, static_cast<int32_t>(steps + 1));
  WriteWord(words, c.target_exponent, c.exponent);
  return STROP_STATUS_OK;
}

// ---- backward --------------------------------------------------------------------------------------------------------

// 1.7 step 3: the gradients of gamma and beta (Eq. 17), for the quads of this lane.
inline void ParameterGradientShare(Lane &lane, int32_t *words, const strop_command &c, const MapShape &shape) {
  const uint32_t last = lane.Last(shape.quads);
ParameterGradient_Quad:
  for (uint32_t quad = lane.First(shape.quads); quad < last; ++quad) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1024
    const QuadStatistics s = ReadStatistics(words, c, shape, quad);
    const QuadWords s1 = ReadQuad(words, c.grad_beta, shape, quad);
    QuadWords s2 = ReadQuad(words, c.grad_gamma, shape, quad);
  ParameterGradient_Channel:
    for (uint32_t j = 0; j < ChannelsIn(shape, quad); ++j) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4
      const int64_t t = int64_t{s2.of[j]} * kStatisticScale - int64_t{s.mu[j]} * s1.of[j];
      s2.of[j] = Sat32(RoundDivide(t, s.sigma[j]));
    }
    WriteQuad(words, c.grad_gamma, shape, quad, s2);
  }
}

// 1.7 steps 1 to 3: S1 is added up in grad_beta, S2 in grad_gamma.
inline void MeasureGradient(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram, int32_t *words,
                            const strop_command &c, const MapShape &shape) {
  ClearChannels(words, c.grad_gamma, shape);
  ClearChannels(words, c.grad_beta, shape);
  const StreamPass sums = PassOver(StreamKind::kGradientSums, c, shape, 3);
  STROP_ON_LANES(machine, 3 * BytesOf(shape), StreamShare(lane, maps, filters, dram, words, c, sums));
  STROP_ON_LANES(machine, kQuadWork * shape.quads, ParameterGradientShare(lane, words, c, shape));
}

inline uint32_t L1bnBackward(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram, int32_t *words,
                             const strop_command &c) {
  const MapShape shape = OutputShape(c);
  const uint64_t work = 4 * BytesOf(shape);
  StreamPass gradient = PassOver(StreamKind::kGradient, c, shape, 3);
  gradient.off = NextDither(words, c.dither);
  const Site site = ReadSite(words, c.site);
  if ((c.flags & STROP_FLAG_FIXED) == 0) MeasureGradient(machine, maps, filters, dram, words, c, shape);
  ClearCounters(machine);
  const int32_t arriving = ReadWord(words, c.source_exponent);
  gradient.shift = FollowingShift(site, arriving);
  if (!site.set) {
    const StreamPass largest = PassOver(StreamKind::kGradientLargest, c, shape, 3);
    STROP_ON_LANES(machine, work, StreamShare(lane, maps, filters, dram, words, c, largest));
    gradient.shift = ShiftFor(MaxAbsOfLanes(machine));
  }
  STROP_ON_LANES(machine, work, StreamShare(lane, maps, filters, dram, words, c, gradient));
  AdvanceSite(machine, words, c.site, site.set, gradient.shift, arriving, ElementsOf(shape), STROP_ERROR_RATE_LOG2);
  const int32_t error_exponent = arriving + c.exponent + STROP_SCALE_FRACTION - gradient.shift;
L1bnBackward_Exponent:
  for (uint32_t quad = 0; quad < shape.quads; ++quad) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1024
    QuadWords exponent = ReadQuad(words, c.source_2_exponent, shape, quad);
  L1bnBackward_Channel:
    for (uint32_t j = 0; j < kQuad; ++j) {
#pragma HLS UNROLL
      exponent.of[j] = error_exponent - exponent.of[j];
    }
    WriteQuad(words, c.target_exponent, shape, quad, exponent);
  }
  return STROP_STATUS_OK;
}

}  // namespace strop

#endif  // STROP_L1BN_HPP
