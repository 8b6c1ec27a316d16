// What a job of the MAC array reads: source words, weights, errors.
#ifndef STROP_MAC_LOAD_HPP
#define STROP_MAC_LOAD_HPP

#include "dram.hpp"
#include "lane.hpp"
#include "mac_job.hpp"

namespace strop {

// Where a job's source words lie: planes[quad][image group][row][column] on chip.
struct Region {
  uint32_t quads, images, height, width;
  int32_t y, x;           // source position of its first word; may be beside the map
  uint32_t source;        // arena offset of its first quad and image group
  uint32_t plane, image;  // bytes from quad to quad, from image group to image group
};

inline Region RegionOf(const Pass &p, const Job &job) {
  const Axis &h = p.window.h;
  const Axis &w = p.window.w;
  const uint32_t quad = job.group * (p.depth.merged / kQuad) + job.chunk.first_quad;
  const uint32_t image = h.source * w.source * kWordBytes;
  return {job.chunk.quads,
          job.tile.images,
          Reach(h, job.tile.rows, job.chunk.rows),
          Reach(w, job.tile.columns, w.taps),
          h.origin + static_cast<int32_t>(job.tile.first_h * h.stride + job.chunk.first_row * h.tap_step),
          w.origin + static_cast<int32_t>(job.tile.first_w * w.stride),
          p.source + quad * p.source_plane + job.tile.first_n * image,
          p.source_plane,
          image};
}

#if STROP_HARDWARE
// One word a turn, 0 beside the map: every word is a burst of its own, and the bursts follow each other without a gap.
inline void LoadRegion(const int8_t *dram, const Region &region, uint32_t map_h, uint32_t map_w, int8_t *planes) {
  uint32_t q = 0;
  uint32_t n = 0;
  uint32_t row = 0;
  uint32_t column = 0;
LoadRegion_Word:
  for (uint32_t word = 0; word < region.quads * region.images * region.height * region.width; ++word) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 2048
#pragma HLS PIPELINE II = kWordCycles
    const int32_t y = region.y + static_cast<int32_t>(row);
    const int32_t x = region.x + static_cast<int32_t>(column);
    const bool inside = y >= 0 && y < static_cast<int32_t>(map_h) && x >= 0 && x < static_cast<int32_t>(map_w);
    const uint32_t at = inside ? static_cast<uint32_t>(y) * map_w + static_cast<uint32_t>(x) : 0;
    const uint32_t from = region.source + q * region.plane + n * region.image + at * kWordBytes;
  LoadRegion_Byte:
    for (uint32_t i = 0; i < kWordBytes; ++i) {
#pragma HLS UNROLL
      const int8_t value = dram[from + i];
      planes[word * kWordBytes + i] = inside ? value : int8_t{0};
    }
    STROP_COUNT_READ(kWordBytes);
    if (++column == region.width) {
      column = 0;
      if (++row == region.height) {
        row = 0;
        if (++n == region.images) {
          n = 0;
          ++q;
        }
      }
    }
  }
}
#else
// The same, line by line.
inline void LoadRegion(const int8_t *dram, const Region &region, uint32_t map_h, uint32_t map_w, int8_t *planes) {
  const uint32_t before = region.x < 0 ? Smaller(static_cast<uint32_t>(-region.x), region.width) : 0;
  const uint32_t from = region.x < 0 ? 0 : static_cast<uint32_t>(region.x);
  const uint32_t held = from < map_w ? Smaller(map_w - from, region.width - before) : 0;
  const uint32_t line = region.width * kWordBytes;
  for (uint32_t q = 0; q < region.quads; ++q) {
    for (uint32_t n = 0; n < region.images; ++n) {
      const int8_t *map = dram + region.source + q * region.plane + n * region.image + from * kWordBytes;
      if (held == map_w && held == region.width && region.y >= 0 &&
          static_cast<uint32_t>(region.y) + region.height <= map_h) {
        const uint32_t bytes = region.height * line;  // whole lines of the map, without a border
        __builtin_memcpy(planes, map + static_cast<uint32_t>(region.y) * line, bytes);
        planes += bytes;
        continue;
      }
      for (uint32_t row = 0; row < region.height; ++row, planes += line) {
        const int32_t y = region.y + static_cast<int32_t>(row);
        if (y < 0 || y >= static_cast<int32_t>(map_h)) {
          __builtin_memset(planes, 0, line);
          continue;
        }
        if (before > 0) __builtin_memset(planes, 0, before * kWordBytes);
        __builtin_memcpy(planes + before * kWordBytes, map + static_cast<uint32_t>(y) * map_w * kWordBytes,
                         held * kWordBytes);
        const uint32_t end = (before + held) * kWordBytes;
        if (end < line) __builtin_memset(planes + end, 0, line - end);
      }
    }
  }
}
#endif

// The source words under a tile, and where each window and each tap finds its own.
inline void LoadPlanes(const int8_t *dram, const Pass &p, const Job &job, Operands &operands) {
  const Axis &h = p.window.h;
  const Axis &w = p.window.w;
  const Region region = RegionOf(p, job);
  LoadRegion(dram, region, h.source, w.source, operands.planes);
  const uint32_t width = region.width;
  const uint32_t image = region.height * width;
  const uint32_t quad = job.tile.images * image;
  uint32_t word = 0;
LoadPlanes_WordImage:
  for (uint32_t n = 0; n < job.tile.images; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 52
  LoadPlanes_WordRow:
    for (uint32_t i = 0; i < job.tile.rows; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 52
    LoadPlanes_WordColumn:
      for (uint32_t j = 0; j < job.tile.columns; ++j) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 52
#pragma HLS PIPELINE II = 1
        operands.word_offset[word++] = n * image + i * h.stride * width + j * w.stride;
      }
    }
  }
  uint32_t group = 0;
LoadPlanes_GroupQuad:
  for (uint32_t q = 0; q < job.chunk.quads; ++q) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 288
  LoadPlanes_GroupRow:
    for (uint32_t u = 0; u < job.chunk.rows; ++u) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 15
    LoadPlanes_GroupColumn:
      for (uint32_t v = 0; v < w.taps; ++v) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 15
#pragma HLS PIPELINE II = 1
        operands.group_offset[group++] = q * quad + u * h.tap_step * width + v * w.tap_step;
      }
    }
  }
}

// A job without depth still gives sums, of 0: all of its windows meet one word of zeros, whichever weights are on chip.
inline void LoadZero(const Job &job, Operands &operands) {
  operands.group_offset[0] = 0;
LoadZero_Byte:
  for (uint32_t i = 0; i < kWordBytes; ++i) {
#pragma HLS UNROLL
    operands.planes[i] = 0;
  }
LoadZero_Window:
  for (uint32_t i = 0; i < WordsOf(job.tile); ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 52
#pragma HLS PIPELINE II = 1
    operands.word_offset[i] = 0;
  }
}

// Rows that only fill a block of the array are zero, so that they give nothing.
template <uint32_t kBytes>
inline void ClearRows(int8_t (*tile)[kBytes], uint32_t first, uint32_t end, uint32_t bytes) {
ClearRows_Row:
  for (uint32_t row = first; row < end; ++row) {
#pragma HLS LOOP_TRIPCOUNT min = 0 max = 15
  ClearRows_Byte:
    for (uint32_t i = 0; i < bytes; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 4 max = 1152
#pragma HLS PIPELINE II = 1
      tile[row][i] = 0;
    }
  }
}

inline uint32_t PaddedRows(uint32_t rows) {
  constexpr uint32_t kBlock = kShape.mac_rows > kQuad ? kShape.mac_rows : kQuad;
  return CeilDivide(rows, kBlock) * kBlock;
}

// Forward: rows of the view lie as the array wants them.
inline void LoadFilters(const int8_t *dram, const Pass &p, const Job &job, const Chunk &part, WeightTile weights) {
  const uint32_t bytes = part.quads * part.rows * p.window.w.taps * kQuad;
  const uint32_t at = (part.first_quad * p.view.taps + part.first_row * p.window.w.taps) * kQuad;
  const uint32_t first = p.weights + (job.group * p.rows.merged + job.first_row) * p.view.row_bytes + at;
LoadFilters_Row:
  for (uint32_t row = 0; row < job.rows; ++row) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 64
    BurstRead(weights[row], dram, first + row * p.view.row_bytes, bytes);
  }
  ClearRows(weights, job.rows, PaddedRows(job.rows), bytes);
}

// Input gradient: the view's rows are what is summed over, and the filter's taps are met from its end. The filters of 4 output
// channels come on chip side by side and are turned there.
inline void LoadTurnedFilters(Lane &lane, const int8_t *dram, const Pass &p, const Job &job, const Chunk &part,
                              WeightTile weights) {
  uint8_t taps[STROP_MAX_KERNEL * STROP_MAX_KERNEL];
  uint32_t count = 0;
LoadTurnedFilters_TapRow:
  for (uint32_t u = 0; u < part.rows; ++u) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 15
    const int32_t r =
        static_cast<int32_t>(p.window.h.tap_first) + static_cast<int32_t>(part.first_row + u) * p.window.h.tap_next;
  LoadTurnedFilters_TapColumn:
    for (uint32_t v = 0; v < p.window.w.taps; ++v) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 15
      const int32_t s = static_cast<int32_t>(p.window.w.tap_first) + static_cast<int32_t>(v) * p.window.w.tap_next;
      taps[count++] = static_cast<uint8_t>(r * static_cast<int32_t>(p.kernel_w) + s);
    }
  }
  const uint32_t row_taps = p.flat ? 1 : p.view.taps;  // of the view, for 4 rows of the tile
  const uint32_t quads_at_once = kStrip / (row_taps * kQuad);
  const uint32_t first = job.group * p.depth.merged;
  const uint32_t last = first + ChannelsOf(p.depth, job.group) - 1;
  const uint32_t row_quads = CeilDivide(job.rows, kQuad);
LoadTurnedFilters_Rows:
  for (uint32_t quad = 0; quad < row_quads; quad += quads_at_once) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
    const uint32_t held = Smaller(quads_at_once, row_quads - quad);
    const uint32_t column = (job.first_row / kQuad + quad) * row_taps * kQuad;
  LoadTurnedFilters_Depth:
    for (uint32_t q = 0; q < part.quads; ++q) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 288
      const int8_t *filter[kQuad];
    LoadTurnedFilters_Channel:
      for (uint32_t k = 0; k < kQuad; ++k) {
#pragma HLS UNROLL
        // beyond the last channel any filter serves: its errors are 0
        const uint32_t channel = Smaller(first + (part.first_quad + q) * kQuad + k, last);
        const uint32_t from = p.weights + channel * p.view.row_bytes + column;
        STROP_READ_ROW(strip, lane.tiles.strip[k], dram, from, held * row_taps * kQuad);
        filter[k] = strip;
      }
    LoadTurnedFilters_Quad:
      for (uint32_t i = 0; i < held; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
        STROP_LEAF(lane, TurnFilters)
        (filter, i * row_taps * kQuad, taps, count, weights, (quad + i) * kQuad, q * count);
      }
    }
  }
  ClearRows(weights, row_quads * kQuad, PaddedRows(job.rows), part.quads * count * kQuad);
}

inline void LoadWeights(Lane &lane, const int8_t *dram, const Pass &p, const Job &job, WeightTile weights) {
  // quads and tap rows whose weights are on chip together: all of them, or those of one chunk
  const Chunk part = p.tiling.resident ? Chunk{0, job.quads, 0, p.window.h.taps} : job.chunk;
  if (p.turned) {
    LoadTurnedFilters(lane, dram, p, job, part, weights);
  } else {
    LoadFilters(dram, p, job, part, weights);
  }
}

// Weight gradient: the errors at the tile's windows.
inline void LoadErrors(Lane &lane, const int8_t *dram, const Pass &p, const Job &job, Operands &operands) {
  (void)lane;
  const uint32_t count = WordsOf(job.tile);
  const uint32_t first_quad = (job.group * p.rows.merged + job.first_row) / kQuad;
  uint32_t places[kTileWords];
  FindPlaces(p, job, places);
  STROP_COUNT_READ(CeilDivide(job.rows, kQuad) * count * kWordBytes);
  STROP_LEAF(lane, TransposeErrors)
  (dram + p.error + first_quad * p.error_plane, p.error_plane, CeilDivide(job.rows, kQuad), places, count,
   operands.errors);
  ClearRows(operands.errors, CeilDivide(job.rows, kQuad) * kQuad, PaddedRows(job.rows), count * kImages);
}

}  // namespace strop

#endif  // STROP_MAC_LOAD_HPP
