// L1 batch normalization: the passes of l1bn.hpp and what stands between them.
#ifndef STROP_MODEL_L1BN_MODEL_HPP
#define STROP_MODEL_L1BN_MODEL_HPP

#include "../l1bn.hpp"
#include "stream_model.hpp"

namespace strop {
namespace model {

// StatisticsShare.
inline void StatisticsModel(Cost &cost, const strop_board &board, const MapShape &map, bool fixed) {
  for (uint32_t quad = 0; quad < map.quads; ++quad) {
    QuadBurst(cost.words, board, Way::kRead, map, quad, fixed ? 4 : 8);
    if (!fixed) QuadBurst(cost.words, board, Way::kWrite, map, quad, 2);
    QuadBurst(cost.words, board, Way::kWrite, map, quad, 1, kStatisticWords);
    Work(cost.words, ChannelsIn(map, quad) * (fixed ? 1 : 3) * kLongDivision);
  }
}

inline void L1bnForwardModel(Cost &cost, const TileShape &shape, const strop_board &board, const strop_command &c) {
  const MapShape map = OutputShape(c);
  const bool fixed = (c.flags & STROP_FLAG_FIXED) != 0;
  if (!fixed) {
    for (uint32_t quad = 0; quad < map.quads; ++quad) {
      QuadBurst(cost.words, board, Way::kWrite, map, quad, 1, kStatisticWords);
    }
    StreamModel(cost, shape, board, c, PassOver(StreamKind::kSum, c, map, 1));
    StreamModel(cost, shape, board, c, PassOver(StreamKind::kDeviation, c, map, 1));
  }
  StatisticsModel(cost, board, map, fixed);
  StreamModel(cost, shape, board, c, PassOver(StreamKind::kNormalize, c, map, 1));
  Single(cost.words, fixed ? 2 : 3);
}

inline void L1bnBackwardModel(Cost &cost, const TileShape &shape, const strop_board &board, const strop_command &c) {
  const MapShape map = OutputShape(c);
  const bool fixed = (c.flags & STROP_FLAG_FIXED) != 0;
  if (!fixed) StreamModel(cost, shape, board, c, PassOver(StreamKind::kGradientSums, c, map, 3));
  for (uint32_t quad = 0; quad < map.quads; ++quad) {
    if (!fixed) {
      QuadBurst(cost.words, board, Way::kWrite, map, quad, 2);                  // ClearChannels
      QuadBurst(cost.words, board, Way::kRead, map, quad, 1, kStatisticWords);  // ParameterGradientShare
      QuadBurst(cost.words, board, Way::kRead, map, quad, 2);
      QuadBurst(cost.words, board, Way::kWrite, map, quad);
      Work(cost.words, ChannelsIn(map, quad) * kLongDivision);
    }
    QuadBurst(cost.words, board, Way::kRead, map, quad);  // L1bnBackward_Exponent
    QuadBurst(cost.words, board, Way::kWrite, map, quad);
  }
  StreamModel(cost, shape, board, c, PassOver(StreamKind::kGradient, c, map, 3));
  Single(cost.words, kDitherWords + kSiteWords + 1);
}

}  // namespace model
}  // namespace strop

#endif  // STROP_MODEL_L1BN_MODEL_HPP
