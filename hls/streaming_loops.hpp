// The leaf loops of the streaming passes: requantization, L1BN, pooling, input conversion, SGD.
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

// Largest magnitude, for a site's first use (1.4).
static inline uint32_t MaxAbs(const int32_t *values, uint32_t count) {
  int32_t largest = 0;
MaxAbs_Value:
  for (uint32_t i = 0; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
#pragma HLS PIPELINE II = 1
    const int32_t magnitude = values[i] < 0 ? -values[i] : values[i];
    largest = magnitude > largest ? magnitude : largest;
  }
  return static_cast<uint32_t>(largest);
}

// target = sat(rsh(values, shift)); counts of 1.4 are added to over and half.
static inline void Requantize(const int32_t *values, int8_t *target, uint32_t count, int32_t shift, uint32_t &over,
                              uint32_t &half) {
  const SaturationBounds bound = BoundsFor(shift);
  const int32_t rounding = shift > 0 ? 1 << (shift - 1) : 0;
  int32_t above = 0;
  int32_t above_half = 0;
Requantize_Value:
  for (uint32_t i = 0; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
#pragma HLS PIPELINE II = 1
    const int32_t magnitude = values[i] < 0 ? -values[i] : values[i];
    above += magnitude > bound.over ? 1 : 0;
    above_half += magnitude > bound.half ? 1 : 0;
    int32_t q = (values[i] + rounding) >> shift;
    q = q > kMaxInt8 ? kMaxInt8 : q;
    q = q < -kMaxInt8 ? -kMaxInt8 : q;
    target[i] = static_cast<int8_t>(q);
  }
  over += static_cast<uint32_t>(above);
  half += static_cast<uint32_t>(above_half);
}

// target = sat(dsh(values, shift)) with the dither of 1.5; `offset` is off plus the index of values[0].
static inline void RequantizeDithered(const int32_t *values, int8_t *target, uint32_t count, int32_t shift,
                                      uint32_t offset, uint32_t &over, uint32_t &half) {
  const SaturationBounds bound = BoundsFor(shift);
  const int32_t right = shift <= 16 ? 16 - shift : 0;
  const int32_t left = shift > 16 ? shift - 16 : 0;
  int32_t above = 0;
  int32_t above_half = 0;
RequantizeDithered_Value:
  for (uint32_t i = 0; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
#pragma HLS PIPELINE II = 1
    const int32_t magnitude = values[i] < 0 ? -values[i] : values[i];
    above += magnitude > bound.over ? 1 : 0;
    above_half += magnitude > bound.half ? 1 : 0;
    const int32_t dither = static_cast<int32_t>((Dither(offset, i) >> right) << left);
    int32_t q = (values[i] + dither) >> shift;  // shift 0: right is 16, the dither 0
    q = q > kMaxInt8 ? kMaxInt8 : q;
    q = q < -kMaxInt8 ? -kMaxInt8 : q;
    target[i] = static_cast<int8_t>(q);
  }
  over += static_cast<uint32_t>(above);
  half += static_cast<uint32_t>(above_half);
}

static inline int32_t SumRow(const int8_t *x, uint32_t count) {
  int32_t sum = 0;
SumRow_Value:
  for (uint32_t i = 0; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
#pragma HLS PIPELINE II = 1
    sum += x[i];
  }
  return sum;
}

// Sum and count of the values above `threshold`, and how many equal it: deviation and sign sum follow exactly (l1bn.hpp).
static inline void CountAbove(const int8_t *x, uint32_t count, int32_t threshold, int32_t &sum_above,
                              int32_t &count_above, int32_t &count_equal) {
  int32_t sum = 0;
  int32_t above = 0;
  int32_t equal = 0;
CountAbove_Value:
  for (uint32_t i = 0; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
#pragma HLS PIPELINE II = 1
    const int32_t value = x[i];
    sum += value > threshold ? value : 0;
    above += value > threshold ? 1 : 0;
    equal += value == threshold ? 1 : 0;
  }
  sum_above += sum;
  count_above += above;
  count_equal += equal;
}

// y = clamp((x * M + C) >> S, low, 127): 1.3 step 7 (Eq. 9, 10).
static inline void NormalizeRow(const int8_t *x, int8_t *y, uint32_t count, int32_t multiplier, int32_t constant,
                                int32_t low) {
NormalizeRow_Value:
  for (uint32_t i = 0; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
#pragma HLS PIPELINE II = 1
    int32_t q = (x[i] * multiplier + constant) >> STROP_SCALE_FRACTION;
    q = q > kMaxInt8 ? kMaxInt8 : q;
    q = q < low ? low : q;
    y[i] = static_cast<int8_t>(q);
  }
}

// dy = error where low < y < 127, else 0, and its sums S1 = sum dy, S2 = sum dy * x: 1.7 steps 1 and 2.
static inline void MaskedSums(const int8_t *error, const int8_t *y, const int8_t *x, int8_t *dy, uint32_t count,
                              int32_t low, int32_t &sum_dy, int32_t &sum_dy_x) {
  const int8_t lower = static_cast<int8_t>(low);
  int32_t s1 = 0;
  int32_t s2 = 0;
MaskedSums_Value:
  for (uint32_t i = 0; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
#pragma HLS PIPELINE II = 1
    const int8_t masked = (y[i] > lower && y[i] < kMaxInt8) ? error[i] : int8_t{0};
    dy[i] = masked;
  }
MaskedSums_Sum:
  for (uint32_t i = 0; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
#pragma HLS PIPELINE II = 1
    s1 += dy[i];
    s2 += dy[i] * x[i];
  }
  sum_dy += s1;
  sum_dy_x += s2;
}

// v = dy * M - P - sgn(x - mu) * Q (Eq. 20); the sign comes as three constants: x below, at, above the threshold.
static inline void NormGradientRow(const int8_t *dy, const int8_t *x, int32_t *v, uint32_t count, int32_t multiplier,
                                   int32_t threshold, int32_t below, int32_t at, int32_t above) {
NormGradientRow_Value:
  for (uint32_t i = 0; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
#pragma HLS PIPELINE II = 1
    const int32_t value = x[i];
    const int32_t mean = value > threshold ? above : (value == threshold ? at : below);
    v[i] = dy[i] * multiplier + mean;
  }
}

// One output row of max pooling without padding: window 2x2, stride 2, the common case.
static inline void MaxPoolRow2(const int8_t *row0, const int8_t *row1, int8_t *target, uint32_t count) {
MaxPoolRow2_Value:
  for (uint32_t i = 0; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 512
#pragma HLS PIPELINE II = 1
    const int8_t top = row0[2 * i] > row0[2 * i + 1] ? row0[2 * i] : row0[2 * i + 1];
    const int8_t bottom = row1[2 * i] > row1[2 * i + 1] ? row1[2 * i] : row1[2 * i + 1];
    target[i] = top > bottom ? top : bottom;
  }
}

// Its backward: each error to the first maximum of its window, 0 elsewhere.
static inline void MaxPoolBackwardRow2(const int8_t *error, const int8_t *row0, const int8_t *row1, int8_t *target0,
                                       int8_t *target1, uint32_t count) {
MaxPoolBackwardRow2_Value:
  for (uint32_t i = 0; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 512
#pragma HLS PIPELINE II = 1
    const int8_t a = row0[2 * i];
    const int8_t b = row0[2 * i + 1];
    const int8_t c = row1[2 * i];
    const int8_t d = row1[2 * i + 1];
    const int8_t top = a >= b ? a : b;
    const int8_t bottom = c >= d ? c : d;
    const bool upper = top >= bottom;
    const int8_t e = error[i];
    target0[2 * i] = (upper && a >= b) ? e : int8_t{0};
    target0[2 * i + 1] = (upper && a < b) ? e : int8_t{0};
    target1[2 * i] = (!upper && c >= d) ? e : int8_t{0};
    target1[2 * i + 1] = (!upper && c < d) ? e : int8_t{0};
  }
}

// a0 = max(p - 128, -127): 1.2.
static inline void ConvertPixels(const int8_t *pixels, int8_t *target, uint32_t count) {
ConvertPixels_Value:
  for (uint32_t i = 0; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1024
#pragma HLS PIPELINE II = 1
    const int8_t centred = static_cast<int8_t>(pixels[i] ^ int8_t(-128));  // the byte p, read as int8, minus 128
    target[i] = centred < -kMaxInt8 ? int8_t(-kMaxInt8) : centred;
  }
}

// rsh with its shift split beforehand, so that the loop has no branch.
struct SplitShift {
  int64_t factor;
  int64_t rounding;
  int32_t right;
};

static inline SplitShift Split(int32_t shift) {
  const int32_t s = static_cast<int32_t>(Clamp(shift, -16, 62));
  if (s <= 0) return {int64_t{1} << -s, 0, 0};
  return {1, int64_t{1} << (s - 1), s};
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
  int32_t largest = 0;
SgdRow_Value:
  for (uint32_t i = 0; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
#pragma HLS PIPELINE II = 1
    const int64_t w = master[i];
    const int64_t v = momentum[i];
    const int64_t mean = (int64_t{gradient[i]} * constants.batch_mantissa * g.factor + g.rounding) >> g.right;
    const int64_t damping = (v * constants.momentum_decay + 128) >> 8;
    const int64_t shrink = (w * constants.weight_decay_mantissa * decay.factor + decay.rounding) >> decay.right;
    const int64_t new_v = Clip32(v - damping + mean + shrink);
    const int64_t step = (new_v * constants.learning_rate_mantissa * rate.factor + rate.rounding) >> rate.right;
    const int32_t new_w = static_cast<int32_t>(Clip32(w - step));
    momentum[i] = static_cast<int32_t>(new_v);
    master[i] = new_w;
    const int32_t magnitude = new_w < 0 ? -new_w : new_w;
    largest = magnitude > largest ? magnitude : largest;
  }
  return static_cast<uint32_t>(largest);
}

// w8 = sat(rsh(W, shift)) for 0 <= shift <= 24: the weight view of 1.8.
static inline void ViewRow(const int32_t *master, int8_t *view, uint32_t count, int32_t shift) {
  const int32_t half = shift > 0 ? 1 << (shift - 1) : 0;
ViewRow_Value:
  for (uint32_t i = 0; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
#pragma HLS PIPELINE II = 1
    // W + half may pass 2^31 - 1; (W >> 1) + (half >> 1) cannot, and loses only a bit below the rounding one
    int32_t q = shift > 1 ? ((master[i] >> 1) + (half >> 1)) >> (shift - 1)
                          : (shift == 1 ? (master[i] >> 1) + (master[i] & 1) : master[i]);
    q = q > kMaxInt8 ? kMaxInt8 : q;
    q = q < -kMaxInt8 ? -kMaxInt8 : q;
    view[i] = static_cast<int8_t>(q);
  }
}

}  // namespace STROP_LEAVES
}  // namespace strop
