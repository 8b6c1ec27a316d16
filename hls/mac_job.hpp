// One pass of the MAC array over a layer (mac_pass.hpp), and the jobs that it is cut into: one chunk of the depth of one tile each.
#ifndef STROP_MAC_JOB_HPP
#define STROP_MAC_JOB_HPP

#include "site.hpp"
#include "window.hpp"

namespace strop {

// Index of element (c, n, y, x) of a tensor: the sum of each coordinate times its step (1.5).
struct ElementOrder {
  uint32_t channel, image, row, column;
};

// How results leave the chip.
struct Store {
  StoreMode mode;
  int32_t shift;
  uint32_t dither;
  uint32_t bias;           // kLogits: arena offset of the bias
  int32_t logit_exponent;  // kLogits
};

// Channels of the merged groups (view_layout.hpp) of one side of a layer.
struct Side {
  uint32_t channels;  // all
  uint32_t merged;    // of one merged group; the last may have fewer
};

inline uint32_t ChannelsOf(const Side &side, uint32_t group) {
  return Smaller(side.merged, side.channels - group * side.merged);
}

struct Pass {
  MacMode mode;
  bool turned;  // input gradient
  bool flat;    // input gradient of a layer as large as its map: rows are (channel quad, position), 4 channels each
  Window window;
  Tiling tiling;
  uint32_t groups;        // merged ones
  uint32_t layer_groups;  // as the layer was declared
  Side rows;
  uint32_t block_rows;  // of them in a tile
  Side depth;           // channels summed over (weight gradient: of the columns)
  bool pixels;          // a channel of `depth` is a quad of its own
  ViewLayout view;
  uint32_t kernel_h, kernel_w;
  uint32_t weights;
  uint32_t source, source_plane;
  uint32_t error, error_plane;  // weight gradient
  uint32_t target, target_plane;
  uint32_t batch;
  uint32_t out_h, out_w;  // of the result map
  ElementOrder order;     // of the result's elements, for the dither
  Store store;
};

inline uint32_t QuadsOf(const Pass &p, uint32_t channels) { return p.pixels ? channels : CeilDivide(channels, kQuad); }

inline uint32_t RowBlocks(const Pass &p) { return CeilDivide(Smaller(p.rows.merged, p.rows.channels), p.block_rows); }

// What is one job of a pass.
struct Job {
  uint32_t group;
  uint32_t first_row, rows;  // in the merged group
  uint32_t quads;            // depth quads of the merged group
  Tile tile;
  Chunk chunk;
  uint32_t taps;  // of a quad, in this chunk
  bool first, last;
};

// Forward: tiles run inside row blocks, chunks inside tiles, so that weights which fit stay on chip. Weight gradient: tiles are
// what is summed, so they are innermost.
inline Job JobAt(const Pass &p, uint32_t index) {
  const Tiling &t = p.tiling;
  const uint32_t chunks = ChunksOf(t);
  const uint32_t tiles = TilesOf(t);
  const bool forward = p.mode == MacMode::kForward;
  const uint32_t chunk = forward ? index % chunks : index / tiles % chunks;
  const uint32_t tile = forward ? index / chunks % tiles : index % tiles;
  const uint32_t blocks = RowBlocks(p);
  const uint32_t block = index / chunks / tiles % blocks;
  const uint32_t group = index / chunks / tiles / blocks;
  Job job;
  job.group = group;
  job.first_row = block * p.block_rows;
  const uint32_t channels = ChannelsOf(p.rows, group);
  job.rows = job.first_row < channels ? Smaller(p.block_rows, channels - job.first_row) : 0;
  job.quads = QuadsOf(p, ChannelsOf(p.depth, group));
  job.tile = TileAt(p.window, t, tile);
  job.chunk = ChunkAt(p.window, t, QuadsOf(p, Smaller(p.depth.merged, p.depth.channels)), chunk);
  job.chunk.quads = job.chunk.first_quad < job.quads ? Smaller(job.chunk.quads, job.quads - job.chunk.first_quad) : 0;
  job.taps = job.chunk.rows * p.window.w.taps;
  job.first = forward ? chunk == 0 : tile == 0;
  job.last = forward ? chunk + 1 == chunks : tile + 1 == tiles;
  return job;
}

// A job without depth: a phase of the input gradient that no filter tap meets, or a chunk beyond the quads of the last merged group.
inline bool IsEmpty(const Job &job) { return job.chunk.quads * job.taps == 0; }

inline uint32_t JobsOf(const Pass &p) { return p.groups * RowBlocks(p) * TilesOf(p.tiling) * ChunksOf(p.tiling); }

// Jobs that give one result: the chunks of a tile's depth; the tiles that a weight gradient sums over.
inline uint32_t JobsOfResult(const Pass &p) {
  return p.mode == MacMode::kForward ? ChunksOf(p.tiling) : TilesOf(p.tiling);
}

// Whether lanes take whole results. Of a weight gradient that has too few of them they take parts, and add them up.
inline bool SharesWholeResults(const Pass &p, uint32_t lanes) {
  const uint32_t results = JobsOf(p) / JobsOfResult(p);
  return p.mode == MacMode::kForward || results % lanes == 0 || results >= 4 * lanes;
}

// In emulation: where tiles are too few to keep all lanes busy, blocks of rows become smaller, so that each lane has as many.
inline void DivideRows(Pass &p, uint32_t lanes) {
  const uint32_t others = p.groups * (p.mode == MacMode::kForward ? TilesOf(p.tiling) : ChunksOf(p.tiling));
  if (lanes == 1 || others >= 2 * lanes) return;
  const uint32_t rows = Smaller(p.rows.merged, p.rows.channels);
  const uint32_t blocks = CeilDivide(RowBlocks(p), lanes) * lanes;
  constexpr uint32_t kStep = 2 * kQuad;  // rows that the vectorized loops take at once
  p.block_rows = Smaller(p.block_rows, CeilDivide(CeilDivide(rows, blocks), kStep) * kStep);
}

// Position i of a tile along an axis, in the result map.
inline uint32_t OutAt(const Axis &axis, uint32_t i) { return axis.out_first + i * axis.out_step; }

// An index for each window of a tile: the sum of its image group's, row's and column's places in the result map (weight gradient: in
// the map of the errors) times their steps.
inline void IndexWindows(const Pass &p, const Job &job, uint32_t image, uint32_t row, uint32_t column,
                         uint32_t indices[kTileWords]) {
  uint32_t word = 0;
IndexWindows_Image:
  for (uint32_t n = 0; n < job.tile.images; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 52
  IndexWindows_Row:
    for (uint32_t i = 0; i < job.tile.rows; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 52
      const uint32_t line = (job.tile.first_n + n) * image + OutAt(p.window.h, job.tile.first_h + i) * row;
    IndexWindows_Column:
      for (uint32_t j = 0; j < job.tile.columns; ++j) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 52
#pragma HLS PIPELINE II = 1
        indices[word++] = line + OutAt(p.window.w, job.tile.first_w + j) * column;
      }
    }
  }
}

// Where the windows of a tile stand, in words from the map's first.
inline void FindPlaces(const Pass &p, const Job &job, uint32_t places[kTileWords]) {
  IndexWindows(p, job, p.out_h * p.out_w, p.out_w, 1, places);
}

}  // namespace strop

#endif  // STROP_MAC_JOB_HPP
