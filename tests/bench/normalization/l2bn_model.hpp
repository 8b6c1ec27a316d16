// What the cycle model of the kernel (hls/model/) says of both norms on a board: L2BN pass by pass as l2bn.hpp runs it.
#ifndef STROP_BENCH_L2BN_MODEL_HPP
#define STROP_BENCH_L2BN_MODEL_HPP

#include "l2bn.hpp"
#include "model/command_model.hpp"

namespace strop {
namespace model {

constexpr uint32_t kSquareRoot = 14;  // SquareRoot: a bit a cycle

inline void L2bnForwardModel(Cost &cost, const TileShape &shape, const strop_board &board, const strop_command &c) {
  const MapShape map = OutputShape(c);
  StreamModel(cost, shape, board, c, PassOver(StreamKind::kSum, c, map, 1));  // SumSquares: one burst a quad, too
  for (uint32_t quad = 0; quad < map.quads; ++quad) {                         // L2Statistics
    QuadBurst(cost.words, board, Way::kRead, map, quad, 1, kStatisticWords);
    QuadBurst(cost.words, board, Way::kRead, map, quad, 4);
    QuadBurst(cost.words, board, Way::kWrite, map, quad, 2);
    QuadBurst(cost.words, board, Way::kWrite, map, quad, 1, kStatisticWords);
    Work(cost.words, ChannelsIn(map, quad) * (3 * kLongDivision + kSquareRoot));
  }
  StreamModel(cost, shape, board, c, PassOver(StreamKind::kNormalize, c, map, 1));
  Single(cost.words, 3);
}

// Cycles of one command. L2's backward pass moves and divides what L1's does: the same model serves both.
inline uint64_t NormCycles(Board index, bool l2, const strop_command &c) {
  if (!l2 || c.opcode == STROP_OP_L1BN_BACKWARD) return CommandModel(index, c).cycles;
  const strop_board &board = kBoards[index];
  Cost cost = {};
  BurstWords(cost.words, board, Way::kRead, sizeof(strop_command) / 4);
  L2bnForwardModel(cost, kTileShapes[index], board, c);
  const uint64_t bytes = cost.load.bytes + cost.compute.bytes + cost.store.bytes + cost.words.bytes;
  return Later(cost.cycles + cost.words.cycles, bytes * board.clock_mhz / board.dram_mbytes_second);
}

}  // namespace model
}  // namespace strop

#endif  // STROP_BENCH_L2BN_MODEL_HPP
