// Recorded runs replayed by the emulator, in every instruction set that this processor has, or in those that are named: for
// processors on which nothing else is at hand, such as ARM under QEMU.
//
//   digest FILE [INSTRUCTION SET...]      exit status 0 if every byte is as recorded
//
// A line for each instruction set: its number (native/emulator.h), the digest of all recorded segments, "equal" or "DIFFERENT". The
// digest is FNV-1a of 64 bits, over the segments in their order; whoever recorded the file can compute it, too.

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "golden_file.hpp"

extern "C" {
#include "native/emulator.h"
}

namespace {

uint64_t DigestOf(const golden::Golden &run, golden::Arena &arena) {
  uint64_t digest = UINT64_C(0xcbf29ce484222325);
  for (const golden::Segment &segment : run.expected) {
    for (size_t i = 0; i < segment.data.size(); ++i) {
      digest ^= static_cast<uint8_t>(arena.bytes()[segment.offset + i]);
      digest *= UINT64_C(0x100000001b3);
    }
  }
  return digest;
}

bool Replay(const golden::Golden &run, const char *path, uint32_t isa) {
  strop_emulator *emulator = strop_emulator_open(1, isa);
  if (emulator == nullptr) {
    std::fprintf(stderr, "instruction set %" PRIu32 " is not there on this processor\n", isa);
    return false;
  }
  golden::Arena arena(run);
  const uint32_t *r = run.registers;
  strop_emulator_run(emulator, reinterpret_cast<uint8_t *>(arena.bytes()), r[0], r[1], r[2], r[3], r[4], r[5], r[6],
                     r[7]);
  strop_emulator_close(emulator);
  const bool equal = golden::CountWrong(run, arena, path, "instruction set " + std::to_string(isa)) == 0;
  std::printf("%" PRIu32 " %016" PRIx64 " %s\n", isa, DigestOf(run, arena), equal ? "equal" : "DIFFERENT");
  std::fflush(stdout);
  return equal;
}

}  // namespace

int main(int argc, char **argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: digest FILE [INSTRUCTION SET...]\n");
    return 2;
  }
  golden::Golden run;
  if (!golden::ReadGolden(argv[1], run) || !golden::VersionsAgree(run, argv[1], strop_emulator_version())) return 1;
  std::vector<uint32_t> sets;
  for (int i = 2; i < argc; ++i) sets.push_back(static_cast<uint32_t>(std::strtoul(argv[i], nullptr, 10)));
  for (uint32_t isa = STROP_ISA_PORTABLE; argc == 2 && isa < STROP_ISA_COUNT; ++isa) {
    if (strop_emulator_supports(isa)) sets.push_back(isa);
  }
  bool equal = true;
  for (const uint32_t isa : sets) equal &= Replay(run, argv[1], isa);
  return equal ? 0 : 1;
}
