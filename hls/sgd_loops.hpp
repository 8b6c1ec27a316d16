// The leaf loops of SGD and of the weight view (NUMERICS.md 1.8).
#ifndef STROP_LEAVES
#error "define STROP_LEAVES, the namespace of this compilation: see leaf_loops.hpp"
#endif

namespace strop {
namespace STROP_LEAVES {

// rsh with its shift split beforehand, so that the loop has no branch.
struct SplitShift {
  int32_t left;
  int64_t rounding;
  int32_t right;
};

static inline SplitShift Split(int32_t shift) {
  const int32_t s = static_cast<int32_t>(Clamp(shift, -16, 62));
  if (s <= 0) return {-s, 0, 0};
  return {0, int64_t{1} << (s - 1), s};
}

static inline int64_t Shifted(int64_t x, const SplitShift &shift) {
  const int64_t left = static_cast<int64_t>(static_cast<uint64_t>(x) << shift.left);
  return (left + shift.rounding) >> shift.right;
}

static inline int64_t Clip32(int64_t x) {
  const int64_t upper = x > kMaxInt32 ? kMaxInt32 : x;
  return upper < -kMaxInt32 ? -kMaxInt32 : upper;
}

// master and momentum are updated in place; returns the largest magnitude of the new masters.
static inline uint32_t SgdRow(int32_t *master, int32_t *momentum, const int32_t *gradient, uint32_t count,
                              const SgdConstants &constants) {
  const SplitShift g = Split(constants.gradient_shift);
  const SplitShift decay = Split(constants.weight_decay_shift);
  const SplitShift rate = Split(constants.learning_rate_shift);
  // None has more than 16 bits: half as many DSPs as for 32.
  const int32_t batch_mantissa = Signed18(constants.batch_mantissa);
  const int32_t momentum_decay = Signed18(constants.momentum_decay);
  const int32_t decay_mantissa = Signed18(constants.weight_decay_mantissa);
  const int32_t rate_mantissa = Signed18(constants.learning_rate_mantissa);
  int32_t largest = 0;
SgdRow_Value:
  for (uint32_t i = 0; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 512
#pragma HLS PIPELINE II = 1
    const int64_t w = master[i];
    const int64_t v = momentum[i];
    const int64_t mean = Shifted(int64_t{gradient[i]} * batch_mantissa, g);
    const int64_t damping = (v * momentum_decay + 128) >> 8;
    const int64_t shrink = Shifted(w * decay_mantissa, decay);
    const int64_t new_v = Clip32(v - damping + mean + shrink);
    const int64_t step = Shifted(new_v * rate_mantissa, rate);
    const int32_t new_w = static_cast<int32_t>(Clip32(w - step));
    momentum[i] = static_cast<int32_t>(new_v);
    master[i] = new_w;
    const int32_t magnitude = Magnitude(new_w);
    largest = magnitude > largest ? magnitude : largest;
  }
  return static_cast<uint32_t>(largest);
}

// Masters are pulled towards the anchors: 1.13. An importance of 0 pulls nothing.
static inline void PullRow(int32_t *master, const int32_t *anchor, const int8_t *importance, uint32_t count) {
PullRow_Value:
  for (uint32_t i = 0; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 512
#pragma HLS PIPELINE II = 1
    const int32_t k = importance[i] & 31;
    const int64_t distance = int64_t{master[i]} - anchor[i];
    const int64_t pull = (distance + ((int64_t{1} << k) >> 1)) >> k;
    master[i] = static_cast<int32_t>(Clip32(int64_t{master[i]} - (k != 0 ? pull : 0)));
  }
}

// Largest magnitude of masters that were not updated.
static inline uint32_t MaxAbs(const int32_t *values, uint32_t count) {
  int32_t largest = 0;
MaxAbs_Value:
  for (uint32_t i = 0; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1024
#pragma HLS PIPELINE II = 1
    const int32_t magnitude = Magnitude(values[i]);
    largest = magnitude > largest ? magnitude : largest;
  }
  return static_cast<uint32_t>(largest);
}

// sat(rsh(W, shift)) for 0 <= shift <= 24. W + half may pass 2^31 - 1; (W >> 1) + (half >> 1) cannot, and loses only a bit below
// the rounding one.
static inline int8_t ViewOf(int32_t master, int32_t shift) {
  const int32_t half = shift > 1 ? 1 << (shift - 2) : 0;
  const int32_t q =
      shift > 1 ? ((master >> 1) + half) >> (shift - 1) : (shift == 1 ? (master >> 1) + (master & 1) : master);
  return Sat8(q, -kMaxInt8);
}

// `quads` quads of a row of a weight view, [quad][taps][4]. The masters, [channel][taps], are those of the `channels` channels after
// the first `skip` ones; the others are 0.
static inline void PackQuads(const int32_t *master, uint32_t skip, uint32_t channels, uint32_t quads, uint32_t taps,
                             int32_t shift, int8_t *view) {
PackQuads_Quad:
  for (uint32_t q = 0; q < quads; ++q) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 256
  PackQuads_Tap:
    for (uint32_t t = 0; t < taps; ++t) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 225
#pragma HLS PIPELINE II = 1
    PackQuads_Channel:
      for (uint32_t j = 0; j < kQuad; ++j) {
#pragma HLS UNROLL
        const uint32_t channel = q * kQuad + j - skip;  // wraps below `skip`
        view[(q * taps + t) * kQuad + j] = channel < channels ? ViewOf(master[channel * taps + t], shift) : int8_t{0};
      }
    }
  }
}

// `rows` filter rows of a convolution on pixels, [row][ceil(S/4)][4], from [row][S].
static inline void PackPixelRows(const int32_t *master, uint32_t rows, uint32_t kernel_w, int32_t shift, int8_t *view) {
  const uint32_t padded = (kernel_w + kQuad - 1) / kQuad * kQuad;
PackPixelRows_Row:
  for (uint32_t row = 0; row < rows; ++row) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 30
  PackPixelRows_Tap:
    for (uint32_t s = 0; s < padded; ++s) {
#pragma HLS LOOP_TRIPCOUNT min = 4 max = 16
#pragma HLS PIPELINE II = 1
      view[row * padded + s] = s < kernel_w ? ViewOf(master[row * kernel_w + s], shift) : int8_t{0};
    }
  }
}

}  // namespace STROP_LEAVES
}  // namespace strop
