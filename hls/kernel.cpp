#include "kernel.hpp"

#include "program.hpp"

static_assert(sizeof(strop_command) == 256, "a command is 64 words: the host lays programs out by that size");
static_assert(sizeof(strop_slot) == 64, "a slot's head is 16 words");
static_assert(sizeof(strop_report) == 32, "a report is 8 words");
static_assert(sizeof(strop_site) == 32, "a site is 8 words");
static_assert(offsetof(strop_slot, loss_sum) % 8 == 0, "the loss sum is two whole words");

// Register offsets and the depth reach the pragmas through this macro: a plain #pragma does not expand names.
#define STROP_PRAGMA_(text) _Pragma(#text)
#define STROP_PRAGMA(text) STROP_PRAGMA_(text)

void strop_kernel(int8_t *arena_bytes, int32_t *arena_words, const int8_t *arena_maps, const int8_t *arena_filters,
                  uint32_t program_at, uint32_t commands, uint32_t steps, uint32_t slots, uint32_t slot_stride,
                  uint32_t slot_count, uint32_t first_slot, uint32_t report_at, uint32_t *version) {
  // clang-format off
STROP_PRAGMA(HLS INTERFACE mode=m_axi port=arena_bytes bundle=bytes offset=slave depth=STROP_COSIM_DEPTH)
STROP_PRAGMA(HLS INTERFACE mode=m_axi port=arena_words bundle=words offset=slave depth=STROP_COSIM_DEPTH)
STROP_PRAGMA(HLS INTERFACE mode=m_axi port=arena_maps bundle=maps offset=slave depth=STROP_COSIM_DEPTH)
STROP_PRAGMA(HLS INTERFACE mode=m_axi port=arena_filters bundle=filters offset=slave depth=STROP_COSIM_DEPTH)
  // All four see one buffer. Told so, the tool keeps their accesses in order, and co-simulation gives them one memory. It wants equal
  // depths for that. What else concerns the ports differs by board: vitis/*.cfg.
#pragma HLS ALIAS ports=arena_bytes,arena_words,arena_maps,arena_filters distance=0
STROP_PRAGMA(HLS INTERFACE mode=s_axilite port=arena_bytes offset=STROP_REG_ARENA_BYTES)
STROP_PRAGMA(HLS INTERFACE mode=s_axilite port=arena_words offset=STROP_REG_ARENA_WORDS)
STROP_PRAGMA(HLS INTERFACE mode=s_axilite port=arena_maps offset=STROP_REG_ARENA_MAPS)
STROP_PRAGMA(HLS INTERFACE mode=s_axilite port=arena_filters offset=STROP_REG_ARENA_FILTERS)
STROP_PRAGMA(HLS INTERFACE mode=s_axilite port=program_at offset=STROP_REG_PROGRAM_AT)
STROP_PRAGMA(HLS INTERFACE mode=s_axilite port=commands offset=STROP_REG_COMMANDS)
STROP_PRAGMA(HLS INTERFACE mode=s_axilite port=steps offset=STROP_REG_STEPS)
STROP_PRAGMA(HLS INTERFACE mode=s_axilite port=slots offset=STROP_REG_SLOTS)
STROP_PRAGMA(HLS INTERFACE mode=s_axilite port=slot_stride offset=STROP_REG_SLOT_STRIDE)
STROP_PRAGMA(HLS INTERFACE mode=s_axilite port=slot_count offset=STROP_REG_SLOT_COUNT)
STROP_PRAGMA(HLS INTERFACE mode=s_axilite port=first_slot offset=STROP_REG_FIRST_SLOT)
STROP_PRAGMA(HLS INTERFACE mode=s_axilite port=report_at offset=STROP_REG_REPORT_AT)
STROP_PRAGMA(HLS INTERFACE mode=s_axilite port=version offset=STROP_REG_VERSION)
STROP_PRAGMA(HLS INTERFACE mode=s_axilite port=return)
  // clang-format on
  static strop::Machine machine;  // on-chip memory
#pragma HLS ARRAY_PARTITION variable = machine.lane.tiles.weights type = cyclic factor = strop::kMacRows dim = 1
#pragma HLS ARRAY_RESHAPE variable = machine.lane.tiles.weights type = cyclic factor = 4 dim = 2
#if STROP_WIDE_ARRAY
#pragma HLS BIND_STORAGE variable = machine.lane.tiles.weights type = ram_2p impl = uram
#endif
#pragma HLS ARRAY_PARTITION variable = machine.lane.tiles.strip type = complete dim = 1
#pragma HLS ARRAY_RESHAPE variable = machine.lane.tiles.strip type = cyclic factor = 4 dim = 2
#pragma HLS ARRAY_PARTITION variable = machine.lane.tiles.accumulator type = cyclic factor = strop::kMacRows dim = 1
#pragma HLS ARRAY_PARTITION variable = machine.lane.tiles.accumulator type = complete dim = 3
#pragma HLS ARRAY_RESHAPE variable = machine.lane.tiles.row type = cyclic factor = strop::kPortBytes
#pragma HLS ARRAY_RESHAPE variable = machine.lane.tiles.wide type = cyclic factor = strop::kPortValues
  *version = (STROP_CONTRACT_VERSION << 16) | STROP_NUMERICS_VERSION;
  strop::PrepareSingleLane(machine);
  const strop::StartRegisters start = {program_at,  commands,   steps,      slots,
                                       slot_stride, slot_count, first_slot, report_at};
  strop::RunProgram(machine, arena_maps, arena_filters, arena_bytes, arena_words, start);
}
