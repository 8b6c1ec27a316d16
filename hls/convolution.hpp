// Convolution and fully-connected layers: forward, input gradient, weight gradient (NUMERICS 1.3, 1.7). A fully-connected layer is a
// convolution as large as the map it reads. `maps`, `filters` and `dram` are the arena through three ports, so that loads and stores
// can overlap.
#ifndef STROP_CONVOLUTION_HPP
#define STROP_CONVOLUTION_HPP

#include "mac_pass.hpp"
#include "stream_pass.hpp"

namespace strop {

inline Side InputSide(const Pass &p, const strop_command &c) {
  return {c.channels_in, p.view.merged * (c.channels_in / c.groups)};
}

inline Side OutputSide(const Pass &p, const strop_command &c) {
  return {c.channels_out, p.view.merged * (c.channels_out / c.groups)};
}

// What the three passes of a layer share.
inline Pass LayerPass(const TileShape &shape, const strop_command &c, MacMode mode) {
  Pass p = {};
  p.mode = mode;
  p.view = ViewLayoutOf(c);
  p.groups = CeilDivide(c.groups, p.view.merged);
  p.layer_groups = c.groups;
  p.block_rows = shape.tile_rows;
  p.pixels = (c.flags & STROP_FLAG_PIXELS) != 0;
  p.kernel_h = c.kernel_h;
  p.kernel_w = c.kernel_w;
  p.weights = c.weights;
  p.source = c.source;
  p.source_plane = c.source_plane;
  p.target = c.target;
  p.target_plane = c.target_plane;
  p.batch = c.batch;
  return p;
}

inline uint32_t DepthQuads(const Pass &p) { return QuadsOf(p, Smaller(p.depth.merged, p.depth.channels)); }

// The order in which a map's elements are dithered: as they lie in [channels][N][height][width].
inline ElementOrder MapOrder(uint32_t batch, uint32_t height, uint32_t width) {
  return {batch * height * width, height * width, width, 1};
}

// Forward and weight gradient: output channels meet windows over the layer's input, in chunks of at most `most_groups` groups.
inline Pass OutputPass(const TileShape &shape, const strop_command &c, MacMode mode, uint32_t most_groups) {
  Pass p = LayerPass(shape, c, mode);
  p.rows = OutputSide(p, c);
  p.depth = InputSide(p, c);
  p.window = ForwardWindow(c);
  p.tiling = PlanTiling(shape, p.window, DepthQuads(p), most_groups);
  p.out_h = c.height_out;
  p.out_w = c.width_out;
  p.order = MapOrder(c.batch, c.height_out, c.width_out);
  return p;
}

inline Pass ForwardPass(const TileShape &shape, const strop_command &c) {
  return OutputPass(shape, c, MacMode::kForward, shape.tile_groups);
}

inline Pass WeightGradientPass(const TileShape &shape, const strop_command &c) {
  Pass p = OutputPass(shape, c, MacMode::kWeightGradient, shape.tile_words);
  p.error = c.source;
  p.error_plane = c.source_plane;
  p.source = c.source_2;
  p.source_plane = c.source_2_plane;
  return p;
}

// A layer with one output position, reached from every input position by one tap: its input gradient is a product without windows,
// whose rows are the input's channels and positions.
inline bool IsFlat(const strop_command &c) {
  return c.groups == 1 && c.height_out * c.width_out == 1 && c.kernel_h == c.height_in && c.kernel_w == c.width_in &&
         c.pad_top == 0 && c.pad_left == 0;
}

inline Pass InputGradientPass(const TileShape &shape, const strop_command &c, uint32_t phase_h, uint32_t phase_w) {
  Pass p = LayerPass(shape, c, MacMode::kForward);
  p.turned = true;
  p.flat = IsFlat(c);
  p.rows = InputSide(p, c);
  p.depth = OutputSide(p, c);
  p.window = GradientWindow(c, phase_h, phase_w);
  if (p.flat) {
    const uint32_t rows = CeilDivide(c.channels_in, kQuad) * kQuad * p.view.taps;
    p.rows = {rows, rows};
    p.window.h = ForwardAxis(1, 1, 1, 1, 0, 1);
    p.window.w = p.window.h;
  }
  p.tiling = PlanTiling(shape, p.window, DepthQuads(p), shape.tile_groups);
  p.out_h = c.height_in;
  p.out_w = c.width_in;
  const uint32_t map = c.height_in * c.width_in;
  const bool features = (c.flags & STROP_FLAG_FLAT) != 0;  // ordered as [C*H*W][N]
  p.order = features ? ElementOrder{map * c.batch, 1, c.width_in * c.batch, c.batch}
                     : MapOrder(c.batch, c.height_in, c.width_in);
  return p;
}

// About how much a pass is, for the division among lanes: multiply-adds / 16.
inline uint64_t WorkOf(const strop_command &c) {
  return uint64_t{c.channels_out} * (c.channels_in / c.groups) * c.kernel_h * c.kernel_w * c.batch * c.height_out *
         c.width_out / 16;
}

inline void RunForward(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram, int32_t *words,
                       const strop_command &c, const Store &store) {
  Pass p = ForwardPass(kShape, c);
  p.store = store;
  DivideRows(p, STROP_LANE_COUNT(machine));
  STROP_ON_LANES(machine, WorkOf(c), MacPass(lane, maps, filters, dram, words, p));
}

// Every phase of the input has its own taps.
inline void RunInputGradient(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram, int32_t *words,
                             const strop_command &c, const Store &store) {
RunInputGradient_PhaseH:
  for (uint32_t a = 0; a < (IsFlat(c) ? 1 : Smaller(c.stride_h, c.height_in)); ++a) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4
  RunInputGradient_PhaseW:
    for (uint32_t b = 0; b < (IsFlat(c) ? 1 : Smaller(c.stride_w, c.width_in)); ++b) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4
      Pass p = InputGradientPass(kShape, c, a, b);
      p.store = store;
      DivideRows(p, STROP_LANE_COUNT(machine));
      STROP_ON_LANES(machine, WorkOf(c), MacPass(lane, maps, filters, dram, words, p));
    }
  }
}

// Whether the command makes a gradient, which is dithered: in a transposed convolution forward pass and input gradient have each
// other's sums (1.14).
inline bool MakesGradient(const strop_command &c) {
  return (c.opcode == STROP_OP_CONV_INPUT_GRADIENT) != ((c.flags & STROP_FLAG_TRANSPOSED) != 0);
}

// The sums of CONV_FORWARD or CONV_INPUT_GRADIENT.
inline void RunSums(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram, int32_t *words,
                    const strop_command &c, const Store &store) {
  if (c.opcode == STROP_OP_CONV_FORWARD) {
    RunForward(machine, maps, filters, dram, words, c, store);
  } else {
    RunInputGradient(machine, maps, filters, dram, words, c, store);
  }
}

// Elements of the map that the sums become.
inline uint32_t ElementsOfSums(const strop_command &c) {
  return c.opcode == STROP_OP_CONV_FORWARD ? c.channels_out * c.batch * c.height_out * c.width_out
                                           : c.channels_in * c.batch * c.height_in * c.width_in;
}

// A gradient has one exponent; a pre-norm map one a channel, with that of the channel's weights (transposed: one for all rows).
inline void WriteExponents(int32_t *words, const strop_command &c, int32_t shift) {
  const bool forward = c.opcode == STROP_OP_CONV_FORWARD;
  const uint32_t count = MakesGradient(c) ? 1 : (forward ? c.channels_out : c.channels_in);
  const uint32_t step = forward ? 4 : 0;
  const int32_t source_exponent = ReadWord(words, c.source_exponent);
ConvExponents_Channel:
  for (uint32_t k = 0; k < count; ++k) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
    const int32_t weight_exponent = ReadWord(words, c.weight_exponent + step * k);
    WriteWord(words, c.target_exponent + 4 * k, source_exponent + weight_exponent - shift);
  }
}

// The sums as an int8 map, by the command's site: 1.3 step 2, or 1.7 step 6.
inline uint32_t ConvMap(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram, int32_t *words,
                        const strop_command &c) {
  const bool gradient = MakesGradient(c);
  const bool fixed = !gradient && (c.flags & STROP_FLAG_FIXED) != 0;
  const Site site = ReadSite(words, c.site);
  if (fixed && !site.set) return STROP_STATUS_SITE_UNSET;
  const uint32_t dither = gradient ? NextDither(words, c.dither) : 0;
  ClearCounters(machine);
  const int32_t arriving = gradient ? ReadWord(words, c.source_exponent) + ReadWord(words, c.weight_exponent) : 0;
  int32_t shift = fixed ? site.used : (gradient ? FollowingShift(site, arriving) : site.next);
  if (!site.set) {
    RunSums(machine, maps, filters, dram, words, c, {StoreMode::kMeasure, 0, 0, 0, 0});
    shift = ShiftFor(MaxAbsOfLanes(machine));
  }
  const StoreMode mode = gradient ? StoreMode::kDither : StoreMode::kRound;
  RunSums(machine, maps, filters, dram, words, c, {mode, shift, dither, 0, 0});
  if (!fixed) {
    const uint32_t rate_log2 = gradient ? STROP_ERROR_RATE_LOG2 : STROP_PRE_NORM_RATE_LOG2;
    AdvanceSite(machine, words, c.site, site.set, shift, arriving, ElementsOfSums(c), rate_log2);
  }
  WriteExponents(words, c, shift);
  return STROP_STATUS_OK;
}

// CONV_FORWARD and CONV_INPUT_GRADIENT: a map, or the logits of 1.6.
inline uint32_t Convolution(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram, int32_t *words,
                            const strop_command &c) {
  const bool logits = c.opcode == STROP_OP_CONV_FORWARD && (c.flags & STROP_FLAG_LOGITS) != 0;
  if (!logits) return ConvMap(machine, maps, filters, dram, words, c);
  const int32_t exponent = ReadWord(words, c.source_exponent) + ReadWord(words, c.weight_exponent);
  RunForward(machine, maps, filters, dram, words, c, {StoreMode::kLogits, 0, 0, c.beta, exponent});
  WriteWord(words, c.target_exponent, exponent);
  return STROP_STATUS_OK;
}

// This lane's share of `count` words from offset `at` becomes 0.
inline void ClearWords(Lane &lane, int32_t *words, uint32_t at, uint32_t count) {
  const uint32_t last = lane.Last(count);
ClearWords_Word:
  for (uint32_t i = lane.First(count); i < last; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
#pragma HLS PIPELINE II = 1
    WriteWord(words, at + 4 * i, 0);
  }
}

// dbias[k] = sum of the errors of channel k (1.7 step 5).
inline void BiasGradient(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram, int32_t *words,
                         const strop_command &c) {
  const StreamPass sums = PassOver(StreamKind::kBiasGradient, c, OutputShape(c), 1);
  STROP_ON_LANES(machine, c.channels_out, ClearWords(lane, words, c.grad_beta, c.channels_out));
  STROP_ON_LANES(machine, BytesOf(sums.shape), StreamShare(lane, maps, filters, dram, words, c, sums));
}

// CONV_WEIGHT_GRADIENT: 1.7 step 5.
inline uint32_t ConvWeightGradient(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram,
                                   int32_t *words, const strop_command &c) {
  Pass p = WeightGradientPass(kShape, c);
  DivideRows(p, STROP_LANE_COUNT(machine));
  if (!SharesWholeResults(p, STROP_LANE_COUNT(machine))) {
    const uint32_t count = c.channels_out * (c.channels_in / c.groups) * c.kernel_h * c.kernel_w;
    STROP_ON_LANES(machine, count, ClearWords(lane, words, c.target, count));
  }
  STROP_ON_LANES(machine, WorkOf(c), MacPass(lane, maps, filters, dram, words, p));
  const int32_t source_exponent = ReadWord(words, c.source_2_exponent);
  // an error before L1BN has an exponent a channel; the map that a transposed convolution reads has one
  const uint32_t step = (c.flags & (STROP_FLAG_BIAS | STROP_FLAG_TRANSPOSED)) ? 0 : 4;
ConvWeightGradient_Exponent:
  for (uint32_t k = 0; k < c.channels_out; ++k) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
    const int32_t error_exponent = ReadWord(words, c.source_exponent + step * k);
    WriteWord(words, c.target_exponent + 4 * k, error_exponent + source_exponent);
  }
  if (c.flags & STROP_FLAG_BIAS) BiasGradient(machine, maps, filters, dram, words, c);
  return STROP_STATUS_OK;
}

}  // namespace strop

#endif  // STROP_CONVOLUTION_HPP
