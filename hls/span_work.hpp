// What a streaming pass over the words of whole maps computes: the passes of L1BN (NUMERICS.md 1.3, 1.7), the residual sums (1.11) and
// activations by table (1.15).
#ifndef STROP_SPAN_WORK_HPP
#define STROP_SPAN_WORK_HPP

#include "channel_norm.hpp"
#include "stream_rows.hpp"

namespace strop {

enum class StreamKind {
  kSum,               // L1BN forward: the sum of each channel of a
  kDeviation,         // what is above its mean, and what equals it
  kNormalize,         // y from a
  kGradientSums,      // L1BN backward: S1 and S2 from error a, input b and output d
  kGradientLargest,   // largest v of Eq. 20
  kGradient,          // v, shifted and dithered
  kAdd,               // y from a and b
  kBiasGradient,      // of a layer without L1BN: the sum of each channel of error a
  kMask,              // error a where output b lets it pass
  kAddGradient,       // coarse a and fine b, dithered
  kActivate,          // f(a) by the lane's table
  kActivateGradient,  // error a by the table's slope at b, dithered
  kMaxPool,           // pool_work.hpp
  kMaxPoolGradient,
  kAverage,
  kAverageGradient,
  kWindowSum,  // window_sums.hpp
  kRepeat
};

struct StreamPass {
  StreamKind kind;
  MapShape shape;
  uint32_t sources;
  MapPlace source[3];
  MapPlace target;
  int32_t shift;    // of the dithered result, or of a in kAdd
  int32_t shift_b;  // kAdd
  uint32_t off;     // draw of the dither
  bool first_step;  // kDeviation: the running statistics are not set yet
  int32_t factor;   // kWindowSum: of a sum, before the shift
};

inline StreamPass PassOver(StreamKind kind, const strop_command &c, const MapShape &shape, uint32_t sources) {
  return {kind,
          shape,
          sources,
          {{c.source, c.source_plane}, {c.source_2, c.source_2_plane}, {c.source_3, c.source_3_plane}},
          {c.target, c.target_plane},
          0,
          0,
          0,
          false,
          1};
}

inline bool HasTarget(StreamKind kind) {
  return kind != StreamKind::kSum && kind != StreamKind::kDeviation && kind != StreamKind::kGradientSums &&
         kind != StreamKind::kGradientLargest && kind != StreamKind::kBiasGradient;
}

inline bool IsDithered(StreamKind kind) {
  return kind == StreamKind::kGradient || kind == StreamKind::kAddGradient || kind == StreamKind::kActivateGradient;
}

// What stays on chip from span to span of a quad: its constants and what is summed over it.
struct QuadState {
  QuadNorm norm;
  QuadGradient gradient;
  QuadDither dither;
  int32_t threshold[kQuad];
  QuadAbove found;
  int32_t sum[kQuad];
  int32_t sum_2[kQuad];
  int32_t of_byte[kWordBytes];  // average pooling: of each image and channel
};

inline void OpenQuad(const int32_t *words, const strop_command &c, const StreamPass &pass, uint32_t quad,
                     QuadState &state) {
  const MapShape &shape = pass.shape;
OpenQuad_Channel:
  for (uint32_t j = 0; j < kQuad; ++j) {
#pragma HLS UNROLL
    state.sum[j] = 0;
    state.sum_2[j] = 0;
    state.found.sum[j] = 0;
    state.found.above[j] = 0;
    state.found.equal[j] = 0;
  }
  if (pass.kind == StreamKind::kDeviation) {
    FindThresholds(words, c, shape, quad, pass.first_step, state.threshold);
  } else if (pass.kind == StreamKind::kNormalize) {
    FindNorm(words, c, shape, quad, state.norm);
  } else if (pass.kind == StreamKind::kGradient || pass.kind == StreamKind::kGradientLargest) {
    FindGradient(words, c, shape, quad, state.gradient);
  }
  if (IsDithered(pass.kind)) FindDither(shape, quad, pass.off, state.dither);
}

// `shared`: other lanes may have a part of the quad.
inline void CloseQuad(int32_t *words, const strop_command &c, const StreamPass &pass, uint32_t quad, bool shared,
                      const QuadState &state) {
  const uint32_t channels = ChannelsIn(pass.shape, quad);
  if (pass.kind == StreamKind::kSum) {
    PutSums(words, MeasuredAt(c, pass.shape, quad, Measured::kSum), state.sum, channels, shared);
  } else if (pass.kind == StreamKind::kDeviation) {
    PutSums(words, MeasuredAt(c, pass.shape, quad, Measured::kSumAbove), state.found.sum, channels, shared);
    PutSums(words, MeasuredAt(c, pass.shape, quad, Measured::kCountAbove), state.found.above, channels, shared);
    PutSums(words, MeasuredAt(c, pass.shape, quad, Measured::kCountEqual), state.found.equal, channels, shared);
  } else if (pass.kind == StreamKind::kBiasGradient) {
    PutSums(words, c.grad_beta + 4 * quad * kQuad, state.sum, channels, shared);
  } else if (pass.kind == StreamKind::kGradientSums) {
    PutSums(words, c.grad_beta + 4 * quad * kQuad, state.sum, channels, shared);
    PutSums(words, c.grad_gamma + 4 * quad * kQuad, state.sum_2, channels, shared);
  }
}

// Bytes that stand for no image are 0 and were counted like values: taken off here.
inline void LeaveOutAbsent(const Span &span, QuadState &state) {
  const int32_t absent = static_cast<int32_t>(span.count * (kImages - span.images));
LeaveOutAbsent_Channel:
  for (uint32_t j = 0; j < kQuad; ++j) {
#pragma HLS UNROLL
    state.found.above[j] -= state.threshold[j] < 0 ? absent : 0;
    state.found.equal[j] -= state.threshold[j] == 0 ? absent : 0;
  }
}

// Rows a, b and d of the sources give row y of the target.
inline void WorkOnSpan(Lane &lane, int32_t *words, const strop_command &c, const StreamPass &pass, const Span &span,
                       const int8_t *a, const int8_t *b, const int8_t *d, int8_t *y, QuadState &state) {
  if (span.opens) OpenQuad(words, c, pass, span.quad, state);
  switch (pass.kind) {
    case StreamKind::kSum:
    case StreamKind::kBiasGradient:
      STROP_LEAF(lane, SumWords)(a, span.count, state.sum);
      break;
    case StreamKind::kDeviation:
      STROP_LEAF(lane, CountAbove)(a, span.count, state.threshold, state.found);
      LeaveOutAbsent(span, state);
      break;
    case StreamKind::kNormalize:
      STROP_LEAF(lane, NormalizeWords)(a, y, span.count, span.images, state.norm);
      break;
    case StreamKind::kGradientSums:
      STROP_LEAF(lane, MaskedSums)(a, d, b, span.count, LowerClamp(c), state.sum, state.sum_2);
      break;
    case StreamKind::kGradientLargest:
      lane.max_abs =
          Larger(lane.max_abs, STROP_LEAF(lane, NormGradientMaxAbs)(a, d, b, span.count, span.images, state.gradient));
      break;
    case StreamKind::kGradient:
      STROP_LEAF(lane, NormGradientWords)
      (a, d, b, y, span.count, span.images, state.gradient, pass.shift, state.dither, span.first, lane.over, lane.half);
      break;
    case StreamKind::kAdd:
      STROP_LEAF(lane, AddWords)(a, b, y, span.count, pass.shift, pass.shift_b, LowerClamp(c));
      break;
    case StreamKind::kMask:
      STROP_LEAF(lane, MaskWords)(a, b, y, span.count, LowerClamp(c));
      break;
    case StreamKind::kAddGradient:
      STROP_LEAF(lane, AddDithered)(a, b, y, span.count, pass.shift, state.dither, span.first);
      break;
    case StreamKind::kActivate:
      STROP_LEAF(lane, ActivateWords)
      (a, y, span.count, span.images, ChannelsIn(pass.shape, span.quad), lane.tiles.strip);
      break;
    case StreamKind::kActivateGradient:
      STROP_LEAF(lane, ActivationGradientWords)
      (a, b, y, span.count, lane.tiles.strip, state.dither, span.first);
      break;
    default:  // windows
      break;
  }
  if (span.closes) CloseQuad(words, c, pass, span.quad, lane.count > 1, state);
}

}  // namespace strop

#endif  // STROP_SPAN_WORK_HPP
