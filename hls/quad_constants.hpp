// What the streaming leaf loops are told about the four channels of a quad, and about the words that they run over.
#ifndef STROP_QUAD_CONSTANTS_HPP
#define STROP_QUAD_CONSTANTS_HPP

#include "fixed_point.hpp"
#include "tiles.hpp"

namespace strop {

// L1BN forward: y = clamp((x * multiplier + constant) >> S, low, 127). A channel beyond the last has 0 and 0.
struct QuadNorm {
  int32_t multiplier[kQuad];
  int32_t constant[kQuad];
  int32_t low;
};

// Statistics of a quad's channels, as CountAbove finds them.
struct QuadAbove {
  int32_t sum[kQuad];    // of the values above the threshold
  int32_t above[kQuad];  // how many
  int32_t equal[kQuad];  // and how many equal it
};

// L1BN backward: v = dy * multiplier - mean - sign * slope, where sign is 1 above the threshold, -1 below it; at the threshold
// itself it is 0 where mu is whole, else -1.
struct QuadGradient {
  int32_t multiplier[kQuad];
  int32_t mean[kQuad];   // P
  int32_t slope[kQuad];  // Q
  int32_t threshold[kQuad];
  int32_t whole[kQuad];  // 1 where mu is a whole number of the int8 grid
  int32_t low;
};

// A pooling window's positions inside the map.
struct WindowOnMap {
  uint32_t top, bottom;  // rows [top, bottom)
  uint32_t left, right;
};

// Softmax of up to 16 samples.
struct SoftmaxGroup {
  uint32_t label[kImages];
  int32_t largest[kImages];   // index z4 of the likeliest class
  int32_t best[kImages];      // its logit
  uint32_t answer[kImages];   // the first class that has it
  uint32_t sum[kImages];      // of the exponentials
  int64_t distance[kImages];  // soft targets: sum of t * (largest - z4)
};

// One class or output of up to 16 samples, on its way to a loss and an error.
struct LossTerms {
  int32_t difference[kImages];  // of answer and target, in 2^-15
  int32_t left[kImages];        // factors: of 25 bits,
  int32_t right[kImages];       // and of 18
  int32_t upper[kImages];  // squared error: the upper bits of `left`, in units of 2^kSquareBits; `right` the lower ones
  int32_t rest[kImages];   // what is added to their product
  int64_t product[kImages];
};

constexpr uint32_t kSquareBits =
    12;  // a square is two products of all of its 21 bits: by the lower 12 and by the upper 9

// Losses without softmax: the sums of up to 16 samples.
struct OutputLosses {
  int64_t loss[kImages];    // in 2^-16
  uint32_t right[kImages];  // 1 where all outputs so far are right
};

constexpr uint32_t kPixelRow = kRow / kImages;  // bytes of one image in a row of 16 images' pixels

// Dither of a map's elements (1.5): element index of the byte `b` of word `w` is lane[b] + w + (kImages - 1) * map * (w / map),
// since a word is one position of 16 images. `lane` includes off, and is a DitherProduct.
struct QuadDither {
  uint32_t lane[kWordBytes];
  uint32_t map;  // H * W
};

// The dither of a word's bytes (1.5): `first` is the index of its first element, with off in it; the others lie `channel` and `image`
// further.
inline void FindDitherLanes(uint32_t first, uint32_t channel, uint32_t image, uint32_t lanes[kWordBytes]) {
FindDitherLanes_Lane:
  for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS PIPELINE II = 1
    lanes[b] = DitherProduct(first + b % kQuad * channel + b / kQuad * image);
  }
}

// Runs over the words of a quad: the index of each without its lane.
struct DitherWalk {
  uint32_t index;
  uint32_t position;  // in the map
};

inline DitherWalk WalkFrom(const QuadDither &dither, uint32_t word) {
  return {word + (kImages - 1) * dither.map * (word / dither.map), word % dither.map};
}

inline void NextWord(const QuadDither &dither, DitherWalk &walk) {
  const bool last = walk.position + 1 == dither.map;
  walk.index += last ? (kImages - 1) * dither.map + 1 : 1;
  walk.position = last ? 0 : walk.position + 1;
}

}  // namespace strop

#endif  // STROP_QUAD_CONSTANTS_HPP
