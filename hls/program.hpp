// Running a program: fetch each command, dispatch it, report how it ended.
#ifndef STROP_PROGRAM_HPP
#define STROP_PROGRAM_HPP

#include "activation.hpp"
#include "average_pool.hpp"
#include "convolution.hpp"
#include "elastic_pull.hpp"
#include "l1bn.hpp"
#include "layout.hpp"
#include "limits.hpp"
#include "output_loss.hpp"
#include "pooling.hpp"
#include "residual.hpp"
#include "sgd.hpp"
#include "softmax.hpp"
#include "upsample.hpp"

namespace strop {

// The registers of one start, by their names in contract.h.
struct StartRegisters {
  uint32_t program;
  uint32_t commands;
  uint32_t steps;
  uint32_t slots;
  uint32_t slot_stride;
  uint32_t slot_count;
  uint32_t first_slot;
  uint32_t report;
};

#define STROP_FETCH(field) \
  command.field = static_cast<decltype(command.field)>(ReadWord(of, STROP_FIELD_AT(0, strop_command, field)))

inline strop_command FetchCommand(const int32_t *words, uint32_t at) {
  int32_t of[sizeof(strop_command) / 4];
  BurstReadWords(of, words, at, sizeof(strop_command) / 4);
  strop_command command;
  STROP_FETCH(opcode);
  STROP_FETCH(flags);
  STROP_FETCH(layer);
  STROP_FETCH(activation);
  STROP_FETCH(batch);
  STROP_FETCH(channels_in);
  STROP_FETCH(height_in);
  STROP_FETCH(width_in);
  STROP_FETCH(channels_out);
  STROP_FETCH(height_out);
  STROP_FETCH(width_out);
  STROP_FETCH(kernel_h);
  STROP_FETCH(kernel_w);
  STROP_FETCH(stride_h);
  STROP_FETCH(stride_w);
  STROP_FETCH(pad_top);
  STROP_FETCH(pad_left);
  STROP_FETCH(groups);
  STROP_FETCH(dilation_h);
  STROP_FETCH(dilation_w);
  STROP_FETCH(source);
  STROP_FETCH(source_plane);
  STROP_FETCH(source_2);
  STROP_FETCH(source_2_plane);
  STROP_FETCH(source_3);
  STROP_FETCH(source_3_plane);
  STROP_FETCH(target);
  STROP_FETCH(target_plane);
  STROP_FETCH(source_exponent);
  STROP_FETCH(source_2_exponent);
  STROP_FETCH(target_exponent);
  STROP_FETCH(weight_exponent);
  STROP_FETCH(site);
  STROP_FETCH(dither);
  STROP_FETCH(weights);
  STROP_FETCH(gamma);
  STROP_FETCH(beta);
  STROP_FETCH(running_mu);
  STROP_FETCH(running_sigma);
  STROP_FETCH(running_steps);
  STROP_FETCH(statistics);
  STROP_FETCH(grad_gamma);
  STROP_FETCH(grad_beta);
  STROP_FETCH(exponent);
  STROP_FETCH(table);
  STROP_FETCH(labels);
  STROP_FETCH(rows);
  STROP_FETCH(columns);
  STROP_FETCH(master);
  STROP_FETCH(momentum);
  STROP_FETCH(gradient);
  STROP_FETCH(gradient_exponent);
  STROP_FETCH(fraction_bits);
  STROP_FETCH(momentum_decay);
  STROP_FETCH(weight_decay_mantissa);
  STROP_FETCH(weight_decay_shift);
  STROP_FETCH(batch_mantissa);
  STROP_FETCH(batch_shift);
  STROP_FETCH(anchor);
  STROP_FETCH(importance);
  return command;
}
#undef STROP_FETCH

// Offsets that count from the slot become offsets in the arena.
inline void PlaceInSlot(strop_command &c, uint32_t slot) {
  if (c.flags & STROP_FLAG_SOURCE_IN_SLOT) {
    c.source += slot;
    c.source_exponent += slot;
  }
  if (c.flags & STROP_FLAG_TARGET_IN_SLOT) {
    c.target += slot;
    c.target_exponent += slot;
  }
}

inline uint32_t Dispatch(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram, int32_t *words,
                         const strop_command &c, uint32_t slot, uint32_t &detail) {
  if (UsesOf(c) == 0) return STROP_STATUS_UNKNOWN_OPCODE;
  const uint32_t word = WordBeyondLimit(c);
  if (word != kAllWithinLimits) {
    detail = word;
    return STROP_STATUS_BAD_COMMAND;
  }
  switch (c.opcode) {
    case STROP_OP_INPUT:
      return Input(machine, maps, dram, words, c);
    case STROP_OP_CONV_FORWARD:
    case STROP_OP_CONV_INPUT_GRADIENT:
      return Convolution(machine, maps, filters, dram, words, c);
    case STROP_OP_CONV_WEIGHT_GRADIENT:
      return ConvWeightGradient(machine, maps, filters, dram, words, c);
    case STROP_OP_L1BN_FORWARD:
      return L1bnForward(machine, maps, filters, dram, words, c);
    case STROP_OP_L1BN_BACKWARD:
      return L1bnBackward(machine, maps, filters, dram, words, c);
    case STROP_OP_MAX_POOL_FORWARD:
      return MaxPoolForward(machine, maps, filters, dram, words, c);
    case STROP_OP_MAX_POOL_BACKWARD:
      return MaxPoolBackward(machine, maps, filters, dram, words, c);
    case STROP_OP_GLOBAL_AVERAGE_POOL_FORWARD:
      return GlobalAverageForward(machine, maps, filters, dram, words, c);
    case STROP_OP_GLOBAL_AVERAGE_POOL_BACKWARD:
      return GlobalAverageBackward(machine, maps, filters, dram, words, c);
    case STROP_OP_FLATTEN:
      return Flatten(machine, dram, words, c, false);
    case STROP_OP_UNFLATTEN:
      return Flatten(machine, dram, words, c, true);
    case STROP_OP_SOFTMAX_CROSS_ENTROPY:
      return SoftmaxCrossEntropy(machine, dram, words, c, slot, detail);
    case STROP_OP_SGD:
      return Sgd(machine, dram, words, c, slot);
    case STROP_OP_WEIGHT_VIEW:
      return WeightView(machine, dram, words, c);
    case STROP_OP_ADD_FORWARD:
      return AddForward(machine, maps, filters, dram, words, c);
    case STROP_OP_ADD_BACKWARD:
      return AddBackward(machine, maps, filters, dram, words, c);
    case STROP_OP_ACTIVATION_FORWARD:
      return ActivationForward(machine, maps, filters, dram, words, c);
    case STROP_OP_ACTIVATION_BACKWARD:
      return ActivationBackward(machine, maps, filters, dram, words, c);
    case STROP_OP_AVERAGE_POOL_FORWARD:
      return AveragePoolForward(machine, maps, filters, dram, words, c);
    case STROP_OP_AVERAGE_POOL_BACKWARD:
      return AveragePoolBackward(machine, maps, filters, dram, words, c);
    case STROP_OP_UPSAMPLE_FORWARD:
      return UpsampleForward(machine, maps, filters, dram, words, c);
    case STROP_OP_ADD_GRADIENT:
      return AddGradient(machine, maps, filters, dram, words, c);
    case STROP_OP_ELASTIC_PULL:
      return ElasticPull(machine, dram, words, c);
    case STROP_OP_UPSAMPLE_BACKWARD:
      return UpsampleBackward(machine, maps, filters, dram, words, c);
    case STROP_OP_SIGMOID_CROSS_ENTROPY:
    case STROP_OP_SQUARED_ERROR:
      return OutputLoss(machine, dram, words, c, slot);
    default:
      return STROP_STATUS_UNKNOWN_OPCODE;
  }
}

inline void WriteReport(int32_t *words, uint32_t at, uint32_t status, uint32_t step, uint32_t command, uint32_t layer,
                        uint32_t steps_done, uint32_t detail) {
  WriteWord(words, STROP_FIELD_AT(at, strop_report, status), static_cast<int32_t>(status));
  WriteWord(words, STROP_FIELD_AT(at, strop_report, step), static_cast<int32_t>(step));
  WriteWord(words, STROP_FIELD_AT(at, strop_report, command), static_cast<int32_t>(command));
  WriteWord(words, STROP_FIELD_AT(at, strop_report, layer), static_cast<int32_t>(layer));
  WriteWord(words, STROP_FIELD_AT(at, strop_report, steps_done), static_cast<int32_t>(steps_done));
  WriteWord(words, STROP_FIELD_AT(at, strop_report, detail), static_cast<int32_t>(detail));
  WriteWord(words, STROP_FIELD_AT(at, strop_report, cycles), 0);  // no counter yet
  WriteWord(words, STROP_FIELD_AT(at, strop_report, cycles) + 4, 0);
}

// Which command begins, for a host that waits in vain.
inline void WriteProgress(int32_t *words, uint32_t at, uint32_t step, uint32_t command, uint32_t layer) {
  WriteWord(words, STROP_FIELD_AT(at, strop_report, command), static_cast<int32_t>(command));
  WriteWord(words, STROP_FIELD_AT(at, strop_report, layer), static_cast<int32_t>(layer));
  WriteWord(words, STROP_FIELD_AT(at, strop_report, step), static_cast<int32_t>(step));
}

// One start: every command of the program on each mini-batch slot in turn. The first error ends it. `maps` and `filters` are the arena
// too, through the ports by which the MAC array loads.
inline void RunProgram(Machine &machine, const int8_t *maps, const int8_t *filters, int8_t *dram, int32_t *words,
                       const StartRegisters &start) {
  if (start.commands > STROP_MAX_COMMANDS || start.steps > STROP_MAX_STEPS || start.slot_count == 0) {
    WriteReport(words, start.report, STROP_STATUS_BAD_REGISTERS, 0, 0, 0, 0, 0);
    return;
  }
  WriteReport(words, start.report, STROP_STATUS_RUNNING, 0, 0, 0, 0, 0);
RunProgram_Step:
  for (uint32_t step = 0; step < start.steps; ++step) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 65536
    const uint32_t slot = start.slots + (start.first_slot + step) % start.slot_count * start.slot_stride;
  RunProgram_Command:
    for (uint32_t i = 0; i < start.commands; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
      strop_command command = FetchCommand(words, start.program + i * static_cast<uint32_t>(sizeof(strop_command)));
      WriteProgress(words, start.report, step, i, command.layer);
      PlaceInSlot(command, slot);
      uint32_t detail = 0;
      const uint32_t status = Dispatch(machine, maps, filters, dram, words, command, slot, detail);
      if (status != STROP_STATUS_OK) {
        WriteReport(words, start.report, status, step, i, command.layer, step, detail);
        return;
      }
    }
  }
  WriteReport(words, start.report, STROP_STATUS_OK, 0, 0, 0, start.steps, 0);
}

}  // namespace strop

#endif  // STROP_PROGRAM_HPP
