// CONV_WEIGHT_GRADIENT: dW[k][c][r][s] = sum over n, p, q of e[k] * a[c], on the same MAC array (NUMERICS 1.7 step 5).
// Rows are output channels, columns are filter taps, depth runs along the raster of the layer's input. On the cells that are no
// output position e is 0, so they add nothing.
#ifndef STROP_WEIGHT_GRADIENT_HPP
#define STROP_WEIGHT_GRADIENT_HPP

#include "convolution.hpp"

namespace strop {

struct WeightGradient {
  Raster raster;
  uint32_t groups;
  uint32_t rows;     // output channels, a group
  uint32_t columns;  // C/groups * R * S
  uint32_t taps;
  uint32_t error, error_plane;
  uint32_t source, source_plane;
  uint32_t target;
};

inline WeightGradient MakeWeightGradient(const strop_command &c) {
  const Raster raster = InputRaster(c);
  const uint32_t taps = c.kernel_h * c.kernel_w;
  return {raster,
          c.groups,
          c.channels_out / c.groups,
          c.channels_in / c.groups * taps,
          taps,
          c.source,
          c.source_plane,
          c.source_2,
          c.source_2_plane,
          c.target};
}

// B tile: columns `first_column`.. (taps), depth = kTileDepth raster cells from `first`.
inline void LoadTapColumns(Lane &lane, const int8_t *dram, const WeightGradient &g, const TapOffsets &offsets,
                           uint32_t group, uint32_t first, uint32_t first_column, uint32_t columns,
                           uint32_t depth_groups) {
  const uint32_t source = g.source + group * (g.columns / g.taps) * g.source_plane;
  TapWalk walk = {first_column / g.taps, first_column % g.taps, first_column / g.taps};
LoadTapColumns_Group:
  for (uint32_t j = 0; j < columns; j += kGroup) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 64
    uint32_t row[kGroup];
  LoadTapColumns_Row:
    for (uint32_t i = 0; i < kGroup; ++i) {
      // beyond the last column any row serves: its sums are not stored
      row[i] =
          j + i < columns ? NextTap(lane.tiles, dram, source, g.source_plane, g.raster, offsets, first, walk) : row[0];
    }
    STROP_LEAF(lane, TransposeRows)(lane.tiles.planes, row, depth_groups, j, lane.tiles.b);
  }
}

// Add the accumulators to the gradient in DRAM, where other lanes may add theirs.
inline void AddGradient(Tiles &tiles, int32_t *words, const WeightGradient &g, uint32_t first_row, uint32_t rows,
                        uint32_t first_column, uint32_t columns) {
AddGradient_Row:
  for (uint32_t row = 0; row < rows; ++row) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 64
    const uint32_t base = g.target + 4 * ((first_row + row) * g.columns + first_column);
  AddGradient_Column:
    for (uint32_t column = 0; column < columns; ++column) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 256
      AddWord(words, base + 4 * column, tiles.accumulator[row][column]);
    }
  }
}

inline void WeightGradientTiles(Lane &lane, const int8_t *dram, int32_t *words, const WeightGradient &g) {
  const uint32_t cells = RasterCells(g.raster);
  const uint32_t row_blocks = Blocks(g.rows, kTileRows);
  const uint32_t column_blocks = Blocks(g.columns, kTileColumns);
  const uint32_t chunks = Blocks(cells, kTileDepth);
  const uint32_t items = g.groups * row_blocks * column_blocks * chunks;
  const uint32_t begin = lane.First(items);
  const uint32_t last = lane.Last(items);
  Runs runs;
  TapOffsets offsets;
  FindTapOffsets(g.raster, false, offsets);
WeightGradientTiles_Chunk:
  for (uint32_t item = begin; item < last; ++item) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
    const uint32_t chunk = item % chunks;
    const uint32_t block = item / chunks % column_blocks;
    const uint32_t row_block = item / chunks / column_blocks % row_blocks;
    const uint32_t group = item / chunks / column_blocks / row_blocks;
    const uint32_t rows = Smaller(kTileRows, g.rows - row_block * kTileRows);
    const uint32_t columns = Smaller(kTileColumns, g.columns - block * kTileColumns);
    const uint32_t first = chunk * kTileDepth;
    const uint32_t depth = Smaller(kTileDepth, cells - first);
    const uint32_t depth_groups = Blocks(depth, kGroup);
    const uint32_t first_row = group * g.rows + row_block * kTileRows;
    FindRuns(g.raster, first, depth, runs);
  WeightGradientTiles_Row:
    for (uint32_t row = 0; row < rows; ++row) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 64
      STROP_LEAF(lane, SpreadRuns)
      (dram, g.error + (first_row + row) * g.error_plane + runs.first_output, runs, depth_groups * kGroup,
       lane.tiles.a[row]);
    }
    LoadTapColumns(lane, dram, g, offsets, group, first, block * kTileColumns, columns, depth_groups);
    STROP_LEAF(lane, MacTile)
    (lane.tiles.a, rows, lane.tiles.b, Blocks(columns, kVector), depth_groups, item > begin && chunk > 0,
     lane.tiles.accumulator);
    if (chunk + 1 == chunks || item + 1 == last) {
      AddGradient(lane.tiles, words, g, first_row, rows, block * kTileColumns, columns);
    }
  }
}

// This lane's share of `count` words from offset `at` becomes 0.
inline void ClearWords(Lane &lane, int32_t *words, uint32_t at, uint32_t count) {
  const uint32_t last = lane.Last(count);
ClearWords_Word:
  for (uint32_t i = lane.First(count); i < last; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
#pragma HLS PIPELINE II = 1
    WriteWord(words, at + 4 * i, 0);
  }
}

// dbias[k] = sum of the errors of channel k (1.7 step 5).
inline void BiasGradient(Lane &lane, const int8_t *dram, int32_t *words, const strop_command &c) {
  const uint32_t values = c.batch * c.height_out * c.width_out;
  const uint32_t last = lane.Last(c.channels_out);
BiasGradient_Channel:
  for (uint32_t k = lane.First(c.channels_out); k < last; ++k) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
    int32_t sum = 0;
  BiasGradient_Row:
    for (uint32_t at = 0; at < values; at += kRow) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 33
      const uint32_t count = Smaller(kRow, values - at);
      BurstRead(lane.tiles.row[0], dram, c.source + k * c.source_plane + at, count);
      sum += STROP_LEAF(lane, SumRow)(lane.tiles.row[0], count);
    }
    WriteWord(words, c.grad_beta + 4 * k, sum);
  }
}

inline uint32_t ConvWeightGradient(Machine &machine, const int8_t *dram, int32_t *words, const strop_command &c) {
  const WeightGradient gradient = MakeWeightGradient(c);
  const uint32_t count = c.channels_out * gradient.columns;
  STROP_ON_LANES(machine, count, ClearWords(lane, words, c.target, count));
  const uint64_t work = uint64_t{c.channels_out} * gradient.columns * RasterCells(gradient.raster) / 16;
  STROP_ON_LANES(machine, work, WeightGradientTiles(lane, dram, words, gradient));
  const int32_t source_exponent = ReadWord(words, c.source_2_exponent);
  const uint32_t step = (c.flags & STROP_FLAG_BIAS) ? 0 : 4;  // an error before L1BN has an exponent a channel
ConvWeightGradient_Exponent:
  for (uint32_t k = 0; k < c.channels_out; ++k) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
    const int32_t error_exponent = ReadWord(words, c.source_exponent + step * k);
    WriteWord(words, c.target_exponent + 4 * k, error_exponent + source_exponent);
  }
  if (c.flags & STROP_FLAG_BIAS) {
    STROP_ON_LANES(machine, c.channels_out * c.batch, BiasGradient(lane, dram, words, c));
  }
  return STROP_STATUS_OK;
}

}  // namespace strop

#endif  // STROP_WEIGHT_GRADIENT_HPP
