// How the words of a feature map are walked: quad after quad, and within a quad image group after image group.
#ifndef STROP_MAP_WORDS_HPP
#define STROP_MAP_WORDS_HPP

#include "dram.hpp"
#include "lane.hpp"

namespace strop {

// Words that a pass takes at once: as many as a row on chip holds. In emulation a row is a pointer into the arena, and holds more. Where
// the bytes that move are counted, they are the hardware's.
#if STROP_HARDWARE || defined(STROP_COUNTERS)
constexpr uint32_t kPassWords = kRowWords;
#else
constexpr uint32_t kPassWords = 512;
#endif

struct MapShape {
  uint32_t channels;
  uint32_t batch;
  uint32_t map;  // H * W
  uint32_t quads;
  uint32_t groups;  // of images
  uint32_t words;   // in a quad
  uint32_t whole;   // of those, in image groups that are full; the last group may be partly empty
  uint32_t step;    // words that a pass takes at once
};

inline MapShape ShapeOf(uint32_t channels, uint32_t batch, uint32_t map) {
  const uint32_t groups = CeilDivide(batch, kImages);
  return {channels, batch, map, CeilDivide(channels, kQuad), groups, groups * map, batch / kImages * map, kPassWords};
}
inline MapShape InputShape(const strop_command &c) { return ShapeOf(c.channels_in, c.batch, c.height_in * c.width_in); }
inline MapShape OutputShape(const strop_command &c) {
  return ShapeOf(c.channels_out, c.batch, c.height_out * c.width_out);
}

// All words of the map; bytes are about the work of an elementwise pass.
inline uint32_t WordsOf(const MapShape &shape) { return shape.quads * shape.words; }
inline uint64_t BytesOf(const MapShape &shape) { return uint64_t{WordsOf(shape)} * kWordBytes; }
inline uint32_t ElementsOf(const MapShape &shape) { return shape.channels * shape.batch * shape.map; }

// Channels of the quad that exist.
inline uint32_t ChannelsIn(const MapShape &shape, uint32_t quad) {
  return Smaller(kQuad, shape.channels - quad * kQuad);
}

// Words of one quad in which the same images exist; at most a pass.
struct Span {
  uint32_t quad;
  uint32_t first;  // word in the quad
  uint32_t count;
  uint32_t images;
  bool opens;  // first of its quad, or of the lane's share
  bool closes;
};

inline uint32_t SpansOfQuad(const MapShape &shape) {
  return CeilDivide(shape.whole, shape.step) + CeilDivide(shape.words - shape.whole, shape.step);
}
inline uint32_t SpansOf(const MapShape &shape) { return shape.quads * SpansOfQuad(shape); }

// Span `index` of all, of a lane whose share is [begin, end).
inline Span SpanAt(const MapShape &shape, uint32_t index, uint32_t begin, uint32_t end) {
  const uint32_t spans = SpansOfQuad(shape);
  const uint32_t whole_spans = CeilDivide(shape.whole, shape.step);
  const uint32_t i = index % spans;
  const bool whole = i < whole_spans;
  const uint32_t first = whole ? i * shape.step : shape.whole + (i - whole_spans) * shape.step;
  const uint32_t count = Smaller((whole ? shape.whole : shape.words) - first, shape.step);
  const uint32_t images = whole ? kImages : shape.batch % kImages;
  return {index / spans, first, count, images, i == 0 || index == begin, i + 1 == spans || index + 1 == end};
}

// A map where it lies: its first quad, and bytes from quad to quad.
struct MapPlace {
  uint32_t offset;
  uint32_t plane;
};

// Dither of a quad's elements, `off` being the command's draw (1.5).
inline void FindDither(const MapShape &shape, uint32_t quad, uint32_t off, QuadDither &dither) {
  dither.map = shape.map;
  FindDitherLanes(off + quad * kQuad * shape.batch * shape.map, shape.batch * shape.map, shape.map, dither.lane);
}

}  // namespace strop

#endif  // STROP_MAP_WORDS_HPP
