// Twins of the loops around the MAC array for NEON, 32 and 64 bits. Included inside a namespace that defines AddDots(sum, a, b): 4 sums
// of 4 products of int8.

struct Word {
  int8x16_t part[4];  // 4 images each
};

inline Word LoadWord(const int8_t *from) {
  return {{vld1q_s8(from), vld1q_s8(from + 16), vld1q_s8(from + 32), vld1q_s8(from + 48)}};
}

struct Sums {
  int32x4_t part[4];
};

inline Sums LoadSums(const int32_t *from, bool accumulate) {
  if (!accumulate) return {{vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)}};
  return {{vld1q_s32(from), vld1q_s32(from + 4), vld1q_s32(from + 8), vld1q_s32(from + 12)}};
}

inline void StoreSums(int32_t *to, const Sums &sums) {
  for (int i = 0; i < 4; ++i) vst1q_s32(to + 4 * i, sums.part[i]);
}

// Four bytes, four times.
inline int8x16_t Repeat4(const int8_t *from) {
  int32_t four;
  __builtin_memcpy(&four, from, sizeof four);
  return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

// [4 images][4 channels] as [4 channels][4 images].
inline int8x16_t Transpose4x4(int8x16_t from) {
  const uint8_t order[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
#if defined(__aarch64__)
  return vqtbl1q_s8(from, vld1q_u8(order));
#else
  const int8x8x2_t halves = {{vget_low_s8(from), vget_high_s8(from)}};
  return vcombine_s8(vtbl2_s8(halves, vreinterpret_s8_u8(vld1_u8(order))),
                     vtbl2_s8(halves, vreinterpret_s8_u8(vld1_u8(order + 8))));
#endif
}

template <int kRows>
inline void ForwardBlock(const WeightTile weights, uint32_t first_group, const Operands &operands, uint32_t row,
                         uint32_t word, uint32_t groups, bool accumulate, AccumulatorTile accumulator) {
  Sums sums[kRows];
  for (int r = 0; r < kRows; ++r) sums[r] = LoadSums(accumulator[row + r][word], accumulate);
  const int8_t *base = operands.planes + operands.word_offset[word] * kWordBytes;
  for (uint32_t g = 0; g < groups; ++g) {
    const Word right = LoadWord(base + size_t{operands.group_offset[g]} * kWordBytes);
    for (int r = 0; r < kRows; ++r) {
      const int8x16_t left = Repeat4(weights[row + r] + (first_group + g) * kQuad);
      for (int i = 0; i < 4; ++i) sums[r].part[i] = AddDots(sums[r].part[i], right.part[i], left);
    }
  }
  for (int r = 0; r < kRows; ++r) StoreSums(accumulator[row + r][word], sums[r]);
}

template <int kRows>
inline void GradientBlock(const Operands &operands, uint32_t row, uint32_t column, uint32_t words, bool accumulate,
                          AccumulatorTile accumulator) {
  Sums sums[kRows];
  for (int r = 0; r < kRows; ++r) sums[r] = LoadSums(accumulator[row + r][column], accumulate);
  const int8_t *base = operands.planes + operands.group_offset[column] * kWordBytes;
  for (uint32_t w = 0; w < words; ++w) {
    Word right = LoadWord(base + size_t{operands.word_offset[w]} * kWordBytes);
    for (int i = 0; i < 4; ++i) right.part[i] = Transpose4x4(right.part[i]);
    for (int r = 0; r < kRows; ++r) {
      for (int i = 0; i < 4; ++i) {
        const int8x16_t left = Repeat4(operands.errors[row + r] + w * kImages + 4 * i);
        sums[r].part[i] = AddDots(sums[r].part[i], right.part[i], left);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) StoreSums(accumulator[row + r][column], sums[r]);
}

inline void MacTileNeon(MacMode mode, const WeightTile weights, uint32_t first_group, const Operands &operands,
                        uint32_t rows, uint32_t words, uint32_t groups, bool accumulate, bool finish,
                        AccumulatorTile partial, AccumulatorTile finished) {
  (void)finish;
  (void)finished;  // the emulator has one accumulator tile
#if defined(__aarch64__)
  constexpr uint32_t kRows = 4;
#else
  constexpr uint32_t kRows = 2;  // of 16 registers
#endif
  const bool forward = mode == MacMode::kForward;
  for (uint32_t outer = 0; outer < (forward ? words : groups); ++outer) {
    for (uint32_t row = 0; row < rows; row += kRows) {
      if (forward) {
        ForwardBlock<kRows>(weights, first_group, operands, row, outer, groups, accumulate, partial);
      } else {
        GradientBlock<kRows>(operands, row, outer, words, accumulate, partial);
      }
    }
  }
}
