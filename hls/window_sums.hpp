// What a streaming pass computes whose target words are sums over rectangles of source words, or repeated source words: average pooling
// and upsampling, forward and backward (NUMERICS.md 1.16).
#ifndef STROP_WINDOW_SUMS_HPP
#define STROP_WINDOW_SUMS_HPP

#include "pool_work.hpp"

namespace strop {

// The forward operations read [H][W] and write [P][Q], the backward ones the other way round.
inline bool WritesOutput(const strop_command &c) {
  return c.opcode == STROP_OP_AVERAGE_POOL_FORWARD || c.opcode == STROP_OP_UPSAMPLE_FORWARD;
}
inline uint32_t SourceHeight(const strop_command &c) { return WritesOutput(c) ? c.height_in : c.height_out; }
inline uint32_t SourceWidth(const strop_command &c) { return WritesOutput(c) ? c.width_in : c.width_out; }
inline uint32_t TargetHeight(const strop_command &c) { return WritesOutput(c) ? c.height_out : c.height_in; }
inline uint32_t TargetWidth(const strop_command &c) { return WritesOutput(c) ? c.width_out : c.width_in; }
inline MapShape TargetShape(const strop_command &c) {
  return ShapeOf(c.channels_in, c.batch, TargetHeight(c) * TargetWidth(c));
}

inline Rows RowOfTarget(const strop_command &c, const Part &part) {
  const uint32_t map = MapAt(c.target, c.target_plane, part.line, TargetHeight(c) * TargetWidth(c));
  return OneRow(map + (part.line.row * TargetWidth(c) + part.begin) * kWordBytes, part.end - part.begin);
}

// ---- sums over rectangles ---------------------------------------------------------------------------------------------

// The source positions that target position `at` sums over, along one axis; none: last <= first.
inline AxisRange SummedRange(uint32_t opcode, uint32_t at, uint32_t stride, uint32_t kernel, uint32_t pad,
                             uint32_t size) {
  if (opcode == STROP_OP_AVERAGE_POOL_FORWARD) return WindowRange(at, stride, pad, kernel, size);
  if (opcode == STROP_OP_AVERAGE_POOL_BACKWARD) return WindowsOver(at + pad, stride, kernel, size);
  return {at * stride, (at + 1) * stride};
}

inline AxisRange SummedRows(const strop_command &c, uint32_t y) {
  return SummedRange(c.opcode, y, c.stride_h, c.kernel_h, c.pad_top, SourceHeight(c));
}
inline AxisRange SummedColumns(const strop_command &c, uint32_t x) {
  return SummedRange(c.opcode, x, c.stride_w, c.kernel_w, c.pad_left, SourceWidth(c));
}

inline uint32_t LengthOf(const AxisRange &range) { return range.last > range.first ? range.last - range.first : 0; }

// Source rows under a target row that come in through one port, at most.
inline uint32_t SummedPortRows(const strop_command &c) {
  if (c.opcode == STROP_OP_AVERAGE_POOL_FORWARD) return CeilDivide(c.kernel_h, kPorts);
  if (c.opcode == STROP_OP_AVERAGE_POOL_BACKWARD) return CeilDivide(CeilDivide(c.kernel_h, c.stride_h), kPorts);
  return CeilDivide(c.stride_h, kPorts);
}

// Target words of a row that are summed at once, so that what they sum over fits on chip.
inline uint32_t SummedAtOnce(const strop_command &c, const MapShape &shape) {
  const uint32_t columns = shape.step / SummedPortRows(c);
  uint32_t most = columns / c.stride_w;
  if (c.opcode == STROP_OP_AVERAGE_POOL_FORWARD) most = (columns - c.kernel_w) / c.stride_w + 1;
  if (c.opcode == STROP_OP_AVERAGE_POOL_BACKWARD) most = columns * c.stride_w - c.kernel_w + 1;
  return Smaller(most, shape.step);
}

inline uint32_t SummedParts(const strop_command &c, const MapShape &shape) {
  return CeilDivide(TargetWidth(c), SummedAtOnce(c, shape));
}

inline Part SummedPart(const strop_command &c, const MapShape &shape, uint32_t index) {
  const uint32_t parts = SummedParts(c, shape);
  const uint32_t begin = index % parts * SummedAtOnce(c, shape);
  const uint32_t end = Smaller(begin + SummedAtOnce(c, shape), TargetWidth(c));
  return {LineAt(shape, TargetHeight(c), index / parts), begin, end, SummedColumns(c, begin).first};
}

// The source rows of a part that come in through port `port`.
inline Rows SummedSource(const strop_command &c, const Part &part, uint32_t port) {
  const uint32_t map = MapAt(c.source, c.source_plane, part.line, SourceHeight(c) * SourceWidth(c));
  const AxisRange rows = SummedRows(c, part.line.row);
  const uint32_t columns = LengthOf({part.column, SummedColumns(c, part.end - 1).last});
  const uint32_t first = Smaller(rows.first + port * SummedPortRows(c), rows.last);
  const uint32_t count = columns > 0 ? Smaller(SummedPortRows(c), LengthOf({first, rows.last})) : 0;
  return {map + (first * SourceWidth(c) + part.column) * kWordBytes, count, columns, SourceWidth(c) * kWordBytes};
}

// Sums of 2x2 words, all whole: both ways a loop of their own.
inline bool SumsPlain2x2(const strop_command &c) {
  return c.opcode == STROP_OP_UPSAMPLE_BACKWARD ? c.stride_h == 2 && c.stride_w == 2
                                                : c.opcode == STROP_OP_AVERAGE_POOL_FORWARD && IsPlain2x2(c);
}

// What the sums of a target word become.
inline void FinishSum(Lane &lane, const strop_command &c, const StreamPass &pass, const Part &part, uint32_t x,
                      int32_t sum[kWordBytes], const QuadDither &dither, int8_t *target) {
  (void)lane;
  if (c.opcode == STROP_OP_AVERAGE_POOL_FORWARD) {
    STROP_LEAF(lane, MeansOfWord)(sum, 0, c.kernel_h * c.kernel_w, target);
    return;
  }
  if (pass.factor != 1) ScaleWord(sum, pass.factor);
  const uint32_t word = part.line.group * pass.shape.map + part.line.row * TargetWidth(c) + x;
  STROP_LEAF(lane, SpreadDithered)(sum, target, 1, pass.shift, dither, word);
}

// Words of a row of one port are added to `sum`, `columns` at each of its rows.
inline void SumRowsOfPort(Lane &lane, const Rows &rows, const int8_t *source, uint32_t column, uint32_t columns,
                          int32_t sum[kWordBytes]) {
  (void)lane;
SumRowsOfPort_Row:
  for (uint32_t row = 0; row < rows.rows; ++row) {
#pragma HLS LOOP_TRIPCOUNT min = 0 max = 5
    STROP_LEAF(lane, SumPositions)(source + row * PitchOf(rows) + column * kWordBytes, columns, sum);
  }
}

// One position at a time, so that nothing wider than int8 is stored.
inline void SumOverRectangles(Lane &lane, const strop_command &c, const StreamPass &pass, const Part &part,
                              const Rows source[kPorts], const int8_t *a, const int8_t *b, const int8_t *d,
                              int8_t *target, QuadDither &dither) {
  if (c.opcode != STROP_OP_AVERAGE_POOL_FORWARD) FindDither(pass.shape, part.line.quad, pass.off, dither);
  if (SumsPlain2x2(c)) {
    const uint32_t word = part.line.group * pass.shape.map + part.line.row * TargetWidth(c) + part.begin;
    STROP_LEAF(lane, QuarterSums)
    (a, b, target, part.end - part.begin, c.opcode == STROP_OP_UPSAMPLE_BACKWARD, dither, word);
    return;
  }
SumOverRectangles_Position:
  for (uint32_t x = part.begin; x < part.end; ++x) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 128
    const AxisRange across = SummedColumns(c, x);
    int32_t sum[kWordBytes];
#pragma HLS ARRAY_PARTITION variable = sum complete
  SumOverRectangles_Clear:
    for (uint32_t i = 0; i < kWordBytes; ++i) {
#pragma HLS UNROLL
      sum[i] = 0;
    }
    const uint32_t columns = LengthOf(across);
    if (columns > 0) {
      SumRowsOfPort(lane, source[0], a, across.first - part.column, columns, sum);
      SumRowsOfPort(lane, source[1], b, across.first - part.column, columns, sum);
      SumRowsOfPort(lane, source[2], d, across.first - part.column, columns, sum);
    }
    FinishSum(lane, c, pass, part, x, sum, dither, target + (x - part.begin) * kWordBytes);
  }
}

// ---- repeated words ---------------------------------------------------------------------------------------------------

// Backward of average pooling whose windows lie side by side and have 2^n positions: each has the error itself (1.10), words beyond the
// last window 0.
inline bool RepeatsErrors(const strop_command &c) {
  const uint32_t area = c.kernel_h * c.kernel_w;
  const bool tiles = c.stride_h == c.kernel_h && c.stride_w == c.kernel_w && c.pad_top == 0 && c.pad_left == 0;
  return c.opcode == STROP_OP_AVERAGE_POOL_BACKWARD && tiles && (area & (area - 1)) == 0;
}

inline uint32_t RepeatedAtOnce(const strop_command &c, const MapShape &shape) {
  return shape.step / c.stride_w * c.stride_w;
}

inline uint32_t RepeatedParts(const strop_command &c, const MapShape &shape) {
  return CeilDivide(TargetWidth(c), RepeatedAtOnce(c, shape));
}

// `column` is that of the source.
inline Part RepeatedPart(const strop_command &c, const MapShape &shape, uint32_t index) {
  const uint32_t parts = RepeatedParts(c, shape);
  const uint32_t begin = index % parts * RepeatedAtOnce(c, shape);
  const uint32_t end = Smaller(begin + RepeatedAtOnce(c, shape), TargetWidth(c));
  return {LineAt(shape, TargetHeight(c), index / parts), begin, end, begin / c.stride_w};
}

inline Rows RepeatedSource(const strop_command &c, const Part &part) {
  const uint32_t map = MapAt(c.source, c.source_plane, part.line, SourceHeight(c) * SourceWidth(c));
  const uint32_t row = part.line.row / c.stride_h;
  const uint32_t columns = LengthOf({part.column, Smaller(CeilDivide(part.end, c.stride_w), SourceWidth(c))});
  const uint32_t rows = row < SourceHeight(c) && columns > 0 ? 1 : 0;
  return {map + (row * SourceWidth(c) + part.column) * kWordBytes, rows, columns, 0};
}

// Words of a part that repeat source words: the others are 0.
inline uint32_t RepeatedWords(const strop_command &c, const Part &part, const Rows &source) {
  return Smaller(source.rows * source.words * c.stride_w, part.end - part.begin);
}

inline void RepeatOverPart(Lane &lane, const strop_command &c, const Part &part, const Rows &source, const int8_t *a,
                           int8_t *target) {
  (void)lane;
  const uint32_t repeated = RepeatedWords(c, part, source);
  const uint32_t rest = part.end - part.begin - repeated;
  if (repeated > 0) STROP_LEAF(lane, RepeatWords)(a, c.stride_w, target, repeated);
  if (rest > 0) STROP_LEAF(lane, FillWords)(target + repeated * kWordBytes, rest, 0);
}

}  // namespace strop

#endif  // STROP_WINDOW_SUMS_HPP
