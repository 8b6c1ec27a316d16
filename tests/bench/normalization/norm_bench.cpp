// Both batch norms of the engine behind one C function, for each instruction set: L1 with the loops that the emulator runs.
#include "l2bn_model.hpp"

namespace strop {
namespace portable {
namespace {

#include "l2bn_loops.hpp"

constexpr L2Leaves kL2Leaves = {SumSquareWords, L2NormGradientWords};

}  // namespace
}  // namespace portable
}  // namespace strop

// clang-format off: the order of the includes matters
#if defined(__x86_64__)
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx2")
#define STROP_LEAVES avx2
#include "leaf_loops.hpp"
#undef STROP_LEAVES
namespace strop {
namespace avx2 {
namespace {
#include "native/vectors_avx2.hpp"
#include "native/streaming_vectors.hpp"
#include "l2bn_vectors.hpp"
}  // namespace
}  // namespace avx2
}  // namespace strop
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,prefer-vector-width=512")
#define STROP_LEAVES avx512
#include "leaf_loops.hpp"
#undef STROP_LEAVES
namespace strop {
namespace avx512 {
namespace {
#include "native/vectors_avx512.hpp"
#include "native/streaming_vectors.hpp"
#include "l2bn_vectors.hpp"
}  // namespace
}  // namespace avx512
}  // namespace strop
#pragma GCC pop_options
#endif
// clang-format on

namespace {

// Null where this processor lacks the instruction set; nothing compiled for it has run then.
const strop::NormEngine *EngineOf(uint32_t isa) {
  if (isa == STROP_ISA_PORTABLE) {
    static const strop::NormEngine engine = {strop::native::PortableLeaves(), strop::portable::kL2Leaves};
    return &engine;
  }
#if defined(__x86_64__)
  if (isa == STROP_ISA_AVX2 && __builtin_cpu_supports("avx2")) {
    static const strop::NormEngine engine = {strop::native::Avx2Leaves(), strop::avx2::kL2Leaves};
    return &engine;
  }
  if (isa == STROP_ISA_AVX512_VNNI && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512vnni")) {
    static const strop::NormEngine engine = {strop::native::Avx512VnniLeaves(), strop::avx512::kL2Leaves};
    return &engine;
  }
#endif
  return nullptr;
}

}  // namespace

extern "C" {

int strop_bench_supports(uint32_t isa) { return EngineOf(isa) != nullptr; }

// `repeats` times one command on one thread: forward or backward, by L1 (`norm` 1) or L2 (2). The instruction set must be supported.
void strop_bench_norm(uint32_t isa, uint32_t norm, uint32_t backward, uint32_t repeats, uint8_t *arena,
                      const strop_command *command) {
  static strop::Lane lane;
  strop::Machine machine = {};
  const strop::NormEngine &engine = *EngineOf(isa);
  lane.leaves = &engine.l1;
  machine.lanes[0] = &lane;
  machine.lane_count = 1;
  int8_t *dram = reinterpret_cast<int8_t *>(arena);
  int32_t *words = reinterpret_cast<int32_t *>(arena);
  for (uint32_t i = 0; i < repeats; ++i) {
    if (norm == 1 && backward == 0) strop::L1bnForward(machine, dram, dram, dram, words, *command);
    if (norm == 1 && backward == 1) strop::L1bnBackward(machine, dram, dram, dram, words, *command);
    if (norm == 2 && backward == 0) strop::L2bnForward(engine, dram, words, *command);
    if (norm == 2 && backward == 1) strop::L2bnBackward(machine, engine, dram, words, *command);
  }
}

// Null beyond the last board.
const char *strop_bench_board(uint32_t index) {
  return index < strop::kBoardCount - strop::kPynqZ2 ? strop::model::kBoards[strop::kPynqZ2 + index].name : nullptr;
}

// Modelled cycles of the command on board `index`.
uint64_t strop_bench_cycles(uint32_t index, uint32_t norm, const strop_command *command) {
  return strop::model::NormCycles(static_cast<strop::Board>(strop::kPynqZ2 + index), norm == 2, *command);
}

}  // extern "C"
