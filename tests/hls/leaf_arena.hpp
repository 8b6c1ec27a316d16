// Memory of a leaf loop, filled at random: words of maps, values, and constants as training makes them and at their limits.
#ifndef STROP_TESTS_LEAF_ARENA_HPP
#define STROP_TESTS_LEAF_ARENA_HPP

#include <cstring>
#include <random>
#include <vector>

#include "native/leaf_table.hpp"

namespace leaf {

using namespace strop;

static std::mt19937 generator(20261123);
inline uint32_t Below(uint32_t n) { return generator() % n; }

// Memory of a leaf: inputs are filled at random, outputs with a pattern, all compared afterwards.
struct Arena {
  std::vector<int8_t> bytes;
  std::vector<int32_t> values;
  std::vector<uint32_t> counts;
};

alignas(64) static AccumulatorTile accumulator;

constexpr uint32_t kRegion = 65536;  // bytes of one map in the arena

inline int8_t RandomValue(int kind) {
  const int8_t any = static_cast<int8_t>(static_cast<int>(Below(255)) - 127);
  return kind == 0 ? any : (kind == 1 ? static_cast<int8_t>(any / 16) : (Below(2) ? any : (Below(2) ? 127 : -127)));
}

// `usual`: magnitudes as training has them, few of them at their limits.
inline Arena RandomArena(bool usual = false) {
  Arena arena;
  arena.bytes.resize(8 * kRegion + 256);
  arena.values.resize(3 * kRegion / 4);
  arena.counts.assign(64, 0);
  const int kind = usual ? 1 : static_cast<int>(Below(3));
  for (auto &b : arena.bytes) b = RandomValue(kind);
  const int bits = usual ? 16 : static_cast<int>(Below(31));
  for (auto &v : arena.values) v = static_cast<int32_t>(generator() & ~(1u << 31)) >> bits, v = Below(2) ? v : -v;
  for (auto &row : accumulator) {
    for (auto &word : row) {
      for (auto &v : word) {
        v = static_cast<int32_t>(generator() % 2130000000u) >> bits;
        v = Below(2) ? v : -v;
      }
    }
  }
  return arena;
}

// Quad constants as training makes them, and at their limits.
inline QuadNorm RandomNorm() {
  QuadNorm norm;
  const int bits = static_cast<int>(Below(18));
  for (uint32_t j = 0; j < kQuad; ++j) {
    norm.multiplier[j] = static_cast<int32_t>(Below(2u << bits)) - (1 << bits);
    norm.constant[j] = static_cast<int32_t>(Below(1u << (13 + bits))) - (1 << (12 + bits));
  }
  norm.low = Below(2) ? 0 : -127;
  return norm;
}

inline QuadGradient RandomGradient(bool usual) {
  QuadGradient g;
  const int bits = usual ? 10 : static_cast<int>(Below(18));
  for (uint32_t j = 0; j < kQuad; ++j) {
    g.multiplier[j] = static_cast<int32_t>(Below(2u << bits)) - (1 << bits);
    g.mean[j] = static_cast<int32_t>(Below(1u << (8 + bits))) - (1 << (7 + bits));
    g.slope[j] = static_cast<int32_t>(Below(1u << (4 + bits))) - (1 << (3 + bits));
    g.threshold[j] = static_cast<int32_t>(Below(40)) - 20;
    g.whole[j] = static_cast<int32_t>(Below(2));
  }
  g.low = Below(2) ? 0 : -127;
  return g;
}

inline QuadDither RandomDither(uint32_t map) {
  QuadDither dither;
  for (auto &lane : dither.lane) lane = generator();
  dither.map = map;
  return dither;
}

inline SgdConstants RandomSgd(bool usual) {
  if (usual) return {1, -3, 26, 205, 20, 205, 11};
  SgdConstants c;
  c.batch_mantissa = Below(2) ? 1 : static_cast<int32_t>(16384 + Below(16385));
  c.gradient_shift = static_cast<int32_t>(Below(45)) - 12;
  c.momentum_decay = static_cast<int32_t>(Below(257));
  c.weight_decay_mantissa = Below(2) ? 0 : static_cast<int32_t>(128 + Below(128));
  c.weight_decay_shift = static_cast<int32_t>(Below(30));
  c.learning_rate_mantissa = Below(8) ? static_cast<int32_t>(128 + Below(128)) : 0;
  c.learning_rate_shift = static_cast<int32_t>(Below(26)) - 2;
  return c;
}

// A table as a lane holds it: a copy for each channel of a quad.
inline const int8_t (*StripsOf(int8_t *at))[kStrip] {
  for (uint32_t j = 1; j < kQuad; ++j) std::memcpy(at + j * kStrip, at, kStrip);
  return reinterpret_cast<const int8_t(*)[kStrip]>(at);
}

}  // namespace leaf

#endif  // STROP_TESTS_LEAF_ARENA_HPP
