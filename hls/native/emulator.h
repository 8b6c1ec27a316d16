/* The emulator: the kernel's own sources, run on this machine's cores. Plain C, read by cffi as contract.h is. */
#ifndef STROP_EMULATOR_H
#define STROP_EMULATOR_H

#include <stdint.h>

/* Instruction sets that the leaf loops were compiled for. AUTO takes the widest that this processor has. */
#define STROP_ISA_AUTO 0
#define STROP_ISA_PORTABLE 1
#define STROP_ISA_AVX2 2
#define STROP_ISA_AVX512_VNNI 3
#define STROP_ISA_NEON 4
#define STROP_ISA_NEON_DOT 5 /* 64-bit ARM with dot products */
#define STROP_ISA_COUNT 6

#define STROP_EMULATOR_MAX_THREADS 64

typedef struct strop_emulator strop_emulator;

/* Versions that this library was compiled with: contract << 16 | numerics. */
uint32_t strop_emulator_version(void);

/* 1 if this processor runs that instruction set. */
int strop_emulator_supports(uint32_t isa);

/* Open an emulator with 1 to STROP_EMULATOR_MAX_THREADS threads; NULL if the instruction set is not supported, or the
 * system has no such number of threads or no memory for them. */
strop_emulator *strop_emulator_open(uint32_t threads, uint32_t isa);
uint32_t strop_emulator_isa(const strop_emulator *emulator);
void strop_emulator_close(strop_emulator *emulator);

/* One start of the kernel: `arena` stands for the DRAM, the rest are the registers of contract.h. Blocking. */
void strop_emulator_run(strop_emulator *emulator, uint8_t *arena, uint32_t program, uint32_t commands, uint32_t steps,
                        uint32_t slots, uint32_t slot_stride, uint32_t slot_count, uint32_t first_slot,
                        uint32_t report);

#endif /* STROP_EMULATOR_H */
