// From the host's images to feature maps, and from maps to features and back.
#ifndef STROP_LAYOUT_HPP
#define STROP_LAYOUT_HPP

#include "input_strips.hpp"
#include "site.hpp"

namespace strop {

// ---- INPUT -----------------------------------------------------------------------------------------------------------

// As the emulator does it, with vectors along the rows; the hardware's way is in input_strips.hpp.

constexpr uint32_t kStretch = kPixelRow - kImages;  // positions made at once; a pixel map's words look up to 3 further

// Positions [first, last) of a row that fall into the stretch from `begin` on, counted from there.
struct Stretch {
  uint32_t first;
  uint32_t last;
};

inline Stretch StretchOf(uint32_t first, uint32_t last, uint32_t begin) {
  return {first > begin ? Smaller(first - begin, kPixelRow) : 0, last > begin ? Smaller(last - begin, kPixelRow) : 0};
}

inline void FillImages(int8_t *rows, uint32_t images, const Stretch &stretch, int8_t value) {
FillImages_Image:
  for (uint32_t n = 0; n < images; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
  FillImages_Position:
    for (uint32_t i = stretch.first; i < stretch.last; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 0 max = 256
#pragma HLS PIPELINE II = 1
      rows[n * kPixelRow + i] = value;
    }
  }
}

// A stretch of a row of 16 images, of each channel of a quad.
using PixelRows = int8_t[kQuad][kRow];

// The pixels of a stretch of row `y`, of one channel in 16 images, into `rows`. Where there is no pixel the frame is black
// (1.2), and 0 outside it.
inline void LoadPixels(Lane &lane, const int8_t *dram, const strop_command &c, const InputPlan &plan, uint32_t channel,
                       uint32_t group, uint32_t y, uint32_t begin, bool fresh, int8_t *rows) {
  (void)lane;
  const uint32_t images = Smaller(kImages, c.batch - group * kImages);
  const uint32_t left = plan.frame + c.pad_left;
  const Stretch picture = StretchOf(left, left + c.width_in, begin);
  if (fresh) {
    FillImages(rows, kImages, {0, kPixelRow}, 0);
    FillImages(rows, images, StretchOf(plan.frame, plan.frame + c.width_out, begin), -kMaxInt8);
  }
  if (y < c.pad_top || y >= c.pad_top + c.height_in) {
    FillImages(rows, images, picture, -kMaxInt8);
    return;
  }
  const uint32_t map = c.height_in * c.width_in;
  const uint32_t image_step = c.channels_in * map;
  const uint32_t at = c.source + group * kImages * image_step + channel * map + (y - c.pad_top) * c.width_in +
                      (begin + picture.first - left);
  STROP_COUNT_READ(images * (picture.last - picture.first));
  STROP_LEAF(lane, ConvertPixels)
  (dram + at, image_step, images, picture.last - picture.first, rows + picture.first);
}

// One row of words of plane `plane`, stretch by stretch. `fresh`: the rows on chip do not hold this plane's frame yet.
inline void InputLine(Lane &lane, int8_t *dram, const strop_command &c, const InputPlan &plan, uint32_t plane,
                      uint32_t group, uint32_t y, bool fresh, PixelRows rows) {
  const uint32_t line = c.target + plane * c.target_plane + (group * c.height_out + y) * plan.width * kWordBytes;
InputLine_Stretch:
  for (uint32_t begin = 0; begin < plan.width; begin += kStretch) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 5
    const uint32_t count = Smaller(kStretch, plan.width - begin);
    const bool renew = fresh || plan.width > kStretch;
    STROP_WRITE_ROW(out, lane.tiles.operands.planes, dram, line + begin * kWordBytes);
    if (plan.pixels) {
      LoadPixels(lane, dram, c, plan, plane, group, y, begin, renew, rows[0]);
      STROP_LEAF(lane, InterleavePixels)(rows[0], out, count);
    } else {
    InputLine_Channel:
      for (uint32_t j = 0; j < kQuad; ++j) {
#pragma HLS LOOP_TRIPCOUNT min = 4 max = 4
        const uint32_t channel = plane * kQuad + j;
        if (channel < c.channels_in) {
          LoadPixels(lane, dram, c, plan, channel, group, y, begin, renew, rows[j]);
        } else if (fresh) {
          FillImages(rows[j], kImages, {0, kPixelRow}, 0);
        }
      }
      STROP_LEAF(lane, InterleaveChannels)(rows, out, count);
    }
    STROP_FLUSH_ROW(out, dram, line + begin * kWordBytes, count * kWordBytes);
  }
}

inline void InputShare(Lane &lane, int8_t *dram, const strop_command &c) {
  const InputPlan plan = PlanInput(c);
  const uint32_t lines = plan.planes * plan.groups * c.height_out;
  alignas(64) PixelRows rows;
  const uint32_t begin = lane.First(lines);
  const uint32_t last = lane.Last(lines);
Input_Line:
  for (uint32_t index = begin; index < last; ++index) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 65536
    const uint32_t y = index % c.height_out;
    const uint32_t group = index / c.height_out % plan.groups;
    InputLine(lane, dram, c, plan, index / c.height_out / plan.groups, group, y, y == 0 || index == begin, rows);
  }
}

inline uint32_t Input(Machine &machine, const int8_t *maps, int8_t *dram, int32_t *words, const strop_command &c) {
  const InputPlan plan = PlanInput(c);
  const uint64_t work = uint64_t{plan.planes} * plan.groups * c.height_out * plan.width * kWordBytes;
#if STROP_HARDWARE
  STROP_ON_LANES(machine, work, InputStrips(lane, maps, dram, c));
#else
  (void)maps;
  STROP_ON_LANES(machine, work, InputShare(lane, dram, c));
#endif
  WriteWord(words, c.target_exponent, c.exponent);
  return STROP_STATUS_OK;
}

// ---- FLATTEN, UNFLATTEN ----------------------------------------------------------------------------------------------

// Where the 16 values of one channel at one position begin, `position` being 0 of a map of 1x1 for features.
inline uint32_t LaneAt(uint32_t base, uint32_t plane, uint32_t channel, uint32_t group, uint32_t map,
                       uint32_t position) {
  return base + channel / kQuad * plane + (group * map + position) * kWordBytes + channel % kQuad;
}

// Features are numbered channel after channel, position after position: feature f is position f % (H*W) of channel f / (H*W). One word of
// the target at a time, from the four lanes of the source that hold its four channels.
inline void FlattenShare(Lane &lane, int8_t *dram, const strop_command &c, bool back) {
  const MapShape map = InputShape(c);
  const uint32_t features = c.channels_in * map.map;
  const MapShape target = back ? map : ShapeOf(features, c.batch, 1);
  const uint32_t last = lane.Last(WordsOf(target));
Flatten_Word:
  for (uint32_t at = lane.First(WordsOf(target)); at < last; ++at) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 65536
    const uint32_t quad = at / target.words;
    const uint32_t group = at % target.words / target.map;
    const uint32_t position = at % target.map;
    const uint32_t to = c.target + quad * c.target_plane + at % target.words * kWordBytes;
    STROP_WRITE_ROW(out, lane.tiles.row, dram, to);
  Flatten_Channel:
    for (uint32_t j = 0; j < kQuad; ++j) {
#pragma HLS LOOP_TRIPCOUNT min = 4 max = 4
      const uint32_t channel = quad * kQuad + j;
      const bool exists = channel < target.channels;
      const uint32_t from =
          back ? LaneAt(c.source, c.source_plane, exists ? channel * map.map + position : 0, group, 1, 0)
               : LaneAt(c.source, c.source_plane, exists ? channel / map.map : 0, group, map.map, channel % map.map);
      if (exists) STROP_COUNT_READ(kImages);
    Flatten_Image:
      for (uint32_t n = 0; n < kImages; ++n) {
#pragma HLS PIPELINE II = 1
        out[n * kQuad + j] = exists ? dram[from + n * kQuad] : int8_t{0};
      }
    }
    STROP_FLUSH_ROW(out, dram, to, kWordBytes);
  }
}

inline uint32_t Flatten(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c, bool back) {
  STROP_ON_LANES(machine, BytesOf(InputShape(c)), FlattenShare(lane, dram, c, back));
  WriteWord(words, c.target_exponent, ReadWord(words, c.source_exponent));
  return STROP_STATUS_OK;
}

}  // namespace strop

#endif  // STROP_LAYOUT_HPP
