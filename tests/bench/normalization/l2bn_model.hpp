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
  ChannelModel(cost, c.channels_out, 4, 0);              // ClearStatistics
  NormPassModel(cost, shape, board, map, {1, 0, 4, 0});  // SumSquareShare
  ChannelModel(cost, c.channels_out, 12, 3);             // L2StatisticsShare
  Work(cost.words, uint64_t{c.channels_out} * kSquareRoot);
  NormPassModel(cost, shape, board, map, {1, 1, 5, 0});  // NormalizeShare
  Single(cost.words, 3);
  InTurn(cost);
}

// Cycles of one command. L2's backward pass moves and divides what L1's does: the same model serves both.
inline uint64_t NormCycles(Board index, bool l2, const strop_command &c) {
  if (!l2 || c.opcode == STROP_OP_L1BN_BACKWARD) return CommandModel(index, c).cycles;
  Cost cost = {};
  Single(cost.words, kFetchWords);
  L2bnForwardModel(cost, kTileShapes[index], kBoards[index], c);
  const uint64_t bytes = cost.load.bytes + cost.compute.bytes + cost.store.bytes;
  const uint64_t dram_cycles = bytes * kBoards[index].clock_mhz / kBoards[index].dram_mbytes_second;
  return cost.cycles < dram_cycles ? dram_cycles : cost.cycles;
}

}  // namespace model
}  // namespace strop

#endif  // STROP_BENCH_L2BN_MODEL_HPP
