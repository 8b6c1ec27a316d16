// Twins of the leaf loops of SGD and the weight view, written once for vectors of kVectorBytes.
//
// NUMERICS 1.8 computes in 64 bits. Here a 32-bit value is split at bit 16 or 8, so that each product fits 32 bits and the sum of both
// has the same bits below and above; what may not fit is noticed, and those values are computed by the portable loop.

constexpr uint32_t kValues = kVectorBytes / 4;

// Lanes that did not fit are gathered in `wrong`.
inline I32 AddNoticed(I32 a, I32 b, I32 &wrong) {
  const I32 sum = (I32)((U32)a + (U32)b);
  wrong |= ((a ^ sum) & (b ^ sum)) >> 31;
  return sum;
}

// rsh(x * mantissa, shift) for 0 <= mantissa <= 256 and 8 <= shift <= 31.
struct Fraction {
  I32 mantissa, half;
  int32_t shift;

  Fraction(int32_t m, int32_t s) : mantissa(All32(m)), half(All32(static_cast<int32_t>(1u << (s - 1)))), shift(s - 8) {}
  static bool Fits(int32_t m, int32_t s) { return m == 0 || (m > 0 && m < 256 && s >= 8 && s <= 31); }
  I32 Of(I32 x) const {
    const U32 low = (U32)((x & 255) * mantissa + half) >> 8;
    return ((x >> 8) * mantissa + (I32)low) >> shift;
  }
};

// rsh(gradient * mantissa, shift) for 1 <= mantissa < 2^15. Below a shift of 16 the product grows: gradients above `most` may not fit.
struct GradientScale {
  int32_t mantissa;
  int32_t shift;
  I32 most;

  GradientScale(int32_t m, int32_t s) : mantissa(m), shift(s), most{} {
    if (shift <= 0) mantissa <<= -s;
    const int64_t fitting = (int64_t{1} << (s > 0 ? 30 + s : 30)) / mantissa;
    most = All32(static_cast<int32_t>(fitting < kMaxInt32 ? fitting : kMaxInt32));
  }
  static bool Fits(int32_t m, int32_t s) { return m > 0 && m < 32768 && s <= 31 && s >= -15; }
  I32 Of(I32 x, I32 &wrong) const {
    if (shift < 16) wrong |= (I32)(Absolute32(x) > most);
    if (shift <= 0) return (I32)((U32)x * static_cast<uint32_t>(mantissa));
    const U32 low = (U32)(x & 0xFFFF) * static_cast<uint32_t>(mantissa) + (1u << (shift - 1));
    const I32 high = (x >> 16) * mantissa;
    if (shift >= 16) return (high + (I32)(low >> 16)) >> (shift - 16);
    return (I32)(((U32)high << (16 - shift)) + (low >> shift));
  }
};

inline uint32_t SgdRowVector(int32_t *master, int32_t *momentum, const int32_t *gradient, uint32_t count,
                             const SgdConstants &c) {
  const bool fits = Fraction::Fits(c.weight_decay_mantissa, c.weight_decay_shift) &&
                    Fraction::Fits(c.learning_rate_mantissa, c.learning_rate_shift) &&
                    GradientScale::Fits(c.batch_mantissa, c.gradient_shift) && c.momentum_decay >= 0 &&
                    c.momentum_decay <= 256;
  if (!fits) return SgdRow(master, momentum, gradient, count, c);
  const bool decays = c.weight_decay_mantissa != 0;
  const Fraction decay(c.weight_decay_mantissa, decays ? c.weight_decay_shift : 8);
  const Fraction rate(c.learning_rate_mantissa, c.learning_rate_mantissa != 0 ? c.learning_rate_shift : 8);
  const GradientScale scale(c.batch_mantissa, c.gradient_shift);
  const I32 damping = All32(c.momentum_decay);
  I32 largest = {};
  uint32_t most = 0;
  uint32_t i = 0;
  for (; i + kValues <= count; i += kValues) {
    const I32 w = Load<I32>(master + i);
    const I32 v = Load<I32>(momentum + i);
    I32 wrong = {};
    const I32 damped = v - ((v >> 8) * damping + (((v & 255) * damping + 128) >> 8));
    I32 new_v = AddNoticed(damped, scale.Of(Load<I32>(gradient + i), wrong), wrong);
    if (decays) new_v = AddNoticed(new_v, decay.Of(w), wrong);
    const I32 new_w = AddNoticed(w, -rate.Of(new_v), wrong);
    const I32 lowest = All32(INT32_MIN);
    wrong |= (I32)(new_v == lowest) | (I32)(new_w == lowest);  // which sat32 would raise
    if (__builtin_expect(AnySet(wrong), 0)) {
      const uint32_t seen = SgdRow(master + i, momentum + i, gradient + i, kValues, c);
      most = seen > most ? seen : most;
      continue;
    }
    Store(momentum + i, new_v);
    Store(master + i, new_w);
    largest = Larger32(largest, Absolute32(new_w));
  }
  const uint32_t rest = SgdRow(master + i, momentum + i, gradient + i, count - i, c);
  most = rest > most ? rest : most;
  for (uint32_t n = 0; n < kValues; ++n) {
    most = static_cast<uint32_t>(largest[n]) > most ? static_cast<uint32_t>(largest[n]) : most;
  }
  return most;
}

// ---- weight view -----------------------------------------------------------------------------------------------------

// ViewOf, before it is saturated.
inline I32 ViewOf(I32 master, int32_t shift) {
  if (shift == 0) return master;
  if (shift == 1) return (master >> 1) + (master & 1);
  return ((master >> 1) + (1 << (shift - 2))) >> (shift - 1);
}

// kValues taps of four channels, `taps` values apart, side by side.
inline void PackTaps(const int32_t *master, uint32_t taps, int32_t shift, int8_t *view) {
  I32 c[kQuad];
  for (uint32_t j = 0; j < kQuad; ++j) c[j] = ViewOf(Load<I32>(master + j * taps), shift);
  Store(view, Larger8(PackChannels(c[0], c[1], c[2], c[3]), All8(-kMaxInt8)));
}

// Whole quads in the order in which they lie. The last vector of a quad overlaps the one before; where the taps are fewer than a vector it
// reaches into the next quad, which is written afterwards. What is left is the portable loop's.
inline void PackQuadsVector(const int32_t *master, uint32_t skip, uint32_t channels, uint32_t quads, uint32_t taps,
                            int32_t shift, int8_t *view) {
  if (skip != 0) return PackQuads(master, skip, channels, quads, taps, shift, view);
  const uint32_t beyond = taps < kValues ? kValues - taps : 0;
  uint32_t q = 0;
  for (; (q + 1) * kQuad <= channels && q < quads; ++q) {
    if ((q + 1) * kQuad * taps + beyond > channels * taps || (q + 1) * taps + beyond > quads * taps) break;
    const int32_t *from = master + q * kQuad * taps;
    int8_t *to = view + q * taps * kQuad;
    for (uint32_t t = 0; t < taps; t += kValues) {
      const uint32_t at = taps < kValues ? 0 : Smaller(t, taps - kValues);
      PackTaps(from + at, taps, shift, to + at * kQuad);
    }
  }
  PackQuads(master + q * kQuad * taps, 0, channels - q * kQuad, quads - q, taps, shift, view + q * taps * kQuad);
}
