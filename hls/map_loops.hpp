// The leaf loops of pooling, upsampling, residual sums, and of the way from images to words. Bytes of channels and images that do not exist are 0
// and stay 0.
#ifndef STROP_LEAVES
#error "define STROP_LEAVES, the namespace of this compilation: see leaf_loops.hpp"
#endif

namespace strop {
namespace STROP_LEAVES {

static inline void FillWords(int8_t *target, uint32_t words, int8_t value) {
FillWords_Word:
  for (uint32_t w = 0; w < words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 128
#pragma HLS PIPELINE II = kWordCycles
  FillWords_Byte:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
      target[w * kWordBytes + b] = value;
    }
  }
}

// Max pooling, one filter tap of a row: target = max(target, source), where the source's words are `step` words apart.
static inline void MaxWords(const int8_t *source, uint32_t step, int8_t *target, uint32_t words) {
MaxWords_Word:
  for (uint32_t w = 0; w < words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 128
#pragma HLS PIPELINE II = kWordCycles
  MaxWords_Byte:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
      const int8_t value = source[w * step * kWordBytes + b];
      const uint32_t at = w * kWordBytes + b;
      target[at] = value > target[at] ? value : target[at];
    }
  }
}

// Max pooling with windows 2x2 and stride 2: `words` windows in two rows.
static inline void MaxPool2x2(const int8_t *row0, const int8_t *row1, int8_t *target, uint32_t words) {
MaxPool2x2_Word:
  for (uint32_t w = 0; w < words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 64
#pragma HLS PIPELINE II = kWordCycles
  MaxPool2x2_Byte:
    for (uint32_t i = 0; i < kWordBytes; ++i) {
#pragma HLS UNROLL
      const uint32_t left = 2 * w * kWordBytes + i;
      const uint32_t right = left + kWordBytes;
      const int8_t upper = row0[left] > row0[right] ? row0[left] : row0[right];
      const int8_t lower = row1[left] > row1[right] ? row1[left] : row1[right];
      target[w * kWordBytes + i] = upper > lower ? upper : lower;
    }
  }
}

// Backward of windows 2x2 with stride 2: each error to the first maximum of its window, 0 elsewhere. `words` windows in two rows.
static inline void MaxPoolBackward2x2(const int8_t *error, const int8_t *row0, const int8_t *row1, int8_t *target0,
                                      int8_t *target1, uint32_t words) {
MaxPoolBackward2x2_Word:
  for (uint32_t w = 0; w < words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 32
#pragma HLS PIPELINE II = kPairCycles
  MaxPoolBackward2x2_Byte:
    for (uint32_t i = 0; i < kWordBytes; ++i) {
#pragma HLS UNROLL
      const uint32_t left = 2 * w * kWordBytes + i;
      const uint32_t right = left + kWordBytes;
      const int8_t a = row0[left];
      const int8_t b = row0[right];
      const int8_t c = row1[left];
      const int8_t d = row1[right];
      const int8_t e = error[w * kWordBytes + i];
      const bool upper = (a >= b ? a : b) >= (c >= d ? c : d);
      target0[left] = (upper && a >= b) ? e : int8_t{0};
      target0[right] = (upper && a < b) ? e : int8_t{0};
      target1[left] = (!upper && c >= d) ? e : int8_t{0};
      target1[right] = (!upper && c < d) ? e : int8_t{0};
    }
  }
}

// Backward of any windows: `error` of one window is added to `sum` where the word at (y, x) holds that window's first maximum in raster
// order: no tap before it is as large, none after it larger. `map` is the first word of a map `width` wide, in DRAM.
static inline void AddIfFirst(const int8_t *map, uint32_t width, const WindowOnMap &window, uint32_t y, uint32_t x,
                              const int8_t *error, int16_t sum[kWordBytes]) {
  bool first[kWordBytes];
#pragma HLS ARRAY_PARTITION variable = first complete
  const uint32_t here = (y * width + x) * kWordBytes;
AddIfFirst_Start:
  for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
    first[b] = true;
  }
AddIfFirst_Row:
  for (uint32_t row = window.top; row < window.bottom; ++row) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 15
  AddIfFirst_Column:
    for (uint32_t column = window.left; column < window.right; ++column) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 15
#pragma HLS PIPELINE II = 1
      const bool before = row < y || (row == y && column < x);
      const uint32_t at = (row * width + column) * kWordBytes;
    AddIfFirst_Byte:
      for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
        const int32_t other = map[at + b] + (before ? 1 : 0);
        first[b] = first[b] && map[here + b] >= other;
      }
    }
  }
AddIfFirst_Add:
  for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
    sum[b] = static_cast<int16_t>(sum[b] + (first[b] ? error[b] : 0));
  }
}

// Global average pooling: the sum over the positions, for each byte of a word, is added to `sum`.
static inline void SumPositions(const int8_t *x, uint32_t words, int32_t sum[kWordBytes]) {
SumPositions_Word:
  for (uint32_t w = 0; w < words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 128
#pragma HLS PIPELINE II = kWordCycles
  SumPositions_Byte:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
      sum[b] += x[w * kWordBytes + b];
    }
  }
}

// Means of a word's sums: target = sat(rdiv(sum * 2^gain, area)). One divider for all kinds of average pooling.
static inline void MeansOfWord(const int32_t sum[kWordBytes], int32_t gain, uint32_t area, int8_t *target) {
#pragma HLS INLINE off
MeansOfWord_Byte:
  for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS PIPELINE II = 1
    const int32_t mean = RoundDivide32(sum[b] * (1 << gain), static_cast<int32_t>(area));
    target[b] = Sat8(mean, -kMaxInt8);
  }
}

// Backward of pooling whole maps: target = sat(dsh(value, shift)) at every position, from word `first` of the quad on.
static inline void SpreadDithered(const int32_t value[kWordBytes], int8_t *target, uint32_t words, int32_t shift,
                                  const QuadDither &dither, uint32_t first) {
  DitherWalk walk = WalkFrom(dither, first);
SpreadDithered_Word:
  for (uint32_t w = 0; w < words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 128
#pragma HLS PIPELINE II = kWordCycles
    const uint32_t index = DitherProduct(walk.index);
  SpreadDithered_Byte:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
      const int32_t bits = DitherBits(dither.lane[b] + index, shift);
      target[w * kWordBytes + b] = Sat8((value[b] + bits) >> shift, -kMaxInt8);
    }
    NextWord(dither, walk);
  }
}

// Sums of 2x2 words in two rows, divided by 4: dithered, or rounded half up. From word `first` of the quad on.
static inline void QuarterSums(const int8_t *row0, const int8_t *row1, int8_t *target, uint32_t words, bool dithered,
                               const QuadDither &dither, uint32_t first) {
  DitherWalk walk = {0, 0};
  if (dithered) walk = WalkFrom(dither, first);
QuarterSums_Word:
  for (uint32_t w = 0; w < words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 64
#pragma HLS PIPELINE II = kWordCycles
    const uint32_t index = DitherProduct(walk.index);
#pragma HLS BIND_OP variable = index op = mul impl = fabric
  QuarterSums_Byte:
    for (uint32_t i = 0; i < kWordBytes; ++i) {
#pragma HLS UNROLL
      const uint32_t left = 2 * w * kWordBytes + i;
      const uint32_t right = left + kWordBytes;
      const int32_t sum = row0[left] + row0[right] + row1[left] + row1[right];
      const int32_t rounding = dithered ? DitherBits(dither.lane[i] + index, 2) : 2;
      target[w * kWordBytes + i] = static_cast<int8_t>((sum + rounding) >> 2);
    }
    if (dithered) NextWord(dither, walk);
  }
}

// Every source word `times` times, until `words` are written.
static inline void RepeatWords(const int8_t *source, uint32_t times, int8_t *target, uint32_t words) {
  uint32_t from = 0;
  uint32_t turn = 0;
RepeatWords_Word:
  for (uint32_t w = 0; w < words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 128
#pragma HLS PIPELINE II = kWordCycles
  RepeatWords_Byte:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
      target[w * kWordBytes + b] = source[from + b];
    }
    const bool last = turn + 1 == times;
    from += last ? kWordBytes : 0;
    turn = last ? 0 : turn + 1;
  }
}

// rsh of an int8 value in 32 bits: a shift to the right by 16 or more leaves 0.
static inline int32_t RoundShift8(int32_t x, int32_t shift) {
  const int32_t right = shift > 0 ? (shift < 16 ? shift : 16) : 0;
  const int32_t left = shift < 0 ? (shift > -16 ? -shift : 16) : 0;
  const int32_t rounding = right > 0 ? 1 << (right - 1) : 0;
  return (x * (1 << left) + rounding) >> right;
}

// ADD_FORWARD: target = clamp(rsh(a, shift_a) + rsh(b, shift_b), low, 127).
static inline void AddWords(const int8_t *a, const int8_t *b, int8_t *target, uint32_t words, int32_t shift_a,
                            int32_t shift_b, int32_t low) {
AddWords_Word:
  for (uint32_t w = 0; w < words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 128
#pragma HLS PIPELINE II = kWordCycles
  AddWords_Byte:
    for (uint32_t i = 0; i < kWordBytes; ++i) {
#pragma HLS UNROLL
      const uint32_t at = w * kWordBytes + i;
      target[at] = Sat8(RoundShift8(a[at], shift_a) + RoundShift8(b[at], shift_b), low);
    }
  }
}

// ADD_BACKWARD: target = error where low < y < 127, else 0.
static inline void MaskWords(const int8_t *error, const int8_t *y, int8_t *target, uint32_t words, int32_t low) {
MaskWords_Word:
  for (uint32_t w = 0; w < words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 128
#pragma HLS PIPELINE II = kWordCycles
  MaskWords_Byte:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
      const uint32_t at = w * kWordBytes + b;
      target[at] = static_cast<int8_t>(Masked(error[at], y[at], low));
    }
  }
}

// ADD_GRADIENT: target = sat(coarse + dsh(fine, shift)), from word `first` of the quad on.
static inline void AddDithered(const int8_t *coarse, const int8_t *fine, int8_t *target, uint32_t words, int32_t shift,
                               const QuadDither &dither, uint32_t first) {
  DitherWalk walk = WalkFrom(dither, first);
AddDithered_Word:
  for (uint32_t w = 0; w < words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 128
#pragma HLS PIPELINE II = kWordCycles
    const uint32_t index = DitherProduct(walk.index);
  AddDithered_Byte:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
      const uint32_t at = w * kWordBytes + b;
      const int32_t bits = DitherBits(dither.lane[b] + index, shift);
      target[at] = Sat8(coarse[at] + ((fine[at] + bits) >> shift), -kMaxInt8);
    }
    NextWord(dither, walk);
  }
}

// a0 = max(p - 128, -127) for a stretch of `images` images' rows, `image_step` bytes apart, each into its row of `rows` (1.2).
static inline void ConvertPixels(const int8_t *pixels, uint32_t image_step, uint32_t images, uint32_t count,
                                 int8_t *rows) {
ConvertPixels_Image:
  for (uint32_t n = 0; n < images; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
  ConvertPixels_Value:
    for (uint32_t i = 0; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 240
#pragma HLS PIPELINE II = 1
      const int8_t centred = static_cast<int8_t>(pixels[n * image_step + i] ^ int8_t(-128));  // p - 128, p read as int8
      rows[n * kPixelRow + i] = centred < -kMaxInt8 ? int8_t(-kMaxInt8) : centred;
    }
  }
}

// One word a position from rows of 16 images: byte 4n + j is image n's value at the position plus j (a pixel map).
static inline void InterleavePixels(const int8_t *rows, int8_t *target, uint32_t words) {
InterleavePixels_Word:
  for (uint32_t w = 0; w < words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 240
#pragma HLS PIPELINE II = kWordCycles
  InterleavePixels_Byte:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
      target[w * kWordBytes + b] = rows[b / kQuad * kPixelRow + w + b % kQuad];
    }
  }
}

// The same for a feature map: byte 4n + j is channel j of image n, from the four channels' rows.
static inline void InterleaveChannels(const int8_t (*rows)[kRow], int8_t *target, uint32_t words) {
InterleaveChannels_Word:
  for (uint32_t w = 0; w < words; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 240
#pragma HLS PIPELINE II = kWordCycles
  InterleaveChannels_Byte:
    for (uint32_t b = 0; b < kWordBytes; ++b) {
#pragma HLS UNROLL
      target[w * kWordBytes + b] = rows[b % kQuad][b / kQuad * kPixelRow + w];
    }
  }
}

}  // namespace STROP_LEAVES
}  // namespace strop
