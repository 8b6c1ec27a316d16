// Upsampling by the nearest: NUMERICS.md 1.16.
#ifndef STROP_UPSAMPLE_HPP
#define STROP_UPSAMPLE_HPP

#include "site.hpp"
#include "stream_pass.hpp"

namespace strop {

inline uint32_t UpsampleForward(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram,
                                int32_t *words, const strop_command &c) {
  const StreamPass pass = PassOver(StreamKind::kRepeat, c, TargetShape(c), 1);
  STROP_ON_LANES(machine, BytesOf(pass.shape), StreamShare(lane, maps, filters, dram, words, c, pass));
  WriteWord(words, c.target_exponent, ReadWord(words, c.source_exponent));
  return STROP_STATUS_OK;
}

inline uint32_t UpsampleBackward(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram,
                                 int32_t *words, const strop_command &c) {
  StreamPass pass = PassOver(StreamKind::kWindowSum, c, TargetShape(c), 3);
  pass.shift = BitLength(c.stride_h * c.stride_w - 1);
  pass.off = NextDither(words, c.dither);
  STROP_ON_LANES(machine, BytesOf(pass.shape), StreamShare(lane, maps, filters, dram, words, c, pass));
  WriteWord(words, c.target_exponent, ReadWord(words, c.source_exponent) - pass.shift);
  return STROP_STATUS_OK;
}

}  // namespace strop

#endif  // STROP_UPSAMPLE_HPP
