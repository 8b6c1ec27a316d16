// Residual sums: a map that is read twice, and where the two branches meet again (NUMERICS.md 1.11).
#ifndef STROP_RESIDUAL_HPP
#define STROP_RESIDUAL_HPP

#include "l1bn.hpp"

namespace strop {

constexpr int32_t kMaxAddShift = 24;

inline void AddForwardShare(Lane &lane, int8_t *dram, const strop_command &c, const MapShape &shape, int32_t shift_a,
                            int32_t shift_b) {
  const uint32_t last = lane.Last(WordsOf(shape));
AddForward_Span:
  for (uint32_t at = lane.First(WordsOf(shape)); at < last; at = AfterSpan(shape, at, last)) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 65536
    const Span span = SpanAt(shape, at, last);
    const uint32_t target = OffsetOf(c.target, c.target_plane, span);
    STROP_READ_ROW(a, lane.tiles.row[0], dram, OffsetOf(c.source, c.source_plane, span), BytesIn(span));
    STROP_READ_ROW(b, lane.tiles.row[1], dram, OffsetOf(c.source_2, c.source_2_plane, span), BytesIn(span));
    STROP_WRITE_ROW(y, lane.tiles.row[2], dram, target);
    STROP_LEAF(lane, AddWords)(a, b, y, span.count, shift_a, shift_b, LowerClamp(c));
    STROP_FLUSH_ROW(y, dram, target, BytesIn(span));
  }
}

inline uint32_t AddForward(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c) {
  const MapShape shape = OutputShape(c);
  const int32_t shift_a = ReadWord(words, c.source_exponent) - c.exponent;
  const int32_t shift_b = ReadWord(words, c.source_2_exponent) - c.exponent;
  STROP_ON_LANES(machine, BytesOf(shape), AddForwardShare(lane, dram, c, shape, shift_a, shift_b));
  WriteWord(words, c.target_exponent, c.exponent);
  return STROP_STATUS_OK;
}

inline void AddBackwardShare(Lane &lane, int8_t *dram, const strop_command &c, const MapShape &shape) {
  const uint32_t last = lane.Last(WordsOf(shape));
AddBackward_Span:
  for (uint32_t at = lane.First(WordsOf(shape)); at < last; at = AfterSpan(shape, at, last)) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 65536
    const Span span = SpanAt(shape, at, last);
    const uint32_t target = OffsetOf(c.target, c.target_plane, span);
    STROP_READ_ROW(error, lane.tiles.row[0], dram, OffsetOf(c.source, c.source_plane, span), BytesIn(span));
    STROP_READ_ROW(y, lane.tiles.row[1], dram, OffsetOf(c.source_2, c.source_2_plane, span), BytesIn(span));
    STROP_WRITE_ROW(passed, lane.tiles.row[2], dram, target);
    STROP_LEAF(lane, MaskWords)(error, y, passed, span.count, LowerClamp(c));
    STROP_FLUSH_ROW(passed, dram, target, BytesIn(span));
  }
}

inline uint32_t AddBackward(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c) {
  const MapShape shape = OutputShape(c);
  STROP_ON_LANES(machine, BytesOf(shape), AddBackwardShare(lane, dram, c, shape));
  WriteWord(words, c.target_exponent, ReadWord(words, c.source_exponent));
  return STROP_STATUS_OK;
}

// A gradient map where it lies.
struct Summand {
  uint32_t offset;
  uint32_t plane;
};

inline void AddGradientShare(Lane &lane, int8_t *dram, const strop_command &c, const MapShape &shape,
                             const Summand &coarse, const Summand &fine, int32_t shift, uint32_t off) {
  const uint32_t last = lane.Last(WordsOf(shape));
  QuadDither dither;
AddGradient_Span:
  for (uint32_t at = lane.First(WordsOf(shape)); at < last; at = AfterSpan(shape, at, last)) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 65536
    const Span span = SpanAt(shape, at, last);
    const uint32_t target = OffsetOf(c.target, c.target_plane, span);
    FindDither(shape, span.quad, off, dither);
    STROP_READ_ROW(a, lane.tiles.row[0], dram, OffsetOf(coarse.offset, coarse.plane, span), BytesIn(span));
    STROP_READ_ROW(b, lane.tiles.row[1], dram, OffsetOf(fine.offset, fine.plane, span), BytesIn(span));
    STROP_WRITE_ROW(sum, lane.tiles.row[2], dram, target);
    STROP_LEAF(lane, AddDithered)(a, b, sum, span.count, shift, dither, span.first);
    STROP_FLUSH_ROW(sum, dram, target, BytesIn(span));
  }
}

inline uint32_t AddGradient(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c) {
  const MapShape shape = OutputShape(c);
  const uint32_t dither = NextDither(words, c.dither);
  const int32_t first = ReadWord(words, c.source_exponent);
  const int32_t second = ReadWord(words, c.source_2_exponent);
  const Summand one = {c.source, c.source_plane};
  const Summand two = {c.source_2, c.source_2_plane};
  const bool first_is_coarse = first <= second;
  const Summand &coarse = first_is_coarse ? one : two;
  const Summand &fine = first_is_coarse ? two : one;
  const int32_t difference = first_is_coarse ? second - first : first - second;
  const int32_t shift = difference < kMaxAddShift ? difference : kMaxAddShift;
  STROP_ON_LANES(machine, BytesOf(shape), AddGradientShare(lane, dram, c, shape, coarse, fine, shift, dither));
  WriteWord(words, c.target_exponent, first_is_coarse ? first : second);
  return STROP_STATUS_OK;
}

}  // namespace strop

#endif  // STROP_RESIDUAL_HPP
