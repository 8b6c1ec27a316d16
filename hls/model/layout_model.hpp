// Operations that lay images and maps out: layout.hpp.
#ifndef STROP_MODEL_LAYOUT_MODEL_HPP
#define STROP_MODEL_LAYOUT_MODEL_HPP

#include "../layout.hpp"
#include "cost.hpp"

namespace strop {
namespace model {

// LoadStrip.
inline void LoadStripModel(Stage &load, const strop_board &board, const strop_command &c, const InputStrip &s) {
  const bool whole = s.width == c.width_in;
  Stage burst = {};
  Burst(burst, board, Way::kRead, whole ? s.height * s.width : s.width);
  const uint32_t images = Smaller(kImages, c.batch - s.group * kImages);
  AddTimes(load, burst, uint64_t{images} * (whole ? Smaller(s.height, 1) : s.height));
}

// InputStrips: a strip comes in, then its rows are made, each while the one before leaves.
inline void InputModel(Cost &cost, const TileShape &, const strop_board &board, const strop_command &c) {
  const InputPlan plan = PlanInput(c);
  const uint32_t strips = plan.planes * plan.groups * StripsOfPlane(c, plan);
  for (uint32_t index = 0; index < strips; ++index) {
    const InputStrip s = StripAt(c, plan, index);
    const uint32_t channels = plan.pixels ? 1 : Smaller(kQuad, c.channels_in - s.plane * kQuad);
    const uint64_t before = cost.load.cycles;
    Work(cost.load, 3 * kDivision);  // StripAt
    for (uint32_t j = 0; j < channels; ++j) LoadStripModel(cost.load, board, c, s);
    cost.cycles += cost.load.cycles - before;
    Overlap overlap = {};
    for (uint32_t row = 0; row < s.rows; ++row) {
      for (uint32_t first = 0; first < s.words; first += kMadeWords) {
        const uint32_t count = Smaller(kMadeWords, s.words - first);
        Stage make = {};
        Stage write = {};
        Loop(make, count, WordCycles(board));
        Burst(write, board, Way::kWrite, count * kWordBytes);
        Meet(overlap, cost, 1, {}, make, write);
      }
    }
    cost.cycles += overlap.stored[0];
  }
  Single(cost.words, 1);
}

// FlattenShare: a word of the target from 64 bytes read one by one.
inline void FlattenModel(Cost &cost, const TileShape &, const strop_board &board, const strop_command &c) {
  const MapShape map = InputShape(c);
  const uint32_t features = c.channels_in * map.map;
  const bool back = c.opcode == STROP_OP_UNFLATTEN;
  const MapShape target = back ? map : ShapeOf(features, c.batch, 1);
  Cost word = {};
  Scattered(word.load, Way::kRead, kImages, 1);
  AddTimes(cost.load, word.load, uint64_t{target.words} * target.channels);
  Burst(word.store, board, Way::kWrite, kWordBytes);
  AddTimes(cost.store, word.store, WordsOf(target));
  Single(cost.words, 2);
  InTurn(cost);
}

}  // namespace model
}  // namespace strop

#endif  // STROP_MODEL_LAYOUT_MODEL_HPP
