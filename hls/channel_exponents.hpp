// Exponent words that an operation hands on: one for the whole map, or one for each channel (STROP_FLAG_EXPONENT_PER_ROW).
#ifndef STROP_CHANNEL_EXPONENTS_HPP
#define STROP_CHANNEL_EXPONENTS_HPP

#include "channel_norm.hpp"

namespace strop {

// The words at `from`, each with `gain` added, become those of the target.
inline void HandOnExponents(int32_t *words, const strop_command &c, const MapShape &shape, uint32_t from,
                            int32_t gain) {
  if ((c.flags & STROP_FLAG_EXPONENT_PER_ROW) == 0) {
    WriteWord(words, c.target_exponent, ReadWord(words, from) + gain);
    return;
  }
HandOnExponents_Quad:
  for (uint32_t quad = 0; quad < shape.quads; ++quad) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1024
    QuadWords exponents = ReadQuad(words, from, shape, quad);
  HandOnExponents_Channel:
    for (uint32_t j = 0; j < kQuad; ++j) {
#pragma HLS UNROLL
      exponents.of[j] += gain;
    }
    WriteQuad(words, c.target_exponent, shape, quad, exponents);
  }
}

}  // namespace strop

#endif  // STROP_CHANNEL_EXPONENTS_HPP
