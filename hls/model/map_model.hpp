// Operations on maps alone that are streaming passes: average pooling by windows, upsampling, residual sums, activations.
#ifndef STROP_MODEL_MAP_MODEL_HPP
#define STROP_MODEL_MAP_MODEL_HPP

#include "../activation.hpp"
#include "../average_pool.hpp"
#include "../residual.hpp"
#include "../upsample.hpp"
#include "stream_model.hpp"

namespace strop {
namespace model {

inline void AveragePoolModel(Cost &cost, const TileShape &shape, const strop_board &board, const strop_command &c) {
  const StreamPass pass = AveragePoolPass(c);
  StreamModel(cost, shape, board, c, pass);
  if (c.opcode == STROP_OP_AVERAGE_POOL_BACKWARD) Single(cost.words, kDitherWords);
  HandOnModel(cost.words, board, c, pass.shape);
}

inline void UpsampleModel(Cost &cost, const TileShape &shape, const strop_board &board, const strop_command &c) {
  const bool forward = c.opcode == STROP_OP_UPSAMPLE_FORWARD;
  const StreamKind kind = forward ? StreamKind::kRepeat : StreamKind::kWindowSum;
  StreamModel(cost, shape, board, c, PassOver(kind, c, TargetShape(c), forward ? 1 : 3));
  Single(cost.words, forward ? 2 : kDitherWords + 2);
}

// ADD_FORWARD, ADD_BACKWARD, ADD_GRADIENT.
inline void AddModel(Cost &cost, const TileShape &shape, const strop_board &board, const strop_command &c) {
  const bool gradient = c.opcode == STROP_OP_ADD_GRADIENT;
  const StreamKind kind =
      gradient ? StreamKind::kAddGradient : (c.opcode == STROP_OP_ADD_FORWARD ? StreamKind::kAdd : StreamKind::kMask);
  StreamModel(cost, shape, board, c, PassOver(kind, c, OutputShape(c), 2));
  Single(cost.words, gradient ? kDitherWords + 2 : 3);
  if (gradient) HandOnModel(cost.words, board, c, OutputShape(c));
}

inline void ActivationModel(Cost &cost, const TileShape &shape, const strop_board &board, const strop_command &c) {
  const bool forward = c.opcode == STROP_OP_ACTIVATION_FORWARD;
  BurstWords(cost.words, board, Way::kRead, STROP_TABLE_WORDS);  // LoadTable
  Nest(cost.words, kQuad, STROP_TABLE_WORDS);
  const StreamKind kind = forward ? StreamKind::kActivate : StreamKind::kActivateGradient;
  StreamModel(cost, shape, board, c, PassOver(kind, c, OutputShape(c), forward ? 1 : 2));
  Single(cost.words, forward ? 1 : kDitherWords + 2);
}

}  // namespace model
}  // namespace strop

#endif  // STROP_MODEL_MAP_MODEL_HPP
