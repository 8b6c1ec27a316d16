// C simulation of the kernel: recorded programs through the top function, compared byte for byte with what the reference
// device left. Each file (tests/hls/golden.py describes it) holds whole training steps or inference.
//
//   csim FILE...       exit status 0 if every file agrees
//
// The same runs go through the emulator in every instruction set and with several threads, so that what is synthesized and what
// laptops run are held to the same bytes.

#include <cstdio>
#include <string>

#include "golden_file.hpp"
#include "kernel.hpp"

extern "C" {
#include "native/emulator.h"
}

using golden::Arena;
using golden::CountWrong;
using golden::Golden;
using golden::ReadGolden;
using golden::VersionsAgree;

namespace {

uint64_t RunTop(const Golden &golden, const char *path) {
  Arena arena(golden);
  const uint32_t *r = golden.registers;
  uint32_t version = 0;
  strop_kernel(arena.bytes(), arena.words(), arena.bytes(), arena.bytes(), r[0], r[1], r[2], r[3], r[4], r[5], r[6],
               r[7], &version);
  if (!VersionsAgree(golden, path, version)) return 1;
  return CountWrong(golden, arena, path, "top function");
}

uint64_t RunEmulators(const Golden &golden, const char *path) {
  uint64_t wrong = 0;
  for (uint32_t isa = STROP_ISA_PORTABLE; isa < STROP_ISA_COUNT; ++isa) {
    if (!strop_emulator_supports(isa)) continue;
    for (uint32_t threads = 1; threads <= 3; threads += 2) {
      Arena arena(golden);
      const uint32_t *r = golden.registers;
      strop_emulator *emulator = strop_emulator_open(threads, isa);
      if (emulator == nullptr) return 1;
      strop_emulator_run(emulator, reinterpret_cast<uint8_t *>(arena.bytes()), r[0], r[1], r[2], r[3], r[4], r[5], r[6],
                         r[7]);
      strop_emulator_close(emulator);
      wrong += CountWrong(golden, arena, path,
                          "emulator, instruction set " + std::to_string(isa) + ", threads " + std::to_string(threads));
    }
  }
  return wrong;
}

}  // namespace

int main(int argc, char **argv) {
  int failed = 0;
  for (int i = 1; i < argc; ++i) {
    Golden golden;
    if (!ReadGolden(argv[i], golden)) {
      ++failed;
      continue;
    }
    const uint64_t wrong = RunTop(golden, argv[i]) + RunEmulators(golden, argv[i]);
    std::printf("%s: %u commands, %u steps: %s\n", argv[i], golden.registers[1], golden.registers[2],
                wrong == 0 ? "equal" : "DIFFERENT");
    failed += wrong == 0 ? 0 : 1;
  }
  if (argc < 2) {
    std::fprintf(stderr, "usage: csim FILE...\n");
    return 2;
  }
  return failed == 0 ? 0 : 1;
}
