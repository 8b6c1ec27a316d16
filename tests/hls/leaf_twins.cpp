// Every leaf loop of every instruction set that this processor has, against the portable text, on random words: equal bytes, equal
// counts, and nothing written beyond the end. With an argument, also bytes or values a nanosecond: leaf_twins <any>.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
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

#include "mac_twins.hpp"

using namespace leaf;
using native::LeafTable;

namespace {

struct Case {
  const char *name;
  double work;  // bytes or values, for the speed
  std::function<void(const LeafTable &, Arena &)> run;
};

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
      {"MeansOfWord", 64,
       [=](const LeafTable &t, Arena &m) {
         const uint32_t area = timed ? 9 : 1 + first * 16 / 7;  // some beyond the largest window
         int32_t sum[kWordBytes];
         for (uint32_t i = 0; i < kWordBytes; ++i) {
           sum[i] = m.bytes[i] * static_cast<int32_t>(area) - m.bytes[i] / 127 * (m.bytes[at + i] & 127);
         }
         t.MeansOfWord(sum, images == 5 ? 4 : 0, area, &m.bytes[2 * at]);
       }},
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
         t.AddLossProducts(terms.left, terms.right, images, false, terms.product);
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
         t.AddLossProducts(terms.left, terms.upper, images, true, terms.product);
         t.AddLossProducts(terms.left, terms.right, images, false, terms.product);
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
    for (const Isa &isa : isas) {
      all = CheckMac(*isa.table, isa.name) && all;
      all = CheckDepthwise(*isa.table, isa.name) && all;
    }
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
