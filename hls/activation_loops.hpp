// The leaf loops of activations by table (NUMERICS.md 1.15). A table lies in the strips: row j of
// `table` has a copy for channel j, 4 bytes for each value of int8 from -128 on, f first and its slope in the last two.
#ifndef STROP_LEAVES
#error "define STROP_LEAVES, the namespace of this compilation: see leaf_loops.hpp"
#endif

namespace strop {
namespace STROP_LEAVES {

static inline uint32_t TablePlace(int8_t x) { return 4u * static_cast<uint32_t>(x + 128); }

// y = f(x) for channels and images that exist, 0 for the others.
static inline void ActivateWords(const int8_t *x, int8_t *y, uint32_t words, uint32_t images, uint32_t channels,
                                 const int8_t (*table)[kStrip]) {
ActivateWords_Word:
  for (uint32_t w = 0; w < words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 128
#pragma HLS PIPELINE II = kTableCycles
  ActivateWords_Byte:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
      const int8_t value = table[b % kQuad][TablePlace(x[w * kWordBytes + b])];
      y[w * kWordBytes + b] = (b / kQuad < images && b % kQuad < channels) ? value : int8_t{0};
    }
  }
}

// target = sat(dsh(error * slope(x), 8)), from word `first` of the quad on. An error of 0 stays 0. Few multipliers, of LUTs: the MAC
// array has the DSPs.
static inline void ActivationGradientWords(const int8_t *error, const int8_t *x, int8_t *target, uint32_t words,
                                           const int8_t (*table)[kStrip], const QuadDither &dither, uint32_t first) {
  DitherWalk walk = WalkFrom(dither, first);
ActivationGradientWords_Word:
  for (uint32_t w = 0; w < words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 128
#pragma HLS PIPELINE II = kTableCycles
    const uint32_t index = DitherProduct(walk.index);
#pragma HLS BIND_OP variable = index op = mul impl = fabric
  ActivationGradientWords_Byte:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
      const uint32_t at = w * kWordBytes + b;
      const uint32_t place = TablePlace(x[at]);
      const int32_t low = table[b % kQuad][place + 2] & 0xFF;
      const int32_t slope = table[b % kQuad][place + 3] * 256 + low;
      const int32_t product = error[at] * slope;
#pragma HLS BIND_OP variable = product op = mul impl = fabric
      const int32_t bits = DitherBits(dither.lane[b] + index, STROP_SLOPE_FRACTION);
      target[at] = Sat8((product + bits) >> STROP_SLOPE_FRACTION, -kMaxInt8);
    }
    NextWord(dither, walk);
  }
}

}  // namespace STROP_LEAVES
}  // namespace strop
