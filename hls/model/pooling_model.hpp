// Max pooling and global average pooling: pooling.hpp.
#ifndef STROP_MODEL_POOLING_MODEL_HPP
#define STROP_MODEL_POOLING_MODEL_HPP

#include "../pooling.hpp"
#include "stream_model.hpp"

namespace strop {
namespace model {

inline void MaxPoolForwardModel(Cost &cost, const TileShape &shape, const strop_board &board, const strop_command &c) {
  StreamModel(cost, shape, board, c, PassOver(StreamKind::kMaxPool, c, InputShape(c), 3));
  Single(cost.words, 2);
}

// ClearOutsideShare.
inline void ClearOutsideModel(Cost &cost, const strop_board &board, const strop_command &c, const MapShape &in) {
  Cost map = {};
  for (uint32_t row = 0; row < c.height_in; ++row) {
    for (uint32_t at = row < 2 * c.height_out ? 2 * c.width_out : 0; at < c.width_in; at += kHeld / kWordBytes) {
      const uint32_t count = Smaller(kHeld / kWordBytes, c.width_in - at);
      Loop(map.compute, count, WordCycles(board));
      Burst(map.store, board, Way::kWrite, count * kWordBytes);
    }
  }
  Cost all = {};
  AddTimes(all, map, in.quads * in.groups);
  InTurn(all);
  AddTimes(cost, all, 1);
  cost.cycles += all.cycles;
}

// MaxPoolBackwardRow: the taps of each window over each position are read where they lie.
inline void AnyWindowsModel(Cost &cost, const strop_board &board, const strop_command &c, const MapShape &in) {
  Cost map = {};
  for (uint32_t y = 0; y < c.height_in; ++y) {
    const AxisRange down = WindowsOver(y + c.pad_top, c.stride_h, c.kernel_h, c.height_out);
    for (uint32_t x = 0; x < c.width_in; ++x) {
      const AxisRange across = WindowsOver(x + c.pad_left, c.stride_w, c.kernel_w, c.width_out);
      for (uint32_t p = down.first; p < down.last; ++p) {
        const AxisRange rows = WindowRange(p, c.stride_h, c.pad_top, c.kernel_h, c.height_in);
        for (uint32_t q = across.first; q < across.last; ++q) {
          const AxisRange columns = WindowRange(q, c.stride_w, c.pad_left, c.kernel_w, c.width_in);
          EachWord(map.load, board, Way::kRead, (rows.last - rows.first) * (columns.last - columns.first) + 2);
        }
      }
      Burst(map.store, board, Way::kWrite, kWordBytes);
    }
  }
  AddTimes(cost, map, in.quads * in.groups);
  InTurn(cost);
}

inline void MaxPoolBackwardModel(Cost &cost, const TileShape &shape, const strop_board &board, const strop_command &c) {
  const MapShape in = InputShape(c);
  if (IsPlain2x2(c)) {
    StreamModel(cost, shape, board, c, PassOver(StreamKind::kMaxPoolGradient, c, in, 2));
    if (2 * c.height_out < c.height_in || 2 * c.width_out < c.width_in) ClearOutsideModel(cost, board, c, in);
  } else {
    AnyWindowsModel(cost, board, c, in);
  }
  Single(cost.words, 2);
}

inline void GlobalAverageForwardModel(Cost &cost, const TileShape &shape, const strop_board &board,
                                      const strop_command &c) {
  StreamModel(cost, shape, board, c, PassOver(StreamKind::kAverage, c, InputShape(c), 1));
  Single(cost.words, 2);
}

inline void GlobalAverageBackwardModel(Cost &cost, const TileShape &shape, const strop_board &board,
                                       const strop_command &c) {
  StreamModel(cost, shape, board, c, PassOver(StreamKind::kAverageGradient, c, InputShape(c), 1));
  Single(cost.words, kDitherWords + 2);
}

}  // namespace model
}  // namespace strop

#endif  // STROP_MODEL_POOLING_MODEL_HPP
