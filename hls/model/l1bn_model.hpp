// L1 batch normalization, pass by pass as l1bn.hpp runs them.
#ifndef STROP_MODEL_L1BN_MODEL_HPP
#define STROP_MODEL_L1BN_MODEL_HPP

#include "../l1bn.hpp"
#include "streams.hpp"

namespace strop {
namespace model {

// A pass over `reads` maps, and `writes` written, with `words` single words and `divisions` a channel of each span.
struct NormPass {
  uint32_t reads;
  uint32_t writes;
  uint32_t words;
  uint32_t divisions;
};

inline void NormPassModel(Cost &cost, const TileShape &shape, const strop_board &board, const MapShape &map,
                          const NormPass &pass) {
  const uint32_t channels = kQuad;  // of a span; the last quad may have fewer
  ForSpans(map, shape.row_words, [&](uint32_t words, uint64_t times) {
    Cost span = {};
    for (uint32_t i = 0; i < pass.reads; ++i) Burst(span.load, board, words * kWordBytes);
    for (uint32_t i = 0; i < pass.writes; ++i) Burst(span.store, board, words * kWordBytes);
    Loop(span.compute, words, WordCycles(board));
    Single(span.words, channels * pass.words);
    Work(span.words, channels * pass.divisions * kLongDivision);
    AddTimes(cost, span, times);
  });
}

// A channel between the passes.
inline void ChannelModel(Cost &cost, uint32_t channels, uint32_t words, uint32_t divisions) {
  Single(cost.words, uint64_t{channels} * words);
  Work(cost.words, uint64_t{channels} * divisions * kLongDivision);
}

inline void L1bnForwardModel(Cost &cost, const TileShape &shape, const strop_board &board, const strop_command &c) {
  const MapShape map = OutputShape(c);
  const bool fixed = (c.flags & STROP_FLAG_FIXED) != 0;
  if (!fixed) {
    ChannelModel(cost, c.channels_out, 4, 0);              // ClearStatistics
    NormPassModel(cost, shape, board, map, {1, 0, 2, 0});  // SumShare
    NormPassModel(cost, shape, board, map, {1, 0, 7, 1});  // DeviationShare
  }
  ChannelModel(cost, c.channels_out, fixed ? 8 : 14, fixed ? 1 : 3);  // StatisticsShare
  NormPassModel(cost, shape, board, map, {1, 1, 5, 0});               // NormalizeShare
  Single(cost.words, fixed ? 2 : 3);
  InTurn(cost);
}

inline void L1bnBackwardModel(Cost &cost, const TileShape &shape, const strop_board &board, const strop_command &c) {
  const MapShape map = OutputShape(c);
  const bool fixed = (c.flags & STROP_FLAG_FIXED) != 0;
  if (!fixed) {
    ChannelModel(cost, c.channels_out, 2, 0);              // MeasureGradient_Clear
    NormPassModel(cost, shape, board, map, {3, 0, 4, 0});  // GradientSumsShare
    ChannelModel(cost, c.channels_out, 7, 1);              // ParameterGradientShare
  }
  NormPassModel(cost, shape, board, map, {3, 1, fixed ? 4u : 6u, fixed ? 0u : 3u});  // NormGradientShare
  Single(cost.words, kSiteWords + kDitherWords + 1);
  ChannelModel(cost, c.channels_out, 2, 0);  // L1bnBackward_Exponent
  InTurn(cost);
}

}  // namespace model
}  // namespace strop

#endif  // STROP_MODEL_L1BN_MODEL_HPP
