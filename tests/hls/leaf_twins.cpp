// Every leaf loop of every instruction set that this processor has, against the portable text, on random words: equal bytes, equal
// counts, and nothing written beyond the end. With an argument, also bytes or values a nanosecond: leaf_twins <any>.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
constexpr unsigned long kNeon = HWCAP_ASIMD;
#elif defined(__arm__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
constexpr unsigned long kNeon = HWCAP_NEON;
#endif

#include "native/leaf_table.hpp"

using namespace strop;
using native::LeafTable;

namespace {

std::mt19937 generator(20261123);
uint32_t Below(uint32_t n) { return generator() % n; }

// Memory of a leaf: inputs are filled at random, outputs with a pattern, all compared afterwards.
struct Arena {
  std::vector<int8_t> bytes;
  std::vector<int32_t> values;
  std::vector<uint32_t> counts;
};

alignas(64) AccumulatorTile accumulator;

struct Case {
  const char *name;
  double work;  // bytes or values, for the speed
  std::function<void(const LeafTable &, Arena &)> run;
};

constexpr uint32_t kRegion = 65536;  // bytes of one map in the arena

int8_t RandomValue(int kind) {
  const int8_t any = static_cast<int8_t>(static_cast<int>(Below(255)) - 127);
  return kind == 0 ? any : (kind == 1 ? static_cast<int8_t>(any / 16) : (Below(2) ? any : (Below(2) ? 127 : -127)));
}

// `usual`: magnitudes as training has them, few of them at their limits.
Arena RandomArena(bool usual = false) {
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
QuadNorm RandomNorm() {
  QuadNorm norm;
  const int bits = static_cast<int>(Below(18));
  for (uint32_t j = 0; j < kQuad; ++j) {
    norm.multiplier[j] = static_cast<int32_t>(Below(2u << bits)) - (1 << bits);
    norm.constant[j] = static_cast<int32_t>(Below(1u << (13 + bits))) - (1 << (12 + bits));
  }
  norm.low = Below(2) ? 0 : -127;
  return norm;
}

QuadGradient RandomGradient(bool usual) {
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

QuadDither RandomDither(uint32_t map) {
  QuadDither dither;
  for (auto &lane : dither.lane) lane = generator();
  dither.map = map;
  return dither;
}

SgdConstants RandomSgd(bool usual) {
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
const int8_t (*StripsOf(int8_t *at))[kStrip] {
  for (uint32_t j = 1; j < kQuad; ++j) std::memcpy(at + j * kStrip, at, kStrip);
  return reinterpret_cast<const int8_t(*)[kStrip]>(at);
}

std::vector<Case> Cases(uint32_t words, bool timed) {
  const uint32_t images = timed ? 16 : 1 + Below(16);
  const uint32_t map = 1 + Below(timed ? 700 : 40);
  const uint32_t first = Below(100);
  const int32_t shift = static_cast<int32_t>(timed ? 9 : Below(25));
  const uint32_t tile = timed ? kTileWords : 1 + Below(kTileWords);
  const uint32_t row = Below(kTileRows / kQuad) * kQuad;
  const double bytes = words * 64.0;
  const uint32_t at = kRegion;  // of the second map, and so on
  const QuadNorm norm = RandomNorm();
  const QuadGradient gradient = RandomGradient(timed);
  const QuadDither dither = RandomDither(map);
  const SgdConstants sgd = RandomSgd(timed);
  QuadGradient beyond = gradient;  // running means may lie beyond what a value can be
  beyond.threshold[Below(kQuad)] = 127;
  beyond.threshold[Below(kQuad)] = -128;
  std::vector<uint32_t> positions;
  for (uint32_t i = 0; i < kTileWords; ++i) positions.push_back(generator());
  const int32_t low = norm.low;
  const uint32_t half = words / 2 + 1;
  const uint32_t width = timed ? 28 : 1 + Below(240);
  const uint32_t taps = timed ? 25 : 1 + Below(30);
  const uint32_t quads = 1 + Below(1000 / taps);
  const uint32_t skip = timed ? 0 : Below(4);
  const uint32_t channels = timed ? quads * 4 : Below(quads * 4 - skip + 1);
  const int32_t view_shift = static_cast<int32_t>(Below(25));
  const uint32_t count = timed ? 400 : 1 + Below(3000);
  const int32_t a = static_cast<int32_t>(Below(timed ? 1 : 36)) - (timed ? 0 : 18);
  const int32_t b = static_cast<int32_t>(Below(timed ? 1 : 36)) - (timed ? 0 : 18);
  const WindowOnMap window = {1, 1 + 1 + Below(3), 1, 1 + 1 + Below(3)};
  return {
      {"MaxAbsWords", tile * 64.0,
       [=](const LeafTable &t, Arena &m) { m.counts[0] = t.MaxAbsWords(accumulator, row, tile); }},
      {"RequantizeWords", tile * 64.0,
       [=](const LeafTable &t, Arena &m) {
         t.RequantizeWords(accumulator, row, tile, shift, m.bytes.data(), m.counts[0], m.counts[1]);
       }},
      {"RequantizeDitheredWords", tile * 64.0,
       [=](const LeafTable &t, Arena &m) {
         t.RequantizeDitheredWords(accumulator, row, tile, shift, dither.lane, positions.data(), m.bytes.data(),
                                   m.counts[0], m.counts[1]);
       }},
      {"SumWords", bytes, [=](const LeafTable &t, Arena &m) { t.SumWords(m.bytes.data(), words, m.values.data()); }},
      {"CountAbove", bytes,
       [=](const LeafTable &t, Arena &m) {
         QuadAbove found = {};
         t.CountAbove(m.bytes.data(), words, beyond.threshold, found);
         std::memcpy(m.values.data(), &found, sizeof found);
       }},
      {"NormalizeWords", bytes,
       [=](const LeafTable &t, Arena &m) { t.NormalizeWords(&m.bytes[0], &m.bytes[at], words, images, norm); }},
      {"MaskedSums", bytes,
       [=](const LeafTable &t, Arena &m) {
         t.MaskedSums(&m.bytes[0], &m.bytes[at], &m.bytes[2 * at], words, low, &m.values[0], &m.values[4]);
       }},
      {"NormGradientMaxAbs", bytes,
       [=](const LeafTable &t, Arena &m) {
         m.counts[0] = t.NormGradientMaxAbs(&m.bytes[0], &m.bytes[at], &m.bytes[2 * at], words, images, gradient);
       }},
      {"NormGradientWords", bytes,
       [=](const LeafTable &t, Arena &m) {
         t.NormGradientWords(&m.bytes[0], &m.bytes[at], &m.bytes[2 * at], &m.bytes[3 * at], words, images, gradient,
                             shift, dither, first, m.counts[0], m.counts[1]);
       }},
      {"FillWords", bytes, [=](const LeafTable &t, Arena &m) { t.FillWords(&m.bytes[0], words, -128); }},
      {"MaxWords", half * 64.0,
       [=](const LeafTable &t, Arena &m) { t.MaxWords(&m.bytes[0], 2, &m.bytes[2 * at], half); }},
      {"MaxPool2x2", half * 64.0,
       [=](const LeafTable &t, Arena &m) { t.MaxPool2x2(&m.bytes[0], &m.bytes[at], &m.bytes[2 * at], half); }},
      {"MaxPoolBackward2x2", half * 64.0,
       [=](const LeafTable &t, Arena &m) {
         t.MaxPoolBackward2x2(&m.bytes[0], &m.bytes[at], &m.bytes[2 * at + 64], &m.bytes[4 * at], &m.bytes[6 * at],
                              half);
       }},
      {"AddIfFirst", 64,
       [=](const LeafTable &t, Arena &m) {
         int16_t sum[kWordBytes];
         std::memcpy(sum, &m.bytes[4 * at], sizeof sum);
         t.AddIfFirst(&m.bytes[0], 7, window, 2, 2, &m.bytes[at], sum);
         std::memcpy(&m.bytes[4 * at], sum, sizeof sum);
       }},
      {"SumPositions", bytes, [=](const LeafTable &t, Arena &m) { t.SumPositions(&m.bytes[0], words, &m.values[0]); }},
      {"SpreadDithered", bytes,
       [=](const LeafTable &t, Arena &m) {
         int32_t value[kWordBytes];
         for (uint32_t i = 0; i < kWordBytes; ++i) value[i] = m.bytes[i] * 200;
         t.SpreadDithered(value, &m.bytes[at], words, shift, dither, first);
       }},
      {"AddWords", bytes,
       [=](const LeafTable &t, Arena &m) {
         t.AddWords(&m.bytes[0], &m.bytes[at], &m.bytes[2 * at], words, a, b, low);
       }},
      {"MaskWords", bytes,
       [=](const LeafTable &t, Arena &m) { t.MaskWords(&m.bytes[0], &m.bytes[at], &m.bytes[2 * at], words, low); }},
      {"AddDithered", bytes,
       [=](const LeafTable &t, Arena &m) {
         t.AddDithered(&m.bytes[0], &m.bytes[at], &m.bytes[2 * at], words, shift, dither, first);
       }},
      {"ActivateWords", bytes,
       [=](const LeafTable &t, Arena &m) {
         t.ActivateWords(&m.bytes[0], &m.bytes[at], words, images, 1 + first % kQuad, StripsOf(&m.bytes[2 * at]));
       }},
      {"ActivationGradientWords", bytes,
       [=](const LeafTable &t, Arena &m) {
         t.ActivationGradientWords(&m.bytes[0], &m.bytes[at], &m.bytes[2 * at], words, StripsOf(&m.bytes[3 * at]),
                                   dither, first);
       }},
      {"QuarterSums", half * 64.0,
       [=](const LeafTable &t, Arena &m) {
         t.QuarterSums(&m.bytes[0], &m.bytes[at], &m.bytes[2 * at], half, first % 2 == 1, dither, first);
       }},
      {"RepeatWords", bytes,
       [=](const LeafTable &t, Arena &m) { t.RepeatWords(&m.bytes[0], 1 + first % 4, &m.bytes[at], words); }},
      {"ConvertPixels", width * 16.0,
       [=](const LeafTable &t, Arena &m) { t.ConvertPixels(&m.bytes[3], 784, images, width, &m.bytes[at + 2]); }},
      {"InterleavePixels", width * 64.0,
       [=](const LeafTable &t, Arena &m) { t.InterleavePixels(&m.bytes[0], &m.bytes[at], width); }},
      {"InterleaveChannels", width * 64.0,
       [=](const LeafTable &t, Arena &m) {
         t.InterleaveChannels(reinterpret_cast<const int8_t(*)[kRow]>(&m.bytes[0]), &m.bytes[at], width);
       }},
      {"SoftmaxDifferenceSoft", 16,
       [=](const LeafTable &t, Arena &m) {
         SoftmaxGroup g = {};
         for (uint32_t k = 0; k < 2; ++k) t.SoftmaxLargest(&m.values[k * kImages], images, k, a, g);
         for (uint32_t k = 0; k < 2; ++k) t.SoftmaxSum(&m.values[k * kImages], images, a, g);
         LossTerms terms = {};
         t.SoftmaxDifferenceSoft(&m.values[kImages], &m.values[2 * kImages], images, a, g, terms);
         std::memcpy(&m.values[0], &terms, sizeof terms);
       }},
      {"LogitErrors", 16,
       [=](const LeafTable &t, Arena &m) { t.LogitErrors(&m.values[0], images, row, first, &m.bytes[0]); }},
      {"SigmoidTerms", 16,
       [=](const LeafTable &t, Arena &m) {
         OutputLosses losses = {};
         LossTerms terms = {};
         for (uint32_t n = 0; n < kImages; ++n) losses.right[n] = 1;
         t.SigmoidTerms(&m.values[kImages], &m.values[2 * kImages], images, a, terms, losses);
         t.AddProducts(terms.left, terms.right, images, false, terms.product);
         t.AddLosses(terms, images, 3, losses);
         std::memcpy(&m.values[0], &terms, sizeof terms);
         std::memcpy(&m.values[8 * kImages], &losses, sizeof losses);
       }},
      {"SquaredTerms", 16,
       [=](const LeafTable &t, Arena &m) {
         OutputLosses losses = {};
         LossTerms terms = {};
         for (uint32_t n = 0; n < kImages; ++n) losses.right[n] = 1;
         t.SquaredTerms(&m.values[kImages], &m.values[2 * kImages], images, a, terms, losses);
         t.AddProducts(terms.left, terms.upper, images, true, terms.product);
         t.AddProducts(terms.left, terms.right, images, false, terms.product);
         t.AddLosses(terms, images, 15, losses);
         std::memcpy(&m.values[0], &terms, sizeof terms);
         std::memcpy(&m.values[8 * kImages], &losses, sizeof losses);
       }},
      {"SgdRow", count * 1.0,
       [=](const LeafTable &t, Arena &m) {
         m.counts[0] = t.SgdRow(&m.values[1], &m.values[kRegion / 4], &m.values[kRegion / 2], count, sgd);
       }},
      {"PullRow", count * 1.0,
       [=](const LeafTable &t, Arena &m) { t.PullRow(&m.values[1], &m.values[kRegion / 2], &m.bytes[0], count); }},
      {"MaxAbs", count * 1.0, [=](const LeafTable &t, Arena &m) { m.counts[0] = t.MaxAbs(&m.values[1], count); }},
      {"PackQuads", quads * taps * 4.0,
       [=](const LeafTable &t, Arena &m) {
         t.PackQuads(&m.values[1], skip, channels, quads, taps, view_shift, &m.bytes[4]);
       }},
      {"PackPixelRows", taps * 8.0,
       [=](const LeafTable &t, Arena &m) { t.PackPixelRows(&m.values[1], taps, 5, view_shift, &m.bytes[4]); }},
  };
}

bool Check(const Case &c, const Arena &start, const LeafTable &table, const char *isa) {
  Arena expected = start;
  Arena actual = start;
  c.run(native::PortableLeaves(), expected);
  c.run(table, actual);
  const bool equal =
      expected.bytes == actual.bytes && expected.values == actual.values && expected.counts == actual.counts;
  if (!equal) std::printf("%s of %s differs from the portable text\n", c.name, isa);
  return equal;
}

// The loops around the MAC array: what they leave in the rows that a pass reads, of random sizes and offsets.
bool CheckMac(const LeafTable &table, const char *isa) {
  struct Result {
    AccumulatorTile sums;
    WeightTile weights;
    ErrorTile errors;
    int32_t filters[kTileWords * kQuad + 4];
  };
  static Tiles tiles;
  static Result expected;
  static Result got;
  const uint32_t rows = kQuad * (1 + Below(kTileRows / kQuad));
  const uint32_t words = 1 + Below(kTileWords);
  const bool forward = Below(2) != 0;
  const uint32_t groups = 1 + Below(forward ? 150 : kTileWords);
  const uint32_t first_group = Below(kTileGroups - groups + 1);
  const bool accumulate = Below(2) != 0;
  for (auto &b : tiles.operands.planes) b = RandomValue(0);
  for (auto &row : tiles.operands.errors) {
    for (auto &b : row) b = RandomValue(2);
  }
  for (auto &row : tiles.weights) {
    for (auto &b : row) b = RandomValue(2);
  }
  for (auto &strip : tiles.strip) {
    for (auto &b : strip) b = RandomValue(0);
  }
  for (auto &offset : tiles.operands.word_offset) offset = Below(kPlaneWords / 2);
  for (auto &offset : tiles.operands.group_offset) offset = Below(kPlaneWords / 2);
  for (auto &row : tiles.accumulator) {
    for (auto &word : row) {
      for (auto &sum : word) sum = static_cast<int32_t>(generator()) / 4;
    }
  }
  uint8_t taps[STROP_MAX_KERNEL * STROP_MAX_KERNEL];
  const uint32_t tap_count = 1 + Below(25);
  for (auto &tap : taps) tap = static_cast<uint8_t>(Below(60));
  uint32_t places[kTileWords];
  for (auto &place : places) place = Below(64);
  const uint32_t quads = 1 + Below(3);
  const uint32_t quad_taps = 1 + Below(kTileWords / 3);
  const int8_t *strips[kQuad] = {tiles.strip[0], tiles.strip[1], tiles.strip[2], tiles.strip[3]};
  const auto run = [&](const LeafTable &leaves, Result &result) {
    std::memset(&result, 0x5A, sizeof result);
    std::memcpy(result.sums, tiles.accumulator, sizeof result.sums);
    const MacMode mode = forward ? MacMode::kForward : MacMode::kWeightGradient;
    leaves.MacTile(mode, tiles.weights, first_group, tiles.operands, rows, words, groups, accumulate, true, result.sums,
                   result.sums);
    // rows of a block beyond the last may hold anything
    for (uint32_t row = rows; row < kTileRows; ++row) std::memset(result.sums[row], 0, sizeof result.sums[row]);
    leaves.TurnFilters(strips, 3 * kQuad, taps, tap_count, result.weights, rows - kQuad, first_group % 200);
    leaves.TransposeErrors(tiles.operands.planes, 128 * kWordBytes, rows / kQuad, places, words, result.errors);
    leaves.FoldColumns(tiles.accumulator[0], quads, quad_taps, result.filters);
  };
  run(native::PortableLeaves(), expected);
  run(table, got);
  const bool equal = std::memcmp(&expected, &got, sizeof got) == 0;
  if (!equal) std::printf("around the MAC array, %s: rows %u, words %u, groups %u differ\n", isa, rows, words, groups);
  return equal;
}

void Time(const Case &c, const LeafTable &table) {
  static Arena arena = RandomArena(true);
  c.run(table, arena);
  double best = 1e30;
  for (int round = 0; round < 100; ++round) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < 5; ++i) c.run(table, arena);
    const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - start;
    best = spent.count() < best ? spent.count() : best;
  }
  std::printf(" %9.2f", c.work * 5 / best);
}

}  // namespace

int main(int argc, char **) {
  struct Isa {
    const char *name;
    const LeafTable *table;
  };
  std::vector<Isa> isas = {{"portable", &native::PortableLeaves()}};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) isas.push_back({"AVX2", &native::Avx2Leaves()});
  if (__builtin_cpu_supports("avx512vnni")) isas.push_back({"AVX-512", &native::Avx512VnniLeaves()});
#elif defined(__aarch64__) || defined(__arm__)
  if (getauxval(AT_HWCAP) & kNeon) isas.push_back({"NEON", &native::NeonLeaves()});
#endif
#if defined(__aarch64__)
  if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) isas.push_back({"NEON dot", &native::NeonDotLeaves()});
#endif
  bool all = true;
  for (int round = 0; round < 40; ++round) {
    const Arena start = RandomArena();
    for (const Case &c : Cases(1 + Below(round < 20 ? 20 : 500), false)) {
      for (const Isa &isa : isas) all = Check(c, start, *isa.table, isa.name) && all;
    }
    for (const Isa &isa : isas) all = CheckMac(*isa.table, isa.name) && all;
  }
  if (argc > 1) {
    for (const Case &c : Cases(256, true)) {
      std::printf("%-24s", c.name);
      for (const Isa &isa : isas) Time(c, *isa.table);
      std::printf("\n");
    }
  }
  std::printf("%s\n", all ? "leaf twins: equal" : "leaf twins: DIFFERENT");
  return all ? 0 : 1;
}
