// The emulator: the kernel's program runner on this machine's cores.
#include <cstdlib>
#include <memory>
#include <new>
#include <system_error>
#include <vector>

#if defined(__aarch64__) || defined(__arm__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

extern "C" {
#include "emulator.h"
}

#include "../program.hpp"

namespace strop {

namespace native {

namespace {

bool Supports(uint32_t isa) {
  switch (isa) {
    case STROP_ISA_AUTO:
    case STROP_ISA_PORTABLE:
      return true;
#if defined(__x86_64__)
    case STROP_ISA_AVX2:
      return __builtin_cpu_supports("avx2") != 0;
    case STROP_ISA_AVX512_VNNI:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512vnni");
#elif defined(__aarch64__)
    case STROP_ISA_NEON:
      return true;
    case STROP_ISA_NEON_DOT:
      return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#elif defined(__arm__)
    case STROP_ISA_NEON:
      return (getauxval(AT_HWCAP) & HWCAP_NEON) != 0;
#endif
    default:
      return false;
  }
}

const LeafTable *Leaves(uint32_t isa) {
#if defined(__x86_64__)
  if (isa == STROP_ISA_AVX512_VNNI) return &Avx512VnniLeaves();
  if (isa == STROP_ISA_AVX2) return &Avx2Leaves();
#elif defined(__aarch64__) || defined(__arm__)
  if (isa == STROP_ISA_NEON) return &NeonLeaves();
#if defined(__aarch64__)
  if (isa == STROP_ISA_NEON_DOT) return &NeonDotLeaves();
#endif
#endif
  (void)isa;
  return &PortableLeaves();
}

}  // namespace
}  // namespace native

}  // namespace strop

// Lanes hold vectors of 64 bytes, and C++14's new knows no such alignment.
struct FreeLane {
  void operator()(strop::Lane *lane) const { std::free(lane); }
};
using OwnedLane = std::unique_ptr<strop::Lane, FreeLane>;

static OwnedLane NewLane(uint32_t isa) {
  void *memory = nullptr;
  if (posix_memalign(&memory, alignof(strop::Lane), sizeof(strop::Lane)) != 0) return nullptr;
  OwnedLane lane(new (memory) strop::Lane());
  lane->leaves = strop::native::Leaves(isa);
  return lane;
}

struct strop_emulator {
  std::vector<OwnedLane> lanes;
  std::unique_ptr<strop::native::ThreadPool> pool;
  strop::Machine machine;
  uint32_t isa;
};

extern "C" {

uint32_t strop_emulator_version(void) { return (STROP_CONTRACT_VERSION << 16) | STROP_NUMERICS_VERSION; }

int strop_emulator_supports(uint32_t isa) { return strop::native::Supports(isa) ? 1 : 0; }

strop_emulator *strop_emulator_open(uint32_t threads, uint32_t isa) {
  if (isa >= STROP_ISA_COUNT || !strop::native::Supports(isa) || threads == 0 || threads > STROP_EMULATOR_MAX_THREADS) {
    return nullptr;
  }
  if (isa == STROP_ISA_AUTO) {
    isa = STROP_ISA_PORTABLE;
    for (uint32_t wider = STROP_ISA_PORTABLE; wider < STROP_ISA_COUNT; ++wider) {
      if (strop::native::Supports(wider)) isa = wider;
    }
  }
  std::unique_ptr<strop_emulator> emulator(new strop_emulator());
  emulator->isa = isa;
  for (uint32_t i = 0; i < threads; ++i) {
    emulator->lanes.push_back(NewLane(isa));
    if (!emulator->lanes.back()) return nullptr;
    emulator->machine.lanes[i] = emulator->lanes.back().get();
  }
  emulator->machine.lane_count = threads;
  try {
    if (threads > 1) emulator->pool.reset(new strop::native::ThreadPool(threads));
  } catch (const std::system_error &) {
    return nullptr;
  }
  emulator->machine.pool = emulator->pool.get();
  return emulator.release();
}

uint32_t strop_emulator_isa(const strop_emulator *emulator) { return emulator->isa; }

void strop_emulator_close(strop_emulator *emulator) {
  if (emulator->pool && emulator->pool->Inherited()) emulator->pool.release();
  delete emulator;
}

void strop_emulator_run(strop_emulator *emulator, uint8_t *arena, uint32_t program, uint32_t commands, uint32_t steps,
                        uint32_t slots, uint32_t slot_stride, uint32_t slot_count, uint32_t first_slot,
                        uint32_t report) {
  const strop::StartRegisters start = {program, commands, steps, slots, slot_stride, slot_count, first_slot, report};
  if (emulator->pool) emulator->pool->Begin();
  int8_t *bytes = reinterpret_cast<int8_t *>(arena);
  strop::RunProgram(emulator->machine, bytes, bytes, bytes, reinterpret_cast<int32_t *>(arena), start);
  if (emulator->pool) emulator->pool->End();
}

}  // extern "C"
