// Losses without softmax: each output of the network has one of its own, binary cross-entropy or half the squared error (NUMERICS.md
// 1.17). An image group's 16 samples go together.
#ifndef STROP_OUTPUT_LOSS_HPP
#define STROP_OUTPUT_LOSS_HPP

#include "softmax.hpp"

namespace strop {

// Up to 16 samples, from `first` on.
struct OutputGroup {
  uint32_t first, samples;
  int32_t exponent;  // of the logits
  uint32_t targets;  // arena offset
  uint32_t dither;
  bool train;
};

// Output k of a group: its loss joins the samples', and in training its error is byte k % 4 of each image of `word`.
inline void LossOfOutput(Lane &lane, int32_t *words, const strop_command &c, uint32_t k, const OutputGroup &group,
                         int8_t *word, OutputLosses &losses) {
  const uint32_t samples = group.samples;
  STROP_READ_VALUES(logits, lane.tiles.wide, words, LogitsAt(c, k, group.first), samples);
  int32_t target_of[kImages];
  BurstReadWords(target_of, words, group.targets + k * c.source_2_plane + 4 * group.first, samples);
  const bool sigmoid = c.opcode == STROP_OP_SIGMOID_CROSS_ENTROPY;
  LossTerms terms;
  if (sigmoid) {
    const int32_t shift = group.exponent - STROP_LOGIT_FRACTION;
    STROP_LEAF(lane, SigmoidTerms)(logits, target_of, samples, shift, terms, losses);
  } else {
    const int32_t shift = group.exponent - STROP_TARGET_FRACTION;
    STROP_LEAF(lane, SquaredTerms)(logits, target_of, samples, shift, terms, losses);
    STROP_LEAF(lane, AddLossProducts)(terms.left, terms.upper, samples, true, terms.product);
  }
  STROP_LEAF(lane, AddLossProducts)(terms.left, terms.right, samples, false, terms.product);
  STROP_LEAF(lane, AddLosses)(terms, samples, sigmoid ? 3 : STROP_TARGET_FRACTION, losses);
  if (!group.train) return;
  STROP_LEAF(lane, LogitErrors)(terms.difference, samples, k, group.dither + k * c.batch + group.first, word);
}

// All outputs of a group; bytes of the error beyond the outputs and the samples are 0.
inline void LossesOfGroup(Lane &lane, int8_t *dram, int32_t *words, const strop_command &c, const OutputGroup &group,
                          OutputLosses &losses) {
LossesOfGroup_Sample:
  for (uint32_t n = 0; n < kImages; ++n) {
#pragma HLS PIPELINE II = 1
    losses.loss[n] = 0;
    losses.right[n] = 1;
  }
LossesOfGroup_Quad:
  for (uint32_t quad = 0; quad < CeilDivide(c.channels_out, kQuad); ++quad) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1024
    const uint32_t target = c.target + quad * c.target_plane + group.first * kQuad;
    STROP_WRITE_ROW(word, lane.tiles.row, dram, target);
    if (group.train) STROP_LEAF(lane, FillWords)(word, 1, 0);
  LossesOfGroup_Output:
    for (uint32_t k = quad * kQuad; k < Smaller(quad * kQuad + kQuad, c.channels_out); ++k) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4
      LossOfOutput(lane, words, c, k, group, word, losses);
    }
    if (group.train) STROP_FLUSH_ROW(word, dram, target, kWordBytes);
  }
}

// SIGMOID_CROSS_ENTROPY and SQUARED_ERROR.
inline uint32_t OutputLoss(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c, uint32_t slot) {
  Lane &lane = STROP_LANE(machine, 0);
  const bool train = (c.flags & STROP_FLAG_FIXED) == 0;
  const uint32_t dither = train ? NextDither(words, c.dither) : 0;
  const int32_t exponent = ReadWord(words, c.source_exponent);
  int64_t loss = 0;
  int32_t correct = 0;
  OutputLosses losses;
OutputLoss_Group:
  for (uint32_t first = 0; first < c.batch; first += kImages) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 256
    const OutputGroup group = {first, Smaller(kImages, c.batch - first), exponent, slot + c.source_2, dither, train};
    LossesOfGroup(lane, dram, words, c, group, losses);
  OutputLoss_Sample:
    for (uint32_t n = 0; n < group.samples; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
#pragma HLS PIPELINE II = 1
      loss += losses.loss[n];
      correct += static_cast<int32_t>(losses.right[n]);
    }
  }
  WriteLoss(words, c, slot, loss, correct);
  return STROP_STATUS_OK;
}

}  // namespace strop

#endif  // STROP_OUTPUT_LOSS_HPP
