// What one core of this processor can do at most, for throughput.py to hold the emulator against: int8 multiply-adds a second with
// operands in registers, those of the kernel's own MAC tile on chip-sized operands, and bytes a second from memory.
//
//   processor_bound        prints one JSON object; rates are of one thread
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "lane.hpp"
#include "native/leaf_table.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Repeats `work` for about half a second; returns runs a second, the best of three.
template <typename Work>
double Rate(const Work &work) {
  work();
  double best = 0;
  for (int round = 0; round < 3; ++round) {
    long runs = 0;
    const double start = Now();
    double spent = 0;
    do {
      for (int i = 0; i < 8; ++i) work();
      runs += 8;
      spent = Now() - start;
    } while (spent < 0.2);
    best = runs / spent > best ? runs / spent : best;
  }
  return best;
}

#if defined(__x86_64__)
// Independent sums in registers of their own, so that only the processor's throughput counts.
#define EIGHT(use) use(0) use(1) use(2) use(3) use(4) use(5) use(6) use(7)
constexpr int kTurns = 4096;

__attribute__((target("avx512f,avx512vnni"))) void Vnni(int *out) {
  __m512i a = _mm512_set1_epi8(3);
  __m512i b = _mm512_set1_epi8(5);
#define DECLARE(i) __m512i s##i = _mm512_setzero_si512();
#define ADD(i)                            \
  s##i = _mm512_dpbusd_epi32(s##i, a, b); \
  asm volatile("" : "+v"(s##i));
#define KEEP(i) *out += _mm512_cvtsi512_si32(s##i);
  EIGHT(DECLARE)
  for (int i = 0; i < kTurns; ++i) {
    EIGHT(ADD)
  }
  EIGHT(KEEP)
#undef DECLARE
#undef ADD
#undef KEEP
}

// maddubs, madd, add: 32 multiply-adds by three instructions.
__attribute__((target("avx2"))) void Maddubs(int *out) {
  __m256i a = _mm256_set1_epi8(3);
  __m256i b = _mm256_set1_epi8(5);
  const __m256i ones = _mm256_set1_epi16(1);
#define DECLARE(i) __m256i s##i = _mm256_setzero_si256();
#define ADD(i)                         \
  asm volatile("" : "+x"(a), "+x"(b)); \
  s##i = _mm256_add_epi32(s##i, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
#define KEEP(i) *out += _mm256_extract_epi32(s##i, 0);
  EIGHT(DECLARE)
  for (int i = 0; i < kTurns; ++i) {
    EIGHT(ADD)
  }
  EIGHT(KEEP)
#undef DECLARE
#undef ADD
#undef KEEP
}
#endif

double RegisterPeak(bool vnni) {
  static int sink = 0;
#if defined(__x86_64__)
  if (vnni) return Rate([] { Vnni(&sink); }) * kTurns * 8 * 64;
  return Rate([] { Maddubs(&sink); }) * kTurns * 8 * 32;
#else
  (void)vnni;
  return 0;
#endif
}

// A middle layer of a VGG: 64 rows, 28 windows of 3x3 over 16 quads.
double TileRate(const strop::native::LeafTable &leaves, strop::MacMode mode) {
  void *memory = nullptr;
  if (posix_memalign(&memory, 64, sizeof(strop::Tiles)) != 0) return 0;
  std::unique_ptr<strop::Tiles, decltype(&std::free)> tiles(new (memory) strop::Tiles(), &std::free);
  const bool forward = mode == strop::MacMode::kForward;
  const uint32_t rows = 64;
  const uint32_t words = 28;
  const uint32_t groups = forward ? 144 : 27;
  for (uint32_t w = 0; w < words; ++w) tiles->operands.word_offset[w] = w;
  for (uint32_t g = 0; g < groups; ++g) tiles->operands.group_offset[g] = g / 9 * 90 + g % 9 / 3 * 30 + g % 3;
  const double runs = Rate([&] {
    leaves.MacTile(mode, tiles->weights, 0, tiles->operands, rows, words, groups, !forward, true, tiles->accumulator,
                   tiles->accumulator);
  });
  return runs * rows * words * groups * 64;
}

double CopyRate() {
  std::vector<char> from(64 << 20, 1);
  std::vector<char> to(64 << 20);
  return Rate([&] { std::memcpy(to.data(), from.data(), from.size()); }) * 2 * from.size();
}

}  // namespace

int main() {
#if defined(__x86_64__)
  const bool vnni = __builtin_cpu_supports("avx512vnni");
  const strop::native::LeafTable &leaves = vnni ? strop::native::Avx512VnniLeaves() : strop::native::Avx2Leaves();
#else
  const bool vnni = false;
  const strop::native::LeafTable &leaves = strop::native::PortableLeaves();
#endif
  std::printf("{\"registers\": %.4g, \"forward_tile\": %.4g, \"gradient_tile\": %.4g, \"copy_bytes\": %.4g}\n",
              RegisterPeak(vnni), TileRate(leaves, strop::MacMode::kForward),
              TileRate(leaves, strop::MacMode::kWeightGradient), CopyRate());
  return 0;
}
