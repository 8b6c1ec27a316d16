// Max pooling and global average pooling (NUMERICS.md 1.3, 1.7, 1.10).
#ifndef STROP_POOLING_HPP
#define STROP_POOLING_HPP

#include "raster.hpp"
#include "site.hpp"

namespace strop {

// The common window, all of it inside the map, for which there is a leaf loop.
inline bool IsPlain2x2(const strop_command &c) {
  const bool window = c.kernel_h == 2 && c.kernel_w == 2 && c.stride_h == 2 && c.stride_w == 2;
  const bool inside =
      c.pad_top == 0 && c.pad_left == 0 && 2 * c.height_out <= c.height_in && 2 * c.width_out <= c.width_in;
  return window && inside;
}

// Index, in its map, of the first maximum of window (p, q) in raster order.
inline uint32_t FirstMaximum(const int8_t *dram, uint32_t map, const strop_command &c, uint32_t p, uint32_t q) {
  int32_t best = -128;
  uint32_t where = 0;
FirstMaximum_Row:
  for (uint32_t r = 0; r < c.kernel_h; ++r) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 15
    const int32_t y = static_cast<int32_t>(p * c.stride_h + r) - static_cast<int32_t>(c.pad_top);
  FirstMaximum_Column:
    for (uint32_t s = 0; s < c.kernel_w; ++s) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 15
      const int32_t x = static_cast<int32_t>(q * c.stride_w + s) - static_cast<int32_t>(c.pad_left);
      if (y < 0 || y >= static_cast<int32_t>(c.height_in) || x < 0 || x >= static_cast<int32_t>(c.width_in)) continue;
      const uint32_t at = static_cast<uint32_t>(y) * c.width_in + static_cast<uint32_t>(x);
      if (dram[map + at] > best) {
        best = dram[map + at];
        where = at;
      }
    }
  }
  return where;
}

// Maps are numbered channel after channel, image after image; each lane has its share.
inline void MaxPoolForwardShare(Lane &lane, int8_t *dram, const strop_command &c) {
  const uint32_t last = lane.Last(c.channels_in * c.batch);
  int8_t *out = lane.tiles.row[1];
MaxPoolForward_Map:
  for (uint32_t map = lane.First(c.channels_in * c.batch); map < last; ++map) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 65536
    const uint32_t channel = map / c.batch;
    const uint32_t image = map % c.batch;
    const uint32_t source = c.source + channel * c.source_plane + image * c.height_in * c.width_in;
    const uint32_t target = c.target + channel * c.target_plane + image * c.height_out * c.width_out;
  MaxPoolForward_Row:
    for (uint32_t p = 0; p < c.height_out; ++p) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1024
      if (IsPlain2x2(c)) {
        BurstRead(lane.tiles.row[0], dram, source + 2 * p * c.width_in, c.width_in);
        BurstRead(lane.tiles.row[2], dram, source + (2 * p + 1) * c.width_in, c.width_in);
        STROP_LEAF(lane, MaxPoolRow2)(lane.tiles.row[0], lane.tiles.row[2], out, c.width_out);
      } else {
      MaxPoolForward_Column:
        for (uint32_t q = 0; q < c.width_out; ++q) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1024
          out[q] = dram[source + FirstMaximum(dram, source, c, p, q)];
        }
      }
      BurstWrite(dram, target + p * c.width_out, out, c.width_out);
    }
  }
}

// One map under plain 2x2 windows, row pair by row pair; rows and columns in no window get 0.
inline void MaxPoolBackwardPlain(Lane &lane, int8_t *dram, const strop_command &c, uint32_t error, uint32_t before,
                                 uint32_t target) {
  int8_t *out0 = lane.tiles.row[1];
  int8_t *out1 = lane.tiles.row[1] + STROP_MAX_SIDE;
  int8_t *row0 = lane.tiles.row[2];
  int8_t *row1 = lane.tiles.row[2] + STROP_MAX_SIDE;
  Fill(out0, 0, c.width_in, 0);
  Fill(out1, 0, c.width_in, 0);
MaxPoolBackward_Clear:
  for (uint32_t y = 2 * c.height_out; y < c.height_in; ++y) {
#pragma HLS LOOP_TRIPCOUNT min = 0 max = 1
    BurstWrite(dram, target + y * c.width_in, out0, c.width_in);
  }
MaxPoolBackward_Row:
  for (uint32_t p = 0; p < c.height_out; ++p) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 512
    const uint32_t at = 2 * p * c.width_in;
    BurstRead(lane.tiles.row[0], dram, error + p * c.width_out, c.width_out);
    BurstRead(row0, dram, before + at, c.width_in);
    BurstRead(row1, dram, before + at + c.width_in, c.width_in);
    STROP_LEAF(lane, MaxPoolBackwardRow2)(lane.tiles.row[0], row0, row1, out0, out1, c.width_out);
    BurstWrite(dram, target + at, out0, c.width_in);
    BurstWrite(dram, target + at + c.width_in, out1, c.width_in);
  }
}

// Windows that overlap: the sum of what arrives at a position is formed before it is saturated. One position at a time asks
// the windows over it, so that nothing wider than int8 is stored.
inline int32_t ArrivingError(const int8_t *dram, const strop_command &c, uint32_t error, uint32_t before, uint32_t y,
                             uint32_t x) {
  int32_t sum = 0;
  const uint32_t py = y + c.pad_top;
  const uint32_t px = x + c.pad_left;
ArrivingError_Row:
  for (uint32_t r = 0; r < c.kernel_h; ++r) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 15
  ArrivingError_Column:
    for (uint32_t s = 0; s < c.kernel_w; ++s) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 15
      if (py < r || px < s || (py - r) % c.stride_h != 0 || (px - s) % c.stride_w != 0) continue;
      const uint32_t p = (py - r) / c.stride_h;
      const uint32_t q = (px - s) / c.stride_w;
      if (p >= c.height_out || q >= c.width_out) continue;
      if (FirstMaximum(dram, before, c, p, q) == y * c.width_in + x) sum += dram[error + p * c.width_out + q];
    }
  }
  return sum;
}

inline void MaxPoolBackwardShare(Lane &lane, int8_t *dram, const strop_command &c) {
  const uint32_t last = lane.Last(c.channels_in * c.batch);
MaxPoolBackward_Map:
  for (uint32_t map = lane.First(c.channels_in * c.batch); map < last; ++map) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 65536
    const uint32_t channel = map / c.batch;
    const uint32_t image = map % c.batch;
    const uint32_t error = c.source + channel * c.source_plane + image * c.height_out * c.width_out;
    const uint32_t before = c.source_2 + channel * c.source_2_plane + image * c.height_in * c.width_in;
    const uint32_t target = c.target + channel * c.target_plane + image * c.height_in * c.width_in;
    if (IsPlain2x2(c)) {
      MaxPoolBackwardPlain(lane, dram, c, error, before, target);
      continue;
    }
  MaxPoolBackward_Y:
    for (uint32_t y = 0; y < c.height_in; ++y) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1024
    MaxPoolBackward_X:
      for (uint32_t x = 0; x < c.width_in; ++x) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1024
        lane.tiles.row[0][x] =
            static_cast<int8_t>(Clamp(ArrivingError(dram, c, error, before, y, x), -kMaxInt8, kMaxInt8));
      }
      BurstWrite(dram, target + y * c.width_in, lane.tiles.row[0], c.width_in);
    }
  }
}

inline uint32_t MaxPoolForward(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c) {
  STROP_ON_LANES(machine, uint64_t{c.channels_in} * c.batch * c.height_in * c.width_in,
                 MaxPoolForwardShare(lane, dram, c));
  WriteWord(words, c.target_exponent, ReadWord(words, c.source_exponent));
  return STROP_STATUS_OK;
}

inline uint32_t MaxPoolBackward(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c) {
  STROP_ON_LANES(machine, uint64_t{c.channels_in} * c.batch * c.height_in * c.width_in,
                 MaxPoolBackwardShare(lane, dram, c));
  WriteWord(words, c.target_exponent, ReadWord(words, c.source_exponent));
  return STROP_STATUS_OK;
}

// 1.10: the mean of each map.
inline void AveragePoolForwardShare(Lane &lane, int8_t *dram, const strop_command &c) {
  const uint32_t map = c.height_in * c.width_in;
  const uint32_t last = lane.Last(c.channels_in);
AveragePoolForward_Channel:
  for (uint32_t channel = lane.First(c.channels_in); channel < last; ++channel) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
  AveragePoolForward_Image:
    for (uint32_t n = 0; n < c.batch; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
      BurstRead(lane.tiles.row[0], dram, c.source + channel * c.source_plane + n * map, map);
      lane.tiles.row[1][n] = static_cast<int8_t>(RoundDivide(STROP_LEAF(lane, SumRow)(lane.tiles.row[0], map), map));
    }
    BurstWrite(dram, c.target + channel * c.target_plane, lane.tiles.row[1], c.batch);
  }
}

inline uint32_t AveragePoolForward(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c) {
  STROP_ON_LANES(machine, uint64_t{c.channels_in} * c.batch * c.height_in * c.width_in,
                 AveragePoolForwardShare(lane, dram, c));
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

inline void AveragePoolBackwardShare(Lane &lane, int8_t *dram, const strop_command &c, uint32_t dither) {
  const uint32_t map = c.height_in * c.width_in;
  const Reciprocal reciprocal = MapReciprocal(map);
  const uint32_t last = lane.Last(c.channels_in * c.batch);
AveragePoolBackward_Map:
  for (uint32_t i = lane.First(c.channels_in * c.batch); i < last; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 65536
    const uint32_t channel = i / c.batch;
    const uint32_t n = i % c.batch;
    const int32_t v = dram[c.source + channel * c.source_plane + n] * reciprocal.mantissa;
  AveragePoolBackward_Value:
    for (uint32_t at = 0; at < map; ++at) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
      lane.tiles.wide[0][at] = v;
    }
    StoreRow(lane, dram, lane.tiles.wide[0], map, StoreMode::kDither, reciprocal.shift, dither, i * map,
             c.target + channel * c.target_plane + n * map);
  }
}

inline uint32_t AveragePoolBackward(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c) {
  const uint32_t dither = NextDither(words, c.dither);
  STROP_ON_LANES(machine, uint64_t{c.channels_in} * c.batch * c.height_in * c.width_in,
                 AveragePoolBackwardShare(lane, dram, c, dither));
  const Reciprocal reciprocal = MapReciprocal(c.height_in * c.width_in);
  WriteWord(words, c.target_exponent, ReadWord(words, c.source_exponent) + reciprocal.log2_up + 7 - reciprocal.shift);
  return STROP_STATUS_OK;
}

}  // namespace strop

#endif  // STROP_POOLING_HPP
