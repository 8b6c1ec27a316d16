// Activations by table: NUMERICS.md 1.15.
#ifndef STROP_ACTIVATION_HPP
#define STROP_ACTIVATION_HPP

#include "site.hpp"
#include "stream_pass.hpp"

namespace strop {

static_assert(STROP_TABLE_WORDS * 4 <= kStrip && STROP_TABLE_WORDS <= kHeld, "a table must fit the strips");

// The table into the strips, which nothing else uses meanwhile: a copy for each channel of a quad, so that as many values are looked
// up at once.
inline void LoadTable(Lane &lane, int32_t *words, uint32_t at) {
  STROP_READ_VALUES(table, lane.tiles.wide, words, at, STROP_TABLE_WORDS);
LoadTable_Copy:
  for (uint32_t j = 0; j < kQuad; ++j) {
  LoadTable_Word:
    for (uint32_t i = 0; i < STROP_TABLE_WORDS; ++i) {
#pragma HLS PIPELINE II = 1
    LoadTable_Byte:
      for (uint32_t b = 0; b < 4; ++b) {
#pragma HLS UNROLL
        lane.tiles.strip[j][4 * i + b] = static_cast<int8_t>(static_cast<uint32_t>(table[i]) >> (8 * b));
      }
    }
  }
}

inline void ActivationShare(Lane &lane, const int8_t *maps, const int8_t *filters, int8_t *dram, int32_t *words,
                            const strop_command &c, const StreamPass &pass) {
  LoadTable(lane, words, c.table);
  StreamShare(lane, maps, filters, dram, words, c, pass);
}

inline uint32_t ActivationForward(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram,
                                  int32_t *words, const strop_command &c) {
  const StreamPass pass = PassOver(StreamKind::kActivate, c, OutputShape(c), 1);
  STROP_ON_LANES(machine, BytesOf(pass.shape), ActivationShare(lane, maps, filters, dram, words, c, pass));
  WriteWord(words, c.target_exponent, c.exponent);
  return STROP_STATUS_OK;
}

inline uint32_t ActivationBackward(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram,
                                   int32_t *words, const strop_command &c) {
  StreamPass pass = PassOver(StreamKind::kActivateGradient, c, OutputShape(c), 2);
  pass.off = NextDither(words, c.dither);
  STROP_ON_LANES(machine, BytesOf(pass.shape), ActivationShare(lane, maps, filters, dram, words, c, pass));
  WriteWord(words, c.target_exponent, ReadWord(words, c.source_exponent));
  return STROP_STATUS_OK;
}

}  // namespace strop

#endif  // STROP_ACTIVATION_HPP
