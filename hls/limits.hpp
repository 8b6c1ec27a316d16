// Which commands the kernel refuses: sizes beyond the limits of contract.h, or that contradict each other. So no size can overrun
// on-chip memory or an int32 sum. Offsets are not checked, nor is the state in memory (a site's shift beyond STROP_MAX_SHIFT): the kernel trusts
// the host, which plans the memory and refuses such a state.
#ifndef STROP_LIMITS_HPP
#define STROP_LIMITS_HPP

#include <stddef.h>

#include "contract.h"

namespace strop {

constexpr uint32_t kAllWithinLimits = 0xFFFFFFFFu;

// Groups of fields that an opcode may use of a command.
enum Uses : uint32_t {
  kUsesBatch = 1,
  kUsesIn = 2,      // channels_in
  kUsesSizeIn = 4,  // height_in, width_in
  kUsesOut = 8,     // channels_out
  kUsesSizeOut = 16,
  kUsesKernel = 32,
  kUsesStride = 64,  // with padding
  kUsesGroups = 128,
  kUsesDilation = 256,
  kUsesActivation = 512,
  kUsesExponent = 1024,
  kUsesRows = 2048,     // with columns
  kSums = 4096,         // over batch, height_out and width_out
  kUsesFactors = 8192,  // stride_h and stride_w, by which the output is larger
};

// What the command uses; 0 for an unknown opcode.
inline uint32_t UsesOf(const strop_command &c) {
  const uint32_t map_in = kUsesBatch | kUsesIn | kUsesSizeIn;
  const uint32_t map_out = kUsesBatch | kUsesOut | kUsesSizeOut;
  const uint32_t view = kUsesIn | kUsesOut | kUsesKernel | kUsesGroups;
  switch (c.opcode) {
    case STROP_OP_INPUT:
      return map_in | kUsesSizeOut;
    case STROP_OP_CONV_FORWARD:
    case STROP_OP_CONV_INPUT_GRADIENT:
    case STROP_OP_CONV_WEIGHT_GRADIENT:
      return map_in | map_out | kUsesKernel | kUsesStride | kUsesGroups | kUsesDilation | kSums;
    case STROP_OP_L1BN_FORWARD:
    case STROP_OP_L1BN_BACKWARD:
      return map_out | kUsesActivation | kUsesExponent | kSums;
    case STROP_OP_MAX_POOL_FORWARD:
    case STROP_OP_MAX_POOL_BACKWARD:
    case STROP_OP_AVERAGE_POOL_FORWARD:
    case STROP_OP_AVERAGE_POOL_BACKWARD:
      return map_in | kUsesSizeOut | kUsesKernel | kUsesStride;
    case STROP_OP_GLOBAL_AVERAGE_POOL_FORWARD:
    case STROP_OP_GLOBAL_AVERAGE_POOL_BACKWARD:
    case STROP_OP_FLATTEN:
    case STROP_OP_UNFLATTEN:
      return map_in;
    case STROP_OP_SOFTMAX_CROSS_ENTROPY:
    case STROP_OP_SIGMOID_CROSS_ENTROPY:
    case STROP_OP_SQUARED_ERROR:
      return kUsesBatch | kUsesOut;
    case STROP_OP_SGD:
      return kUsesRows | ((c.flags & STROP_FLAG_VIEW) ? view : 0);
    case STROP_OP_WEIGHT_VIEW:
      return kUsesRows | view;
    case STROP_OP_ELASTIC_PULL:
      return kUsesRows;
    case STROP_OP_ADD_FORWARD:
      return map_out | kUsesActivation | kUsesExponent;
    case STROP_OP_ADD_BACKWARD:
      return map_out | kUsesActivation;
    case STROP_OP_ACTIVATION_FORWARD:
      return map_out | kUsesExponent;
    case STROP_OP_ACTIVATION_BACKWARD:
    case STROP_OP_ADD_GRADIENT:
      return map_out;
    case STROP_OP_UPSAMPLE_FORWARD:
    case STROP_OP_UPSAMPLE_BACKWARD:
      return map_in | kUsesSizeOut | kUsesFactors;
    default:
      return 0;
  }
}

// The commands that may have STROP_FLAG_PIXELS.
inline bool TakesPixels(uint32_t opcode) {
  return opcode == STROP_OP_INPUT || opcode == STROP_OP_CONV_FORWARD || opcode == STROP_OP_CONV_WEIGHT_GRADIENT ||
         opcode == STROP_OP_SGD || opcode == STROP_OP_WEIGHT_VIEW;
}

// Flags that STROP_FLAG_TRANSPOSED may not come with.
constexpr uint32_t kNotTransposed = STROP_FLAG_PIXELS | STROP_FLAG_LOGITS | STROP_FLAG_BIAS | STROP_FLAG_FLAT;

// The commands that may have STROP_FLAG_TRANSPOSED.
inline bool MayBeTransposed(const strop_command &c) {
  const bool convolution = c.opcode == STROP_OP_CONV_FORWARD || c.opcode == STROP_OP_CONV_INPUT_GRADIENT ||
                           c.opcode == STROP_OP_CONV_WEIGHT_GRADIENT;
  return convolution && (c.flags & kNotTransposed) == 0;
}

inline bool IsLoss(uint32_t opcode) {
  return opcode == STROP_OP_SOFTMAX_CROSS_ENTROPY || opcode == STROP_OP_SIGMOID_CROSS_ENTROPY ||
         opcode == STROP_OP_SQUARED_ERROR;
}

#define STROP_WORD_OF(field) (static_cast<uint32_t>(offsetof(strop_command, field)) / 4)
#define STROP_LIMIT(used, field, low, high) \
  if ((used) && (c.field < (low) || c.field > static_cast<uint32_t>(high))) return STROP_WORD_OF(field)
#define STROP_REFUSE(condition, field) \
  if (condition) return STROP_WORD_OF(field)

// The last window must begin inside the padded map, as if the far padding were smaller than the kernel, too.
inline bool WindowsLeaveMap(uint32_t out, uint32_t stride, uint32_t front, uint32_t in) {
  return (out - 1) * stride >= in + front;
}

// Index of a word of the command that is not allowed, the first in the order below, or kAllWithinLimits.
inline uint32_t WordBeyondLimit(const strop_command &c) {
  const uint32_t uses = UsesOf(c);
  const bool pixels = (c.flags & STROP_FLAG_PIXELS) != 0;
  const bool input = c.opcode == STROP_OP_INPUT;
  const uint32_t most_out = IsLoss(c.opcode) ? STROP_MAX_CLASSES : STROP_MAX_CHANNELS;
  const uint32_t most_in = pixels ? STROP_MAX_PIXEL_CHANNELS : STROP_MAX_CHANNELS;
  STROP_REFUSE((c.flags & STROP_FLAG_TRANSPOSED) && !MayBeTransposed(c), flags);
  STROP_REFUSE(pixels && !TakesPixels(c.opcode), flags);
  STROP_REFUSE((c.flags & STROP_FLAG_FIXED) && (c.flags & (STROP_FLAG_RUNNING | STROP_FLAG_SOFT)), flags);
  STROP_REFUSE((uses & kUsesActivation) && c.activation > STROP_ACTIVATION_RELU, activation);
  STROP_LIMIT(uses & kUsesBatch, batch, 1, STROP_MAX_BATCH);
  STROP_LIMIT(uses & kUsesIn, channels_in, 1, most_in);
  STROP_LIMIT(uses & kUsesSizeIn, height_in, 1, STROP_MAX_SIDE);
  STROP_LIMIT(uses & kUsesSizeIn, width_in, 1, STROP_MAX_SIDE);
  STROP_LIMIT(uses & kUsesOut, channels_out, 1, most_out);
  STROP_LIMIT(uses & kUsesSizeOut, height_out, 1, STROP_MAX_SIDE);
  STROP_LIMIT(uses & kUsesSizeOut, width_out, 1, STROP_MAX_SIDE);
  STROP_LIMIT(uses & kUsesKernel, kernel_h, 1, STROP_MAX_KERNEL);
  STROP_LIMIT(uses & kUsesKernel, kernel_w, 1, STROP_MAX_KERNEL);
  STROP_LIMIT(uses & (kUsesStride | kUsesFactors), stride_h, 1, STROP_MAX_STRIDE);
  STROP_LIMIT(uses & (kUsesStride | kUsesFactors), stride_w, 1, STROP_MAX_STRIDE);
  STROP_LIMIT(uses & kUsesGroups, groups, 1, pixels ? 1 : STROP_MAX_CHANNELS);
  STROP_LIMIT(uses & kUsesDilation, dilation_h, 1, 1);
  STROP_LIMIT(uses & kUsesDilation, dilation_w, 1, 1);
  STROP_REFUSE((uses & kUsesExponent) && (c.exponent < 0 || c.exponent > STROP_MAX_EXPONENT), exponent);
  const bool gains = c.opcode == STROP_OP_GLOBAL_AVERAGE_POOL_FORWARD;
  STROP_REFUSE(gains && (c.exponent < 0 || c.exponent > STROP_MAX_POOL_GAIN), exponent);
  STROP_LIMIT(uses & kUsesRows, rows, 1, c.opcode == STROP_OP_ELASTIC_PULL ? 1 : 0x7FFFFFFF);
  STROP_LIMIT(uses & kUsesRows, columns, 1, 0x7FFFFFFF);
  STROP_REFUSE(input && pixels && c.columns >= STROP_MAX_KERNEL, columns);
  // each word by itself is allowed; now what they say together
  const bool pools_all =
      c.opcode == STROP_OP_GLOBAL_AVERAGE_POOL_FORWARD || c.opcode == STROP_OP_GLOBAL_AVERAGE_POOL_BACKWARD;
  STROP_REFUSE(pools_all && c.height_in * c.width_in > STROP_MAX_POOL_PLANE, height_in);
  STROP_REFUSE(input && (c.pad_top > c.height_out || c.height_in > c.height_out - c.pad_top), pad_top);
  STROP_REFUSE(input && (c.pad_left > c.width_out || c.width_in > c.width_out - c.pad_left), pad_left);
  const bool windows = (uses & kUsesStride) != 0;
  STROP_REFUSE(windows && c.pad_top >= c.kernel_h, pad_top);
  STROP_REFUSE(windows && c.pad_left >= (pixels ? 1 : c.kernel_w), pad_left);
  STROP_REFUSE(windows && WindowsLeaveMap(c.height_out, c.stride_h, c.pad_top, c.height_in), height_out);
  STROP_REFUSE(windows && WindowsLeaveMap(c.width_out, c.stride_w, c.pad_left, c.width_in), width_out);
  const bool enlarges = (uses & kUsesFactors) != 0;
  STROP_REFUSE(enlarges && c.height_out != c.height_in * c.stride_h, height_out);
  STROP_REFUSE(enlarges && c.width_out != c.width_in * c.stride_w, width_out);
  const bool logits = c.opcode == STROP_OP_CONV_FORWARD && (c.flags & STROP_FLAG_LOGITS) != 0;
  STROP_REFUSE(logits && c.height_out != 1, height_out);
  STROP_REFUSE(logits && c.width_out != 1, width_out);
  const bool grouped = (uses & kUsesGroups) != 0;
  STROP_REFUSE(grouped && (c.channels_in % c.groups != 0 || c.channels_out % c.groups != 0), groups);
  const uint64_t taps = uint64_t{c.kernel_h} * c.kernel_w;
  const bool view = grouped && (uses & kUsesRows);
  STROP_REFUSE(view && c.rows != c.channels_out, rows);
  STROP_REFUSE(view && c.columns != c.channels_in / c.groups * taps, columns);
  const bool sums = (uses & kSums) != 0;
  const uint64_t values = uint64_t{c.batch} * c.height_out * c.width_out;
  STROP_REFUSE(sums && values > STROP_MAX_REDUCTION, batch);
  STROP_REFUSE(sums && grouped && c.channels_in / c.groups * taps > STROP_MAX_REDUCTION, channels_in);
  STROP_REFUSE(sums && grouped && c.channels_out / c.groups * taps > STROP_MAX_REDUCTION, channels_out);
  return kAllWithinLimits;
}
#undef STROP_LIMIT
#undef STROP_REFUSE

}  // namespace strop

#endif  // STROP_LIMITS_HPP
