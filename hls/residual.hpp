// Residual sums: a map that is read twice, and where the two branches meet again (NUMERICS.md 1.11).
#ifndef STROP_RESIDUAL_HPP
#define STROP_RESIDUAL_HPP

#include "channel_exponents.hpp"
#include "site.hpp"
#include "stream_pass.hpp"

namespace strop {

inline uint32_t AddForward(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram, int32_t *words,
                           const strop_command &c) {
  StreamPass pass = PassOver(StreamKind::kAdd, c, OutputShape(c), 2);
  pass.shift = ReadWord(words, c.source_exponent) - c.exponent;
  pass.shift_b = ReadWord(words, c.source_2_exponent) - c.exponent;
  STROP_ON_LANES(machine, BytesOf(pass.shape), StreamShare(lane, maps, filters, dram, words, c, pass));
  WriteWord(words, c.target_exponent, c.exponent);
  return STROP_STATUS_OK;
}

inline uint32_t AddBackward(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram, int32_t *words,
                            const strop_command &c) {
  const StreamPass pass = PassOver(StreamKind::kMask, c, OutputShape(c), 2);
  STROP_ON_LANES(machine, BytesOf(pass.shape), StreamShare(lane, maps, filters, dram, words, c, pass));
  WriteWord(words, c.target_exponent, ReadWord(words, c.source_exponent));
  return STROP_STATUS_OK;
}

inline uint32_t AddGradient(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram, int32_t *words,
                            const strop_command &c) {
  StreamPass pass = PassOver(StreamKind::kAddGradient, c, OutputShape(c), 2);
  pass.off = NextDither(words, c.dither);
  const int32_t first = ReadWord(words, c.source_exponent);
  const int32_t second = ReadWord(words, c.source_2_exponent);
  const bool first_is_coarse = first <= second;
  const MapPlace one = pass.source[0];
  const MapPlace two = pass.source[1];
  pass.source[0] = first_is_coarse ? one : two;
  pass.source[1] = first_is_coarse ? two : one;
  const int32_t difference = first_is_coarse ? second - first : first - second;
  pass.shift = difference < STROP_MAX_SHIFT ? difference : STROP_MAX_SHIFT;
  STROP_ON_LANES(machine, BytesOf(pass.shape), StreamShare(lane, maps, filters, dram, words, c, pass));
  HandOnExponents(words, c, pass.shape, first_is_coarse ? c.source_exponent : c.source_2_exponent, 0);
  return STROP_STATUS_OK;
}

}  // namespace strop

#endif  // STROP_RESIDUAL_HPP
