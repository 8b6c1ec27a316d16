// The leaf loops of requantization: from the accumulators of the MAC array to the words of a feature map.
#ifndef STROP_LEAVES
#error "define STROP_LEAVES, the namespace of this compilation: see leaf_loops.hpp"
#endif

namespace strop {
namespace STROP_LEAVES {

// A magnitude that saturates: |v| > 127 << shift, and more than half of it, in 32 bits (shift <= 24 or none can exceed).
struct SaturationBounds {
  int32_t over;
  int32_t half;
};

static inline SaturationBounds BoundsFor(int32_t shift) {
  const int64_t over = int64_t{kMaxInt8} << shift;
  return {Sat32(over), Sat32(over >> 1)};
}

static inline int32_t Magnitude(int32_t v) { return v < 0 ? -v : v; }

static inline int8_t Sat8(int32_t v, int32_t low) {
  const int32_t upper = v > kMaxInt8 ? kMaxInt8 : v;
  return static_cast<int8_t>(upper < low ? low : upper);
}

// dy of 1.7 step 1: the error where the activation passes a gradient.
static inline int32_t Masked(int8_t error, int8_t y, int32_t low) {
  return (y > low && y < kMaxInt8) ? int32_t{error} : 0;
}

// What dsh adds before the shift: the dither's 16 bits at the height of the bits that the shift drops; 0 for shift 0.
static inline int32_t DitherBits(uint32_t product, int32_t shift) {
  const uint32_t r = product & 0xFFFFu;
  return static_cast<int32_t>(shift <= 16 ? r >> (16 - shift) : r << (shift - 16));
}

// Largest magnitude in four accumulator rows, for a site's first use (1.4).
static inline uint32_t MaxAbsWords(const AccumulatorTile accumulator, uint32_t row, uint32_t words) {
  int32_t largest = 0;
MaxAbsWords_Word:
  for (uint32_t w = 0; w < words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 52
#pragma HLS PIPELINE II = kWordCycles
  MaxAbsWords_Byte:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
      const int32_t magnitude = Magnitude(accumulator[row + b % kQuad][w][b / kQuad]);
      largest = magnitude > largest ? magnitude : largest;
    }
  }
  return static_cast<uint32_t>(largest);
}

// target = sat(rsh(accumulator, shift)) for the quad of channels in rows row to row + 3; counts of 1.4 are added to over and half.
static inline void RequantizeWords(const AccumulatorTile accumulator, uint32_t row, uint32_t words, int32_t shift,
                                   int8_t *target, uint32_t &over, uint32_t &half) {
  const SaturationBounds bound = BoundsFor(shift);
  const int32_t rounding = shift > 0 ? 1 << (shift - 1) : 0;
  uint32_t above = 0;
  uint32_t above_half = 0;
RequantizeWords_Word:
  for (uint32_t w = 0; w < words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 52
#pragma HLS PIPELINE II = kWordCycles
  RequantizeWords_Byte:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
      const int32_t v = accumulator[row + b % kQuad][w][b / kQuad];
      above += Magnitude(v) > bound.over ? 1 : 0;
      above_half += Magnitude(v) > bound.half ? 1 : 0;
      target[w * kWordBytes + b] = Sat8((v + rounding) >> shift, -kMaxInt8);
    }
  }
  over += above;
  half += above_half;
}

// target = sat(dsh(accumulator, shift)). The element index of byte b of word w, plus off, is lane_dither[b] + positions[w] (1.5).
static inline void RequantizeDitheredWords(const AccumulatorTile accumulator, uint32_t row, uint32_t words,
                                           int32_t shift, const uint32_t *lane_dither, const uint32_t *positions,
                                           int8_t *target, uint32_t &over, uint32_t &half) {
  const SaturationBounds bound = BoundsFor(shift);
  uint32_t above = 0;
  uint32_t above_half = 0;
RequantizeDithered_Word:
  for (uint32_t w = 0; w < words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 52
#pragma HLS PIPELINE II = kWordCycles
    const uint32_t position = DitherProduct(positions[w]);
  RequantizeDithered_Byte:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
      const int32_t v = accumulator[row + b % kQuad][w][b / kQuad];
      above += Magnitude(v) > bound.over ? 1 : 0;
      above_half += Magnitude(v) > bound.half ? 1 : 0;
      const int32_t dither = DitherBits(lane_dither[b] + position, shift);
      target[w * kWordBytes + b] = Sat8((v + dither) >> shift, -kMaxInt8);
    }
  }
  over += above;
  half += above_half;
}

}  // namespace STROP_LEAVES
}  // namespace strop
