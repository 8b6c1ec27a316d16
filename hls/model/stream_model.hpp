// The streaming passes, step by step as stream_pass.hpp runs them: rows come in through three ports, are worked on, and leave.
#ifndef STROP_MODEL_STREAM_MODEL_HPP
#define STROP_MODEL_STREAM_MODEL_HPP

#include "../stream_pass.hpp"
#include "cost.hpp"

namespace strop {
namespace model {

// Words of `count` per-channel values or more, for each channel of a quad.
inline void QuadBurst(Stage &stage, const strop_board &board, Way way, const MapShape &shape, uint32_t quad,
                      uint32_t times = 1, uint32_t values = 1) {
  Stage burst = {};
  BurstWords(burst, board, way, ChannelsIn(shape, quad) * values);
  AddTimes(stage, burst, times);
}

// HandOnExponents.
inline void HandOnModel(Stage &words, const strop_board &board, const strop_command &c, const MapShape &shape) {
  if ((c.flags & STROP_FLAG_EXPONENT_PER_ROW) == 0) return Single(words, 2);
  for (uint32_t quad = 0; quad < shape.quads; ++quad) {
    QuadBurst(words, board, Way::kRead, shape, quad);
    QuadBurst(words, board, Way::kWrite, shape, quad);
  }
}

// OpenQuad.
inline void OpenQuadModel(Stage &work, const strop_board &board, const strop_command &c, const StreamPass &pass,
                          uint32_t quad) {
  const bool gradient = pass.kind == StreamKind::kGradient || pass.kind == StreamKind::kGradientLargest;
  if (pass.kind == StreamKind::kDeviation) {
    QuadBurst(work, board, Way::kRead, pass.shape, quad, (c.flags & STROP_FLAG_RUNNING) ? 3 : 1);
    Work(work, kQuad * kLongDivision);
  }
  if (pass.kind == StreamKind::kNormalize || gradient) {
    QuadBurst(work, board, Way::kRead, pass.shape, quad, 1, kStatisticWords);
    QuadBurst(work, board, Way::kRead, pass.shape, quad, gradient ? (HasConstantStatistics(c) ? 0 : 2) : 1);
  }
  if (gradient) Work(work, kQuad * 3 * kLongDivision);
  if (IsDithered(pass.kind)) Loop(work, kWordBytes);  // FindDither
}

// CloseQuad.
inline void CloseQuadModel(Stage &work, const strop_board &board, const StreamPass &pass, uint32_t quad) {
  uint32_t sums = 0;
  if (pass.kind == StreamKind::kSum || pass.kind == StreamKind::kBiasGradient) sums = 1;
  if (pass.kind == StreamKind::kGradientSums) sums = 2;
  if (pass.kind == StreamKind::kDeviation) sums = 3;
  QuadBurst(work, board, Way::kWrite, pass.shape, quad, sums);
}

// Cycles of a word: looking up values takes longer than a port does.
inline uint32_t SpanCycles(const strop_board &board, StreamKind kind) {
  const bool by_table = kind == StreamKind::kActivate || kind == StreamKind::kActivateGradient;
  return by_table ? kTableCycles : WordCycles(board);
}

// MaxOverRows: each row of a port, tap by tap.
inline void MaxOverRowsModel(Stage &work, const strop_board &board, const strop_command &c, const Part &part,
                             const Rows &rows) {
  Stage row = {};
  for (uint32_t s = 0; s < c.kernel_w; ++s) {
    const AxisRange inside = WindowsInside(s, c.stride_w, c.pad_left, c.width_in, part.end);
    const uint32_t first = Larger(inside.first, part.begin);
    if (first < inside.last) Loop(row, inside.last - first, WordCycles(board));
  }
  AddTimes(work, row, rows.rows);
}

// SumOverRectangles.
inline void WindowSumModel(Stage &work, const strop_board &board, const strop_command &c, const StreamPass &pass,
                           const Step &step) {
  const bool forward = c.opcode == STROP_OP_AVERAGE_POOL_FORWARD;
  if (!forward) Loop(work, kWordBytes);  // FindDither
  if (SumsPlain2x2(c)) {
    Loop(work, step.target.words, WordCycles(board));
    return;
  }
  for (uint32_t x = step.part.begin; x < step.part.end; ++x) {
    const uint32_t columns = LengthOf(SummedColumns(c, x));
    if (columns > 0) Nest(work, step.a.rows + step.b.rows + step.d.rows, columns, WordCycles(board));
    if (forward) Loop(work, kWordBytes + kDivision);  // divisions follow each other
    if (!forward && pass.factor != 1) Loop(work, kWordBytes);
    if (!forward) Loop(work, 1, WordCycles(board));
  }
}

// RepeatOverPart.
inline void RepeatModel(Stage &work, const strop_board &board, const strop_command &c, const Step &step) {
  const uint32_t repeated = RepeatedWords(c, step.part, step.a);
  Loop(work, repeated, WordCycles(board));
  Loop(work, step.part.end - step.part.begin - repeated, WordCycles(board));
}

// WorkOnStep.
inline void WorkOnStepModel(Stage &work, const strop_board &board, const strop_command &c, const StreamPass &pass,
                            const Step &step) {
  const uint32_t words = step.part.end - step.part.begin;
  switch (pass.kind) {
    case StreamKind::kMaxPool:
      Loop(work, step.target.words, WordCycles(board));
      if (IsPlain2x2(c)) break;
      MaxOverRowsModel(work, board, c, step.part, step.a);
      MaxOverRowsModel(work, board, c, step.part, step.b);
      MaxOverRowsModel(work, board, c, step.part, step.d);
      break;
    case StreamKind::kMaxPoolGradient:
      Loop(work, words, 2 * WordCycles(board));  // four words a window, two at once
      break;
    case StreamKind::kAverage:
      Loop(work, kWordBytes);
      Loop(work, words, WordCycles(board));
      if (step.part.end == pass.shape.map) Loop(work, kWordBytes + kDivision);  // divisions follow each other
      break;
    case StreamKind::kAverageGradient:
      Loop(work, kWordBytes);  // FindDither
      Loop(work, kWordBytes);
      Loop(work, kWordBytes);  // ScaleWord
      Loop(work, words, WordCycles(board));
      break;
    case StreamKind::kWindowSum:
      WindowSumModel(work, board, c, pass, step);
      break;
    case StreamKind::kRepeat:
      RepeatModel(work, board, c, step);
      break;
    default:
      if (step.span.opens) OpenQuadModel(work, board, c, pass, step.span.quad);
      Loop(work, step.span.count, SpanCycles(board, pass.kind));
      if (step.span.closes) CloseQuadModel(work, board, pass, step.span.quad);
  }
}

inline uint64_t WordsIn(const Rows &rows) { return uint64_t{rows.rows} * rows.words; }

// StreamShare.
inline void StreamModel(Cost &cost, const TileShape &shape, const strop_board &board, const strop_command &c,
                        StreamPass pass) {
  pass.shape.step = shape.row_words;
  const Division division = DivisionOf(c, pass);
  const uint32_t steps = division.items * division.steps;
  Overlap overlap = {};
  for (uint32_t index = 0; index < steps; ++index) {
    const Step step = StepAt(c, pass, index, 0, steps);
    Stage load = {};
    Stage work = {};
    Stage store = {};
    for (const Rows &rows : {step.a, step.b, step.d}) {  // side by side
      Stage port = {};
      EachWord(port, board, Way::kRead, WordsIn(rows));
      Move(load, Way::kRead, port.bytes);
      load.cycles = Later(load.cycles, port.cycles);
      load.waits = Later(load.waits, port.waits);
    }
    WorkOnStepModel(work, board, c, pass, step);
    EachWord(store, board, Way::kWrite, WordsIn(step.target));
    Meet(overlap, cost, 3, load, work, store);  // LineAt: three divisions
  }
  cost.cycles += overlap.stored[0];
}

}  // namespace model
}  // namespace strop

#endif  // STROP_MODEL_STREAM_MODEL_HPP
