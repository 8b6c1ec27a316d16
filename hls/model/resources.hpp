// What the kernel of a board needs on the part: memories from the arrays that tiles.hpp and mac_pass.hpp declare and how they are
// partitioned, DSPs from the unrolled multiplications, and about how many LUTs. Estimates: only synthesis would tell.
#ifndef STROP_MODEL_RESOURCES_HPP
#define STROP_MODEL_RESOURCES_HPP

#include "../elastic_pull.hpp"
#include "../input_strips.hpp"
#include "../sgd.hpp"
#include "cost.hpp"

namespace strop {
namespace model {

// Halves of a BRAM for `depth` words of `bits`: 18 Kib as 512 x 36, 1024 x 18, 2048 x 9 with a port to read and one to write (UG473,
// UG573, "Block RAM").
inline uint32_t HalfBrams(uint32_t bits, uint32_t depth) {
  uint32_t least = ~0u;
  for (uint32_t step = 0; step < 3; ++step) {
    const uint32_t needed = CeilDivide(bits, 36 >> step) * CeilDivide(depth, 512 << step);
    if (needed < least) least = needed;
  }
  return least;
}

// 288 Kib as 4096 x 72 (UG573, "UltraRAM").
inline uint32_t Urams(uint32_t bits, uint32_t depth) { return CeilDivide(bits, 72) * CeilDivide(depth, 4096); }

// A memory of LUTs with a port to read and one to write: 3 bits of 64 words in 4 LUTs (RAM64M of UG474; RAM64M8 of UG574 gives 7 in 8).
inline uint32_t MemoryLuts(uint32_t bits, uint32_t depth) { return CeilDivide(bits * CeilDivide(depth, 64) * 4, 3); }

enum Kind { kBram, kUram, kLut };

struct Memories {
  uint32_t half_brams;
  uint32_t urams;
  uint32_t luts;
};

// `banks` memories of `bits` x `depth`.
inline void AddMemory(Memories &m, Kind kind, uint32_t banks, uint32_t bits, uint32_t depth) {
  if (kind == kBram) m.half_brams += banks * HalfBrams(bits, depth);
  if (kind == kUram) m.urams += banks * Urams(bits, depth);
  if (kind == kLut) m.luts += banks * MemoryLuts(bits, depth);
}

inline Memories MemoriesOf(const TileShape &shape, const strop_board &board) {
  Memories m = {};
  const bool wide = shape.mac_rows >= 8;                   // STROP_WIDE_ARRAY
  const uint32_t rows = shape.tile_rows / shape.mac_rows;  // of the tile, in a bank
  const uint32_t doubled = 2;                              // between processes
  const uint32_t sums = shape.mac_rows * kImages;
  const uint32_t port = 8 * board.port_bytes;
  AddMemory(m, wide ? kUram : kBram, doubled, 8 * kWordBytes, shape.plane_words);
  AddMemory(m, kBram, doubled * shape.mac_rows, 8 * kImages, rows * shape.tile_words);      // errors
  AddMemory(m, wide ? kUram : kBram, shape.mac_rows, 8 * kQuad, rows * shape.tile_groups);  // weights
  AddMemory(m, kBram, sums, 32, rows * shape.tile_words);                                   // partial sums
  AddMemory(m, wide ? kLut : kBram, doubled * sums, 32, rows * shape.tile_words);           // finished sums
  AddMemory(m, kLut, doubled, 8 * kWordBytes, shape.tile_words);                            // results on their way out
  AddMemory(m, kBram, doubled * 4, port, shape.row_words * kWordBytes / board.port_bytes);  // a, b, d, y
  AddMemory(m, kBram, kImages, 8 * kQuad, kStripBytes / kQuad);                             // pixels
  AddMemory(m, kBram, doubled, port, kMadeWords * kWordBytes / board.port_bytes);           // words made of them
  AddMemory(m, wide ? kLut : kBram, doubled * 3, port, kSgdValuesOnChip * 4 / board.port_bytes);  // SGD: what is read
  AddMemory(m, kLut, doubled * 2, port, kSgdValuesOnChip * 4 / board.port_bytes);                 // and what it becomes
  AddMemory(m, wide ? kLut : kBram, 1, port, kPullValuesOnChip * 4 / board.port_bytes);  // elastic pull: anchors
  AddMemory(m, kBram, 1, port, kHeld / board.port_bytes);                                // row
  AddMemory(m, kBram, 1, port, kHeld * 4 / board.port_bytes);                            // wide
  AddMemory(m, kBram, kQuad, 8 * kQuad, kStrip / kQuad);  // strip; also an activation's table
  AddMemory(m, kBram, doubled, 32, shape.tile_groups);    // group_offset
  // What a port holds for bursts under way: as many as may be outstanding, of the longest burst's 16 beats (UG1399, m_axi).
  const uint32_t directions = 6;  // maps and filters are read, bytes and words are read and written
  AddMemory(m, kBram, directions, port, kOutstanding * 16);
  return m;
}

// ---- DSPs --------------------------------------------------------------------------------------------------------------

// A DSP multiplies 25 x 18 bits (DSP48E1, UG479) or 27 x 18 (DSP48E2, UG579). Wider products take a DSP for each pair of parts.
constexpr uint32_t kDsp8 = 1;        // int8 by int8
constexpr uint32_t kDsp8By18 = 1;    // int8 by a multiplier of L1BN
constexpr uint32_t kDsp16 = 1;       // the dither, of whose product 16 bits are used
constexpr uint32_t kDsp32 = 3;       // the low 32 bits of int32 by int32
constexpr uint32_t kDsp18 = 1;       // 25 bits by 18: AddLossProducts, of all losses
constexpr uint32_t kDspWide = 2;     // int32 by 18 bits
constexpr uint32_t kAddressing = 8;  // loops that multiply to find an address, each with a multiplier of its own

inline uint32_t DspsOf(const TileShape &shape) {
  const uint32_t lanes = kWordBytes / shape.word_cycles;  // of a loop over words
  const uint32_t array = shape.mac_rows * kWordBytes * kDsp8;
  const uint32_t norm = lanes * (3 * kDsp8By18 + kDsp8);  // NormalizeWords, NormGradientMaxAbs and ..Words, MaskedSums
  const uint32_t dither = 4 * kDsp16;                     // of maps, normalization, pooling, residual sums
  const uint32_t sgd = 4 * kDspWide;
  const uint32_t loss = kDsp18 + kDsp16;  // AddLossProducts; LogitErrors, with a dither of its own
  return array + norm + dither + sgd + loss + kAddressing * kDsp32;
}

// ---- LUTs --------------------------------------------------------------------------------------------------------------

// By counting: an adder or comparator of n bits takes n LUTs, a shifter by a variable of n bits 2.5 n, a choice of two 0.5 n. Such
// counts are easily a third off.
constexpr uint32_t kLutsOfSum = 150;      // of the MAC array: 4 products' operands chosen, 3 additions, the accumulator
constexpr uint32_t kLutsOfLane = 1840;    // of all loops over words together, a byte of the word: 15 loops of 10 to 350
constexpr uint32_t kLutsOfDivider = 500;  // one bit a cycle
constexpr uint32_t kDividers = 21;        // 14 in JobAt and TileAt, 6 of 64 bits, 1 for soft targets
constexpr uint32_t kLutsOfSgd = 1800;     // shifters and additions of 64 bits
constexpr uint32_t kLutsOfTable = 1000;   // activations: 4 multipliers of 8 by 16 bits, rounded; a dither
constexpr uint32_t kLutsOfPull = 250;     // a shifter and four additions of 33 bits
constexpr uint32_t kLutsOfLosses =
    700;  // without softmax: two shifters, two tables, seven additions, of which three have 64 bits
constexpr uint32_t kLutsOfPort = 1000;      // of an m_axi adapter, of which there are 4; s_axilite is half of one
constexpr uint32_t kLutsOfControl = 10000;  // states, counters, addresses of some 100 loops

inline uint32_t LutsOf(const TileShape &shape) {
  return shape.mac_rows * kImages * kLutsOfSum + kWordBytes / shape.word_cycles * kLutsOfLane +
         kDividers * kLutsOfDivider + kLutsOfSgd + kLutsOfTable + kLutsOfPull + kLutsOfLosses + 9 * kLutsOfPort / 2 +
         kLutsOfControl;
}

inline strop_resources ResourcesOf(Board index) {
  const TileShape &shape = kTileShapes[index];
  const Memories m = MemoriesOf(shape, kBoards[index]);
  return {LutsOf(shape) + m.luts, DspsOf(shape), CeilDivide(m.half_brams, 2), m.urams};
}

}  // namespace model
}  // namespace strop

#endif  // STROP_MODEL_RESOURCES_HPP
