// The leaf loops of softmax cross-entropy: one class of up to 16 samples at once (NUMERICS.md 1.6).
#ifndef STROP_LEAVES
#error "define STROP_LEAVES, the namespace of this compilation: see leaf_loops.hpp"
#endif

namespace strop {
namespace STROP_LEAVES {

// clip(rsh(logit, shift), +-limit) in 32 bits; limit is at least 32767.
static inline int32_t ClippedShift(int32_t logit, int32_t shift, int32_t limit) {
  if (shift <= 0) {
    const int32_t left = shift < -16 ? 16 : -shift;
    const int32_t most = limit >> left;  // what is beyond it ends beyond the limit
    return logit > most ? limit : (logit < -most ? -limit : logit * (1 << left));
  }
  // logit + half may pass 2^31 - 1; halved beforehand it cannot. A shift by more than 32 leaves 0 as one by 32 does.
  const int32_t right = shift > 32 ? 32 : shift;
  const int32_t moved = right == 1 ? (logit >> 1) + (logit & 1) : ((logit >> 1) + (1 << (right - 2))) >> (right - 1);
  return moved > limit ? limit : (moved < -limit ? -limit : moved);
}

// z4, the logit in sixteenths.
static inline int32_t LogitIndex(int32_t logit, int32_t shift) { return ClippedShift(logit, shift, 32767); }

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

// Probability less one-hot, of class k.
static inline void SoftmaxDifference(const int32_t *logits, uint32_t samples, uint32_t k, int32_t shift,
                                     const SoftmaxGroup &g, int32_t *difference) {
SoftmaxDifference_Sample:
  for (uint32_t n = 0; n < samples; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
#pragma HLS PIPELINE II = 1
    const int32_t p = Probability(g.largest[n], LogitIndex(logits[n], shift), g.sum[n]);
    difference[n] = p - (k == g.label[n] ? 32768 : 0);
  }
}

// Probability less target, and the factors of the class's part of the distance.
static inline void SoftmaxDifferenceSoft(const int32_t *logits, const int32_t *targets, uint32_t samples, int32_t shift,
                                         const SoftmaxGroup &g, LossTerms &terms) {
SoftmaxDifferenceSoft_Sample:
  for (uint32_t n = 0; n < samples; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
#pragma HLS PIPELINE II = 1
    const int32_t index = LogitIndex(logits[n], shift);
    const int32_t target = Signed18(targets[n]);  // 17 bits
    terms.left[n] = g.largest[n] - index;
    terms.right[n] = target;
    terms.difference[n] = Probability(g.largest[n], index, g.sum[n]) - target;
  }
}

// sums += left * right, in 25 and 18 bits: one DSP, that all losses share. `upper`: right counts in units of 2^kSquareBits.
static inline void AddLossProducts(const int32_t *left, const int32_t *right, uint32_t samples, bool upper,
                                   int64_t *sums) {
AddLossProducts_Sample:
  for (uint32_t n = 0; n < samples; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
#pragma HLS PIPELINE II = 1
    const int64_t product = int64_t{Signed25(left[n])} * Signed18(right[n]);
    sums[n] += upper ? product * (1 << kSquareBits) : product;
  }
}

// e8 = sat(dsh(e15, 8)) of class k, into byte k % 4 of each image of `word`. `off` is the dither's, advanced to sample 0 of the class.
static inline void LogitErrors(const int32_t *difference, uint32_t samples, uint32_t k, uint32_t off, int8_t *word) {
LogitErrors_Sample:
  for (uint32_t n = 0; n < samples; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
#pragma HLS PIPELINE II = 1
    const int32_t e15 = difference[n] > 32767 ? 32767 : (difference[n] < -32767 ? -32767 : difference[n]);
    word[n * kQuad + k % kQuad] = Sat8((e15 + DitherBits(DitherProduct(off + n), 8)) >> 8, -kMaxInt8);
  }
}

}  // namespace STROP_LEAVES
}  // namespace strop
