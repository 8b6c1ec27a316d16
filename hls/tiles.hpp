// On-chip memory: the tiles that the MAC array works on and the rows that the streaming passes hold. One set a lane.
#ifndef STROP_TILES_HPP
#define STROP_TILES_HPP

#include "contract.h"

namespace strop {

constexpr uint32_t kGroup = 4;          // depth values that one MAC cycle is written to sum for each output
constexpr uint32_t kVector = 16;        // columns in one word of the B tile
constexpr uint32_t kTileRows = 64;      // output channels (or C of an input gradient) held at once
constexpr uint32_t kTileColumns = 256;  // raster positions (or filter taps of a weight gradient) held at once
constexpr uint32_t kTileDepth = 256;    // products summed before new operands are loaded
constexpr uint32_t kWord = kVector * kGroup;
constexpr uint32_t kPlanes = 4;          // source channels whose rasters are on chip: one group's depth
constexpr uint32_t kPlaneBytes = 20480;  // one channel's raster under a tile of columns: see RasterSpan in raster.hpp
constexpr uint32_t kRow = 4096;          // values of one pass of a streaming operation
constexpr uint32_t kMaxRunsPerTile = kTileColumns + 1;

static_assert(kTileColumns % kVector == 0, "kTileColumns must be whole words of kVector columns");
static_assert(kTileDepth % kGroup == 0, "kTileDepth must be whole groups of kGroup");
static_assert(STROP_MAX_KERNEL * STROP_MAX_KERNEL <= kTileDepth, "one filter's taps must fit a tile's depth");

// A[row][depth]: int8, depth innermost.
using RowTile = int8_t[kTileRows][kTileDepth];
// B[word of 16 columns][group of 4 depth][16 columns x 4 depth]: what the MAC array is written to read in one cycle is one word.
using ColumnTile = int8_t[kTileColumns / kVector][kTileDepth / kGroup][kWord];
using AccumulatorTile = int32_t[kTileRows][kTileColumns];

struct Tiles {
  alignas(64) RowTile a;
  alignas(64) ColumnTile b;
  alignas(64) AccumulatorTile accumulator;
  alignas(64) int8_t planes[kPlanes * kPlaneBytes];
  alignas(64) int8_t row[4][kRow];
  alignas(64) int32_t wide[3][kRow];
};

}  // namespace strop

#endif  // STROP_TILES_HPP
