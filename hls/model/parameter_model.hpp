// What works on 32-bit words: softmax.hpp and sgd.hpp.
#ifndef STROP_MODEL_PARAMETER_MODEL_HPP
#define STROP_MODEL_PARAMETER_MODEL_HPP

#include "../sgd.hpp"
#include "../softmax.hpp"
#include "cost.hpp"

namespace strop {
namespace model {

inline void SoftmaxModel(Cost &cost, const TileShape &, const strop_board &board, const strop_command &c) {
  const bool train = (c.flags & STROP_FLAG_FIXED) == 0;
  for (uint32_t first = 0; first < c.batch; first += kImages) {
    const uint32_t samples = Smaller(kImages, c.batch - first);
    Cost one = {};  // a class of the group
    BurstWords(one.load, board, Way::kRead, samples);
    Loop(one.compute, samples);
    AddTimes(cost, one, uint64_t{c.channels_out} * (train ? 3 : 2));
    if (train) {
      Work(cost.compute, c.channels_out * kDivision);
      Cost word = {};
      Loop(word.compute, 1);
      Burst(word.store, board, Way::kWrite, kWordBytes);
      AddTimes(cost, word, CeilDivide(c.channels_out, kQuad));
    }
    Single(cost.words, 2 * samples);  // labels; the logits at them
  }
  Single(cost.words, c.batch + (train ? kDitherWords + 6 : 5));
  InTurn(cost);
}

// MakeView: the int8 view from the masters.
inline void ViewModel(Cost &cost, const strop_board &board, const strop_command &c) {
  const ViewLayout view = ViewLayoutOf(c);
  if ((c.flags & STROP_FLAG_VIEW_PER_ROW) == 0) Single(cost.words, 2 * uint64_t{c.rows});
  Cost row = {};
  if (c.flags & STROP_FLAG_PIXELS) {
    BurstWords(row.load, board, Way::kRead, c.columns);
    Loop(row.compute, c.channels_in * view.taps * kQuad);
    Burst(row.store, board, Way::kWrite, view.row_bytes);
    AddTimes(cost, row, c.rows);
  } else {
    const uint32_t part = kRow / (view.taps * kQuad);
    const uint32_t channels = c.channels_in / c.groups;
    for (uint32_t k = 0; k < c.rows; ++k) {
      const uint32_t own = k / (c.channels_out / c.groups) % view.merged * channels;
      for (uint32_t quad = 0; quad < view.quads; quad += part) {
        const uint32_t count = Smaller(part, view.quads - quad);
        const uint32_t begin = quad * kQuad > own ? quad * kQuad : own;
        const uint32_t end = Smaller((quad + count) * kQuad, own + channels);
        BurstWords(cost.load, board, Way::kRead, end > begin ? (end - begin) * view.taps : 0);
        Loop(cost.compute, count * view.taps);
        Burst(cost.store, board, Way::kWrite, count * view.taps * kQuad);
      }
    }
  }
  Single(cost.words, 2 * uint64_t{c.rows});
}

// SgdRows, or MeasureRows.
inline void RowsModel(Cost &cost, const strop_board &board, const strop_command &c, uint32_t reads, uint32_t writes,
                      uint32_t words) {
  Cost row = {};
  for (uint32_t at = 0; at < c.columns; at += kRow) {
    const uint32_t count = Smaller(kRow, c.columns - at);
    for (uint32_t i = 0; i < reads; ++i) BurstWords(row.load, board, Way::kRead, count);
    Loop(row.compute, count);
    for (uint32_t i = 0; i < writes; ++i) BurstWords(row.store, board, Way::kWrite, count);
  }
  Single(row.words, words);
  AddTimes(cost, row, c.rows);
}

inline void SgdModel(Cost &cost, const TileShape &, const strop_board &board, const strop_command &c) {
  const bool view = (c.flags & STROP_FLAG_VIEW) != 0;
  RowsModel(cost, board, c, 3, 2, view ? 2 : 1);
  Single(cost.words, 2);  // learning rate
  if (view) ViewModel(cost, board, c);
  InTurn(cost);
}

inline void WeightViewModel(Cost &cost, const TileShape &, const strop_board &board, const strop_command &c) {
  RowsModel(cost, board, c, 1, 0, 1);
  ViewModel(cost, board, c);
  InTurn(cost);
}

}  // namespace model
}  // namespace strop

#endif  // STROP_MODEL_PARAMETER_MODEL_HPP
