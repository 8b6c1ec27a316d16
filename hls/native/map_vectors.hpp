// Twins of the leaf loops of pooling, residual sums and input, written once for vectors of kVectorBytes. See vector_twins.hpp.

// ---- max pooling -----------------------------------------------------------------------------------------------------

inline void FillWordsVector(int8_t *target, uint32_t words, int8_t value) {
  const I8 v = All8(value);
  for (uint32_t at = 0; at < words * kWordBytes; at += kVectorBytes) Store(target + at, v);
}

inline void MaxWordsVector(const int8_t *source, uint32_t step, int8_t *target, uint32_t words) {
  for (uint32_t w = 0; w < words; ++w) {
    for (uint32_t i = 0; i < kWordBytes; i += kVectorBytes) {
      int8_t *to = target + w * kWordBytes + i;
      Store(to, Larger8(Load<I8>(to), Load<I8>(source + w * step * kWordBytes + i)));
    }
  }
}

inline void MaxPool2x2Vector(const int8_t *row0, const int8_t *row1, int8_t *target, uint32_t words) {
  for (uint32_t w = 0; w < words; ++w) {
    for (uint32_t i = 0; i < kWordBytes; i += kVectorBytes) {
      const uint32_t left = 2 * w * kWordBytes + i;
      const uint32_t right = left + kWordBytes;
      const I8 upper = Larger8(Load<I8>(row0 + left), Load<I8>(row0 + right));
      const I8 lower = Larger8(Load<I8>(row1 + left), Load<I8>(row1 + right));
      Store(target + w * kWordBytes + i, Larger8(upper, lower));
    }
  }
}

inline void MaxPoolBackward2x2Vector(const int8_t *error, const int8_t *row0, const int8_t *row1, int8_t *target0,
                                     int8_t *target1, uint32_t words) {
  for (uint32_t w = 0; w < words; ++w) {
    for (uint32_t i = 0; i < kWordBytes; i += kVectorBytes) {
      const uint32_t left = 2 * w * kWordBytes + i;
      const uint32_t right = left + kWordBytes;
      const I8 a = Load<I8>(row0 + left);
      const I8 b = Load<I8>(row0 + right);
      const I8 c = Load<I8>(row1 + left);
      const I8 d = Load<I8>(row1 + right);
      const I8 e = Load<I8>(error + w * kWordBytes + i);
      const I8 upper = e & (I8)(Larger8(a, b) >= Larger8(c, d));
      const I8 lower = e ^ upper;
      const I8 upper_left = upper & (I8)(a >= b);
      const I8 lower_left = lower & (I8)(c >= d);
      Store(target0 + left, upper_left);
      Store(target0 + right, upper ^ upper_left);
      Store(target1 + left, lower_left);
      Store(target1 + right, lower ^ lower_left);
    }
  }
}

inline void AddIfFirstVector(const int8_t *map, uint32_t width, const WindowOnMap &window, uint32_t y, uint32_t x,
                             const int8_t *error, int16_t sum[kWordBytes]) {
  const uint32_t here = (y * width + x) * kWordBytes;
  for (uint32_t i = 0; i < kWordBytes; i += kVectorBytes) {
    const I8 value = Load<I8>(map + here + i);
    I8 first = All8(-1);
    for (uint32_t row = window.top; row < window.bottom; ++row) {
      for (uint32_t column = window.left; column < window.right; ++column) {
        const I8 other = Load<I8>(map + (row * width + column) * kWordBytes + i);
        const bool before = row < y || (row == y && column < x);
        first &= before ? (I8)(value > other) : (I8)(value >= other);
      }
    }
    alignas(kVectorBytes) int8_t arriving[kVectorBytes];
    Store(arriving, Load<I8>(error + i) & first);
    for (uint32_t b = 0; b < kVectorBytes; ++b) sum[i + b] = static_cast<int16_t>(sum[i + b] + arriving[b]);
  }
}

// ---- global average pooling ------------------------------------------------------------------------------------------

// Few words are summed where their sums lie.
inline void SumPositionsVector(const int8_t *x, uint32_t words, int32_t sum[kWordBytes]) {
  if (words < 8) return SumPositions(x, words, sum);
  for (uint32_t part = 0; part < kParts; ++part) {
    I32 total[kQuad] = {};
    for (uint32_t w = 0; w < words; ++w) {
      I32 c[kQuad];
      Channels(Load<I8>(x + w * kWordBytes + part * kVectorBytes), c);
      for (uint32_t j = 0; j < kQuad; ++j) total[j] += c[j];
    }
    for (uint32_t n = 0; n < kPartImages; ++n) {
      for (uint32_t j = 0; j < kQuad; ++j) sum[(part * kPartImages + n) * kQuad + j] += total[j][n];
    }
  }
}

// By the reciprocal of 2 * area, in float: 2 * sum + 257 * area is positive and below 2^18, a half more stands at least 2^-11 from every
// whole multiple, and the product is wrong by less than 2^-13. Left to the compiler to make vectors of.
inline void MeansOfWordVector(const int32_t sum[kWordBytes], int32_t gain, uint32_t area, int8_t *target) {
  if (gain != 0 || area > STROP_MAX_KERNEL * STROP_MAX_KERNEL) return MeansOfWord(sum, gain, area, target);
  const float reciprocal = 1.0f / static_cast<float>(2 * area);
  const int32_t upwards = static_cast<int32_t>(257 * area);
  for (uint32_t b = 0; b < kWordBytes; ++b) {
    const float numerator = static_cast<float>(2 * sum[b] + upwards) + 0.5f;
    target[b] = static_cast<int8_t>(static_cast<int32_t>(numerator * reciprocal) - 128);
  }
}

inline void SpreadDitheredVector(const int32_t value[kWordBytes], int8_t *target, uint32_t words, int32_t shift,
                                 const QuadDither &dither, uint32_t first) {
  if (words < 4) return SpreadDithered(value, target, words, shift, dither, first);
  const DitherShift<false> bits(shift);
  const I8 low = All8(-kMaxInt8);
  U32 r[kParts][kQuad];
  LoadDither(dither.lane, r);
  for (uint32_t part = 0; part < kParts; ++part) {
    I32 v[kQuad];
    for (uint32_t n = 0; n < kPartImages; ++n) {
      for (uint32_t j = 0; j < kQuad; ++j) v[j][n] = value[(part * kPartImages + n) * kQuad + j];
    }
    DitherWalk walk = WalkFrom(dither, first);
    for (uint32_t w = 0; w < words; ++w) {
      const uint32_t position = walk.index * kDitherHigh;
      I32 q[kQuad];
      for (uint32_t j = 0; j < kQuad; ++j) q[j] = (v[j] + bits.Bits(r[part][j] + position)) >> shift;
      Store(target + w * kWordBytes + part * kVectorBytes, Larger8(PackChannels(q[0], q[1], q[2], q[3]), low));
      NextWord(dither, walk);
    }
  }
}

// ---- windows of 2x2 words, repeated words ----------------------------------------------------------------------------

inline I16 All16(int32_t x) { return I16{} + static_cast<int16_t>(x); }
inline I16 EvenBytes(I8 v) { return ((I16)v << 8) >> 8; }
inline I16 OddBytes(I8 v) { return (I16)v >> 8; }
inline I8 FromEvenOdd(I16 even, I16 odd) { return (I8)((even & All16(0xFF)) | (odd << 8)); }

// The two bits that the dither of each byte adds: those of 32-bit channels as bytes.
inline I8 TwoBits(const U32 r[kQuad], uint32_t position) {
  U32 bytes = {};
  for (uint32_t j = 0; j < kQuad; ++j) bytes |= ((r[j] + position) >> 30) << (8 * j);
  return (I8)bytes;
}

inline void QuarterSumsVector(const int8_t *row0, const int8_t *row1, int8_t *target, uint32_t words, bool dithered,
                              const QuadDither &dither, uint32_t first) {
  U32 r[kParts][kQuad] = {};
  if (dithered) LoadDither(dither.lane, r);
  for (uint32_t part = 0; part < kParts; ++part) {
    DitherWalk walk = {0, 0};
    if (dithered) walk = WalkFrom(dither, first);
    for (uint32_t w = 0; w < words; ++w) {
      const uint32_t left = 2 * w * kWordBytes + part * kVectorBytes;
      const uint32_t right = left + kWordBytes;
      const I8 v[4] = {Load<I8>(row0 + left), Load<I8>(row0 + right), Load<I8>(row1 + left), Load<I8>(row1 + right)};
      const I8 rounding = dithered ? TwoBits(r[part], walk.index * kDitherHigh) : All8(2);
      I16 even = EvenBytes(rounding);
      I16 odd = OddBytes(rounding);
      for (uint32_t i = 0; i < 4; ++i) {
        even += EvenBytes(v[i]);
        odd += OddBytes(v[i]);
      }
      Store(target + w * kWordBytes + part * kVectorBytes, FromEvenOdd(even >> 2, odd >> 2));
      if (dithered) NextWord(dither, walk);
    }
  }
}

inline void RepeatWordsVector(const int8_t *source, uint32_t times, int8_t *target, uint32_t words) {
  for (uint32_t from = 0; from < words; from += times) {
    for (uint32_t part = 0; part < kParts; ++part) {
      const I8 v = Load<I8>(source + part * kVectorBytes);
      for (uint32_t w = from; w < Smaller(from + times, words); ++w) {
        Store(target + w * kWordBytes + part * kVectorBytes, v);
      }
    }
    source += kWordBytes;
  }
}

// ---- residual sums ---------------------------------------------------------------------------------------------------

// rsh of int8 values by -7 to 15, in 16 bits: the sum of two fits.
struct Rounded16 {
  I16 factor, half, right;

  explicit Rounded16(int32_t shift)
      : factor(All16(shift < 0 ? 1 << -shift : 1)),
        half(All16(shift > 0 ? 1 << (shift - 1) : 0)),
        right(All16(shift > 0 ? shift : 0)) {}
  I16 Of(I16 x) const { return (x * factor + half) >> right; }
};

inline void AddWordsVector(const int8_t *a, const int8_t *b, int8_t *target, uint32_t words, int32_t shift_a,
                           int32_t shift_b, int32_t low) {
  const int32_t most = shift_a > shift_b ? shift_a : shift_b;
  const int32_t least = shift_a < shift_b ? shift_a : shift_b;
  if (least < -7 || most > 15) return AddWords(a, b, target, words, shift_a, shift_b, low);
  const Rounded16 from_a(shift_a);
  const Rounded16 from_b(shift_b);
  const I16 lowest = All16(low);
  const I16 highest = All16(kMaxInt8);
  const auto add = [&](I16 x, I16 y) { return Larger16(Smaller16(from_a.Of(x) + from_b.Of(y), highest), lowest); };
  for (uint32_t at = 0; at < words * kWordBytes; at += kVectorBytes) {
    const I16 x = Load<I16>(a + at);
    const I16 y = Load<I16>(b + at);
    const I16 even = add((x << 8) >> 8, (y << 8) >> 8);
    const I16 odd = add(x >> 8, y >> 8);
    Store(target + at, (even & All16(0xFF)) | (odd << 8));
  }
}

inline void MaskWordsVector(const int8_t *error, const int8_t *y, int8_t *target, uint32_t words, int32_t low) {
  const I8 lower = All8(low);
  const I8 upper = All8(kMaxInt8);
  for (uint32_t at = 0; at < words * kWordBytes; at += kVectorBytes) {
    Store(target + at, MaskedError(Load<I8>(error + at), Load<I8>(y + at), lower, upper));
  }
}

inline void AddDitheredVector(const int8_t *coarse, const int8_t *fine, int8_t *target, uint32_t words, int32_t shift,
                              const QuadDither &dither, uint32_t first) {
  const DitherShift<false> bits(shift);
  const I8 low = All8(-kMaxInt8);
  U32 r[kParts][kQuad];
  LoadDither(dither.lane, r);
  for (uint32_t part = 0; part < kParts; ++part) {
    DitherWalk walk = WalkFrom(dither, first);
    for (uint32_t w = 0; w < words; ++w) {
      const uint32_t at = w * kWordBytes + part * kVectorBytes;
      const uint32_t position = walk.index * kDitherHigh;
      I32 c[kQuad];
      I32 f[kQuad];
      Channels(Load<I8>(coarse + at), c);
      Channels(Load<I8>(fine + at), f);
      for (uint32_t j = 0; j < kQuad; ++j) c[j] += (f[j] + bits.Bits(r[part][j] + position)) >> shift;
      Store(target + at, Larger8(PackChannels(c[0], c[1], c[2], c[3]), low));
      NextWord(dither, walk);
    }
  }
}

// ---- input -----------------------------------------------------------------------------------------------------------

typedef int8_t I8x16 __attribute__((vector_size(16)));

// Rows shorter than a vector go byte by byte; the last vector of the others overlaps the one before.
inline void ConvertPixelsVector(const int8_t *pixels, uint32_t image_step, uint32_t images, uint32_t count,
                                int8_t *rows) {
  constexpr uint32_t kStep = sizeof(I8x16);
  if (count < kStep) return ConvertPixels(pixels, image_step, images, count, rows);
  const I8x16 flip = I8x16{} + static_cast<int8_t>(-128);
  for (uint32_t n = 0; n < images; ++n) {
    const int8_t *from = pixels + n * image_step;
    int8_t *to = rows + n * kPixelRow;
    for (uint32_t i = 0; i < count; i += kStep) {
      const uint32_t at = i + kStep <= count ? i : count - kStep;
      const I8x16 centred = Load<I8x16>(from + at) ^ flip;
      Store(to + at, centred - (I8x16)(centred == flip));  // -128 becomes -127
    }
  }
}

constexpr uint32_t kLanes = kVectorBytes / 16;  // 16-byte lanes of a vector: lane i holds image 4i + n of a part

// Four words at a time: for each of the n, 4 positions of its images; then positions and n change places. Reads up to 12 bytes beyond
// what a word needs, which a row of pixels has.
inline void InterleavePixelsVector(const int8_t *rows, int8_t *target, uint32_t words) {
  for (uint32_t part = 0; part < kParts; ++part) {
    const int8_t *first = rows + part * kPartImages * kPixelRow;
    for (uint32_t w = 0; w < words; w += 4) {
      I8 v[kQuad];
      for (uint32_t n = 0; n < kQuad; ++n) v[n] = Sliding(LoadLanes(first + n * kPixelRow + w, 4 * kPixelRow));
      Transpose4x4x32(v);
      for (uint32_t i = 0; i < Smaller(4, words - w); ++i) {
        Store(target + (w + i) * kWordBytes + part * kVectorBytes, v[i]);
      }
    }
  }
}

// 16 words at a time.
inline void InterleaveChannelsVector(const int8_t (*rows)[kRow], int8_t *target, uint32_t words) {
  for (uint32_t part = 0; part < kParts; ++part) {
    for (uint32_t w = 0; w < words; w += 16) {
      I8 v[4][kQuad];  // [4 positions each][n]
      for (uint32_t n = 0; n < kQuad; ++n) {
        I8 c[kQuad];
        for (uint32_t j = 0; j < kQuad; ++j) {
          c[j] = LoadLanes(rows[j] + (part * kPartImages + n) * kPixelRow + w, 4 * kPixelRow);
        }
        const I8 low01 = ZipLow8(c[0], c[1]);
        const I8 high01 = ZipHigh8(c[0], c[1]);
        const I8 low23 = ZipLow8(c[2], c[3]);
        const I8 high23 = ZipHigh8(c[2], c[3]);
        v[0][n] = ZipLow16(low01, low23);
        v[1][n] = ZipHigh16(low01, low23);
        v[2][n] = ZipLow16(high01, high23);
        v[3][n] = ZipHigh16(high01, high23);
      }
      for (uint32_t four = 0; four < 4; ++four) {
        Transpose4x4x32(v[four]);
        for (uint32_t i = 0; i < 4 && w + 4 * four + i < words; ++i) {
          Store(target + (w + 4 * four + i) * kWordBytes + part * kVectorBytes, v[four][i]);
        }
      }
    }
  }
}
