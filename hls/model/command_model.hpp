// The cost of any command.
#ifndef STROP_MODEL_COMMAND_MODEL_HPP
#define STROP_MODEL_COMMAND_MODEL_HPP

#include "convolution_model.hpp"
#include "l1bn_model.hpp"
#include "layout_model.hpp"
#include "map_model.hpp"
#include "parameter_model.hpp"
#include "pooling_model.hpp"

namespace strop {
namespace model {

inline void OperationModel(Cost &cost, const TileShape &shape, const strop_board &board, const strop_command &c) {
  switch (c.opcode) {
    case STROP_OP_INPUT:
      return InputModel(cost, shape, board, c);
    case STROP_OP_CONV_FORWARD:
    case STROP_OP_CONV_INPUT_GRADIENT:
    case STROP_OP_CONV_WEIGHT_GRADIENT:
      return ConvolutionModel(cost, shape, board, c);
    case STROP_OP_L1BN_FORWARD:
      return L1bnForwardModel(cost, shape, board, c);
    case STROP_OP_L1BN_BACKWARD:
      return L1bnBackwardModel(cost, shape, board, c);
    case STROP_OP_MAX_POOL_FORWARD:
      return MaxPoolForwardModel(cost, shape, board, c);
    case STROP_OP_MAX_POOL_BACKWARD:
      return MaxPoolBackwardModel(cost, shape, board, c);
    case STROP_OP_GLOBAL_AVERAGE_POOL_FORWARD:
      return GlobalAverageForwardModel(cost, shape, board, c);
    case STROP_OP_GLOBAL_AVERAGE_POOL_BACKWARD:
      return GlobalAverageBackwardModel(cost, shape, board, c);
    case STROP_OP_FLATTEN:
    case STROP_OP_UNFLATTEN:
      return FlattenModel(cost, shape, board, c);
    case STROP_OP_ADD_FORWARD:
    case STROP_OP_ADD_BACKWARD:
    case STROP_OP_ADD_GRADIENT:
      return AddModel(cost, shape, board, c);
    case STROP_OP_ACTIVATION_FORWARD:
    case STROP_OP_ACTIVATION_BACKWARD:
      return ActivationModel(cost, shape, board, c);
    case STROP_OP_AVERAGE_POOL_FORWARD:
    case STROP_OP_AVERAGE_POOL_BACKWARD:
      return AveragePoolModel(cost, shape, board, c);
    case STROP_OP_UPSAMPLE_FORWARD:
    case STROP_OP_UPSAMPLE_BACKWARD:
      return UpsampleModel(cost, shape, board, c);
    case STROP_OP_SOFTMAX_CROSS_ENTROPY:
      return SoftmaxModel(cost, shape, board, c);
    case STROP_OP_SGD:
      return SgdModel(cost, shape, board, c);
    case STROP_OP_WEIGHT_VIEW:
      return WeightViewModel(cost, shape, board, c);
    case STROP_OP_ELASTIC_PULL:
      return ElasticPullModel(cost, shape, board, c);
    case STROP_OP_SIGMOID_CROSS_ENTROPY:
    case STROP_OP_SQUARED_ERROR:
      return OutputLossModel(cost, shape, board, c);
    default:
      return;
  }
}

// With fetching it and saying so; and no faster than the memory controller.
inline Cost CommandModel(Board index, const strop_command &c) {
  const strop_board &board = kBoards[index];
  Cost cost = {};
  BurstWords(cost.words, board, Way::kRead, sizeof(strop_command) / 4);
  Single(cost.words, kProgressWords);
  OperationModel(cost, kTileShapes[index], board, c);
  cost.cycles += cost.words.cycles;
  const uint64_t bytes = cost.load.bytes + cost.compute.bytes + cost.store.bytes + cost.words.bytes;
  cost.dram_cycles = bytes * board.clock_mhz / (board.dram_mbytes_second > 0 ? board.dram_mbytes_second : 1);
  if (cost.cycles < cost.dram_cycles) cost.cycles = cost.dram_cycles;
  return cost;
}

}  // namespace model
}  // namespace strop

#endif  // STROP_MODEL_COMMAND_MODEL_HPP
