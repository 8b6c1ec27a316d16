// Rounding, saturation and dither: every integer rule of NUMERICS.md 1.1 and 1.5, by its name there. No flag changes them.
#ifndef STROP_FIXED_POINT_HPP
#define STROP_FIXED_POINT_HPP

#include "contract.h"

namespace strop {

constexpr int32_t kMaxInt8 = 127;  // -128 is never produced
constexpr int64_t kMaxInt32 = 2147483647;

inline int64_t Clamp(int64_t x, int64_t low, int64_t high) { return x < low ? low : (x > high ? high : x); }

inline uint32_t Smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

inline uint32_t Larger(uint32_t a, uint32_t b) { return a > b ? a : b; }

inline uint32_t CeilDivide(uint32_t a, uint32_t b) { return (a + b - 1) / b; }

inline int32_t Sat32(int64_t x) { return static_cast<int32_t>(Clamp(x, -kMaxInt32, kMaxInt32)); }

// rsh: arithmetic shift right with rounding half up; a negative shift goes left.
inline int64_t RoundShift(int64_t x, int32_t shift) {
  const int32_t s = static_cast<int32_t>(Clamp(shift, -16, 62));
  if (s <= 0) return x * (int64_t{1} << -s);
  return (x + (int64_t{1} << (s - 1))) >> s;
}

// rdiv: division by b > 0, rounding half up.
inline int64_t RoundDivide(int64_t a, int64_t b) {
  const int64_t numerator = 2 * a + b;
  const int64_t quotient = numerator / (2 * b);
  return (numerator % (2 * b) < 0) ? quotient - 1 : quotient;
}

// The same for |a| < 2^29 and b < 2^29: a divider of 32 bits.
inline int32_t RoundDivide32(int32_t a, int32_t b) {
  const int32_t numerator = 2 * a + b;
  const int32_t quotient = numerator / (2 * b);
  return (numerator % (2 * b) < 0) ? quotient - 1 : quotient;
}

// bitlen: number of bits of x.
inline int32_t BitLength(uint32_t x) {
  int32_t bits = 0;
BitLength_Bits:
  for (int32_t i = 0; i < 32; ++i) {
#pragma HLS UNROLL
    if ((x >> i) & 1u) bits = i + 1;
  }
  return bits;
}

// The shift that brings a largest magnitude into int8.
inline int32_t ShiftFor(uint32_t max_abs) {
  const int32_t bits = BitLength(max_abs);
  return bits > 7 ? bits - 7 : 0;
}

// r_i of NUMERICS 1.5 is the lower 16 bits of the product of off + i. Products of parts of an index add up to the product of their
// sum, so that loops multiply once a word of a map and not once a value.
inline uint32_t DitherProduct(uint32_t index) { return index * STROP_DITHER_STEP; }

// Next draw from the dither counter: returns off.
inline uint32_t DrawDither(uint32_t &counter) {
  counter = counter * STROP_DITHER_MULTIPLIER + STROP_DITHER_INCREMENT;
  return counter >> 16;
}

}  // namespace strop

#endif  // STROP_FIXED_POINT_HPP
