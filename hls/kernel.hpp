// The top function that Vitis HLS makes hardware of.
#ifndef STROP_KERNEL_HPP
#define STROP_KERNEL_HPP

#include "contract.h"

// Elements that co-simulation copies to and from every port, whatever a program needs: its test bench allocates so many int32 words, and
// simulates programs whose arena has at most so many bytes. Hardware and emulator know no such bound.
#ifndef STROP_COSIM_DEPTH
#define STROP_COSIM_DEPTH 147456
#endif

// One start. No argument is a keyword of VHDL or SystemVerilog: the tool would add _r to its register's name. All pointers are the arena, each through a port of its own: bytes, 32-bit words, and what the MAC array loads.
extern "C" void strop_kernel(int8_t *arena_bytes, int32_t *arena_words, const int8_t *arena_maps,
                             const int8_t *arena_filters, uint32_t program_at, uint32_t commands, uint32_t steps,
                             uint32_t slots, uint32_t slot_stride, uint32_t slot_count, uint32_t first_slot,
                             uint32_t report_at, uint32_t *version);

#endif  // STROP_KERNEL_HPP
