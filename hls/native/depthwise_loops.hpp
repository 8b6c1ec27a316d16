// The leaf loops of depthwise layers, of the emulator alone: there a quad's four channels meet one filter each, so that of the products
// of the MAC array three in four are by a zero of the view. The hardware multiplies them all the same, in one array for every layer.
// Compiled for each instruction set, as leaf_loops.hpp says.
#ifndef STROP_LEAVES
#error "define STROP_LEAVES, the namespace of this compilation: see leaf_loops.hpp"
#endif

namespace strop {
namespace STROP_LEAVES {

// Channel c of image n at window w: the sum over taps of its own products.
static inline int32_t DepthwiseSum(const WeightTile weights, const Operands &operands, uint32_t taps, uint32_t w,
                                   uint32_t byte) {
  const uint32_t c = byte % kQuad;
  int32_t sum = 0;
  for (uint32_t t = 0; t < taps; ++t) {
    const uint32_t at = operands.word_offset[w] + operands.group_offset[t];
    sum += weights[c][t * kQuad + c] * operands.planes[at * kWordBytes + byte];
  }
  return sum;
}

// MacTile and RequantizeWords in one, of the words of one quad; taps lie as rows x columns, and a tap's word is as far from that of the tap
// before it in every window: where windows are neighbours, so are taps.
static inline void DepthwiseWords(const WeightTile weights, const Operands &operands, uint32_t words, uint32_t rows,
                                  uint32_t columns, int32_t shift, int8_t *target, uint32_t &over, uint32_t &half) {
  const SaturationBounds bound = BoundsFor(shift);
  const int32_t rounding = shift > 0 ? 1 << (shift - 1) : 0;
  for (uint32_t w = 0; w < words; ++w) {
    for (uint32_t b = 0; b < kWordBytes; ++b) {
      const int32_t v = DepthwiseSum(weights, operands, rows * columns, w, b);
      over += Magnitude(v) > bound.over ? 1 : 0;
      half += Magnitude(v) > bound.half ? 1 : 0;
      target[w * kWordBytes + b] = Sat8((v + rounding) >> shift, -kMaxInt8);
    }
  }
}

// MacTile and RequantizeDitheredWords in one.
static inline void DepthwiseDitheredWords(const WeightTile weights, const Operands &operands, uint32_t words,
                                          uint32_t rows, uint32_t columns, int32_t shift, const uint32_t *lane_dither,
                                          const uint32_t *positions, int8_t *target, uint32_t &over, uint32_t &half) {
  const SaturationBounds bound = BoundsFor(shift);
  for (uint32_t w = 0; w < words; ++w) {
    for (uint32_t b = 0; b < kWordBytes; ++b) {
      const int32_t v = DepthwiseSum(weights, operands, rows * columns, w, b);
      over += Magnitude(v) > bound.over ? 1 : 0;
      half += Magnitude(v) > bound.half ? 1 : 0;
      const int32_t dither = DitherBits(lane_dither[b] + DitherProduct(positions[w]), shift);
      target[w * kWordBytes + b] = Sat8((v + dither) >> shift, -kMaxInt8);
    }
  }
}

// MacTile of a weight gradient: sums over the words of an error map at `places`, for each tap of the quad's own products, in 4 parts each.
// Every row of the quad has all four channels' sums, of which it needs its own.
static inline void DepthwiseGradient(const Operands &operands, const int8_t *errors, const uint32_t *places,
                                     uint32_t words, uint32_t taps, bool accumulate, AccumulatorTile sums) {
  for (uint32_t t = 0; t < taps; ++t) {
    for (uint32_t lane = 0; lane < kImages; ++lane) {
      int32_t total = accumulate ? sums[0][t][lane] : 0;
      for (uint32_t w = 0; w < words; ++w) {
        const int8_t *word = operands.planes + (operands.word_offset[w] + operands.group_offset[t]) * kWordBytes;
        for (uint32_t i = 0; i < kQuad; ++i) {
          const uint32_t byte = (lane / kQuad * kQuad + i) * kQuad + lane % kQuad;
          total += errors[places[w] * kWordBytes + byte] * word[byte];
        }
      }
      for (uint32_t row = 0; row < kQuad; ++row) sums[row][t][lane] = total;
    }
  }
}

}  // namespace STROP_LEAVES
}  // namespace strop
