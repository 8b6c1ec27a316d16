// Twins of the leaf loops of depthwise layers (depthwise_loops.hpp), for vectors of kVectorBytes. See vector_twins.hpp.
//
// Up to four taps, of one column of the filter, side by side: what a dot product of four takes. Their sums stand in the order of the word's
// own bytes, a vector for each of its four images that lie in the same 16 bytes. Where windows follow each other in a row, a column of taps
// is the next window's column before it, so that each is brought together once.

constexpr uint32_t kMostColumns = STROP_MAX_KERNEL * ((STROP_MAX_KERNEL + kQuad - 1) / kQuad);

// The taps of a quad's filters: [column][4 channels][4 taps], repeated for all images of a vector; where those taps' words lie, from the
// window's first word on. A column of more than four taps is several.
struct DepthwiseFilters {
  I8 left[kMostColumns];
  uint32_t offset[kMostColumns][kQuad];
  uint32_t columns;
};

inline void AddDepthwiseColumn(const WeightTile weights, const Operands &operands, uint32_t first, uint32_t step,
                               uint32_t taps, DepthwiseFilters &filters) {
  int8_t left[kImages] = {};
  for (uint32_t c = 0; c < kQuad; ++c) {
    for (uint32_t i = 0; i < taps; ++i) left[c * kQuad + i] = weights[c][(first + i * step) * kQuad + c];
  }
  filters.left[filters.columns] = LoadLanes(left, 0);
  for (uint32_t i = 0; i < kQuad; ++i) {
    const uint32_t tap = i < taps ? first + i * step : first;
    filters.offset[filters.columns][i] = operands.group_offset[tap] * kWordBytes;
  }
  ++filters.columns;
}

inline void FindDepthwiseFilters(const WeightTile weights, const Operands &operands, uint32_t rows, uint32_t columns,
                                 DepthwiseFilters &filters) {
  filters.columns = 0;
  for (uint32_t row = 0; row < rows; row += kQuad) {
    for (uint32_t column = 0; column < columns; ++column) {
      AddDepthwiseColumn(weights, operands, row * columns + column, columns, Smaller(kQuad, rows - row), filters);
    }
  }
}

// The words of four taps, byte by byte in turn.
struct FourTaps {
  I8 part[kQuad];
};

inline FourTaps BringTogether(const int8_t *word, const uint32_t offset[kQuad]) {
  I8 tap[kQuad];
  for (uint32_t i = 0; i < kQuad; ++i) tap[i] = Load<I8>(word + offset[i]);
  const I8 low01 = ZipLow8(tap[0], tap[1]);
  const I8 high01 = ZipHigh8(tap[0], tap[1]);
  const I8 low23 = ZipLow8(tap[2], tap[3]);
  const I8 high23 = ZipHigh8(tap[2], tap[3]);
  return {{ZipLow16(low01, low23), ZipHigh16(low01, low23), ZipLow16(high01, high23), ZipHigh16(high01, high23)}};
}

inline void AddFourTaps(I8 left, const FourTaps &taps, I32 sum[kQuad]) {
  for (uint32_t i = 0; i < kQuad; ++i) sum[i] = AddProducts(sum[i], left, taps.part[i]);
}

// What becomes of a word's sums: rounded, into the words of `target`.
struct RoundedWords {
  Saturation counts;
  I32 rounding;
  int32_t shift;
  int8_t *target;

  RoundedWords(int32_t by, int8_t *to)
      : counts(by), rounding(All32(by > 0 ? 1 << (by - 1) : 0)), shift(by), target(to) {}
  void Put(uint32_t w, const I32 v[kQuad]) {
    I32 q[kQuad];
    for (uint32_t j = 0; j < kQuad; ++j) q[j] = (v[j] + rounding) >> shift;
    const I8 packed = Larger8(PackInOrder(q[0], q[1], q[2], q[3]), All8(-kMaxInt8));
    counts.Count(v, packed);
    Store(target + w * kWordBytes, packed);
  }
};

// The same, dithered.
template <bool kCommon>
struct DitheredWords {
  Saturation counts;
  DitherShift<kCommon> dither;
  U32 r[kQuad];  // of each vector's lanes at position 0
  int32_t shift;
  const uint32_t *positions;
  int8_t *target;

  DitheredWords(int32_t by, const uint32_t *lanes, const uint32_t *of_words, int8_t *to)
      : counts(by), dither(by), shift(by), positions(of_words), target(to) {
    alignas(kVectorBytes) uint32_t ordered[kQuad][kPartImages];
    for (uint32_t i = 0; i < kQuad; ++i) {
      for (uint32_t j = 0; j < kPartImages; ++j) {
        ordered[i][j] = lanes[j / kQuad * kImages + i * kQuad + j % kQuad] << 16;
      }
      r[i] = Load<U32>(ordered[i]);
    }
  }
  void Put(uint32_t w, const I32 v[kQuad]) {
    const uint32_t position = positions[w] * kDitherHigh;
    I32 q[kQuad];
    for (uint32_t j = 0; j < kQuad; ++j) q[j] = (v[j] + dither.Bits(r[j] + position)) >> shift;
    const I8 packed = Larger8(PackInOrder(q[0], q[1], q[2], q[3]), All8(-kMaxInt8));
    counts.Count(v, packed);
    Store(target + w * kWordBytes, packed);
  }
};

// Any filter.
template <typename Results>
inline void AnyWindows(const DepthwiseFilters &filters, const Operands &operands, uint32_t words, const int8_t *planes,
                       Results &to) {
  Results results = to;  // where the compiler sees that nothing else changes it
  for (uint32_t w = 0; w < words; ++w) {
    I32 sum[kQuad] = {};
    const int8_t *word = planes + operands.word_offset[w] * kWordBytes;
    for (uint32_t f = 0; f < filters.columns; ++f) {
      AddFourTaps(filters.left[f], BringTogether(word, filters.offset[f]), sum);
    }
    results.Put(w, sum);
  }
  to = results;
}

// A filter of three columns of up to four taps.
template <typename Results>
inline void ThreeColumnWindows(const DepthwiseFilters &filters, const Operands &operands, uint32_t words,
                               const int8_t *planes, Results &to) {
  Results results = to;
  const I8 left[3] = {filters.left[0], filters.left[1], filters.left[2]};
  FourTaps first = {};
  FourTaps second = {};
  for (uint32_t w = 0; w < words; ++w) {
    const int8_t *word = planes + operands.word_offset[w] * kWordBytes;
    if (w == 0 || operands.word_offset[w] != operands.word_offset[w - 1] + 1) {
      first = BringTogether(word, filters.offset[0]);
      second = BringTogether(word, filters.offset[1]);
    }
    const FourTaps third = BringTogether(word, filters.offset[2]);
    I32 sum[kQuad] = {};
    AddFourTaps(left[0], first, sum);
    AddFourTaps(left[1], second, sum);
    AddFourTaps(left[2], third, sum);
    results.Put(w, sum);
    first = second;
    second = third;
  }
  to = results;
}

template <typename Results>
inline void DepthwiseWindows(const DepthwiseFilters &filters, const Operands &operands, uint32_t words, bool three,
                             uint32_t part, Results results, uint32_t &over, uint32_t &half) {
  const int8_t *planes = operands.planes + part * kVectorBytes;
  if (three) {
    ThreeColumnWindows(filters, operands, words, planes, results);
  } else {
    AnyWindows(filters, operands, words, planes, results);
  }
  results.counts.AddTo(over, half);
}

inline void DepthwiseWordsVector(const WeightTile weights, const Operands &operands, uint32_t words, uint32_t rows,
                                 uint32_t columns, int32_t shift, int8_t *target, uint32_t &over, uint32_t &half) {
  DepthwiseFilters filters;
  FindDepthwiseFilters(weights, operands, rows, columns, filters);
  const bool three = rows <= kQuad && columns == 3;
  for (uint32_t part = 0; part < kParts; ++part) {
    const RoundedWords results(shift, target + part * kVectorBytes);
    DepthwiseWindows(filters, operands, words, three, part, results, over, half);
  }
}

template <bool kCommon>
inline void DepthwiseDithered(const WeightTile weights, const Operands &operands, uint32_t words, uint32_t rows,
                              uint32_t columns, int32_t shift, const uint32_t *lane_dither, const uint32_t *positions,
                              int8_t *target, uint32_t &over, uint32_t &half) {
  DepthwiseFilters filters;
  FindDepthwiseFilters(weights, operands, rows, columns, filters);
  const bool three = rows <= kQuad && columns == 3;
  for (uint32_t part = 0; part < kParts; ++part) {
    const uint32_t at = part * kVectorBytes;
    const DitheredWords<kCommon> results(shift, lane_dither + at, positions, target + at);
    DepthwiseWindows(filters, operands, words, three, part, results, over, half);
  }
}

inline void DepthwiseDitheredWordsVector(const WeightTile weights, const Operands &operands, uint32_t words,
                                         uint32_t rows, uint32_t columns, int32_t shift, const uint32_t *lane_dither,
                                         const uint32_t *positions, int8_t *target, uint32_t &over, uint32_t &half) {
  const auto run = IsCommonShift(shift) ? DepthwiseDithered<true> : DepthwiseDithered<false>;
  run(weights, operands, words, rows, columns, shift, lane_dither, positions, target, over, half);
}

template <int kTaps>
inline void DepthwiseTaps(const Operands &operands, const int8_t *errors, const uint32_t *places, uint32_t words,
                          uint32_t tap, bool accumulate, AccumulatorTile sums) {
  for (uint32_t part = 0; part < kParts; ++part) {
    I32 sum[kTaps];
    const int8_t *base[kTaps];
    for (int t = 0; t < kTaps; ++t) {
      sum[t] = accumulate ? Load<I32>(sums[0][tap + t] + part * kPartImages) : I32{};
      base[t] = operands.planes + operands.group_offset[tap + t] * kWordBytes + part * kVectorBytes;
    }
    for (uint32_t w = 0; w < words; ++w) {
      const I8 error = Transposed4x4(Load<I8>(errors + places[w] * kWordBytes + part * kVectorBytes));
      const size_t at = size_t{operands.word_offset[w]} * kWordBytes;
      for (int t = 0; t < kTaps; ++t) sum[t] = AddProducts(sum[t], error, Transposed4x4(Load<I8>(base[t] + at)));
    }
    for (int t = 0; t < kTaps; ++t) {
      for (uint32_t row = 0; row < kQuad; ++row) Store(sums[row][tap + t] + part * kPartImages, sum[t]);
    }
  }
}

inline void DepthwiseGradientVector(const Operands &operands, const int8_t *errors, const uint32_t *places,
                                    uint32_t words, uint32_t taps, bool accumulate, AccumulatorTile sums) {
  uint32_t tap = 0;
  for (; tap + 5 <= taps; tap += 5) DepthwiseTaps<5>(operands, errors, places, words, tap, accumulate, sums);
  for (; tap + 2 <= taps; tap += 2) DepthwiseTaps<2>(operands, errors, places, words, tap, accumulate, sums);
  if (tap < taps) DepthwiseTaps<1>(operands, errors, places, words, tap, accumulate, sums);
}
