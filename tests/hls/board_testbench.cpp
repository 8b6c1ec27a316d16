// The kernel as it is built for one board (STROP_BOARD), with the loops of the hardware (STROP_HARDWARE_LOOPS), on recorded programs:
// it must leave the recorded bytes, and the cycle model must say of every command how many bytes it moved and how often the loop of
// the MAC array turned.
//
//   board FILE...      exit status 0 if every file agrees

#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "boards.hpp"
#include "golden_file.hpp"
#include "kernel.hpp"

extern "C" {
#include "native/model.h"
}

Counted counted;

namespace {

constexpr uint32_t kIndex = strop::STROP_BOARD - strop::kPynqZ2;  // of the board, in the model

// One start of `commands` commands from `program` on, for `steps` steps from the slot that the run begins with.
uint32_t Start(const golden::Golden &run, golden::Arena &arena, uint32_t program, uint32_t commands, uint32_t steps) {
  const uint32_t *r = run.registers;
  uint32_t version = 0;
  strop_kernel(arena.bytes(), arena.words(), arena.bytes(), arena.bytes(), program, commands, steps, r[3], r[4], r[5],
               r[6], r[7], &version);
  return version;
}

bool Agrees(const char *path, uint32_t command, const char *what, uint64_t modelled, uint64_t found) {
  if (modelled == found) return true;
  std::fprintf(stderr, "%s, command %u: the model says %s %" PRIu64 ", counted are %" PRIu64 "\n", path, command, what,
               modelled, found);
  return false;
}

// One more step, command by command: what the model says of each, and what was counted.
bool ModelAgrees(const golden::Golden &run, golden::Arena &arena, const char *path) {
  bool agree = true;
  for (uint32_t i = 0; i < run.registers[1]; ++i) {
    const uint32_t at = run.registers[0] + i * static_cast<uint32_t>(sizeof(strop_command));
    strop_command command;
    std::memcpy(&command, arena.bytes() + at, sizeof command);
    strop_cost cost;
    if (!strop_model_command(kIndex, &command, &cost)) {
      std::fprintf(stderr, "%s, command %u: the model refuses it\n", path, i);
      agree = false;
      continue;
    }
    counted = {};
    Start(run, arena, at, 1, 1);
    uint64_t bytes = 0;
    uint64_t written = 0;
    for (const strop_stage &stage : {cost.load, cost.compute, cost.store, cost.words}) {
      bytes += stage.bytes;
      written += stage.written;
    }
    agree &= Agrees(path, i, "bytes", bytes, counted.read + counted.wrote);
    agree &= Agrees(path, i, "bytes written", written, counted.wrote);
    agree &= Agrees(path, i, "turns of the MAC array", cost.array_cycles, counted.array);
  }
  return agree;
}

}  // namespace

int main(int argc, char **argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: board FILE...\n");
    return 2;
  }
  const strop_board board = strop_model_board(kIndex);
  int failed = 0;
  for (int i = 1; i < argc; ++i) {
    golden::Golden run;
    bool agree = golden::ReadGolden(argv[i], run);
    if (agree) {
      golden::Arena arena(run);
      const uint32_t version = Start(run, arena, run.registers[0], run.registers[1], run.registers[2]);
      agree = golden::VersionsAgree(run, argv[i], version) && golden::CountWrong(run, arena, argv[i], board.name) == 0;
      agree = ModelAgrees(run, arena, argv[i]) && agree;
    }
    std::printf("%s, %s: %s\n", board.name, argv[i], agree ? "equal bytes, modelled as counted" : "DIFFERENT");
    failed += agree ? 0 : 1;
  }
  return failed == 0 ? 0 : 1;
}
