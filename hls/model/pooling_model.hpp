// Pooling, line by line as pooling.hpp runs it.
#ifndef STROP_MODEL_POOLING_MODEL_HPP
#define STROP_MODEL_POOLING_MODEL_HPP

#include "../pooling.hpp"
#include "streams.hpp"

namespace strop {
namespace model {

// MaxPoolPart.
inline void MaxPoolPartModel(Cost &cost, const strop_board &board, const strop_command &c, uint32_t p, uint32_t begin,
                             uint32_t end) {
  const AxisRange rows = WindowRange(p, c.stride_h, c.pad_top, c.kernel_h, c.height_in);
  Cost row = {};
  for (uint32_t s = 0; s < c.kernel_w; ++s) {
    const AxisRange inside = WindowsInside(s, c.stride_w, c.pad_left, c.width_in, end);
    const uint32_t first = inside.first > begin ? inside.first : begin;
    if (first >= inside.last) continue;
    const uint32_t count = inside.last - first;
    Burst(row.load, board, ((count - 1) * c.stride_w + 1) * kWordBytes);
    Loop(row.compute, count, WordCycles(board));
  }
  AddTimes(cost, row, rows.last - rows.first);
  Loop(cost.compute, end - begin);
  Burst(cost.store, board, (end - begin) * kWordBytes);
}

inline void MaxPoolForwardModel(Cost &cost, const TileShape &shape, const strop_board &board, const strop_command &c) {
  const MapShape in = InputShape(c);
  const uint32_t part = shape.row_words / STROP_MAX_STRIDE;
  for (uint32_t p = 0; p < c.height_out; ++p) {
    Cost line = {};
    for (uint32_t q = 0; q < c.width_out; q += part) {
      MaxPoolPartModel(line, board, c, p, q, Smaller(q + part, c.width_out));
    }
    AddTimes(cost, line, in.quads * in.groups);
  }
  Single(cost.words, 2);
  InTurn(cost);
}

// ClearMapWords.
inline void ClearMapModel(Cost &cost, const TileShape &shape, const strop_board &board, uint32_t words) {
  for (uint32_t at = 0; at < words; at += shape.row_words) {
    const uint32_t count = Smaller(shape.row_words, words - at);
    Loop(cost.compute, count);
    Burst(cost.store, board, count * kWordBytes);
  }
}

// MaxPoolBackwardPlain.
inline void MaxPoolBackwardPlainModel(Cost &cost, const TileShape &shape, const strop_board &board,
                                      const strop_command &c) {
  const uint32_t part = shape.row_words / 4;
  for (uint32_t q = 0; q < c.width_out; q += part) {
    const uint32_t bytes = Smaller(part, c.width_out - q) * kWordBytes;
    Burst(cost.load, board, bytes);
    Burst(cost.load, board, 2 * bytes);
    Burst(cost.load, board, 2 * bytes);
    Loop(cost.compute, bytes / kWordBytes, 2 * WordCycles(board));  // two rows of two words
    Burst(cost.store, board, 2 * bytes);
    Burst(cost.store, board, 2 * bytes);
  }
  ClearMapModel(cost, shape, board, c.width_in - 2 * c.width_out);
  ClearMapModel(cost, shape, board, c.width_in - 2 * c.width_out);
}

// MaxPoolBackwardRow: the taps of each window over each position are read where they lie.
inline void MaxPoolBackwardRowModel(Cost &cost, const strop_board &board, const strop_command &c, uint32_t y) {
  const AxisRange down = WindowsOver(y + c.pad_top, c.stride_h, c.kernel_h, c.height_out);
  for (uint32_t x = 0; x < c.width_in; ++x) {
    const AxisRange across = WindowsOver(x + c.pad_left, c.stride_w, c.kernel_w, c.width_out);
    for (uint32_t p = down.first; p < down.last; ++p) {
      const AxisRange rows = WindowRange(p, c.stride_h, c.pad_top, c.kernel_h, c.height_in);
      for (uint32_t q = across.first; q < across.last; ++q) {
        const AxisRange columns = WindowRange(q, c.stride_w, c.pad_left, c.kernel_w, c.width_in);
        const uint32_t taps = (rows.last - rows.first) * (columns.last - columns.first);
        for (uint32_t word = 0; word < taps + 2; ++word)
          Burst(cost.load, board, kWordBytes);  // and here, and the error
      }
    }
    Burst(cost.store, board, kWordBytes);
  }
}

inline void MaxPoolBackwardModel(Cost &cost, const TileShape &shape, const strop_board &board, const strop_command &c) {
  const MapShape in = InputShape(c);
  Cost map = {};
  if (IsPlain2x2(c)) {
    Cost line = {};
    MaxPoolBackwardPlainModel(line, shape, board, c);
    AddTimes(map, line, c.height_out);
    for (uint32_t row = 2 * c.height_out; row < c.height_in; row += 2) {
      ClearMapModel(map, shape, board, Smaller(2, c.height_in - row) * c.width_in);
    }
  } else {
    for (uint32_t y = 0; y < c.height_in; ++y) MaxPoolBackwardRowModel(map, board, c, y);
  }
  AddTimes(cost, map, in.quads * in.groups);
  Single(cost.words, 2);
  InTurn(cost);
}

inline void AveragePoolForwardModel(Cost &cost, const TileShape &shape, const strop_board &board,
                                    const strop_command &c) {
  const MapShape in = InputShape(c);
  Cost map = {};
  Loop(map.compute, kWordBytes);
  for (uint32_t at = 0; at < in.map; at += shape.row_words) {
    const uint32_t count = Smaller(shape.row_words, in.map - at);
    Burst(map.load, board, count * kWordBytes);
    Loop(map.compute, count, WordCycles(board));
  }
  Loop(map.compute, kWordBytes + kLongDivision);  // divisions follow each other in the pipeline
  Burst(map.store, board, kWordBytes);
  AddTimes(cost, map, in.quads * in.groups);
  Single(cost.words, 2);
  InTurn(cost);
}

inline void AveragePoolBackwardModel(Cost &cost, const TileShape &shape, const strop_board &board,
                                     const strop_command &c) {
  const MapShape in = InputShape(c);
  Cost map = {};
  Loop(map.compute, kWordBytes);  // FindDither
  Burst(map.load, board, kWordBytes);
  Loop(map.compute, kWordBytes);
  for (uint32_t at = 0; at < in.map; at += shape.row_words) {
    const uint32_t count = Smaller(shape.row_words, in.map - at);
    Loop(map.compute, count, WordCycles(board));
    Burst(map.store, board, count * kWordBytes);
  }
  AddTimes(cost, map, in.quads * in.groups);
  Single(cost.words, kDitherWords + 2);
  InTurn(cost);
}

}  // namespace model
}  // namespace strop

#endif  // STROP_MODEL_POOLING_MODEL_HPP
