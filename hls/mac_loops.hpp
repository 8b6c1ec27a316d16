// The leaf loops around the MAC array: the array itself, and what brings operands to it and results from it.
#ifndef STROP_LEAVES
#error "define STROP_LEAVES, the namespace of this compilation: see leaf_loops.hpp"
#endif

namespace strop {
namespace STROP_LEAVES {

// Every (window, depth group) names one word on chip, and the array gives 16 sums of 4 products a cycle for each of its rows. What
// the word's 64 bytes meet is all that forward and weight gradient differ in:
//   kForward         result[row][window] sums over groups; 4 weights meet the 4 channels of each of 16 images
//   kWeightGradient  result[row][group] sums over windows; 16 errors meet 16 images of each of 4 channels, 4 images a sum
// `first_group` is where the groups begin in `weights`. Rows are computed up to a whole block of the array. Sums go on from `partial` if
// `accumulate`; they end in `finished` if `finish`, else in `partial`.
static inline void MacTile(MacMode mode, const WeightTile weights, uint32_t first_group, const Operands &operands,
                           uint32_t rows, uint32_t words, uint32_t groups, bool accumulate, bool finish,
                           AccumulatorTile partial, AccumulatorTile finished) {
  const bool forward = mode == MacMode::kForward;
  const uint32_t outers = forward ? words : groups;
  const uint32_t inners = forward ? groups : words;
  const uint32_t blocks = (rows + kMacRows - 1) / kMacRows;
  const uint32_t cycles = outers * blocks * inners;
  int32_t sum[kMacRows][kImages];
#pragma HLS ARRAY_PARTITION variable = sum complete dim = 0
  uint32_t outer = 0;
  uint32_t block = 0;
  uint32_t inner = 0;
MacTile_Cycle:
  for (uint32_t cycle = 0; cycle < cycles; ++cycle) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 65536
#pragma HLS PIPELINE II = 1
#pragma HLS DEPENDENCE variable = partial inter false
    STROP_COUNT_ARRAY(1);
    const uint32_t at = operands.word_offset[forward ? outer : inner] + operands.group_offset[forward ? inner : outer];
    int8_t right[kWordBytes];  // [16 lanes][4 factors]
#pragma HLS ARRAY_PARTITION variable = right complete
  MacTile_Factor:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
      const uint32_t image = b / kImages * kQuad + b % kQuad;
      const uint32_t transposed = image * kQuad + b / kQuad % kQuad;
      right[b] = operands.planes[at * kWordBytes + (forward ? b : transposed)];
    }
  MacTile_Row:
    for (uint32_t r = 0; r < kMacRows; ++r) {
#pragma HLS UNROLL
      const uint32_t row = block * kMacRows + r;
      const int8_t *left =
          forward ? weights[row] + (first_group + inner) * kQuad : operands.errors[row] + inner * kImages;
    MacTile_Lane:
      for (uint32_t lane = 0; lane < kImages; ++lane) {
#pragma HLS UNROLL
        int32_t total = inner > 0 ? sum[r][lane] : (accumulate ? partial[row][outer][lane] : 0);
      MacTile_Product:
        for (uint32_t i = 0; i < kQuad; ++i) {
#pragma HLS UNROLL
          total += left[(forward ? 0 : lane / kQuad * kQuad) + i] * right[lane * kQuad + i];
        }
        sum[r][lane] = total;
        if (inner + 1 == inners && finish) finished[row][outer][lane] = total;
        if (inner + 1 == inners && !finish) partial[row][outer][lane] = total;
      }
    }
    if (++inner == inners) {
      inner = 0;
      if (++block == blocks) {
        block = 0;
        ++outer;
      }
    }
  }
}

// Filters turned for the input gradient: 4 output channels' views ([taps][4 input channels], from byte `from` of each strip) become 4
// rows of the weight tile ([taps][4 output channels]), of the taps in `taps`.
static inline void TurnFilters(const int8_t *const strip[kQuad], uint32_t from, const uint8_t *taps, uint32_t count,
                               WeightTile weights, uint32_t row, uint32_t group) {
TurnFilters_Tap:
  for (uint32_t t = 0; t < count; ++t) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 225
#pragma HLS PIPELINE II = 1
  TurnFilters_From:
    for (uint32_t k = 0; k < kQuad; ++k) {
#pragma HLS UNROLL
    TurnFilters_To:
      for (uint32_t c = 0; c < kQuad; ++c) {
#pragma HLS UNROLL
        weights[row + c][(group + t) * kQuad + k] = strip[k][from + taps[t] * kQuad + c];
      }
    }
  }
}

// The words of `quads` quads of an error map at `places`, quads `plane` bytes apart, become the rows of the error tile, 16 images side
// by side.
static inline void TransposeErrors(const int8_t *map, uint32_t plane, uint32_t quads, const uint32_t *places,
                                   uint32_t count, ErrorTile errors) {
  uint32_t quad = 0;
  uint32_t word = 0;
TransposeErrors_Word:
  for (uint32_t turn = 0; turn < quads * count; ++turn) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 832
#pragma HLS PIPELINE II = kWordCycles
    const uint32_t from = quad * plane + places[word] * kWordBytes;
  TransposeErrors_Image:
    for (uint32_t n = 0; n < kImages; ++n) {
#pragma HLS UNROLL
    TransposeErrors_Channel:
      for (uint32_t k = 0; k < kQuad; ++k) {
#pragma HLS UNROLL
        errors[quad * kQuad + k][word * kImages + n] = map[from + n * kQuad + k];
      }
    }
    if (++word == count) {
      word = 0;
      ++quad;
    }
  }
}

// The 4 partial sums of a weight gradient, for channel `c` of the quad.
static inline int32_t Folded(const int32_t sums[kImages], uint32_t c) {
  return sums[c] + sums[kQuad + c] + sums[2 * kQuad + c] + sums[3 * kQuad + c];
}

// Weight gradients of one output channel, from [quad][tap][4 channels] to the order of its filters, [channel][tap].
static inline void FoldColumns(const int32_t sums[][kImages], uint32_t quads, uint32_t taps, int32_t *filters) {
FoldColumns_Quad:
  for (uint32_t q = 0; q < quads; ++q) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 52
  FoldColumns_Tap:
    for (uint32_t t = 0; t < taps; ++t) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 52
#pragma HLS PIPELINE II = 4
    FoldColumns_Channel:
      for (uint32_t c = 0; c < kQuad; ++c) {
#pragma HLS UNROLL
        filters[(q * kQuad + c) * taps + t] = Folded(sums[q * taps + t], c);
      }
    }
  }
}

// The same of a layer on a pixel map: from [channel and filter row][group of 4 taps][4 taps] to [channel and filter row][tap].
static inline void FoldPixels(const int32_t sums[][kImages], uint32_t rows, uint32_t kernel_w, int32_t *filters) {
  const uint32_t groups = (kernel_w + kQuad - 1) / kQuad;
FoldPixels_Row:
  for (uint32_t row = 0; row < rows; ++row) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 30
  FoldPixels_Tap:
    for (uint32_t s = 0; s < kernel_w; ++s) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 15
#pragma HLS PIPELINE II = 1
      filters[row * kernel_w + s] = Folded(sums[row * groups + s / kQuad], s % kQuad);
    }
  }
}

}  // namespace STROP_LEAVES
}  // namespace strop
