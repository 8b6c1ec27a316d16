// Which commands the kernel refuses: the limits of contract.h, and divisors of 0. The host checks far more before it sends a program;
// these are what keeps a wrong one from harming anything but its own results.
#ifndef STROP_LIMITS_HPP
#define STROP_LIMITS_HPP

#include <stddef.h>

#include "contract.h"

namespace strop {

constexpr uint32_t kAllWithinLimits = 0xFFFFFFFFu;

// What an opcode uses of a command.
struct FieldsUsed {
  bool batch;
  bool channels_in;  // with height_in, width_in
  bool channels_out;
  bool size_out;  // height_out, width_out
  bool window;    // kernel, stride, padding
  bool groups;    // with dilation
  bool activation;
  bool rows;  // with columns
  bool known;
};

inline FieldsUsed FieldsOf(uint32_t opcode) {
  switch (opcode) {
    case STROP_OP_INPUT:
      return {true, true, false, true, false, false, false, false, true};
    case STROP_OP_CONV_FORWARD:
    case STROP_OP_CONV_INPUT_GRADIENT:
    case STROP_OP_CONV_WEIGHT_GRADIENT:
      return {true, true, true, true, true, true, false, false, true};
    case STROP_OP_L1BN_FORWARD:
    case STROP_OP_L1BN_BACKWARD:
      return {true, false, true, true, false, false, true, false, true};
    case STROP_OP_MAX_POOL_FORWARD:
    case STROP_OP_MAX_POOL_BACKWARD:
      return {true, true, false, true, true, false, false, false, true};
    case STROP_OP_GLOBAL_AVERAGE_POOL_FORWARD:
    case STROP_OP_GLOBAL_AVERAGE_POOL_BACKWARD:
    case STROP_OP_FLATTEN:
    case STROP_OP_UNFLATTEN:
      return {true, true, false, false, false, false, false, false, true};
    case STROP_OP_SOFTMAX_CROSS_ENTROPY:
      return {true, false, true, false, false, false, false, false, true};
    case STROP_OP_SGD:
    case STROP_OP_WEIGHT_VIEW:
      return {false, false, false, false, false, false, false, true, true};
    default:
      return {false, false, false, false, false, false, false, false, false};
  }
}

#define STROP_LIMIT(used, field, low, high)                                   \
  if ((used) && (c.field < (low) || c.field > static_cast<uint32_t>(high))) { \
    return static_cast<uint32_t>(offsetof(strop_command, field)) / 4;         \
  }

// Index of the first word of the command that is not allowed, or kAllWithinLimits.
inline uint32_t WordBeyondLimit(const strop_command &c) {
  const FieldsUsed used = FieldsOf(c.opcode);
  const bool pools_all =
      c.opcode == STROP_OP_GLOBAL_AVERAGE_POOL_FORWARD || c.opcode == STROP_OP_GLOBAL_AVERAGE_POOL_BACKWARD;
  const uint32_t channels = c.opcode == STROP_OP_SOFTMAX_CROSS_ENTROPY ? STROP_MAX_CLASSES : STROP_MAX_CHANNELS;
  const uint32_t side = pools_all && c.width_in >= 1 ? STROP_MAX_POOL_PLANE / c.width_in : STROP_MAX_SIDE;
  if (c.flags & STROP_FLAG_TRANSPOSED) return static_cast<uint32_t>(offsetof(strop_command, flags)) / 4;
  STROP_LIMIT(used.activation && c.activation != STROP_ACTIVATION_NONE, activation, STROP_ACTIVATION_RELU,
              STROP_ACTIVATION_RELU)
  STROP_LIMIT(used.batch, batch, 1, STROP_MAX_BATCH)
  STROP_LIMIT(used.channels_in, channels_in, 1, STROP_MAX_CHANNELS)
  STROP_LIMIT(used.channels_in, height_in, 1, side < STROP_MAX_SIDE ? side : STROP_MAX_SIDE)
  STROP_LIMIT(used.channels_in, width_in, 1, STROP_MAX_SIDE)
  STROP_LIMIT(used.channels_out, channels_out, 1, channels)
  STROP_LIMIT(used.size_out, height_out, 1, STROP_MAX_SIDE)
  STROP_LIMIT(used.size_out, width_out, 1, STROP_MAX_SIDE)
  STROP_LIMIT(used.window, kernel_h, 1, STROP_MAX_KERNEL)
  STROP_LIMIT(used.window, kernel_w, 1, STROP_MAX_KERNEL)
  STROP_LIMIT(used.window, stride_h, 1, STROP_MAX_STRIDE)
  STROP_LIMIT(used.window, stride_w, 1, STROP_MAX_STRIDE)
  STROP_LIMIT(used.window && c.pad_top != 0, pad_top, 1, c.kernel_h - 1)
  STROP_LIMIT(used.window && c.pad_left != 0, pad_left, 1, c.kernel_w - 1)
  STROP_LIMIT(used.groups, groups, 1, STROP_MAX_CHANNELS)
  if (used.groups && (c.channels_in % c.groups != 0 || c.channels_out % c.groups != 0)) {
    return static_cast<uint32_t>(offsetof(strop_command, groups)) / 4;
  }
  STROP_LIMIT(used.groups, dilation_h, 1, 1)
  STROP_LIMIT(used.groups, dilation_w, 1, 1)
  STROP_LIMIT(used.rows, rows, 1, 0x7FFFFFFF)
  STROP_LIMIT(used.rows, columns, 1, 0x7FFFFFFF)
  return kAllWithinLimits;
}
#undef STROP_LIMIT

}  // namespace strop

#endif  // STROP_LIMITS_HPP
