// One streaming pass: step by step, rows of up to three maps come in, each through a port of its own, and the rows that are computed
// from them leave through a fourth. While one step is computed, the next one's rows are read and the last one's written. All
// operations on maps but convolution run through this one loop, so that the hardware has its buffers once.
#ifndef STROP_STREAM_PASS_HPP
#define STROP_STREAM_PASS_HPP

#include "window_sums.hpp"

namespace strop {

struct Step {
  Span span;  // of a pass over whole maps
  Part part;  // of a pass over windows
  Rows a, b, d;
  Rows target;
};

inline Step SpanStep(const StreamPass &pass, const Span &span) {
  const Rows none = {0, 0, 0, 0};
  return {span,
          {{0, 0, 0}, 0, 0, 0},
          RowOf(pass.source[0], span),
          pass.sources > 1 ? RowOf(pass.source[1], span) : none,
          pass.sources > 2 ? RowOf(pass.source[2], span) : none,
          HasTarget(pass.kind) ? RowOf(pass.target, span) : none};
}

// What is divided among the lanes, and the steps of each.
struct Division {
  uint32_t items;
  uint32_t steps;
};

inline Division DivisionOf(const strop_command &c, const StreamPass &pass) {
  switch (pass.kind) {
    case StreamKind::kMaxPool:
      return {LinesOf(pass.shape, c.height_out), MaxPoolParts(c, pass.shape)};
    case StreamKind::kMaxPoolGradient:
      return {LinesOf(pass.shape, c.height_out), PlainParts(c, pass.shape)};
    case StreamKind::kAverage:
    case StreamKind::kAverageGradient:
      return {LinesOf(pass.shape, 1), MapParts(pass.shape)};
    case StreamKind::kWindowSum:
      return {LinesOf(pass.shape, TargetHeight(c)), SummedParts(c, pass.shape)};
    case StreamKind::kRepeat:
      return {LinesOf(pass.shape, TargetHeight(c)), RepeatedParts(c, pass.shape)};
    default:
      return {SpansOf(pass.shape), 1};
  }
}

inline Step StepAt(const strop_command &c, const StreamPass &pass, uint32_t index, uint32_t begin, uint32_t end) {
  const Rows none = {0, 0, 0, 0};
  const Span span = {0, 0, 0, 0, false, false};
  switch (pass.kind) {
    case StreamKind::kMaxPool: {
      const Part part = MaxPoolPart(c, pass.shape, index);
      return {span,
              part,
              MaxPoolSource(c, part, 0),
              MaxPoolSource(c, part, 1),
              MaxPoolSource(c, part, 2),
              MaxPoolTarget(c, part)};
    }
    case StreamKind::kMaxPoolGradient: {
      const Part part = PlainPart(c, pass.shape, index);
      return {
          span, part, PlainError(c, part), PlainRows(c, pass.source[1], part), none, PlainRows(c, pass.target, part)};
    }
    case StreamKind::kAverage: {
      const Part part = MapPart(pass.shape, index);
      const bool last = part.end == pass.shape.map;
      return {span, part, PartOfMap(pass.source[0], pass.shape, part),
              none, none, last ? WordOfMap(pass.target, part) : none};
    }
    case StreamKind::kAverageGradient: {
      const Part part = MapPart(pass.shape, index);
      return {span, part, WordOfMap(pass.source[0], part), none, none, PartOfMap(pass.target, pass.shape, part)};
    }
    case StreamKind::kWindowSum: {
      const Part part = SummedPart(c, pass.shape, index);
      return {span,
              part,
              SummedSource(c, part, 0),
              SummedSource(c, part, 1),
              SummedSource(c, part, 2),
              RowOfTarget(c, part)};
    }
    case StreamKind::kRepeat: {
      const Part part = RepeatedPart(c, pass.shape, index);
      return {span, part, RepeatedSource(c, part), none, none, RowOfTarget(c, part)};
    }
    default:
      return SpanStep(pass, SpanAt(pass.shape, index, begin, end));
  }
}

inline void WorkOnStep(Lane &lane, int32_t *words, const strop_command &c, const StreamPass &pass, const Step &step,
                       const int8_t *a, const int8_t *b, const int8_t *d, int8_t *y, QuadState &state) {
  if (pass.kind == StreamKind::kMaxPool && IsPlain2x2(c)) {
    STROP_LEAF(lane, MaxPool2x2)(a, b, y, step.target.words);
  } else if (pass.kind == StreamKind::kMaxPool) {
    // below every value; each window has a position inside the map
    STROP_LEAF(lane, FillWords)(y, step.target.words, -128);
    MaxOverRows(lane, c, step.part, step.a, a, y);
    MaxOverRows(lane, c, step.part, step.b, b, y);
    MaxOverRows(lane, c, step.part, step.d, d, y);
  } else if (pass.kind == StreamKind::kMaxPoolGradient) {
    STROP_LEAF(lane, MaxPoolBackward2x2)
    (a, b, b + PitchOf(step.b), y, y + PitchOf(step.target), step.a.words);
  } else if (pass.kind == StreamKind::kAverage) {
    AverageOverPart(lane, pass.shape, step.part, c.exponent, a, y, state.of_byte);
  } else if (pass.kind == StreamKind::kAverageGradient) {
    SpreadOverPart(lane, pass.shape, step.part, pass.off, a, y, state.of_byte, state.dither);
  } else if (pass.kind == StreamKind::kWindowSum) {
    const Rows source[kPorts] = {step.a, step.b, step.d};
    SumOverRectangles(lane, c, pass, step.part, source, a, b, d, y, state.dither);
  } else if (pass.kind == StreamKind::kRepeat) {
    RepeatOverPart(lane, c, step.part, step.a, a, y);
  } else {
    WorkOnSpan(lane, words, c, pass, step.span, a, b, d, y, state);
  }
}

// The steps of a pass that fall to this lane.
inline void StreamShare(Lane &lane, const int8_t *maps, const int8_t *filters, int8_t *dram, int32_t *words,
                        const strop_command &c, const StreamPass &pass) {
#pragma HLS INLINE off
  const Division division = DivisionOf(c, pass);
  const uint32_t begin = lane.First(division.items) * division.steps;
  const uint32_t end = lane.Last(division.items) * division.steps;
  QuadState state = {};
StreamShare_Step:
  for (uint32_t index = begin; index < end; ++index) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 65536
#pragma HLS DATAFLOW
    const Step step = StepAt(c, pass, index, begin, end);
#if STROP_HARDWARE
    alignas(64) int8_t a[kStreamBytes];
    alignas(64) int8_t b[kStreamBytes];
    alignas(64) int8_t d[kStreamBytes];
    alignas(64) int8_t y[kStreamBytes];
#pragma HLS ARRAY_RESHAPE variable = a type = cyclic factor = kPortBytes
#pragma HLS ARRAY_RESHAPE variable = b type = cyclic factor = kPortBytes
#pragma HLS ARRAY_RESHAPE variable = d type = cyclic factor = kPortBytes
#pragma HLS ARRAY_RESHAPE variable = y type = cyclic factor = kPortBytes
    ReadRows(a, maps, step.a);
    ReadRows(b, filters, step.b);
    ReadRows(d, dram, step.d);
    WorkOnStep(lane, words, c, pass, step, a, b, d, y, state);
    WriteRows(dram, step.target, y);
#else
    WorkOnStep(lane, words, c, pass, step, maps + step.a.offset, filters + step.b.offset, dram + step.d.offset,
               dram + step.target.offset, state);
#endif
  }
}

}  // namespace strop

#endif  // STROP_STREAM_PASS_HPP
