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

inline void ConvForwardModel(Cost &cost, const TileShape &shape, const strop_board &board, const strop_command &c,
                             StoreMode mode) {
  Pass p = ForwardPass(shape, c);
  p.store.mode = mode;
  MacPassModel(cost, shape, board, p);
}

inline void ConvInputGradientModel(Cost &cost, const TileShape &shape, const strop_board &board, const strop_command &c,
                                   StoreMode mode) {
  for (uint32_t a = 0; a < (IsFlat(c) ? 1 : Smaller(c.stride_h, c.height_in)); ++a) {
    for (uint32_t b = 0; b < (IsFlat(c) ? 1 : Smaller(c.stride_w, c.width_in)); ++b) {
      Pass p = InputGradientPass(shape, c, a, b);
      p.store.mode = mode;
      MacPassModel(cost, shape, board, p);
    }
  }
}

// ConvMap, or the logits.
inline void ConvSumsModel(Cost &cost, const TileShape &shape, const strop_board &board, const strop_command &c) {
  const bool forward = c.opcode == STROP_OP_CONV_FORWARD;
  const bool logits = forward && (c.flags & STROP_FLAG_LOGITS) != 0;
  const bool gradient = MakesGradient(c);
  const StoreMode mode = logits ? StoreMode::kLogits : (gradient ? StoreMode::kDither : StoreMode::kRound);
  if (forward) ConvForwardModel(cost, shape, board, c, mode);
  if (!forward) ConvInputGradientModel(cost, shape, board, c, mode);
  const uint64_t channels = forward ? c.channels_out : c.channels_in;
  const uint64_t map_words = kSiteWords + (gradient ? kDitherWords + 5 : 1 + 2 * channels);
  Single(cost.words, logits ? 3 : map_words);
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
  if (c.opcode == STROP_OP_CONV_WEIGHT_GRADIENT) return ConvWeightGradientModel(cost, shape, board, c);
  ConvSumsModel(cost, shape, board, c);
}

}  // namespace model
}  // namespace strop

#endif  // STROP_MODEL_CONVOLUTION_MODEL_HPP
