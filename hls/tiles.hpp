// On-chip memory: the tiles that the MAC array works on and the rows that the streaming passes hold. One set a lane.
#ifndef STROP_TILES_HPP
#define STROP_TILES_HPP

#include "boards.hpp"

namespace strop {

constexpr uint32_t kQuad = STROP_QUAD;             // channels in a word
constexpr uint32_t kImages = STROP_IMAGE_GROUP;    // images in a word
constexpr uint32_t kWordBytes = STROP_WORD_BYTES;  // one position of a quad, in an image group
constexpr uint32_t kTileRows = kShape.tile_rows;
constexpr uint32_t kTileWords = kShape.tile_words;
constexpr uint32_t kTileGroups = kShape.tile_groups;
constexpr uint32_t kPlaneWords = kShape.plane_words;
constexpr uint32_t kRowWords = kShape.row_words;
constexpr uint32_t kStreamBytes = kRowWords * kWordBytes;  // of one step of a streaming pass
constexpr uint32_t kHeld = 1024;                           // values that any other operation holds at once
constexpr uint32_t kRow = 4096;                            // pixels of 16 images, of INPUT in emulation
constexpr uint32_t kStrip = 1024;                          // bytes of one output channel's filters

// Cycles of a word of values looked up in a table, of which each of the kQuad strips holds a copy with one port to read.
constexpr uint32_t kTableCycles = kWordBytes / kQuad;
static_assert(kTableCycles >= kWordCycles, "a word comes no faster than a port moves it");

static_assert(STROP_MAX_KERNEL * STROP_MAX_KERNEL * kQuad <= kStrip, "a quad's taps must fit a strip");
static_assert(STROP_MAX_KERNEL * STROP_MAX_KERNEL * kQuad <= kHeld, "and the masters that a view is made of");
static_assert(kTileWords * kImages <= kHeld, "a row of results must be held, as logits or as gradients");
static_assert(kQuad * kImages == kWordBytes, "a word is one position of a quad in an image group");
static_assert(STROP_MAX_PIXEL_CHANNELS * STROP_MAX_KERNEL * (STROP_MAX_KERNEL + kQuad - 1) <= kHeld,
              "a pixel filter must fit");

// The left operands, row by row: weights [group of 4 depth values][4], errors [word][16 images].
using WeightTile = int8_t[kTileRows][kTileGroups * kQuad];
using ErrorTile = int8_t[kTileRows][kTileWords * kImages];
// accumulator[row][word][lane]: 16 sums; weight gradient: [row][column][4 partial sums x 4 channels].
using AccumulatorTile = int32_t[kTileRows][kTileWords][kImages];

// What the array multiplies next: one chunk of one tile.
struct Operands {
  alignas(64) int8_t planes[kPlaneWords * kWordBytes];
  alignas(64) ErrorTile errors;
  uint32_t word_offset[kTileWords];    // first word of each window in `planes`
  uint32_t group_offset[kTileGroups];  // what each (quad, tap) adds to it
};

struct Tiles {
  Operands operands;
  alignas(64) WeightTile weights;
  alignas(64) int8_t strip[kQuad][kStrip];  // filters on their way into the weight tile
  alignas(64) AccumulatorTile accumulator;
  alignas(64) int8_t row[kHeld];
  alignas(64) int32_t wide[kHeld];
};

enum class MacMode { kForward, kWeightGradient };

}  // namespace strop

#endif  // STROP_TILES_HPP
