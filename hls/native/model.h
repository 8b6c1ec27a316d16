/* The cycle model: what a command of the contract would take on a board. Plain C, read by cffi as contract.h is. Nothing here runs a
 * kernel, and nothing was measured on a board: every figure is modelled (model/). */
#ifndef STROP_MODEL_H
#define STROP_MODEL_H

#include <stdint.h>

#include "contract.h"

/* A board that the model knows. */
typedef struct strop_board {
  const char *name;
  const char *part;
  uint32_t clock_mhz;
  uint32_t port_bytes;         /* of one memory port of the kernel, a cycle */
  uint32_t dram_mbytes_second; /* what the memory controller gives to all ports together */
  uint32_t dram_mbytes;        /* size of the memory */
  uint32_t array_macs;         /* multiply-adds of the MAC array, a cycle */
  uint32_t luts;               /* of the part, as are the next */
  uint32_t flip_flops;
  uint32_t dsps;
  uint32_t brams; /* of 36 Kib */
  uint32_t urams; /* of 288 Kib */
} strop_board;

/* One of the processes that a command consists of. */
typedef struct strop_stage {
  uint64_t bytes;   /* to and from DRAM */
  uint64_t written; /* those of them that go to DRAM */
  uint64_t cycles;  /* busy */
  uint64_t waits;   /* those of them in which it waits for the first data of a burst, or for a response */
} strop_stage;

typedef struct strop_cost {
  uint64_t macs;         /* multiply-adds of the operation, by its shapes */
  uint64_t array_cycles; /* in which the MAC array works */
  strop_stage load;
  strop_stage compute; /* bytes: weights, and what a quad of channels needs */
  strop_stage store;
  strop_stage words;    /* between passes: the command, statistics, exponents; bytes of single words are not counted */
  uint64_t dram_cycles; /* least, for all bytes, by what the memory controller gives */
  uint64_t cycles;      /* of the whole command */
} strop_cost;

/* What the kernel of a board needs, from the arrays and the unrolled loops that it declares. */
typedef struct strop_resources {
  uint32_t luts;
  uint32_t dsps;
  uint32_t brams;
  uint32_t urams;
} strop_resources;

uint32_t strop_model_boards(void);

/* Board `index` below strop_model_boards(), else a board without a name. */
strop_board strop_model_board(uint32_t index);

/* Cost of one command on board `index`, in a step after the first (which measures every tensor twice). Returns 0 for a command
 * beyond the contract's limits, with an empty cost. */
int strop_model_command(uint32_t index, const strop_command *command, strop_cost *cost);

strop_resources strop_model_resources(uint32_t index);

#endif /* STROP_MODEL_H */
