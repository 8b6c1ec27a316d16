// Convolution and fully-connected layers: the passes of convolution.hpp and what stands around them.
#ifndef STROP_MODEL_CONVOLUTION_MODEL_HPP
#define STROP_MODEL_CONVOLUTION_MODEL_HPP

#include "mac_pass_model.hpp"
#include "stream_model.hpp"

namespace strop {
namespace model {

// Multiply-adds of a layer, for each of its three phases.
inline uint64_t MacsOf(const strop_command &c) {
  return uint64_t{c.batch} * c.channels_out * (c.channels_in / c.groups) * c.kernel_h * c.kernel_w * c.height_out *
         c.width_out;
}

inline void ConvForwardModel(Cost &cost, const TileShape &shape, const strop_board &board, const strop_command &c) {
  const bool logits = (c.flags & STROP_FLAG_LOGITS) != 0;
  Pass p = ForwardPass(shape, c);
  p.store.mode = logits ? StoreMode::kLogits : StoreMode::kRound;
  MacPassModel(cost, shape, board, p);
  Single(cost.words, logits ? 3 : 1 + kSiteWords + 2 * uint64_t{c.channels_out});
}

inline void ConvInputGradientModel(Cost &cost, const TileShape &shape, const strop_board &board,
                                   const strop_command &c) {
  for (uint32_t a = 0; a < (IsFlat(c) ? 1 : Smaller(c.stride_h, c.height_in)); ++a) {
    for (uint32_t b = 0; b < (IsFlat(c) ? 1 : Smaller(c.stride_w, c.width_in)); ++b) {
      Pass p = InputGradientPass(shape, c, a, b);
      p.store.mode = StoreMode::kDither;
      MacPassModel(cost, shape, board, p);
    }
  }
  Single(cost.words, kDitherWords + kSiteWords + 3);
}

inline void ConvWeightGradientModel(Cost &cost, const TileShape &shape, const strop_board &board,
                                    const strop_command &c) {
  MacPassModel(cost, shape, board, WeightGradientPass(shape, c));
  Single(cost.words, 1 + 2 * uint64_t{c.channels_out});
  if (c.flags & STROP_FLAG_BIAS) {
    Single(cost.words, c.channels_out);  // ClearWords
    StreamModel(cost, shape, board, c, PassOver(StreamKind::kBiasGradient, c, OutputShape(c), 1));
  }
}

inline void ConvolutionModel(Cost &cost, const TileShape &shape, const strop_board &board, const strop_command &c) {
  cost.macs = MacsOf(c);
  if (c.opcode == STROP_OP_CONV_FORWARD) ConvForwardModel(cost, shape, board, c);
  if (c.opcode == STROP_OP_CONV_INPUT_GRADIENT) ConvInputGradientModel(cost, shape, board, c);
  if (c.opcode == STROP_OP_CONV_WEIGHT_GRADIENT) ConvWeightGradientModel(cost, shape, board, c);
}

}  // namespace model
}  // namespace strop

#endif  // STROP_MODEL_CONVOLUTION_MODEL_HPP
