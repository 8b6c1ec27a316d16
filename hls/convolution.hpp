// Convolution and fully-connected layers: forward, input gradient, weight gradient on the MAC array (NUMERICS 1.3, 1.7).
// A fully-connected layer is a 1x1 convolution on a 1x1 map.
#ifndef STROP_CONVOLUTION_HPP
#define STROP_CONVOLUTION_HPP

#include "raster.hpp"
#include "site.hpp"

namespace strop {

// One convolution-shaped product: rows (channels of the result) by raster columns, summed over depth channels times taps.
// Forward and input gradient differ in nothing but these numbers.
struct Product {
  Raster raster;
  uint32_t groups;
  uint32_t rows;   // a group
  uint32_t depth;  // channels summed, a group
  uint32_t taps;
  bool turned;  // filter turned by 180 degrees: its taps are met in the opposite order
  uint32_t weights;
  uint32_t weight_row, weight_channel;  // steps in the weight view, from row to row and channel to channel
  uint32_t weight_group;
  uint32_t source, source_plane;
  uint32_t target, target_plane;
};

inline Product ForwardProduct(const strop_command &c) {
  const uint32_t taps = c.kernel_h * c.kernel_w;
  const uint32_t depth = c.channels_in / c.groups;
  const uint32_t rows = c.channels_out / c.groups;
  return {InputRaster(c),      c.groups, rows,           depth,    taps,          false, c.weights, depth * taps, taps,
          rows * depth * taps, c.source, c.source_plane, c.target, c.target_plane};
}

inline Product InputGradientProduct(const strop_command &c) {
  const uint32_t taps = c.kernel_h * c.kernel_w;
  const uint32_t rows = c.channels_in / c.groups;
  const uint32_t depth = c.channels_out / c.groups;
  return {GradientRaster(c),   c.groups, rows,           depth,    taps,          true, c.weights, taps, rows * taps,
          rows * depth * taps, c.source, c.source_plane, c.target, c.target_plane};
}

inline uint32_t Blocks(uint32_t items, uint32_t size) { return (items + size - 1) / size; }

inline uint32_t ChannelsPerChunk(const Product &p) { return kTileDepth / p.taps; }

// A tile: rows `first_row`.. of group `group`, depth channels `first_channel`.., depth padded with zeros to whole groups.
inline void LoadWeights(Lane &lane, const int8_t *dram, const Product &p, uint32_t group, uint32_t first_row,
                        uint32_t rows, uint32_t first_channel, uint32_t channels) {
  Tiles &tiles = lane.tiles;
  const uint32_t depth = channels * p.taps;
  const uint32_t padded = Blocks(depth, kGroup) * kGroup;
  const bool whole = p.weight_channel == p.taps;  // a row's filters lie side by side
LoadWeights_Row:
  for (uint32_t row = 0; row < rows; ++row) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 64
    const uint32_t base = p.weights + group * p.weight_group + (first_row + row) * p.weight_row;
    if (whole) {
      BurstRead(tiles.a[row], dram, base + first_channel * p.taps, depth);
    } else {
      STROP_LEAF(lane, GatherFilters)
      (dram, base + first_channel * p.weight_channel, p.weight_channel, p.taps, channels, tiles.a[row]);
    }
    Fill(tiles.a[row], depth, padded, 0);
  }
}

// B tile: the taps of `channels` source channels over the columns from cell `first`.
inline void LoadColumns(Lane &lane, const int8_t *dram, const Product &p, const TapOffsets &offsets, uint32_t group,
                        uint32_t first, uint32_t words, uint32_t first_channel, uint32_t channels) {
  const uint32_t depth = channels * p.taps;
  const uint32_t source = p.source + (group * p.depth + first_channel) * p.source_plane;
  TapWalk walk = {0, 0, 0};
LoadColumns_Group:
  for (uint32_t k = 0; k < depth; k += kGroup) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 64
    uint32_t row[kGroup];
  LoadColumns_Depth:
    for (uint32_t i = 0; i < kGroup; ++i) {
      // beyond the depth the A tile is zero: any row serves
      row[i] =
          k + i < depth ? NextTap(lane.tiles, dram, source, p.source_plane, p.raster, offsets, first, walk) : row[0];
    }
    STROP_LEAF(lane, InterleaveRows)(lane.tiles.planes, row, words, k / kGroup, lane.tiles.b);
  }
}

// How a product's results leave the chip.
struct Store {
  StoreMode mode;
  int32_t shift;
  uint32_t dither;
  uint32_t bias;           // kLogits: arena offset of the bias
  int32_t logit_exponent;  // kLogits
};

inline void StoreTile(Lane &lane, int8_t *dram, int32_t *words, const Product &p, const Store &store,
                      uint32_t first_channel, uint32_t rows, const Runs &runs) {
  const uint32_t plane_values = p.raster.batch * p.raster.out_h * p.raster.out_w;
StoreTile_Row:
  for (uint32_t row = 0; row < rows; ++row) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 64
    STROP_LEAF(lane, CompactRuns)(lane.tiles.accumulator[row], runs, lane.tiles.wide[0]);
    const uint32_t channel = first_channel + row;
    const uint32_t plane = p.target + channel * p.target_plane;
    if (store.mode == StoreMode::kLogits) {
      const int64_t bias =
          RoundShift(ReadWord(words, store.bias + 4 * channel), STROP_PARAMETER_FRACTION - store.logit_exponent);
    StoreTile_Logit:
      for (uint32_t i = 0; i < runs.total; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 256
#pragma HLS PIPELINE II = 1
        WriteWord(words, plane + 4 * (runs.first_output + i), Sat32(lane.tiles.wide[0][i] + bias));
      }
    } else {
      StoreRow(lane, dram, lane.tiles.wide[0], runs.total, store.mode, store.shift, store.dither,
               channel * plane_values + runs.first_output, plane + runs.first_output);
    }
  }
}

// All tiles of a product that fall to this lane.
inline void ProductTiles(Lane &lane, int8_t *dram, int32_t *words, const Product &p, const Store &store) {
  const uint32_t cells = RasterCells(p.raster);
  const uint32_t row_blocks = Blocks(p.rows, kTileRows);
  const uint32_t column_tiles = Blocks(cells, kTileColumns);
  const uint32_t chunk_channels = ChannelsPerChunk(p);
  const uint32_t chunks = Blocks(p.depth, chunk_channels);
  const uint32_t last = lane.Last(p.groups * column_tiles * row_blocks);
  uint32_t weights_held = ~0u;  // which operands are on chip: they stay where the next tile wants the same
  uint32_t columns_held = ~0u;
  Runs runs;
  TapOffsets offsets;
  FindTapOffsets(p.raster, p.turned, offsets);
ProductTiles_Tile:
  for (uint32_t item = lane.First(p.groups * column_tiles * row_blocks); item < last; ++item) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
    const uint32_t block = item % row_blocks;
    const uint32_t tile = item / row_blocks % column_tiles;
    const uint32_t group = item / row_blocks / column_tiles;
    const uint32_t first = tile * kTileColumns;
    const uint32_t columns = Smaller(kTileColumns, cells - first);
    const uint32_t column_words = Blocks(columns, kVector);
    const uint32_t rows = Smaller(kTileRows, p.rows - block * kTileRows);
  ProductTiles_Chunk:
    for (uint32_t chunk = 0; chunk < chunks; ++chunk) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 64
      const uint32_t channel = chunk * chunk_channels;
      const uint32_t channels = Smaller(chunk_channels, p.depth - channel);
      const uint32_t weights_wanted = (group * row_blocks + block) * chunks + chunk;
      if (weights_wanted != weights_held) {
        LoadWeights(lane, dram, p, group, block * kTileRows, rows, channel, channels);
        weights_held = weights_wanted;
      }
      const uint32_t columns_wanted = (group * column_tiles + tile) * chunks + chunk;
      if (columns_wanted != columns_held) {
        LoadColumns(lane, dram, p, offsets, group, first, column_words, channel, channels);
        columns_held = columns_wanted;
      }
      STROP_LEAF(lane, MacTile)
      (lane.tiles.a, rows, lane.tiles.b, column_words, Blocks(channels * p.taps, kGroup), chunk > 0,
       lane.tiles.accumulator);
    }
    FindRuns(p.raster, first, columns, runs);
    StoreTile(lane, dram, words, p, store, group * p.rows + block * kTileRows, rows, runs);
  }
}

inline uint64_t ProductWork(const Product &p) {
  return uint64_t{p.groups} * p.rows * p.depth * p.taps * RasterCells(p.raster) / 16;
}

// CONV_FORWARD: 1.3 steps 1 and 2; for the last layer, logits.
inline uint32_t ConvForward(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c) {
  const Product product = ForwardProduct(c);
  const int32_t source_exponent = ReadWord(words, c.source_exponent);
  if (c.flags & STROP_FLAG_LOGITS) {
    const int32_t exponent = source_exponent + ReadWord(words, c.weight_exponent);
    const Store store = {StoreMode::kLogits, 0, 0, c.beta, exponent};
    STROP_ON_LANES(machine, ProductWork(product), ProductTiles(lane, dram, words, product, store));
    WriteWord(words, c.target_exponent, exponent);
    return STROP_STATUS_OK;
  }
  const bool fixed = (c.flags & STROP_FLAG_FIXED) != 0;
  Site site = ReadSite(words, c.site);
  if (fixed && !site.set) return STROP_STATUS_SITE_UNSET;
  ClearCounters(machine);
  int32_t shift = fixed ? site.used : site.next;
  if (!site.set) {
    const Store measure = {StoreMode::kMeasure, 0, 0, 0, 0};
    STROP_ON_LANES(machine, ProductWork(product), ProductTiles(lane, dram, words, product, measure));
    shift = ShiftFor(MaxAbsOfLanes(machine));
  }
  const Store store = {StoreMode::kRound, shift, 0, 0, 0};
  STROP_ON_LANES(machine, ProductWork(product), ProductTiles(lane, dram, words, product, store));
  if (!fixed) {
    const uint32_t elements = c.channels_out * c.batch * c.height_out * c.width_out;
    AdvanceSite(machine, words, c.site, site.set, shift, elements, STROP_PRE_NORM_RATE_LOG2);
  }
ConvForward_Exponent:
  for (uint32_t k = 0; k < c.channels_out; ++k) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
    WriteWord(words, c.target_exponent + 4 * k, source_exponent + ReadWord(words, c.weight_exponent + 4 * k) - shift);
  }
  return STROP_STATUS_OK;
}

// CONV_INPUT_GRADIENT: 1.7 step 6.
inline uint32_t ConvInputGradient(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c) {
  const Product product = InputGradientProduct(c);
  const uint32_t dither = NextDither(words, c.dither);
  const Site site = ReadSite(words, c.site);
  ClearCounters(machine);
  int32_t shift = site.next;
  if (!site.set) {
    const Store measure = {StoreMode::kMeasure, 0, 0, 0, 0};
    STROP_ON_LANES(machine, ProductWork(product), ProductTiles(lane, dram, words, product, measure));
    shift = ShiftFor(MaxAbsOfLanes(machine));
  }
  const Store store = {StoreMode::kDither, shift, dither, 0, 0};
  STROP_ON_LANES(machine, ProductWork(product), ProductTiles(lane, dram, words, product, store));
  const uint32_t elements = c.channels_in * c.batch * c.height_in * c.width_in;
  AdvanceSite(machine, words, c.site, site.set, shift, elements, STROP_ERROR_RATE_LOG2);
  WriteWord(words, c.target_exponent, ReadWord(words, c.source_exponent) + ReadWord(words, c.weight_exponent) - shift);
  return STROP_STATUS_OK;
}

}  // namespace strop

#endif  // STROP_CONVOLUTION_HPP
