// The test bench of Vitis HLS, for C simulation and co-simulation: recorded programs through the top function alone, compared byte for
// byte with what the reference device left. The files are found where the tool runs this (tb.file in hls/vitis/*.cfg copies them).
//
//   FILE...      exit status 0 if every file agrees

#include <cstdio>

#include "../../hls/kernel.hpp"  // by its place: whether the tool searches from where it runs or from its config file differs
#include "golden_file.hpp"

namespace {

bool Agrees(const char *path) {
  golden::Golden run;
  if (!golden::ReadGolden(path, run)) return false;
  if (run.arena_bytes > STROP_COSIM_DEPTH) {
    std::fprintf(stderr,
                 "%s needs an arena of %llu bytes; the ports are %u deep: raise STROP_COSIM_DEPTH (kernel.hpp)\n", path,
                 static_cast<unsigned long long>(run.arena_bytes), static_cast<unsigned>(STROP_COSIM_DEPTH));
    return false;
  }
  // Co-simulation copies so many elements from and to each port; those of the words' port have 4 bytes.
  run.arena_bytes = uint64_t{STROP_COSIM_DEPTH} * sizeof(int32_t);
  golden::Arena arena(run);
  const uint32_t *r = run.registers;
  uint32_t version = 0;
  strop_kernel(arena.bytes(), arena.words(), arena.bytes(), arena.bytes(), r[0], r[1], r[2], r[3], r[4], r[5], r[6],
               r[7], &version);
  return golden::VersionsAgree(run, path, version) && golden::CountWrong(run, arena, path, "top function") == 0;
}

}  // namespace

int main(int argc, char **argv) {
  int failed = 0;
  for (int i = 1; i < argc; ++i) {
    const bool agrees = Agrees(argv[i]);
    std::printf("%s: %s\n", argv[i], agrees ? "equal" : "DIFFERENT");
    failed += agrees ? 0 : 1;
  }
  if (argc < 2) {
    std::fprintf(stderr, "usage: give recorded programs (tests/hls/golden)\n");
    return 2;
  }
  return failed == 0 ? 0 : 1;
}
