// What one SGD command does to every value (NUMERICS.md 1.8).
#ifndef STROP_SGD_CONSTANTS_HPP
#define STROP_SGD_CONSTANTS_HPP

#include "contract.h"

namespace strop {

struct SgdConstants {
  int32_t batch_mantissa;
  int32_t gradient_shift;  // e + bk - f
  int32_t momentum_decay;
  int32_t weight_decay_mantissa;
  int32_t weight_decay_shift;
  int32_t learning_rate_mantissa;
  int32_t learning_rate_shift;
};

}  // namespace strop

#endif  // STROP_SGD_CONSTANTS_HPP
