// Softmax cross-entropy: loss, correct answers and the logit error, NUMERICS.md 1.6. An image group's 16 samples go together.
#ifndef STROP_SOFTMAX_HPP
#define STROP_SOFTMAX_HPP

#include "map_words.hpp"
#include "site.hpp"

namespace strop {

// The logits of one class from sample `first` on.
inline uint32_t LogitsAt(const strop_command &c, uint32_t k, uint32_t first) {
  return c.source + k * c.source_plane + 4 * first;
}

// What the samples from `first` on need of all classes.
inline void SoftmaxMeasure(Lane &lane, int32_t *words, const strop_command &c, uint32_t labels, uint32_t first,
                           uint32_t samples, int32_t shift, SoftmaxGroup &g) {
  int32_t label[kImages];
  BurstReadWords(label, words, labels + 4 * first, samples);
SoftmaxMeasure_Sample:
  for (uint32_t n = 0; n < samples; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
#pragma HLS PIPELINE II = 1
    g.label[n] = static_cast<uint32_t>(label[n]);
    g.sum[n] = 0;
    g.distance[n] = 0;
  }
SoftmaxMeasure_Largest:
  for (uint32_t k = 0; k < c.channels_out; ++k) {
#pragma HLS LOOP_TRIPCOUNT min = 2 max = 4096
    STROP_READ_VALUES(logits, lane.tiles.wide, words, LogitsAt(c, k, first), samples);
    STROP_LEAF(lane, SoftmaxLargest)(logits, samples, k, shift, g);
  }
SoftmaxMeasure_Sum:
  for (uint32_t k = 0; k < c.channels_out; ++k) {
#pragma HLS LOOP_TRIPCOUNT min = 2 max = 4096
    STROP_READ_VALUES(logits, lane.tiles.wide, words, LogitsAt(c, k, first), samples);
    STROP_LEAF(lane, SoftmaxSum)(logits, samples, shift, g);
  }
}

// Their logit error, word by word; bytes beyond the classes and the samples are 0. `targets`: where soft ones are.
inline void SoftmaxWords(Lane &lane, int8_t *dram, int32_t *words, const strop_command &c, uint32_t targets,
                         uint32_t first, uint32_t samples, int32_t shift, SoftmaxGroup &g, uint32_t dither) {
SoftmaxWords_Quad:
  for (uint32_t quad = 0; quad < CeilDivide(c.channels_out, kQuad); ++quad) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1024
    const uint32_t target = c.target + quad * c.target_plane + first * kQuad;
    STROP_WRITE_ROW(word, lane.tiles.row, dram, target);
    STROP_LEAF(lane, FillWords)(word, 1, 0);
  SoftmaxWords_Class:
    for (uint32_t k = quad * kQuad; k < Smaller(quad * kQuad + kQuad, c.channels_out); ++k) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4
      STROP_READ_VALUES(logits, lane.tiles.wide, words, LogitsAt(c, k, first), samples);
      LossTerms terms;
      if (c.flags & STROP_FLAG_SOFT) {
        int32_t target_of[kImages];
        BurstReadWords(target_of, words, targets + k * c.source_2_plane + 4 * first, samples);
        STROP_LEAF(lane, SoftmaxDifferenceSoft)(logits, target_of, samples, shift, g, terms);
        STROP_LEAF(lane, AddLossProducts)(terms.left, terms.right, samples, false, g.distance);
      } else {
        STROP_LEAF(lane, SoftmaxDifference)(logits, samples, k, shift, g, terms.difference);
      }
      STROP_LEAF(lane, LogitErrors)(terms.difference, samples, k, dither + k * c.batch + first, word);
    }
    STROP_FLUSH_ROW(word, dram, target, kWordBytes);
  }
}

// The loss of sample n of a group, in units of 2^-16 nat. `distance`, in the same, is how far its label or its targets are from
// the likeliest class.
inline int64_t SampleLoss(const SoftmaxGroup &g, uint32_t n, int64_t distance) {
  const int32_t b = BitLength(g.sum[n]) - 1;
  const uint32_t u = static_cast<uint32_t>((uint64_t{g.sum[n]} << 16) >> b);
  const uint32_t i = (u >> 8) & 255;
  const int32_t t = static_cast<int32_t>(u & 255);
  return distance + kLn2 * (b - 15) + kLn[i] + (((kLn[i + 1] - kLn[i]) * t) >> 8);
}

// The first sample whose label is outside [0, K), or the batch.
inline uint32_t FirstBadLabel(const int32_t *words, const strop_command &c, uint32_t labels) {
  uint32_t bad = c.batch;
FirstBadLabel_Group:
  for (uint32_t first = 0; first < c.batch; first += kImages) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 256
    const uint32_t samples = Smaller(kImages, c.batch - first);
    int32_t label[kImages];
    BurstReadWords(label, words, labels + 4 * first, samples);
  FirstBadLabel_Sample:
    for (uint32_t n = 0; n < samples; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
#pragma HLS PIPELINE II = 1
      if (static_cast<uint32_t>(label[n]) >= c.channels_out) bad = Smaller(bad, first + n);
    }
  }
  return bad;
}

// The logit of each sample's own class: scattered words, asked for without waiting for each.
inline void ReadLabelLogits(const int32_t *words, const strop_command &c, uint32_t first, uint32_t samples,
                            const SoftmaxGroup &g, int32_t logits[kImages]) {
ReadLabelLogits_Sample:
  for (uint32_t n = 0; n < samples; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
#pragma HLS PIPELINE II = 1
    logits[n] = ReadWord(words, LogitsAt(c, g.label[n], first + n));
  }
}

// What a loss leaves beside the error.
inline void WriteLoss(int32_t *words, const strop_command &c, uint32_t slot, int64_t loss, int32_t correct) {
  const uint32_t loss_at = STROP_FIELD_AT(slot, strop_slot, loss_sum);
  WriteWord(words, STROP_FIELD_AT(slot, strop_slot, correct), correct);
  WriteWord(words, STROP_FIELD_AT(slot, strop_slot, samples), static_cast<int32_t>(c.batch));
  WriteWord(words, loss_at, static_cast<int32_t>(loss & 0xFFFFFFFF));
  WriteWord(words, loss_at + 4, static_cast<int32_t>(loss >> 32));
  if ((c.flags & STROP_FLAG_FIXED) == 0) WriteWord(words, c.target_exponent, STROP_ERROR_EXPONENT);
}

// A label outside [0, K) stops the command before it writes anything; `detail` then names the sample.
inline uint32_t SoftmaxCrossEntropy(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c,
                                    uint32_t slot, uint32_t &detail) {
  Lane &lane = STROP_LANE(machine, 0);
  const bool train = (c.flags & STROP_FLAG_FIXED) == 0;
  const bool soft = (c.flags & STROP_FLAG_SOFT) != 0;
  const uint32_t labels = slot + c.labels;
  const uint32_t bad = FirstBadLabel(words, c, labels);
  if (bad < c.batch) {
    detail = bad;
    return STROP_STATUS_LABEL_RANGE;
  }
  const uint32_t dither = train ? NextDither(words, c.dither) : 0;
  const int32_t shift = ReadWord(words, c.source_exponent) - STROP_LOGIT_FRACTION;
  int64_t loss = 0;
  int32_t correct = 0;
  SoftmaxGroup g;
Softmax_Group:
  for (uint32_t first = 0; first < c.batch; first += kImages) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 256
    const uint32_t samples = Smaller(kImages, c.batch - first);
    SoftmaxMeasure(lane, words, c, labels, first, samples, shift, g);
    if (train) SoftmaxWords(lane, dram, words, c, slot + c.source_2, first, samples, shift, g, dither);
    int32_t logits[kImages];
    ReadLabelLogits(words, c, first, samples, g, logits);
  Softmax_Sample:
    for (uint32_t n = 0; n < samples; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
      const int64_t index = Clamp(RoundShift(logits[n], shift), -32767, 32767);
      loss += SampleLoss(g, n, soft ? RoundShift(g.distance[n], 3) : (g.largest[n] - index) * 4096);
      correct += g.answer[n] == g.label[n] ? 1 : 0;
    }
  }
  WriteLoss(words, c, slot, loss, correct);
  return STROP_STATUS_OK;
}

}  // namespace strop

#endif  // STROP_SOFTMAX_HPP
