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

constexpr uint32_t kSiteWords = 10;     // ReadSite, AdvanceSite
constexpr uint32_t kDitherWords = 2;    // NextDither
constexpr uint32_t kProgressWords = 3;  // WriteProgress

using Stage = strop_stage;
using Cost = strop_cost;

// `part`, `times` over.
inline void AddTimes(Stage &to, const Stage &part, uint64_t times) {
  to.bytes += times * part.bytes;
  to.written += times * part.written;
  to.cycles += times * part.cycles;
  to.waits += times * part.waits;
}

inline void Add(Stage &to, const Stage &part) { AddTimes(to, part, 1); }

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

enum class Way { kRead, kWrite };

inline void Move(Stage &stage, Way way, uint64_t bytes) {
  stage.bytes += bytes;
  stage.written += way == Way::kWrite ? bytes : 0;
}

// A burst of `whole` words of 64 bytes, and one of `rest` values a cycle, as the loops of dram.hpp move them.
inline void BurstOf(Stage &stage, const strop_board &board, uint32_t whole, uint32_t rest) {
  const uint32_t bursts = (whole > 0 ? 1 : 0) + (rest > 0 ? 1 : 0);
  stage.cycles += bursts * kLatency + uint64_t{whole} * WordCycles(board) + rest;
  stage.waits += bursts * kLatency;
}

// BurstRead, BurstWrite.
inline void Burst(Stage &stage, const strop_board &board, Way way, uint32_t bytes) {
  Move(stage, way, bytes);
  BurstOf(stage, board, bytes / STROP_WORD_BYTES, bytes % STROP_WORD_BYTES);
}

// BurstReadWords, BurstWriteWords.
inline void BurstWords(Stage &stage, const strop_board &board, Way way, uint32_t count) {
  constexpr uint32_t kValues = STROP_WORD_BYTES / 4;
  Move(stage, way, 4 * uint64_t{count});
  BurstOf(stage, board, count / kValues, count % kValues);
}

// A burst byte by byte.
inline void BurstBytes(Stage &stage, uint32_t count) {
  if (count == 0) return;
  Move(stage, Way::kRead, count);
  stage.cycles += kLatency + count;
  stage.waits += kLatency;
}

// A pipelined loop over words that are a burst each: they follow each other without a gap (UG1399, "AXI Burst Transfers", Summary).
inline void EachWord(Stage &stage, const strop_board &board, Way way, uint64_t count) {
  if (count == 0) return;
  Move(stage, way, count * STROP_WORD_BYTES);
  stage.cycles += kLatency + kDepth + count * WordCycles(board);
  stage.waits += kLatency;
}

// `count` accesses of `bytes` each that are no burst but follow each other in a pipelined loop: as many are under way as the port
// allows.
inline void Scattered(Stage &stage, Way way, uint64_t count, uint32_t bytes) {
  if (count == 0) return;
  const uint64_t each = kLatency / kOutstanding;
  Move(stage, way, count * bytes);
  stage.cycles += kLatency + count * each;
  stage.waits += kLatency + count * (each - 1);
}

// `count` single words, each waited for: their bytes are not counted.
inline void Single(Stage &stage, uint64_t count) {
  stage.cycles += count * (kLatency + 1);
  stage.waits += count * kLatency;
}

inline void AddTimes(Cost &to, const Cost &part, uint64_t times) {
  AddTimes(to.load, part.load, times);
  AddTimes(to.compute, part.compute, times);
  AddTimes(to.store, part.store, times);
  AddTimes(to.words, part.words, times);
}

// One process after another.
inline void InTurn(Cost &cost) { cost.cycles += cost.load.cycles + cost.compute.cycles + cost.store.cycles; }

inline uint64_t Later(uint64_t a, uint64_t b) { return a > b ? a : b; }

// Three processes with doubled arrays between them, and one before them that finds out what the next piece of work is: when each is
// done with the last piece and the one before it.
struct Overlap {
  uint64_t planned;
  uint64_t loaded[2];
  uint64_t worked[2];
  uint64_t stored[2];
};

inline void Advance(uint64_t done[2], uint64_t end) {
  done[1] = done[0];
  done[0] = end;
}

// One piece of work more, found by `divisions` in a chain.
inline void Meet(Overlap &o, Cost &cost, uint32_t divisions, const Stage &load, const Stage &work, const Stage &store) {
  o.planned += divisions * kDivision;
  const uint64_t loaded = Later(Later(o.loaded[0], o.worked[1]), o.planned) + load.cycles;
  const uint64_t worked = Later(Later(loaded, o.worked[0]), o.stored[1]) + work.cycles;
  Advance(o.stored, Later(worked, o.stored[0]) + store.cycles);
  Advance(o.loaded, loaded);
  Advance(o.worked, worked);
  Add(cost.load, load);
  Add(cost.compute, work);
  Add(cost.store, store);
}

}  // namespace model
}  // namespace strop

#endif  // STROP_MODEL_COST_HPP
