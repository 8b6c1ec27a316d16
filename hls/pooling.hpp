// Max pooling and global average pooling (NUMERICS.md 1.3, 1.7, 1.10).
#ifndef STROP_POOLING_HPP
#define STROP_POOLING_HPP

#include "map_words.hpp"
#include "site.hpp"

namespace strop {

// ---- max pooling -----------------------------------------------------------------------------------------------------

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

// One line of maxima, tap by tap, for windows [begin, end).
inline void MaxPoolPart(Lane &lane, int8_t *dram, const strop_command &c, uint32_t map, uint32_t target, uint32_t p,
                        uint32_t begin, uint32_t end) {
  STROP_WRITE_ROW(out, lane.tiles.row[1], dram, target + begin * kWordBytes);
  const AxisRange rows = WindowRange(p, c.stride_h, c.pad_top, c.kernel_h, c.height_in);
  STROP_LEAF(lane, FillWords)(out, end - begin, -128);  // below every value; each window has a position inside the map
MaxPoolPart_Row:
  for (uint32_t y = rows.first; y < rows.last; ++y) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 15
  MaxPoolPart_Tap:
    for (uint32_t s = 0; s < c.kernel_w; ++s) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 15
      const AxisRange inside = WindowsInside(s, c.stride_w, c.pad_left, c.width_in, end);
      const uint32_t first = inside.first > begin ? inside.first : begin;
      if (first >= inside.last) continue;
      const uint32_t count = inside.last - first;
      const uint32_t from = map + (y * c.width_in + first * c.stride_w + s - c.pad_left) * kWordBytes;
      STROP_READ_ROW(source, lane.tiles.row[0], dram, from, ((count - 1) * c.stride_w + 1) * kWordBytes);
      STROP_LEAF(lane, MaxWords)(source, c.stride_w, out + (first - begin) * kWordBytes, count);
    }
  }
  STROP_FLUSH_ROW(out, dram, target + begin * kWordBytes, (end - begin) * kWordBytes);
}

inline void MaxPoolForwardShare(Lane &lane, int8_t *dram, const strop_command &c, const MapShape &in,
                                const MapShape &out) {
  const uint32_t part = kPassWords / STROP_MAX_STRIDE;
  const uint32_t last = lane.Last(LinesOf(out, c.height_out));
MaxPoolForward_Line:
  for (uint32_t index = lane.First(LinesOf(out, c.height_out)); index < last; ++index) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 65536
    const Line line = LineAt(out, c.height_out, index);
    const uint32_t source = MapAt(c.source, c.source_plane, line, in.map);
    const uint32_t target = MapAt(c.target, c.target_plane, line, out.map) + line.row * c.width_out * kWordBytes;
  MaxPoolForward_Part:
    for (uint32_t q = 0; q < c.width_out; q += part) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 64
      MaxPoolPart(lane, dram, c, source, target, line.row, q, Smaller(q + part, c.width_out));
    }
  }
}

inline uint32_t MaxPoolForward(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c) {
  const MapShape in = InputShape(c);
  const MapShape out = ShapeOf(c.channels_in, c.batch, c.height_out * c.width_out);
  STROP_ON_LANES(machine, BytesOf(in), MaxPoolForwardShare(lane, dram, c, in, out));
  WriteWord(words, c.target_exponent, ReadWord(words, c.source_exponent));
  return STROP_STATUS_OK;
}

// The common windows, 2x2 with stride 2 and without padding, for which there is a leaf loop.
inline bool IsPlain2x2(const strop_command &c) {
  const bool window = c.kernel_h == 2 && c.kernel_w == 2 && c.stride_h == 2 && c.stride_w == 2;
  const bool inside =
      c.pad_top == 0 && c.pad_left == 0 && 2 * c.height_out <= c.height_in && 2 * c.width_out <= c.width_in;
  return window && inside;
}

// Words [begin, end) of a row of the target become 0.
inline void ClearMapWords(Lane &lane, int8_t *dram, uint32_t row, uint32_t begin, uint32_t end) {
ClearMapWords_Part:
  for (uint32_t at = begin; at < end; at += kPassWords) {
#pragma HLS LOOP_TRIPCOUNT min = 0 max = 16
    const uint32_t count = Smaller(kPassWords, end - at);
    STROP_WRITE_ROW(zero, lane.tiles.row[0], dram, row + at * kWordBytes);
    STROP_LEAF(lane, FillWords)(zero, count, 0);
    STROP_FLUSH_ROW(zero, dram, row + at * kWordBytes, count * kWordBytes);
  }
}

// The two input rows under line `p` of plain windows; what lies in no window gets 0.
inline void MaxPoolBackwardPlain(Lane &lane, int8_t *dram, const strop_command &c, uint32_t error, uint32_t before,
                                 uint32_t target, uint32_t p) {
  const uint32_t part = kPassWords / 4;
  const uint32_t row_bytes = c.width_in * kWordBytes;
  const uint32_t row = 2 * p * row_bytes;
MaxPoolBackward_Part:
  for (uint32_t q = 0; q < c.width_out; q += part) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
    const uint32_t count = Smaller(part, c.width_out - q);
    const uint32_t at = row + 2 * q * kWordBytes;
    STROP_READ_ROW(e, lane.tiles.row[3], dram, error + (p * c.width_out + q) * kWordBytes, count * kWordBytes);
    STROP_READ_ROW(row0, lane.tiles.row[0], dram, before + at, 2 * count * kWordBytes);
    STROP_READ_ROW(row1, lane.tiles.row[0] + kRow / 2, dram, before + at + row_bytes, 2 * count * kWordBytes);
    STROP_WRITE_ROW(out0, lane.tiles.row[1], dram, target + at);
    STROP_WRITE_ROW(out1, lane.tiles.row[2], dram, target + at + row_bytes);
    STROP_LEAF(lane, MaxPoolBackward2x2)(e, row0, row1, out0, out1, count);
    STROP_FLUSH_ROW(out0, dram, target + at, 2 * count * kWordBytes);
    STROP_FLUSH_ROW(out1, dram, target + at + row_bytes, 2 * count * kWordBytes);
  }
  ClearMapWords(lane, dram, target + row, 2 * c.width_out, c.width_in);
  ClearMapWords(lane, dram, target + row + row_bytes, 2 * c.width_out, c.width_in);
}

// One row of the target of any windows. Where they overlap, the sum of what arrives at a position is formed before it is saturated: one
// position at a time asks the windows over it, so that nothing wider than int8 is stored.
inline void MaxPoolBackwardRow(Lane &lane, int8_t *dram, const strop_command &c, uint32_t error, uint32_t before,
                               uint32_t target, uint32_t y) {
  const AxisRange down = WindowsOver(y + c.pad_top, c.stride_h, c.kernel_h, c.height_out);
MaxPoolBackward_Position:
  for (uint32_t x = 0; x < c.width_in; ++x) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1024
    const AxisRange across = WindowsOver(x + c.pad_left, c.stride_w, c.kernel_w, c.width_out);
    int16_t sum[kWordBytes];
#pragma HLS ARRAY_PARTITION variable = sum complete
  MaxPoolBackward_Clear:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
      sum[b] = 0;
    }
  MaxPoolBackward_Down:
    for (uint32_t p = down.first; p < down.last; ++p) {
#pragma HLS LOOP_TRIPCOUNT min = 0 max = 15
      const AxisRange rows = WindowRange(p, c.stride_h, c.pad_top, c.kernel_h, c.height_in);
    MaxPoolBackward_Across:
      for (uint32_t q = across.first; q < across.last; ++q) {
#pragma HLS LOOP_TRIPCOUNT min = 0 max = 15
        const AxisRange columns = WindowRange(q, c.stride_w, c.pad_left, c.kernel_w, c.width_in);
        const WindowOnMap window = {rows.first, rows.last, columns.first, columns.last};
        STROP_COUNT_READ(((rows.last - rows.first) * (columns.last - columns.first) + 2) * kWordBytes);
        STROP_LEAF(lane, AddIfFirst)
        (dram + before, c.width_in, window, y, x, dram + error + (p * c.width_out + q) * kWordBytes, sum);
      }
    }
    const uint32_t at = target + (y * c.width_in + x) * kWordBytes;
    STROP_WRITE_ROW(out, lane.tiles.row[0], dram, at);
  MaxPoolBackward_Saturate:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
      out[b] = static_cast<int8_t>(Clamp(sum[b], -kMaxInt8, kMaxInt8));
    }
    STROP_FLUSH_ROW(out, dram, at, kWordBytes);
  }
}

// Work items are pairs of input rows where windows are plain, else rows.
inline void MaxPoolBackwardShare(Lane &lane, int8_t *dram, const strop_command &c, const MapShape &in,
                                 const MapShape &out) {
  const bool plain = IsPlain2x2(c);
  const uint32_t rows = plain ? CeilDivide(c.height_in, 2) : c.height_in;
  const uint32_t last = lane.Last(LinesOf(in, rows));
MaxPoolBackward_Line:
  for (uint32_t index = lane.First(LinesOf(in, rows)); index < last; ++index) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 65536
    const Line line = LineAt(in, rows, index);
    const uint32_t error = MapAt(c.source, c.source_plane, line, out.map);
    const uint32_t before = MapAt(c.source_2, c.source_2_plane, line, in.map);
    const uint32_t target = MapAt(c.target, c.target_plane, line, in.map);
    if (!plain) {
      MaxPoolBackwardRow(lane, dram, c, error, before, target, line.row);
    } else if (line.row < c.height_out) {
      MaxPoolBackwardPlain(lane, dram, c, error, before, target, line.row);
    } else {
      const uint32_t first = 2 * line.row * c.width_in;  // the map's rows below the last window: contiguous words
      ClearMapWords(lane, dram, target, first, Smaller(first + 2 * c.width_in, in.map));
    }
  }
}

inline uint32_t MaxPoolBackward(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c) {
  const MapShape in = InputShape(c);
  const MapShape out = ShapeOf(c.channels_in, c.batch, c.height_out * c.width_out);
  STROP_ON_LANES(machine, BytesOf(in), MaxPoolBackwardShare(lane, dram, c, in, out));
  WriteWord(words, c.target_exponent, ReadWord(words, c.source_exponent));
  return STROP_STATUS_OK;
}

// ---- global average pooling ------------------------------------------------------------------------------------------

// 1.10: the mean of each map. Work items are the words of the target, one a quad and image group.
inline void AveragePoolForwardShare(Lane &lane, int8_t *dram, const strop_command &c, const MapShape &in) {
  const uint32_t last = lane.Last(LinesOf(in, 1));
AveragePoolForward_Word:
  for (uint32_t index = lane.First(LinesOf(in, 1)); index < last; ++index) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 65536
    const Line line = LineAt(in, 1, index);
    const uint32_t source = MapAt(c.source, c.source_plane, line, in.map);
    const uint32_t target = MapAt(c.target, c.target_plane, line, 1);
    int32_t *sum = lane.tiles.wide[0];
  AveragePoolForward_Clear:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS PIPELINE II = 1
      sum[b] = 0;
    }
  AveragePoolForward_Part:
    for (uint32_t at = 0; at < in.map; at += kPassWords) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 64
      const uint32_t count = Smaller(kPassWords, in.map - at);
      STROP_READ_ROW(x, lane.tiles.row[0], dram, source + at * kWordBytes, count * kWordBytes);
      STROP_LEAF(lane, SumPositions)(x, count, sum);
    }
    STROP_WRITE_ROW(mean, lane.tiles.row[1], dram, target);
  AveragePoolForward_Byte:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS PIPELINE II = 1
      mean[b] = static_cast<int8_t>(RoundDivide(sum[b], in.map));
    }
    STROP_FLUSH_ROW(mean, dram, target, kWordBytes);
  }
}

inline uint32_t AveragePoolForward(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c) {
  const MapShape in = InputShape(c);
  STROP_ON_LANES(machine, BytesOf(in), AveragePoolForwardShare(lane, dram, c, in));
  WriteWord(words, c.target_exponent, ReadWord(words, c.source_exponent));
  return STROP_STATUS_OK;
}

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

inline void AveragePoolBackwardShare(Lane &lane, int8_t *dram, const strop_command &c, const MapShape &in,
                                     uint32_t off) {
  const Reciprocal reciprocal = MapReciprocal(in.map);
  QuadDither dither;
  const uint32_t last = lane.Last(LinesOf(in, 1));
AveragePoolBackward_Map:
  for (uint32_t index = lane.First(LinesOf(in, 1)); index < last; ++index) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 65536
    const Line line = LineAt(in, 1, index);
    const uint32_t target = MapAt(c.target, c.target_plane, line, in.map);
    FindDither(in, line.quad, off, dither);
    int32_t *value = lane.tiles.wide[0];
    STROP_READ_ROW(error, lane.tiles.row[0], dram, MapAt(c.source, c.source_plane, line, 1), kWordBytes);
  AveragePoolBackward_Byte:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS PIPELINE II = 1
      value[b] = error[b] * reciprocal.mantissa;
    }
  AveragePoolBackward_Part:
    for (uint32_t at = 0; at < in.map; at += kPassWords) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 64
      const uint32_t count = Smaller(kPassWords, in.map - at);
      STROP_WRITE_ROW(out, lane.tiles.row[1], dram, target + at * kWordBytes);
      STROP_LEAF(lane, SpreadDithered)(value, out, count, reciprocal.shift, dither, line.group * in.map + at);
      STROP_FLUSH_ROW(out, dram, target + at * kWordBytes, count * kWordBytes);
    }
  }
}

inline uint32_t AveragePoolBackward(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c) {
  const MapShape in = InputShape(c);
  const uint32_t dither = NextDither(words, c.dither);
  STROP_ON_LANES(machine, BytesOf(in), AveragePoolBackwardShare(lane, dram, c, in, dither));
  const Reciprocal reciprocal = MapReciprocal(in.map);
  WriteWord(words, c.target_exponent, ReadWord(words, c.source_exponent) + reciprocal.log2_up + 7 - reciprocal.shift);
  return STROP_STATUS_OK;
}

}  // namespace strop

#endif  // STROP_POOLING_HPP
