// From the host's images to feature maps, and from maps to features and back.
#ifndef STROP_LAYOUT_HPP
#define STROP_LAYOUT_HPP

#include "site.hpp"

namespace strop {

// INPUT: a0 = max(p - 128, -127) with a black border (1.2).
inline void InputShare(Lane &lane, int8_t *dram, const strop_command &c) {
  const uint32_t last = lane.Last(c.channels_in * c.batch);
  int8_t *out = lane.tiles.row[1];
Input_Map:
  for (uint32_t map = lane.First(c.channels_in * c.batch); map < last; ++map) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16384
    const uint32_t channel = map / c.batch;
    const uint32_t image = map % c.batch;
    const uint32_t pixels = c.source + (image * c.channels_in + channel) * c.height_in * c.width_in;
    const uint32_t target = c.target + channel * c.target_plane + image * c.height_out * c.width_out;
  Input_Row:
    for (uint32_t y = 0; y < c.height_out; ++y) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1024
      if (y < c.pad_top || y >= c.pad_top + c.height_in) {
        Fill(out, 0, c.width_out, -kMaxInt8);
      } else {
        Fill(out, 0, c.pad_left, -kMaxInt8);
        BurstRead(lane.tiles.row[0], dram, pixels + (y - c.pad_top) * c.width_in, c.width_in);
        STROP_LEAF(lane, ConvertPixels)(lane.tiles.row[0], out + c.pad_left, c.width_in);
        Fill(out, c.pad_left + c.width_in, c.width_out, -kMaxInt8);
      }
      BurstWrite(dram, target + y * c.width_out, out, c.width_out);
    }
  }
}

inline uint32_t Input(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c) {
  STROP_ON_LANES(machine, uint64_t{c.channels_in} * c.batch * c.height_out * c.width_out, InputShare(lane, dram, c));
  WriteWord(words, c.target_exponent, STROP_INPUT_EXPONENT);
  return STROP_STATUS_OK;
}

// FLATTEN: [C][N][H*W] to [C*H*W][N].
inline void FlattenShare(Lane &lane, int8_t *dram, const strop_command &c) {
  const uint32_t map = c.height_in * c.width_in;
  const uint32_t last = lane.Last(c.channels_in * map);
Flatten_Feature:
  for (uint32_t feature = lane.First(c.channels_in * map); feature < last; ++feature) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
    const uint32_t source = c.source + feature / map * c.source_plane + feature % map;
  Flatten_Image:
    for (uint32_t n = 0; n < c.batch; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
      lane.tiles.row[0][n] = dram[source + n * map];
    }
    BurstWrite(dram, c.target + feature * c.target_plane, lane.tiles.row[0], c.batch);
  }
}

// UNFLATTEN: back.
inline void UnflattenShare(Lane &lane, int8_t *dram, const strop_command &c) {
  const uint32_t map = c.height_in * c.width_in;
  const uint32_t last = lane.Last(c.channels_in * map);
Unflatten_Feature:
  for (uint32_t feature = lane.First(c.channels_in * map); feature < last; ++feature) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
    const uint32_t target = c.target + feature / map * c.target_plane + feature % map;
    BurstRead(lane.tiles.row[0], dram, c.source + feature * c.source_plane, c.batch);
  Unflatten_Image:
    for (uint32_t n = 0; n < c.batch; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
      dram[target + n * map] = lane.tiles.row[0][n];
    }
  }
}

inline uint32_t Flatten(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c, bool back) {
  const uint64_t work = uint64_t{c.channels_in} * c.batch * c.height_in * c.width_in;
  if (back) {
    STROP_ON_LANES(machine, work, UnflattenShare(lane, dram, c));
  } else {
    STROP_ON_LANES(machine, work, FlattenShare(lane, dram, c));
  }
  WriteWord(words, c.target_exponent, ReadWord(words, c.source_exponent));
  return STROP_STATUS_OK;
}

}  // namespace strop

#endif  // STROP_LAYOUT_HPP
