// INPUT as the hardware does it: the pixels of 16 images come on chip as strips of their rows, long bursts, and from there each word of the
// map picks its 64 pixels.
#ifndef STROP_INPUT_STRIPS_HPP
#define STROP_INPUT_STRIPS_HPP

#include "stream_rows.hpp"

namespace strop {

// What INPUT makes: `planes` planes of words, each from four channels (one, for a pixel map).
struct InputPlan {
  bool pixels;
  uint32_t planes;
  uint32_t groups;
  uint32_t width;  // words in a row
  uint32_t frame;  // position where the picture with its border begins
};

inline InputPlan PlanInput(const strop_command &c) {
  const bool pixels = (c.flags & STROP_FLAG_PIXELS) != 0;
  const uint32_t frame = pixels ? c.columns : 0;
  return {pixels, pixels ? c.channels_in : CeilDivide(c.channels_in, kQuad), CeilDivide(c.batch, kImages),
          c.width_out + frame, frame};
}

constexpr uint32_t kStripBytes = STROP_MAX_SIDE;  // of one image; a quarter of it for each channel of a quad
constexpr uint32_t kMadeWords = 32;               // of a row, made before they are written
constexpr uint32_t kAhead = kQuad - 1;            // a pixel map's words look so many positions further

// How a plane is cut: so many of its rows at once, or a part of one.
struct StripShape {
  uint32_t rows;
  uint32_t words;  // of a row
};

inline StripShape StripShapeOf(const strop_command &c, const InputPlan &plan) {
  const uint32_t held = plan.pixels ? kStripBytes : kStripBytes / kQuad;
  if (c.width_in > held) return {1, held - kAhead};
  return {held / c.width_in, plan.width};
}

// One of them. On chip are the pixels of rows [y, y + height) and columns [x, x + width) of the pictures.
struct InputStrip {
  uint32_t plane, group;
  uint32_t row, rows;
  uint32_t word, words;
  uint32_t y, height;
  uint32_t x, width;
};

// What of the picture, `size` pixels from position `first` on, positions [begin, end) show: where it begins, and how much.
inline void FindShown(uint32_t first, uint32_t size, uint32_t begin, uint32_t end, uint32_t &from, uint32_t &count) {
  const uint32_t low = Smaller(Larger(begin, first) - first, size);
  const uint32_t high = Smaller(Larger(end, first) - first, size);
  from = low;
  count = high - low;
}

inline uint32_t StripsOfPlane(const strop_command &c, const InputPlan &plan) {
  const StripShape shape = StripShapeOf(c, plan);
  return CeilDivide(c.height_out, shape.rows) * CeilDivide(plan.width, shape.words);
}

inline InputStrip StripAt(const strop_command &c, const InputPlan &plan, uint32_t index) {
  const StripShape shape = StripShapeOf(c, plan);
  const uint32_t across = CeilDivide(plan.width, shape.words);
  const uint32_t strips = StripsOfPlane(c, plan);
  InputStrip s = {};
  s.plane = index / strips / plan.groups;
  s.group = index / strips % plan.groups;
  s.row = index % strips / across * shape.rows;
  s.rows = Smaller(shape.rows, c.height_out - s.row);
  s.word = index % across * shape.words;
  s.words = Smaller(shape.words, plan.width - s.word);
  FindShown(c.pad_top, c.height_in, s.row, s.row + s.rows, s.y, s.height);
  FindShown(plan.frame + c.pad_left, c.width_in, s.word, s.word + s.words + kAhead, s.x, s.width);
  return s;
}

// The strip's pixels of one channel of 16 images, each a burst where whole rows are held.
inline void LoadStrip(const int8_t *maps, const strop_command &c, const InputStrip &s, uint32_t channel, uint32_t first,
                      int8_t pixels[kImages][kStripBytes]) {
  const uint32_t map = c.height_in * c.width_in;
  const bool whole = s.width == c.width_in;
  const uint32_t bursts = whole ? Smaller(s.height, 1) : s.height;
  const uint32_t bytes = whole ? s.height * s.width : s.width;
  const uint32_t images = Smaller(kImages, c.batch - s.group * kImages);
LoadStrip_Image:
  for (uint32_t n = 0; n < images; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
    const uint32_t image = (s.group * kImages + n) * c.channels_in + channel;
  LoadStrip_Burst:
    for (uint32_t i = 0; i < bursts; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 0 max = 2
      BurstRead(pixels[n] + first + i * s.width, maps, c.source + image * map + (s.y + i) * c.width_in + s.x, bytes);
    }
  }
}

// Words [first, first + count) of row `row`. Byte 4n + j shows the pixel j positions further (a pixel map) or of channel j. Where there is
// no pixel the frame is black (1.2), and 0 outside it.
inline void MakeWords(const strop_command &c, const InputPlan &plan, const InputStrip &s, uint32_t row, uint32_t first,
                      uint32_t count, const int8_t pixels[kImages][kStripBytes], int8_t *target) {
  const uint32_t images = Smaller(kImages, c.batch - s.group * kImages);
  const uint32_t channels = plan.pixels ? kQuad : Smaller(kQuad, c.channels_in - s.plane * kQuad);
  const uint32_t y = row - c.pad_top - s.y;  // wraps above the picture
  const uint32_t left = plan.frame + c.pad_left + s.x;
MakeWords_Word:
  for (uint32_t w = 0; w < count; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 32
#pragma HLS PIPELINE II = kWordCycles
  MakeWords_Byte:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
      const uint32_t n = b / kQuad;
      const uint32_t j = b % kQuad;
      const uint32_t position = first + w + (plan.pixels ? j : 0);
      const uint32_t x = position - left;  // wraps beside the picture
      const bool shown = y < s.height && x < s.width;
      const bool framed = position >= plan.frame && position < plan.width && n < images && j < channels;
      const uint32_t at = (plan.pixels ? 0 : j * (kStripBytes / kQuad)) + y * s.width + x;
      const int8_t centred = static_cast<int8_t>(pixels[n][shown ? at : 0] ^ int8_t(-128));  // p - 128, p read as int8
      const int8_t lit = centred < -kMaxInt8 || !shown ? int8_t(-kMaxInt8) : centred;
      target[w * kWordBytes + b] = framed ? lit : int8_t{0};
    }
  }
}

// The strips that fall to this lane. While one row of words leaves, the next is made.
inline void InputStrips(Lane &lane, const int8_t *maps, int8_t *dram, const strop_command &c) {
  const InputPlan plan = PlanInput(c);
  const uint32_t strips = plan.planes * plan.groups * StripsOfPlane(c, plan);
  const uint32_t last = lane.Last(strips);
  int8_t pixels[kImages][kStripBytes];
#pragma HLS ARRAY_PARTITION variable = pixels type = complete dim = 1
#pragma HLS ARRAY_RESHAPE variable = pixels type = cyclic factor = 4 dim = 2
InputStrips_Strip:
  for (uint32_t index = lane.First(strips); index < last; ++index) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 65536
    const InputStrip s = StripAt(c, plan, index);
    const uint32_t channels = plan.pixels ? 1 : Smaller(kQuad, c.channels_in - s.plane * kQuad);
  InputStrips_Channel:
    for (uint32_t j = 0; j < channels; ++j) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4
      LoadStrip(maps, c, s, plan.pixels ? s.plane : s.plane * kQuad + j, j * (kStripBytes / kQuad), pixels);
    }
    const uint32_t parts = CeilDivide(s.words, kMadeWords);
    const uint32_t map = c.target + s.plane * c.target_plane + s.group * c.height_out * plan.width * kWordBytes;
  InputStrips_Row:
    for (uint32_t i = 0; i < s.rows * parts; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1024
#pragma HLS DATAFLOW
      alignas(64) int8_t made[kMadeWords * kWordBytes];
#pragma HLS ARRAY_RESHAPE variable = made type = cyclic factor = kPortBytes
      const uint32_t row = s.row + i / parts;
      const uint32_t first = s.word + i % parts * kMadeWords;
      const uint32_t count = Smaller(kMadeWords, s.word + s.words - first);
      MakeWords(c, plan, s, row, first, count, pixels, made);
      BurstWrite(dram, map + (row * plan.width + first) * kWordBytes, made, count * kWordBytes);
    }
  }
}

}  // namespace strop

#endif  // STROP_INPUT_STRIPS_HPP
