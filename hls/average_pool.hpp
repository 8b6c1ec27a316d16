// Average pooling by windows: NUMERICS.md 1.16.
#ifndef STROP_AVERAGE_POOL_HPP
#define STROP_AVERAGE_POOL_HPP

#include "channel_exponents.hpp"
#include "site.hpp"
#include "stream_pass.hpp"

namespace strop {

inline StreamPass AveragePoolPass(const strop_command &c) {
  StreamPass pass = PassOver(StreamKind::kWindowSum, c, TargetShape(c), 3);
  if (RepeatsErrors(c)) pass.kind = StreamKind::kRepeat;
  if (c.opcode == STROP_OP_AVERAGE_POOL_FORWARD) return pass;
  const Reciprocal reciprocal = MapReciprocal(c.kernel_h * c.kernel_w);
  pass.factor = reciprocal.mantissa;
  pass.shift = reciprocal.shift;
  return pass;
}

inline uint32_t AveragePoolForward(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram,
                                   int32_t *words, const strop_command &c) {
  const StreamPass pass = AveragePoolPass(c);
  STROP_ON_LANES(machine, BytesOf(pass.shape), StreamShare(lane, maps, filters, dram, words, c, pass));
  HandOnExponents(words, c, pass.shape, c.source_exponent, 0);
  return STROP_STATUS_OK;
}

inline uint32_t AveragePoolBackward(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram,
                                    int32_t *words, const strop_command &c) {
  StreamPass pass = AveragePoolPass(c);
  pass.off = NextDither(words, c.dither);
  STROP_ON_LANES(machine, BytesOf(pass.shape), StreamShare(lane, maps, filters, dram, words, c, pass));
  const Reciprocal reciprocal = MapReciprocal(c.kernel_h * c.kernel_w);
  HandOnExponents(words, c, pass.shape, c.source_exponent, reciprocal.log2_up + 7 - reciprocal.shift);
  return STROP_STATUS_OK;
}

}  // namespace strop

#endif  // STROP_AVERAGE_POOL_HPP
