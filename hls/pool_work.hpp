// What a streaming pass over windows computes: max pooling and global average pooling (NUMERICS.md 1.3, 1.7, 1.10), and what other
// sums over windows share with them (window_sums.hpp).
#ifndef STROP_POOL_WORK_HPP
#define STROP_POOL_WORK_HPP

#include "span_work.hpp"

namespace strop {

// A line is one row of one quad and image group of a map: [quads][groups][rows].
struct Line {
  uint32_t quad;
  uint32_t group;
  uint32_t row;
};

inline uint32_t LinesOf(const MapShape &shape, uint32_t rows) { return shape.quads * shape.groups * rows; }

inline Line LineAt(const MapShape &shape, uint32_t rows, uint32_t index) {
  return {index / rows / shape.groups, index / rows % shape.groups, index % rows};
}

// Offset of the map (plane) that the line lies in.
inline uint32_t MapAt(uint32_t base, uint32_t plane, const Line &line, uint32_t map) {
  return base + line.quad * plane + line.group * map * kWordBytes;
}

// The positions under window `i` along one axis: [first, last).
struct AxisRange {
  uint32_t first;
  uint32_t last;
};

inline AxisRange WindowRange(uint32_t i, uint32_t stride, uint32_t pad, uint32_t kernel, uint32_t size) {
  const uint32_t begin = i * stride;
  return {begin > pad ? begin - pad : 0, Smaller(begin + kernel - pad, size)};
}

// The windows over padded position `at` along one axis: [first, last).
inline AxisRange WindowsOver(uint32_t at, uint32_t stride, uint32_t kernel, uint32_t windows) {
  return {at < kernel ? 0 : (at - kernel) / stride + 1, Smaller(at / stride + 1, windows)};
}

// The windows whose tap `tap` lies inside the map, along one axis.
inline AxisRange WindowsInside(uint32_t tap, uint32_t stride, uint32_t pad, uint32_t size, uint32_t windows) {
  return {pad > tap ? CeilDivide(pad - tap, stride) : 0,
          size + pad > tap ? Smaller((size + pad - tap - 1) / stride + 1, windows) : 0};
}

// Windows [begin, end) of one line of the smaller map.
struct Part {
  Line line;
  uint32_t begin;
  uint32_t end;
  uint32_t column;  // of the larger map, that its rows on chip begin with
};

// ---- forward: the rows under a line of windows come in through three ports --------------------------------------------

constexpr uint32_t kPorts = 3;
static_assert((STROP_MAX_KERNEL + kPorts - 1) / kPorts * STROP_MAX_KERNEL <= kRowWords, "the largest window must fit");

inline uint32_t RowsOfPort(const strop_command &c) { return CeilDivide(c.kernel_h, kPorts); }

// Windows of a line whose positions fit on chip.
inline uint32_t MaxPoolWindows(const strop_command &c, const MapShape &shape) {
  return (shape.step / RowsOfPort(c) - c.kernel_w) / c.stride_w + 1;
}

inline uint32_t MaxPoolParts(const strop_command &c, const MapShape &shape) {
  return CeilDivide(c.width_out, MaxPoolWindows(c, shape));
}

inline Part MaxPoolPart(const strop_command &c, const MapShape &shape, uint32_t index) {
  const uint32_t parts = MaxPoolParts(c, shape);
  const uint32_t begin = index % parts * MaxPoolWindows(c, shape);
  return {LineAt(shape, c.height_out, index / parts), begin, Smaller(begin + MaxPoolWindows(c, shape), c.width_out),
          WindowRange(begin, c.stride_w, c.pad_left, c.kernel_w, c.width_in).first};
}

// The rows of the window that come in through port `port`.
inline Rows MaxPoolSource(const strop_command &c, const Part &part, uint32_t port) {
  const uint32_t map = MapAt(c.source, c.source_plane, part.line, c.height_in * c.width_in);
  const AxisRange rows = WindowRange(part.line.row, c.stride_h, c.pad_top, c.kernel_h, c.height_in);
  const uint32_t columns_end = WindowRange(part.end - 1, c.stride_w, c.pad_left, c.kernel_w, c.width_in).last;
  const uint32_t first = Smaller(rows.first + port * RowsOfPort(c), rows.last);
  return {map + (first * c.width_in + part.column) * kWordBytes, Smaller(RowsOfPort(c), rows.last - first),
          columns_end - part.column, c.width_in * kWordBytes};
}

inline Rows MaxPoolTarget(const strop_command &c, const Part &part) {
  const uint32_t map = MapAt(c.target, c.target_plane, part.line, c.height_out * c.width_out);
  return OneRow(map + (part.line.row * c.width_out + part.begin) * kWordBytes, part.end - part.begin);
}

// The rows of one port, tap by tap.
inline void MaxOverRows(Lane &lane, const strop_command &c, const Part &part, const Rows &rows, const int8_t *source,
                        int8_t *target) {
  (void)lane;
MaxOverRows_Row:
  for (uint32_t row = 0; row < rows.rows; ++row) {
#pragma HLS LOOP_TRIPCOUNT min = 0 max = 5
  MaxOverRows_Tap:
    for (uint32_t s = 0; s < c.kernel_w; ++s) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 15
      const AxisRange inside = WindowsInside(s, c.stride_w, c.pad_left, c.width_in, part.end);
      const uint32_t first = Larger(inside.first, part.begin);
      if (first >= inside.last) continue;
      const uint32_t column = first * c.stride_w + s - c.pad_left - part.column;
      STROP_LEAF(lane, MaxWords)
      (source + row * PitchOf(rows) + column * kWordBytes, c.stride_w, target + (first - part.begin) * kWordBytes,
       inside.last - first);
    }
  }
}

// ---- backward of plain windows: the error and the two rows under it ---------------------------------------------------

// The common windows, 2x2 with stride 2 and without padding, for which there is a leaf loop.
inline bool IsPlain2x2(const strop_command &c) {
  const bool window = c.kernel_h == 2 && c.kernel_w == 2 && c.stride_h == 2 && c.stride_w == 2;
  const bool inside =
      c.pad_top == 0 && c.pad_left == 0 && 2 * c.height_out <= c.height_in && 2 * c.width_out <= c.width_in;
  return window && inside;
}

inline uint32_t PlainWindows(const MapShape &shape) { return shape.step / 4; }

inline uint32_t PlainParts(const strop_command &c, const MapShape &shape) {
  return CeilDivide(c.width_out, PlainWindows(shape));
}

inline Part PlainPart(const strop_command &c, const MapShape &shape, uint32_t index) {
  const uint32_t parts = PlainParts(c, shape);
  const uint32_t begin = index % parts * PlainWindows(shape);
  return {LineAt(shape, c.height_out, index / parts), begin, Smaller(begin + PlainWindows(shape), c.width_out),
          2 * begin};
}

inline Rows PlainError(const strop_command &c, const Part &part) {
  const uint32_t map = MapAt(c.source, c.source_plane, part.line, c.height_out * c.width_out);
  return OneRow(map + (part.line.row * c.width_out + part.begin) * kWordBytes, part.end - part.begin);
}

// Of the input, or of its gradient.
inline Rows PlainRows(const strop_command &c, const MapPlace &place, const Part &part) {
  const uint32_t map = MapAt(place.offset, place.plane, part.line, c.height_in * c.width_in);
  const uint32_t first = 2 * part.line.row * c.width_in + part.column;
  return {map + first * kWordBytes, 2, 2 * (part.end - part.begin), c.width_in * kWordBytes};
}

// ---- global average pooling: a map is taken in parts ------------------------------------------------------------------

// 1.10: 1/(H*W) as a mantissa and a shift, and the shift of the result.
struct Reciprocal {
  int32_t mantissa;
  int32_t log2_up;
  int32_t shift;
};

inline Reciprocal MapReciprocal(uint32_t map) {
  const int32_t log2_up = BitLength(map - 1);
  const bool power_of_two = (map & (map - 1)) == 0;
  return {static_cast<int32_t>(RoundDivide(int64_t{1} << (log2_up + 7), map)), log2_up, power_of_two ? 7 : 8};
}

inline uint32_t MapParts(const MapShape &shape) { return CeilDivide(shape.map, shape.step); }

// Positions [begin, end) of a map.
inline Part MapPart(const MapShape &shape, uint32_t index) {
  const uint32_t begin = index % MapParts(shape) * shape.step;
  return {LineAt(shape, 1, index / MapParts(shape)), begin, Smaller(begin + shape.step, shape.map), 0};
}

inline Rows PartOfMap(const MapPlace &place, const MapShape &shape, const Part &part) {
  const uint32_t map = MapAt(place.offset, place.plane, part.line, shape.map);
  return OneRow(map + part.begin * kWordBytes, part.end - part.begin);
}

// The one word of a map of 1x1.
inline Rows WordOfMap(const MapPlace &place, const Part &part) {
  return OneRow(MapAt(place.offset, place.plane, part.line, 1), 1);
}

// What a word's sums are multiplied by before they are spread.
inline void ScaleWord(int32_t value[kWordBytes], int32_t mantissa) {
#pragma HLS INLINE off
ScaleWord_Byte:
  for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS PIPELINE II = 1
    value[b] = value[b] * mantissa;
  }
}

inline void AverageOverPart(Lane &lane, const MapShape &shape, const Part &part, int32_t gain, const int8_t *source,
                            int8_t *target, int32_t sum[kWordBytes]) {
  (void)lane;
AverageOverPart_Clear:
  for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS PIPELINE II = 1
    sum[b] = part.begin == 0 ? 0 : sum[b];
  }
  STROP_LEAF(lane, SumPositions)(source, part.end - part.begin, sum);
  if (part.end == shape.map) STROP_LEAF(lane, MeansOfWord)(sum, gain, shape.map, target);
}

inline void SpreadOverPart(Lane &lane, const MapShape &shape, const Part &part, uint32_t off, const int8_t *error,
                           int8_t *target, int32_t value[kWordBytes], QuadDither &dither) {
  (void)lane;
  const Reciprocal reciprocal = MapReciprocal(shape.map);
  FindDither(shape, part.line.quad, off, dither);
SpreadOverPart_Byte:
  for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS PIPELINE II = 1
    value[b] = error[b];
  }
  ScaleWord(value, reciprocal.mantissa);
  STROP_LEAF(lane, SpreadDithered)
  (value, target, part.end - part.begin, reciprocal.shift, dither, part.line.group * shape.map + part.begin);
}

}  // namespace strop

#endif  // STROP_POOL_WORK_HPP
