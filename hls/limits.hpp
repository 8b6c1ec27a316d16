// Which commands the kernel refuses: sizes beyond the limits of contract.h, or that contradict each other. So no size can overrun
// on-chip memory or an int32 sum. Offsets are not checked, nor is the state in memory (a site's shift beyond 24): the kernel trusts
// the host, which plans the memory and refuses such a state.
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
  const FieldsUsed used = FieldsOf(c.opcode);
  const uint32_t channels = c.opcode == STROP_OP_SOFTMAX_CROSS_ENTROPY ? STROP_MAX_CLASSES : STROP_MAX_CHANNELS;
  STROP_REFUSE(c.flags & STROP_FLAG_TRANSPOSED, flags);
  STROP_LIMIT(used.activation && c.activation != STROP_ACTIVATION_NONE, activation, STROP_ACTIVATION_RELU,
              STROP_ACTIVATION_RELU);
  STROP_LIMIT(used.batch, batch, 1, STROP_MAX_BATCH);
  STROP_LIMIT(used.channels_in, channels_in, 1, STROP_MAX_CHANNELS);
  STROP_LIMIT(used.channels_in, height_in, 1, STROP_MAX_SIDE);
  STROP_LIMIT(used.channels_in, width_in, 1, STROP_MAX_SIDE);
  STROP_LIMIT(used.channels_out, channels_out, 1, channels);
  STROP_LIMIT(used.size_out, height_out, 1, STROP_MAX_SIDE);
  STROP_LIMIT(used.size_out, width_out, 1, STROP_MAX_SIDE);
  STROP_LIMIT(used.window, kernel_h, 1, STROP_MAX_KERNEL);
  STROP_LIMIT(used.window, kernel_w, 1, STROP_MAX_KERNEL);
  STROP_LIMIT(used.window, stride_h, 1, STROP_MAX_STRIDE);
  STROP_LIMIT(used.window, stride_w, 1, STROP_MAX_STRIDE);
  STROP_LIMIT(used.groups, groups, 1, STROP_MAX_CHANNELS);
  STROP_LIMIT(used.groups, dilation_h, 1, 1);
  STROP_LIMIT(used.groups, dilation_w, 1, 1);
  STROP_REFUSE(used.activation && (c.exponent < 0 || c.exponent > STROP_MAX_EXPONENT), exponent);
  STROP_LIMIT(used.rows, rows, 1, 0x7FFFFFFF);
  STROP_LIMIT(used.rows, columns, 1, 0x7FFFFFFF);
  // each word by itself is allowed; now what they say together
  const bool pools_all =
      c.opcode == STROP_OP_GLOBAL_AVERAGE_POOL_FORWARD || c.opcode == STROP_OP_GLOBAL_AVERAGE_POOL_BACKWARD;
  STROP_REFUSE(pools_all && c.height_in * c.width_in > STROP_MAX_POOL_PLANE, height_in);
  const bool borders = c.opcode == STROP_OP_INPUT;
  STROP_REFUSE(borders && (c.pad_top > c.height_out || c.height_in > c.height_out - c.pad_top), pad_top);
  STROP_REFUSE(borders && (c.pad_left > c.width_out || c.width_in > c.width_out - c.pad_left), pad_left);
  STROP_REFUSE(used.window && c.pad_top >= c.kernel_h, pad_top);
  STROP_REFUSE(used.window && c.pad_left >= c.kernel_w, pad_left);
  STROP_REFUSE(used.window && WindowsLeaveMap(c.height_out, c.stride_h, c.pad_top, c.height_in), height_out);
  STROP_REFUSE(used.window && WindowsLeaveMap(c.width_out, c.stride_w, c.pad_left, c.width_in), width_out);
  STROP_REFUSE(used.groups && (c.channels_in % c.groups != 0 || c.channels_out % c.groups != 0), groups);
  const bool sums_batch = used.groups || used.activation;
  const uint64_t values = uint64_t{c.batch} * c.height_out * c.width_out;
  STROP_REFUSE(sums_batch && values > STROP_MAX_REDUCTION, batch);
  const uint64_t taps = uint64_t{c.kernel_h} * c.kernel_w;
  STROP_REFUSE(used.groups && c.channels_in / c.groups * taps > STROP_MAX_REDUCTION, channels_in);
  STROP_REFUSE(used.groups && c.channels_out / c.groups * taps > STROP_MAX_REDUCTION, channels_out);
  return kAllWithinLimits;
}
#undef STROP_LIMIT
#undef STROP_REFUSE

}  // namespace strop

#endif  // STROP_LIMITS_HPP
