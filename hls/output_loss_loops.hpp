// The leaf loops of the losses without softmax: one output of up to 16 samples at once (NUMERICS.md 1.17).
#ifndef STROP_LEAVES
#error "define STROP_LEAVES, the namespace of this compilation: see leaf_loops.hpp"
#endif

namespace strop {
namespace STROP_LEAVES {

// Binary cross-entropy: all that z4 and the target say.
static inline void SigmoidTerms(const int32_t *logits, const int32_t *targets, uint32_t samples, int32_t shift,
                                LossTerms &terms, OutputLosses &losses) {
SigmoidTerms_Sample:
  for (uint32_t n = 0; n < samples; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
#pragma HLS PIPELINE II = 1
    const int32_t target = Signed18(targets[n]);  // 17 bits
    const int32_t z4 = LogitIndex(logits[n], shift);
    const bool positive = z4 >= 0;
    const int32_t magnitude = positive ? z4 : -z4;
    const int32_t d = magnitude > 255 ? 255 : magnitude;
    terms.difference[n] = (positive ? kSigmoid[d] : 32768 - kSigmoid[d]) - target;
    terms.left[n] = magnitude;
    terms.right[n] = positive ? 32768 - target : target;
    terms.rest[n] = kSoftplus[d];
    terms.product[n] = 0;
    losses.right[n] = positive == (target >= 16384) ? losses.right[n] : 0;
  }
}

// Half the squared error: the distance, and its parts to be multiplied.
static inline void SquaredTerms(const int32_t *logits, const int32_t *targets, uint32_t samples, int32_t shift,
                                LossTerms &terms, OutputLosses &losses) {
SquaredTerms_Sample:
  for (uint32_t n = 0; n < samples; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
#pragma HLS PIPELINE II = 1
    const int32_t difference = ClippedShift(logits[n], shift, 1 << 20) - Signed18(targets[n]);
    const int32_t distance = difference < 0 ? -difference : difference;
    terms.difference[n] = difference;
    terms.left[n] = distance;
    terms.right[n] = distance & ((1 << kSquareBits) - 1);
    terms.upper[n] = distance >> kSquareBits;
    terms.rest[n] = 0;
    terms.product[n] = 0;
    losses.right[n] = distance < 16384 ? losses.right[n] : 0;
  }
}

// loss += rsh(product, shift) + rest, shift > 0.
static inline void AddLosses(const LossTerms &terms, uint32_t samples, int32_t shift, OutputLosses &losses) {
AddLosses_Sample:
  for (uint32_t n = 0; n < samples; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
#pragma HLS PIPELINE II = 1
    losses.loss[n] += ((terms.product[n] + (1 << (shift - 1))) >> shift) + terms.rest[n];
  }
}

}  // namespace STROP_LEAVES
}  // namespace strop
