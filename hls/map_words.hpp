// How the words of a feature map are walked: quad after quad, and within a quad image group after image group.
#ifndef STROP_MAP_WORDS_HPP
#define STROP_MAP_WORDS_HPP

#include "dram.hpp"
#include "lane.hpp"

namespace strop {

// Words of one pass: as many as a row on chip holds. In emulation a row is a pointer into the arena, and holds more.
#if STROP_HARDWARE
constexpr uint32_t kPassWords = kRowWords;
#else
constexpr uint32_t kPassWords = 4096;
#endif

inline uint32_t CeilDivide(uint32_t a, uint32_t b) { return (a + b - 1) / b; }

struct MapShape {
  uint32_t channels;
  uint32_t batch;
  uint32_t map;  // H * W
  uint32_t quads;
  uint32_t groups;  // of images
  uint32_t words;   // in a quad
};

inline MapShape ShapeOf(uint32_t channels, uint32_t batch, uint32_t map) {
  const uint32_t groups = CeilDivide(batch, kImages);
  return {channels, batch, map, CeilDivide(channels, kQuad), groups, groups * map};
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

// Words of one quad in which the same images exist.
struct Span {
  uint32_t quad;
  uint32_t first;  // word in the quad
  uint32_t count;
  uint32_t images;
};

// The words from `at` on, counted through all quads, before `last`; at most a pass.
inline Span SpanAt(const MapShape &shape, uint32_t at, uint32_t last) {
  const uint32_t quad = at / shape.words;
  const uint32_t first = at % shape.words;
  const uint32_t tail = shape.words - shape.map;  // the last image group may be partly empty
  const uint32_t end = first < tail ? tail : shape.words;
  const uint32_t images = first < tail ? kImages : shape.batch - (shape.groups - 1) * kImages;
  return {quad, first, Smaller(Smaller(end - first, last - at), kPassWords), images};
}

// Where the next span begins.
inline uint32_t AfterSpan(const MapShape &shape, uint32_t at, uint32_t last) {
  return at + SpanAt(shape, at, last).count;
}

// Offset of a span in a map at `base` whose quads are `plane` bytes apart.
inline uint32_t OffsetOf(uint32_t base, uint32_t plane, const Span &span) {
  return base + span.quad * plane + span.first * kWordBytes;
}
inline uint32_t BytesIn(const Span &span) { return span.count * kWordBytes; }

// Dither of a quad's elements, `off` being the command's draw (1.5).
inline void FindDither(const MapShape &shape, uint32_t quad, uint32_t off, QuadDither &dither) {
  dither.map = shape.map;
FindDither_Lane:
  for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS PIPELINE II = 1
    dither.lane[b] = off + ((quad * kQuad + b % kQuad) * shape.batch + b / kQuad) * shape.map;
  }
}

}  // namespace strop

#endif  // STROP_MAP_WORDS_HPP
