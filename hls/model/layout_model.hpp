// Operations that lay images and maps out: layout.hpp.
#ifndef STROP_MODEL_LAYOUT_MODEL_HPP
#define STROP_MODEL_LAYOUT_MODEL_HPP

#include "../layout.hpp"
#include "cost.hpp"

namespace strop {
namespace model {

// LoadPixels: 16 images' rows, each where it lies.
inline void LoadPixelsModel(Cost &cost, const strop_command &c, const InputPlan &plan, uint32_t group, uint32_t y,
                            uint32_t begin) {
  const uint32_t images = Smaller(kImages, c.batch - group * kImages);
  const uint32_t left = plan.frame + c.pad_left;
  const Stretch picture = StretchOf(left, left + c.width_in, begin);
  const uint32_t count = picture.last - picture.first;
  if (y < c.pad_top || y >= c.pad_top + c.height_in) {
    Loop(cost.compute, images * count);
    return;
  }
  Stage image = {};
  BurstBytes(image, count);
  AddTimes(cost.load, image, images);
}

inline void InputModel(Cost &cost, const TileShape &, const strop_board &board, const strop_command &c) {
  const InputPlan plan = PlanInput(c);
  const uint32_t channels = plan.pixels ? 1 : kQuad;
  for (uint32_t plane = 0; plane < plan.planes; ++plane) {
    const uint32_t present = plan.pixels ? 1 : Smaller(kQuad, c.channels_in - plane * channels);
    for (uint32_t group = 0; group < plan.groups; ++group) {
      for (uint32_t y = 0; y < c.height_out; ++y) {
        for (uint32_t begin = 0; begin < plan.width; begin += kStretch) {
          const uint32_t count = Smaller(kStretch, plan.width - begin);
          for (uint32_t j = 0; j < present; ++j) LoadPixelsModel(cost, c, plan, group, y, begin);
          Loop(cost.compute, count, WordCycles(board));
          Burst(cost.store, board, Way::kWrite, count * kWordBytes);
        }
      }
    }
  }
  Single(cost.words, 1);
  InTurn(cost);
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
