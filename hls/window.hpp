// What a product of the MAC array reads: windows that slide over maps of 64-byte words, and how they are cut into tiles.
//
// A word is one position of a quad of channels in a group of 16 images, so a filter tap moves a window by whole words, a stride
// skips words, and padding is words of zero: nothing is gathered byte by byte, and no cell is computed that is not stored.
//   forward         windows over the layer's input, one for each output position
//   weight gradient the same windows, summed over instead of stored
//   input gradient  windows over the output's gradient. With stride t the input's positions fall into t x t phases: within one,
//                   windows slide by 1 and meet every t-th tap of the turned filter.
#ifndef STROP_WINDOW_HPP
#define STROP_WINDOW_HPP

#include "fixed_point.hpp"
#include "tiles.hpp"
#include "view_layout.hpp"

namespace strop {

// One axis of the windows. Window i begins at source index origin + i * stride; its tap u reads `tap_step` * u further on and
// belongs to filter tap tap_first + u * tap_next; its result goes to out_first + i * out_step.
struct Axis {
  uint32_t source;
  uint32_t count;
  uint32_t stride;
  int32_t origin;
  uint32_t taps;
  uint32_t tap_step;
  uint32_t tap_first;
  int32_t tap_next;
  uint32_t out_first;
  uint32_t out_step;
};

struct Window {
  uint32_t image_groups;
  Axis h;
  Axis w;
};

inline Axis ForwardAxis(uint32_t source, uint32_t out, uint32_t kernel, uint32_t stride, uint32_t pad,
                        uint32_t tap_step) {
  return {source, out, stride, -static_cast<int32_t>(pad), CeilDivide(kernel, tap_step), tap_step, 0, 1, 0, 1};
}

// Phase `phase` of the input gradient along one axis: positions phase, phase + stride, ... of `in`.
inline Axis GradientAxis(uint32_t in, uint32_t out, uint32_t kernel, uint32_t stride, uint32_t pad, uint32_t phase) {
  const uint32_t count = phase < in ? CeilDivide(in - phase, stride) : 0;
  const uint32_t first = (phase + pad) % stride;
  const uint32_t taps = first < kernel ? CeilDivide(kernel - first, stride) : 0;
  const int32_t origin = static_cast<int32_t>((phase + pad - first) / stride) - static_cast<int32_t>(taps) + 1;
  const uint32_t last = taps > 0 ? first + stride * (taps - 1) : 0;
  return {out, count, 1, origin, taps, 1, last, -static_cast<int32_t>(stride), phase, stride};
}

inline Window ForwardWindow(const strop_command &c) {
  const uint32_t tap_step = (c.flags & STROP_FLAG_PIXELS) ? kQuad : 1;
  return {CeilDivide(c.batch, kImages), ForwardAxis(c.height_in, c.height_out, c.kernel_h, c.stride_h, c.pad_top, 1),
          ForwardAxis(c.width_in, c.width_out, c.kernel_w, c.stride_w, c.pad_left, tap_step)};
}

inline Window GradientWindow(const strop_command &c, uint32_t phase_h, uint32_t phase_w) {
  return {CeilDivide(c.batch, kImages),
          GradientAxis(c.height_in, c.height_out, c.kernel_h, c.stride_h, c.pad_top, phase_h),
          GradientAxis(c.width_in, c.width_out, c.kernel_w, c.stride_w, c.pad_left, phase_w)};
}

// Source words along an axis under `count` windows and `taps` taps.
inline uint32_t Reach(const Axis &axis, uint32_t count, uint32_t taps) {
  return (count - 1) * axis.stride + (taps > 0 ? (taps - 1) * axis.tap_step : 0) + 1;
}

// The most windows along an axis that reach over at most `words` source words; 0 where one reaches further.
inline uint32_t WindowsWithin(const Axis &axis, uint32_t words, uint32_t taps) {
  const uint32_t one = Reach(axis, 1, taps);
  return words < one ? 0 : (words - one) / axis.stride + 1;
}

// How windows are cut: a tile is `images` x `rows` x `columns` of them; a chunk of its depth is `quads` source quads with all
// their taps, or one quad and `tap_rows` rows of them.
struct Tiling {
  uint32_t images, rows, columns;
  uint32_t tiles_n, tiles_h, tiles_w;
  uint32_t quads;
  uint32_t tap_rows;
  uint32_t quad_chunks, row_chunks;
  bool resident;  // the weights of all chunks are on chip together
};

inline uint32_t TilesOf(const Tiling &t) { return t.tiles_n * t.tiles_h * t.tiles_w; }
inline uint32_t ChunksOf(const Tiling &t) { return t.quad_chunks * t.row_chunks; }

// Cut `window` over `quads` quads so that a chunk has at most `most_groups` groups (quads x taps) and loads fewest words.
inline Tiling PlanTiling(const TileShape &shape, const Window &window, uint32_t quads, uint32_t most_groups) {
  const uint32_t taps = window.h.taps * window.w.taps;
  Tiling best = {1, 1, 1, 0, 0, 0, 1, window.h.taps, 1, 1, quads * taps <= most_groups};
  uint32_t least_region = 1;  // source words under the best tile
  if (taps > most_groups) best.tap_rows = most_groups / window.w.taps;
  uint64_t least = ~uint64_t{0};
PlanTiling_Columns:
  for (uint32_t columns = 1; columns <= shape.tile_words; ++columns) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 52
    if (columns > window.w.count) break;
    const uint32_t width = Reach(window.w, columns, window.w.taps);
    const uint32_t on_chip = WindowsWithin(window.h, shape.plane_words / width, best.tap_rows);
    if (on_chip == 0) continue;  // one column of windows always fits
    const uint32_t rows = Smaller(Smaller(window.h.count, shape.tile_words / columns), on_chip);
    const uint32_t height = Reach(window.h, rows, best.tap_rows);
    const bool whole = rows == window.h.count && columns == window.w.count;
    const uint32_t most_images = Smaller(shape.tile_words / (rows * columns), shape.plane_words / (height * width));
    const uint32_t images = whole ? Smaller(window.image_groups, most_images) : 1;
    const uint32_t region = images * height * width;
    const uint32_t tiles_n = CeilDivide(window.image_groups, images);
    const uint32_t tiles_h = CeilDivide(window.h.count, rows);
    const uint32_t tiles_w = CeilDivide(window.w.count, columns);
    const uint32_t weights = best.resident ? 0 : CeilDivide(shape.tile_rows * taps, kImages);  // loaded with every tile
    const uint64_t words = uint64_t{tiles_n} * tiles_h * tiles_w * (region + weights);
    if (words < least) {
      least = words;
      best.images = images;
      best.rows = rows;
      best.columns = columns;
      best.tiles_n = tiles_n;
      best.tiles_h = tiles_h;
      best.tiles_w = tiles_w;
      least_region = region;
    }
  }
  const bool all_taps = best.tap_rows == window.h.taps;
  best.quads = all_taps ? Smaller(most_groups / (taps > 0 ? taps : 1), shape.plane_words / least_region) : 1;
  best.quads = Smaller(best.quads, quads);
  best.quad_chunks = CeilDivide(quads, best.quads);
  best.row_chunks = all_taps ? 1 : CeilDivide(window.h.taps, best.tap_rows);
  return best;
}

// The windows of one tile: where it begins and how many it has.
struct Tile {
  uint32_t first_n, first_h, first_w;
  uint32_t images, rows, columns;
};

inline uint32_t WordsOf(const Tile &tile) { return tile.images * tile.rows * tile.columns; }

inline Tile TileAt(const Window &window, const Tiling &t, uint32_t index) {
  const uint32_t w = index % t.tiles_w * t.columns;
  const uint32_t h = index / t.tiles_w % t.tiles_h * t.rows;
  const uint32_t n = index / t.tiles_w / t.tiles_h * t.images;
  return {n,
          h,
          w,
          Smaller(t.images, window.image_groups - n),
          Smaller(t.rows, window.h.count - h),
          Smaller(t.columns, window.w.count - w)};
}

// The part of the depth of one chunk.
struct Chunk {
  uint32_t first_quad, quads;
  uint32_t first_row, rows;  // of taps
};

inline Chunk ChunkAt(const Window &window, const Tiling &t, uint32_t quads, uint32_t index) {
  const uint32_t row = index % t.row_chunks * t.tap_rows;
  const uint32_t quad = index / t.row_chunks * t.quads;
  return {quad, Smaller(t.quads, quads - quad), row, Smaller(t.tap_rows, window.h.taps - row)};
}

}  // namespace strop

#endif  // STROP_WINDOW_HPP
