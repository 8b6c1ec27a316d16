// What works on 32-bit words: softmax.hpp, output_loss.hpp, sgd.hpp and elastic_pull.hpp.
#ifndef STROP_MODEL_PARAMETER_MODEL_HPP
#define STROP_MODEL_PARAMETER_MODEL_HPP

#include "../elastic_pull.hpp"
#include "../output_loss.hpp"
#include "../sgd.hpp"
#include "cost.hpp"

namespace strop {
namespace model {

inline void SoftmaxModel(Cost &cost, const TileShape &, const strop_board &board, const strop_command &c) {
  const bool train = (c.flags & STROP_FLAG_FIXED) == 0;
  for (uint32_t first = 0; first < c.batch; first += kImages) {
    const uint32_t samples = Smaller(kImages, c.batch - first);
    Cost row = {};  // labels, or the logits of a class
    BurstWords(row.load, board, Way::kRead, samples);
    Loop(row.compute, samples);
    AddTimes(cost, row, 2 + uint64_t{c.channels_out} * (train ? 3 : 2));
    if (train) {
      Work(cost.compute, c.channels_out * kDivision);
      Nest(cost.compute, c.channels_out, samples);  // LogitErrors
      if (c.flags & STROP_FLAG_SOFT) {
        Cost targets = {};
        BurstWords(targets.load, board, Way::kRead, samples);
        Loop(targets.compute, samples);  // AddLossProducts
        AddTimes(cost, targets, c.channels_out);
      }
      Cost word = {};
      Loop(word.compute, 1, WordCycles(board));
      Burst(word.store, board, Way::kWrite, kWordBytes);
      AddTimes(cost, word, CeilDivide(c.channels_out, kQuad));
    }
    Stage logits = {};  // of the labels: single words, but not waited for one by one
    Scattered(logits, Way::kRead, samples, 0);
    Add(cost.words, logits);
    Loop(cost.compute, samples);
  }
  Single(cost.words, train ? kDitherWords + 6 : 5);
  InTurn(cost);
}

// OutputLoss.
inline void OutputLossModel(Cost &cost, const TileShape &, const strop_board &board, const strop_command &c) {
  const bool train = (c.flags & STROP_FLAG_FIXED) == 0;
  const uint32_t products = c.opcode == STROP_OP_SQUARED_ERROR ? 2 : 1;
  for (uint32_t first = 0; first < c.batch; first += kImages) {
    const uint32_t samples = Smaller(kImages, c.batch - first);
    Loop(cost.compute, kImages);
    Cost output = {};
    for (uint32_t i = 0; i < 2; ++i) BurstWords(output.load, board, Way::kRead, samples);  // logits, targets
    Nest(output.compute, 2 + products + (train ? 1 : 0), samples);
    AddTimes(cost, output, c.channels_out);
    if (train) {
      Cost word = {};
      Loop(word.compute, 1, WordCycles(board));
      Burst(word.store, board, Way::kWrite, kWordBytes);
      AddTimes(cost, word, CeilDivide(c.channels_out, kQuad));
    }
    Loop(cost.compute, samples);
  }
  Single(cost.words, train ? kDitherWords + 6 : 5);
  InTurn(cost);
}

// MakeView: the int8 view from the masters.
inline void ViewModel(Cost &all, const strop_board &board, const strop_command &c) {
  const ViewLayout view = ViewLayoutOf(c);
  Cost cost = {};
  if ((c.flags & STROP_FLAG_VIEW_PER_ROW) == 0) Single(cost.words, 2 * uint64_t{c.rows});
  Cost row = {};
  if (c.flags & STROP_FLAG_PIXELS) {
    BurstWords(row.load, board, Way::kRead, c.columns);
    Loop(row.compute, c.channels_in * view.taps * kQuad);
    Burst(row.store, board, Way::kWrite, view.row_bytes);
    AddTimes(cost, row, c.rows);
  } else {
    const uint32_t part = kHeld / (view.taps * kQuad);
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
  InTurn(cost);
  AddTimes(all, cost, 1);
  all.cycles += cost.cycles;
}

// SgdRows: part by part, while the next is read and the last is written.
inline void SgdRowsModel(Cost &cost, const strop_board &board, const strop_command &c) {
  Overlap overlap = {};
  for (uint32_t row = 0; row < c.rows; ++row) {
    for (uint32_t at = 0; at < c.columns; at += kSgdValuesOnChip) {
      const uint32_t count = Smaller(kSgdValuesOnChip, c.columns - at);
      Stage read = {};
      Stage update = {};
      Stage write = {};
      for (uint32_t i = 0; i < 3; ++i) BurstWords(read, board, Way::kRead, count);
      Single(read, 1);
      Loop(update, CeilDivide(count, kWordValues), WordCycles(board));  // CopyPart
      Loop(update, count);
      for (uint32_t i = 0; i < 2; ++i) BurstWords(write, board, Way::kWrite, count);
      if ((c.flags & STROP_FLAG_VIEW) && at + count == c.columns) Single(write, 1);
      Meet(overlap, cost, 1, read, update, write);
    }
  }
  cost.cycles += overlap.stored[0];
}

inline void SgdModel(Cost &cost, const TileShape &, const strop_board &board, const strop_command &c) {
  SgdRowsModel(cost, board, c);
  Single(cost.words, 2);  // learning rate
  if (c.flags & STROP_FLAG_VIEW) ViewModel(cost, board, c);
}

// PullParts: one part after another.
inline void ElasticPullModel(Cost &cost, const TileShape &, const strop_board &board, const strop_command &c) {
  for (uint32_t at = 0; at < c.columns; at += kPullValuesOnChip) {
    const uint32_t count = Smaller(kPullValuesOnChip, c.columns - at);
    for (uint32_t i = 0; i < 2; ++i) BurstWords(cost.load, board, Way::kRead, count);
    Burst(cost.load, board, Way::kRead, count);
    Loop(cost.compute, count);
    BurstWords(cost.store, board, Way::kWrite, count);
  }
  InTurn(cost);
}

// MeasureRows, and the view.
inline void WeightViewModel(Cost &cost, const TileShape &, const strop_board &board, const strop_command &c) {
  Cost row = {};
  for (uint32_t at = 0; at < c.columns; at += kHeld) {
    const uint32_t count = Smaller(kHeld, c.columns - at);
    BurstWords(row.load, board, Way::kRead, count);
    Loop(row.compute, count);
  }
  Single(row.words, 1);
  Cost rows = {};
  AddTimes(rows, row, c.rows);
  InTurn(rows);
  AddTimes(cost, rows, 1);
  cost.cycles += rows.cycles;
  ViewModel(cost, board, c);
}

}  // namespace model
}  // namespace strop

#endif  // STROP_MODEL_PARAMETER_MODEL_HPP
