// What differs from board to board: the size of the MAC array and of the tiles on chip. Chosen when the kernel is built
// (STROP_BOARD), and read for every board by the cycle model.
#ifndef STROP_BOARDS_HPP
#define STROP_BOARDS_HPP

#include "contract.h"

namespace strop {

struct TileShape {
  uint32_t mac_rows;     // rows of the MAC array; it does mac_rows * 16 * 4 multiply-adds a cycle
  uint32_t tile_rows;    // result channels (or output channels of a weight gradient) held at once
  uint32_t tile_words;   // result words of 16 sums held at once, a row
  uint32_t tile_groups;  // depth held at once, in groups of 4 products, a row
  uint32_t plane_words;  // words of 64 bytes of source maps on chip
  uint32_t row_words;    // words of 64 bytes that a streaming pass holds
  uint32_t word_cycles;  // cycles in which a port moves one word: a streaming pass does as much a cycle, and no more
};

enum Board : uint32_t { kNative, kPynqZ2, kUltra96V2, kKv260, kZcu104, kBoardCount };

// kNative: the emulator, shaped for a processor's caches.
constexpr TileShape kTileShapes[kBoardCount] = {
    {4, 64, 32, 288, 2048, 128, 8},   // kNative
    {2, 32, 32, 288, 1024, 128, 8},   // kPynqZ2
    {4, 32, 36, 288, 1024, 128, 4},   // kUltra96V2
    {8, 32, 36, 288, 2048, 128, 4},   // kKv260
    {16, 64, 52, 288, 2048, 128, 4},  // kZcu104
};

// What the planning (window.hpp) and the arrays on chip rely on.
constexpr bool IsSound(const TileShape &s) {
  const bool whole = s.tile_rows % s.mac_rows == 0 && s.tile_rows % STROP_QUAD == 0;  // blocks of the array, quads
  const bool window = s.plane_words >= STROP_MAX_KERNEL * STROP_MAX_KERNEL;           // the largest, over one quad
  const bool taps = s.tile_words >= STROP_MAX_KERNEL;  // a weight gradient's columns: a row of them at least,
  return whole && window && taps && s.tile_groups >= s.tile_words;  // and each has an offset
}
static_assert(IsSound(kTileShapes[kNative]), "the emulator's tiles");
static_assert(IsSound(kTileShapes[kPynqZ2]) && IsSound(kTileShapes[kUltra96V2]), "the smaller boards' tiles");
static_assert(IsSound(kTileShapes[kKv260]) && IsSound(kTileShapes[kZcu104]), "the larger boards' tiles");

#ifndef STROP_BOARD
#define STROP_BOARD kNative
#endif

constexpr TileShape kShape = kTileShapes[STROP_BOARD];
constexpr uint32_t kMacRows = kShape.mac_rows;
constexpr uint32_t kWordCycles = kShape.word_cycles;
constexpr uint32_t kPairCycles = 2 * kWordCycles;  // of two words to or from each port of a buffer

// A wide array needs more memory banks than it fills: they are made of LUTs then, and source words and weights lie in UltraRAM. A pragma takes
// no constant for that, so the boards with 8 rows and more are built with STROP_WIDE_ARRAY = 1.
#ifndef STROP_WIDE_ARRAY
#define STROP_WIDE_ARRAY 0
#endif
#ifdef __SYNTHESIS__
static_assert((kMacRows >= 8) == (STROP_WIDE_ARRAY != 0), "build boards with 8 or more rows with STROP_WIDE_ARRAY=1");
#endif

}  // namespace strop

#endif  // STROP_BOARDS_HPP
