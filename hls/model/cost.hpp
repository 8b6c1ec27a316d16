// What a command costs on a board, and what an access to memory costs.
#ifndef STROP_MODEL_COST_HPP
#define STROP_MODEL_COST_HPP

#include "board_facts.hpp"

namespace strop {
namespace model {

// The read latency that Vitis HLS schedules for (UG1399, "Options for Controlling AXI4 Burst Behavior"), in cycles of the kernel:
// from a request to its first data, and from the last data written to the response.
constexpr uint32_t kLatency = 64;
// Requests under way at once on a port: the default of num_read_outstanding and num_write_outstanding (same page).
constexpr uint32_t kOutstanding = 16;
// From the first stage of a pipelined loop to the last, beyond memory: an estimate, of on-chip reads (2), a multiplication (4), a sum
// of four (2), a rounding (2) and a write (1).
constexpr uint32_t kDepth = 11;
// A 32-bit division that is not pipelined: 32 bits, one each cycle, and 4 around them. Reported by the tool for its divider core.
constexpr uint32_t kDivision = 36;
constexpr uint32_t kLongDivision = 68;  // of 64 bits

constexpr uint32_t kSiteWords = 8;    // ReadSite, AdvanceSite
constexpr uint32_t kDitherWords = 2;  // NextDither

using Stage = strop_stage;
using Cost = strop_cost;

inline void Add(Stage &to, const Stage &stage) {
  to.bytes += stage.bytes;
  to.cycles += stage.cycles;
  to.waits += stage.waits;
}

inline void Work(Stage &stage, uint64_t cycles) { stage.cycles += cycles; }

// A pipelined loop of `count` turns.
inline void Loop(Stage &stage, uint64_t count, uint32_t interval = 1) {
  if (count > 0) stage.cycles += count * interval + kDepth;
}

// A loop of `times` turns around a pipelined one of `count`: of variable length, so that the tool does not make one loop of them
// (UG1399, "loop_flatten").
inline void Nest(Stage &stage, uint64_t times, uint64_t count, uint32_t interval = 1) {
  stage.cycles += times * (count * interval + kDepth);
}

inline uint32_t WordCycles(const strop_board &board) { return STROP_WORD_BYTES / board.port_bytes; }

// BurstRead, BurstWrite (dram.hpp): whole words as the port moves them, what is left byte by byte.
inline void Burst(Stage &stage, const strop_board &board, uint32_t bytes) {
  const uint32_t whole = bytes / STROP_WORD_BYTES;
  const uint32_t rest = bytes % STROP_WORD_BYTES;
  const uint32_t bursts = (whole > 0 ? 1 : 0) + (rest > 0 ? 1 : 0);
  stage.bytes += bytes;
  stage.cycles += bursts * kLatency + uint64_t{whole} * WordCycles(board) + rest;
  stage.waits += bursts * kLatency;
}

// A burst byte by byte.
inline void BurstBytes(Stage &stage, uint32_t count) {
  if (count == 0) return;
  stage.bytes += count;
  stage.cycles += kLatency + count;
  stage.waits += kLatency;
}

// BurstReadWords, BurstWriteWords: a 32-bit word a cycle.
inline void BurstWords(Stage &stage, uint32_t count) {
  if (count == 0) return;
  stage.bytes += 4 * uint64_t{count};
  stage.cycles += kLatency + count;
  stage.waits += kLatency;
}

// `count` accesses of `bytes` each that are no burst but follow each other in a pipelined loop: as many are under way as the port
// allows.
inline void Scattered(Stage &stage, uint64_t count, uint32_t bytes) {
  if (count == 0) return;
  const uint64_t each = kLatency / kOutstanding;
  stage.bytes += count * bytes;
  stage.cycles += kLatency + count * each;
  stage.waits += kLatency + count * (each - 1);
}

// `count` single words, each waited for: their bytes are not counted.
inline void Single(Stage &stage, uint64_t count) {
  stage.cycles += count * (kLatency + 1);
  stage.waits += count * kLatency;
}

// The stages of `part`, `times` over.
inline void AddTimes(Stage &to, const Stage &part, uint64_t times) {
  to.bytes += times * part.bytes;
  to.cycles += times * part.cycles;
  to.waits += times * part.waits;
}

inline void AddTimes(Cost &to, const Cost &part, uint64_t times) {
  AddTimes(to.load, part.load, times);
  AddTimes(to.compute, part.compute, times);
  AddTimes(to.store, part.store, times);
  AddTimes(to.words, part.words, times);
  to.array_cycles += times * part.array_cycles;
  to.cycles += times * part.cycles;
}

}  // namespace model
}  // namespace strop

#endif  // STROP_MODEL_COST_HPP
