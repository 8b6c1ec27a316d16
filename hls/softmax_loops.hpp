// The leaf loops of softmax cross-entropy: one class of up to 16 samples at once (NUMERICS.md 1.6).
#ifndef STROP_LEAVES
#error "define STROP_LEAVES, the namespace of this compilation: see leaf_loops.hpp"
#endif

namespace strop {
namespace STROP_LEAVES {

// z4 = clip(rsh(logit, shift), +-32767) in 32 bits.
static inline int32_t LogitIndex(int32_t logit, int32_t shift) {
  const int32_t limit = 32767;
  if (shift <= 0) {
    const int32_t left = shift < -16 ? 16 : -shift;
    const int32_t clipped = logit > limit ? limit : (logit < -limit ? -limit : logit);  // beyond it stays beyond
    const int32_t moved = clipped * (1 << left);
    return moved > limit ? limit : (moved < -limit ? -limit : moved);
  }
  // logit + half may pass 2^31 - 1; halved beforehand it cannot. A shift by more than 32 leaves 0 as one by 32 does.
  const int32_t right = shift > 32 ? 32 : shift;
  const int32_t moved = right == 1 ? (logit >> 1) + (logit & 1) : ((logit >> 1) + (1 << (right - 2))) >> (right - 1);
  return moved > limit ? limit : (moved < -limit ? -limit : moved);
}

static inline int32_t ExpOf(int32_t largest, int32_t index) {
  const int32_t d = largest - index;
  return kExp[d > 255 ? 255 : d];
}

// Class k takes part in the largest index and in the answer, the first largest logit.
static inline void SoftmaxLargest(const int32_t *logits, uint32_t samples, uint32_t k, int32_t shift, SoftmaxGroup &g) {
SoftmaxLargest_Sample:
  for (uint32_t n = 0; n < samples; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
#pragma HLS PIPELINE II = 1
    const int32_t index = LogitIndex(logits[n], shift);
    g.largest[n] = (k == 0 || index > g.largest[n]) ? index : g.largest[n];
    const bool better = k == 0 || logits[n] > g.best[n];
    g.best[n] = better ? logits[n] : g.best[n];
    g.answer[n] = better ? k : g.answer[n];
  }
}

static inline void SoftmaxSum(const int32_t *logits, uint32_t samples, int32_t shift, SoftmaxGroup &g) {
SoftmaxSum_Sample:
  for (uint32_t n = 0; n < samples; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
#pragma HLS PIPELINE II = 1
    g.sum[n] += static_cast<uint32_t>(ExpOf(g.largest[n], LogitIndex(logits[n], shift)));
  }
}

// The probability of a class, in 2^-15.
static inline int32_t Probability(int32_t largest, int32_t index, uint32_t sum) {
  const uint32_t e = static_cast<uint32_t>(ExpOf(largest, index));
  return static_cast<int32_t>(((e << 15) + (sum >> 1)) / sum);
}

// The difference of probability and target as int8. `index` is that of the element for the dither, with off.
static inline int8_t LogitError(int32_t difference, uint32_t index) {
  const int32_t e15 = difference > 32767 ? 32767 : (difference < -32767 ? -32767 : difference);
  return Sat8((e15 + DitherBits(DitherProduct(index), 8)) >> 8, -kMaxInt8);
}

// The logit error of class k, into byte k % 4 of each image of `word`. `off` is the dither's, advanced to sample 0 of the class.
static inline void SoftmaxError(const int32_t *logits, uint32_t samples, uint32_t k, int32_t shift,
                                const SoftmaxGroup &g, uint32_t off, int8_t *word) {
SoftmaxError_Sample:
  for (uint32_t n = 0; n < samples; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
#pragma HLS PIPELINE II = 1
    const int32_t p = Probability(g.largest[n], LogitIndex(logits[n], shift), g.sum[n]);
    word[n * kQuad + k % kQuad] = LogitError(p - (k == g.label[n] ? 32768 : 0), off + n);
  }
}

// The same from a target for each sample; the class's part of the loss is added to the distance.
static inline void SoftmaxErrorSoft(const int32_t *logits, const int32_t *targets, uint32_t samples, uint32_t k,
                                    int32_t shift, SoftmaxGroup &g, uint32_t off, int8_t *word) {
SoftmaxErrorSoft_Sample:
  for (uint32_t n = 0; n < samples; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
#pragma HLS PIPELINE II = 1
    const int32_t index = LogitIndex(logits[n], shift);
    const int32_t target = Signed18(targets[n]);  // 17 bits, and the distance, too: one DSP
    const int32_t distance = Signed18(g.largest[n] - index);
    g.distance[n] += int64_t{distance} * target;
    word[n * kQuad + k % kQuad] = LogitError(Probability(g.largest[n], index, g.sum[n]) - target, off + n);
  }
}

}  // namespace STROP_LEAVES
}  // namespace strop
