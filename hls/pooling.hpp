// Max pooling and global average pooling (NUMERICS.md 1.3, 1.7, 1.10). Average pooling by windows: average_pool.hpp.
#ifndef STROP_POOLING_HPP
#define STROP_POOLING_HPP

#include "site.hpp"
#include "stream_pass.hpp"

namespace strop {

// ---- max pooling -----------------------------------------------------------------------------------------------------

inline uint32_t MaxPoolForward(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram,
                               int32_t *words, const strop_command &c) {
  const StreamPass pass = PassOver(StreamKind::kMaxPool, c, InputShape(c), 3);
  STROP_ON_LANES(machine, BytesOf(pass.shape), StreamShare(lane, maps, filters, dram, words, c, pass));
  WriteWord(words, c.target_exponent, ReadWord(words, c.source_exponent));
  return STROP_STATUS_OK;
}

// Words [begin, end) of a row of the target become 0.
inline void ClearMapWords(Lane &lane, int8_t *dram, uint32_t row, uint32_t begin, uint32_t end) {
ClearMapWords_Part:
  for (uint32_t at = begin; at < end; at += kHeld / kWordBytes) {
#pragma HLS LOOP_TRIPCOUNT min = 0 max = 16
    const uint32_t count = Smaller(kHeld / kWordBytes, end - at);
    STROP_WRITE_ROW(zero, lane.tiles.row, dram, row + at * kWordBytes);
    STROP_LEAF(lane, FillWords)(zero, count, 0);
    STROP_FLUSH_ROW(zero, dram, row + at * kWordBytes, count * kWordBytes);
  }
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
    STROP_WRITE_ROW(out, lane.tiles.row, dram, at);
  MaxPoolBackward_Saturate:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
      out[b] = static_cast<int8_t>(Clamp(sum[b], -kMaxInt8, kMaxInt8));
    }
    STROP_FLUSH_ROW(out, dram, at, kWordBytes);
  }
}

inline void MaxPoolBackwardShare(Lane &lane, int8_t *dram, const strop_command &c, const MapShape &in) {
  const uint32_t last = lane.Last(LinesOf(in, c.height_in));
MaxPoolBackward_Line:
  for (uint32_t index = lane.First(LinesOf(in, c.height_in)); index < last; ++index) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 65536
    const Line line = LineAt(in, c.height_in, index);
    const uint32_t error = MapAt(c.source, c.source_plane, line, c.height_out * c.width_out);
    const uint32_t before = MapAt(c.source_2, c.source_2_plane, line, in.map);
    const uint32_t target = MapAt(c.target, c.target_plane, line, in.map);
    MaxPoolBackwardRow(lane, dram, c, error, before, target, line.row);
  }
}

// Where plain windows leave the last row or column out, its gradient is 0.
inline void ClearOutsideShare(Lane &lane, int8_t *dram, const strop_command &c, const MapShape &in) {
  const uint32_t last = lane.Last(LinesOf(in, c.height_in));
ClearOutside_Line:
  for (uint32_t index = lane.First(LinesOf(in, c.height_in)); index < last; ++index) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 65536
    const Line line = LineAt(in, c.height_in, index);
    const uint32_t row = MapAt(c.target, c.target_plane, line, in.map) + line.row * c.width_in * kWordBytes;
    ClearMapWords(lane, dram, row, line.row < 2 * c.height_out ? 2 * c.width_out : 0, c.width_in);
  }
}

inline uint32_t MaxPoolBackward(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram,
                                int32_t *words, const strop_command &c) {
  const MapShape in = InputShape(c);
  if (IsPlain2x2(c)) {
    const StreamPass pass = PassOver(StreamKind::kMaxPoolGradient, c, in, 2);
    STROP_ON_LANES(machine, BytesOf(in), StreamShare(lane, maps, filters, dram, words, c, pass));
    if (2 * c.height_out < c.height_in || 2 * c.width_out < c.width_in) {
      STROP_ON_LANES(machine, BytesOf(in) / c.width_in, ClearOutsideShare(lane, dram, c, in));
    }
  } else {
    STROP_ON_LANES(machine, BytesOf(in), MaxPoolBackwardShare(lane, dram, c, in));
  }
  WriteWord(words, c.target_exponent, ReadWord(words, c.source_exponent));
  return STROP_STATUS_OK;
}

// ---- global average pooling ------------------------------------------------------------------------------------------

inline uint32_t GlobalAverageForward(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram,
                                     int32_t *words, const strop_command &c) {
  const StreamPass pass = PassOver(StreamKind::kAverage, c, InputShape(c), 1);
  STROP_ON_LANES(machine, BytesOf(pass.shape), StreamShare(lane, maps, filters, dram, words, c, pass));
  WriteWord(words, c.target_exponent, ReadWord(words, c.source_exponent) + c.exponent);
  return STROP_STATUS_OK;
}

inline uint32_t GlobalAverageBackward(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram,
                                      int32_t *words, const strop_command &c) {
  StreamPass pass = PassOver(StreamKind::kAverageGradient, c, InputShape(c), 1);
  pass.off = NextDither(words, c.dither);
  STROP_ON_LANES(machine, BytesOf(pass.shape), StreamShare(lane, maps, filters, dram, words, c, pass));
  const Reciprocal reciprocal = MapReciprocal(pass.shape.map);
  WriteWord(words, c.target_exponent, ReadWord(words, c.source_exponent) + reciprocal.log2_up + 7 - reciprocal.shift);
  return STROP_STATUS_OK;
}

}  // namespace strop

#endif  // STROP_POOLING_HPP
