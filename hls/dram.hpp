// Access to the arena. The kernel sees it through four ports: `dram` counts bytes, `words` counts 32-bit words; `maps` and `filters` are
// bytes that are only read, of what an earlier operation wrote. What an operation writes and reads again goes through one port: int8
// tensors through `dram`, everything else through `words`.
#ifndef STROP_DRAM_HPP
#define STROP_DRAM_HPP

#include <stddef.h>

#include "boards.hpp"
#include "counters.hpp"

// Whether bursts are loops over on-chip arrays, as in hardware, or copies by the compiler. The test bench runs the hardware's loops, too.
#if defined(__SYNTHESIS__) || defined(STROP_HARDWARE_LOOPS)
#define STROP_HARDWARE 1
#else
#define STROP_HARDWARE 0
#endif

namespace strop {

constexpr uint32_t kPortBytes = STROP_WORD_BYTES / kWordCycles;  // that a port moves in a cycle

// One word of 64 bytes.
inline void CopyWord(int8_t *target, const int8_t *source) {
CopyWord_Byte:
  for (uint32_t i = 0; i < STROP_WORD_BYTES; ++i) {
#pragma HLS UNROLL
    target[i] = source[i];
  }
}

// Bursts of bytes go by whole words of 64, each moved at once, so that the port can be as wide; what is left goes byte by byte.
inline void BurstRead(int8_t *target, const int8_t *dram, uint32_t offset, uint32_t count) {
  STROP_COUNT_READ(count);
#if !STROP_HARDWARE
  __builtin_memcpy(target, dram + offset, count);
#else
  const uint32_t whole = count / STROP_WORD_BYTES * STROP_WORD_BYTES;
BurstRead_Word:
  for (uint32_t at = 0; at < whole; at += STROP_WORD_BYTES) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 64
#pragma HLS PIPELINE II = kWordCycles
    CopyWord(target + at, dram + offset + at);
  }
BurstRead_Rest:
  for (uint32_t at = whole; at < count; ++at) {
#pragma HLS LOOP_TRIPCOUNT min = 0 max = 63
#pragma HLS PIPELINE II = 1
    target[at] = dram[offset + at];
  }
#endif
}

inline void BurstWrite(int8_t *dram, uint32_t offset, const int8_t *source, uint32_t count) {
  STROP_COUNT_WRITE(count);
#if !STROP_HARDWARE
  __builtin_memcpy(dram + offset, source, count);
#else
  const uint32_t whole = count / STROP_WORD_BYTES * STROP_WORD_BYTES;
BurstWrite_Word:
  for (uint32_t at = 0; at < whole; at += STROP_WORD_BYTES) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 64
#pragma HLS PIPELINE II = kWordCycles
    CopyWord(dram + offset + at, source + at);
  }
BurstWrite_Rest:
  for (uint32_t at = whole; at < count; ++at) {
#pragma HLS LOOP_TRIPCOUNT min = 0 max = 63
#pragma HLS PIPELINE II = 1
    dram[offset + at] = source[at];
  }
#endif
}

// 16 values of 32 bits, as wide as a word of a map.
constexpr uint32_t kWordValues = STROP_WORD_BYTES / 4;
constexpr uint32_t kPortValues = kPortBytes / 4;

inline void CopyValues(int32_t *target, const int32_t *source) {
CopyValues_Value:
  for (uint32_t i = 0; i < kWordValues; ++i) {
#pragma HLS UNROLL
    target[i] = source[i];
  }
}

// Bursts of 32-bit words: 16 at once, what is left one by one.
inline void BurstReadWords(int32_t *target, const int32_t *words, uint32_t offset, uint32_t count) {
  STROP_COUNT_READ(4 * count);
#if !STROP_HARDWARE
  __builtin_memcpy(target, words + offset / 4, size_t{count} * 4);
#else
  const uint32_t whole = count / kWordValues * kWordValues;
BurstReadWords_Word:
  for (uint32_t i = 0; i < whole; i += kWordValues) {
#pragma HLS LOOP_TRIPCOUNT min = 0 max = 256
#pragma HLS PIPELINE II = kWordCycles
    CopyValues(target + i, words + offset / 4 + i);
  }
BurstReadWords_Rest:
  for (uint32_t i = whole; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 0 max = 15
#pragma HLS PIPELINE II = 1
    target[i] = words[offset / 4 + i];
  }
#endif
}

inline void BurstWriteWords(int32_t *words, uint32_t offset, const int32_t *source, uint32_t count) {
  STROP_COUNT_WRITE(4 * count);
#if !STROP_HARDWARE
  __builtin_memcpy(words + offset / 4, source, size_t{count} * 4);
#else
  const uint32_t whole = count / kWordValues * kWordValues;
BurstWriteWords_Word:
  for (uint32_t i = 0; i < whole; i += kWordValues) {
#pragma HLS LOOP_TRIPCOUNT min = 0 max = 256
#pragma HLS PIPELINE II = kWordCycles
    CopyValues(words + offset / 4 + i, source + i);
  }
BurstWriteWords_Rest:
  for (uint32_t i = whole; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 0 max = 15
#pragma HLS PIPELINE II = 1
    words[offset / 4 + i] = source[i];
  }
#endif
}

// A row that an operation reads or writes once. In hardware it is an array on chip, filled by a burst or flushed by one; the emulator
// works on the arena itself, where `name` points.
//   STROP_READ_ROW    declares `name`, the row's bytes
//   STROP_WRITE_ROW   declares `name`, to be written in full and then flushed
//   STROP_READ_VALUES, STROP_FLUSH_VALUES   the same for 32-bit words; a row read may be changed and flushed back
#if STROP_HARDWARE
#define STROP_READ_ROW(name, buffer, dram, offset, bytes) \
  BurstRead(buffer, dram, offset, bytes);                 \
  const int8_t *name = buffer
#define STROP_WRITE_ROW(name, buffer, dram, offset) int8_t *name = buffer
#define STROP_FLUSH_ROW(name, dram, offset, bytes) BurstWrite(dram, offset, name, bytes)
#define STROP_READ_VALUES(name, buffer, words, offset, count) \
  BurstReadWords(buffer, words, offset, count);               \
  int32_t *name = buffer
#define STROP_FLUSH_VALUES(name, words, offset, count) BurstWriteWords(words, offset, name, count)
#else
#define STROP_READ_ROW(name, buffer, dram, offset, bytes) const int8_t *name = (dram) + (offset)
#define STROP_WRITE_ROW(name, buffer, dram, offset) int8_t *name = (dram) + (offset)
#define STROP_FLUSH_ROW(name, dram, offset, bytes) static_cast<void>(name)
#define STROP_READ_VALUES(name, buffer, words, offset, count) int32_t *name = (words) + (offset) / 4
#define STROP_FLUSH_VALUES(name, words, offset, count) static_cast<void>(name)
#endif

inline int32_t ReadWord(const int32_t *words, uint32_t offset) { return words[offset / 4]; }
inline void WriteWord(int32_t *words, uint32_t offset, int32_t value) { words[offset / 4] = value; }

// Add to a word that other lanes may add to as well. Integer sums do not depend on their order.
inline void AddWord(int32_t *words, uint32_t offset, int32_t value) {
#ifndef __SYNTHESIS__
  __atomic_fetch_add(words + offset / 4, value, __ATOMIC_RELAXED);
#else
  words[offset / 4] += value;
#endif
}

// `count` sums to or, where other lanes have parts of them, into DRAM.
inline void PutSums(int32_t *words, uint32_t offset, const int32_t *sums, uint32_t count, bool shared) {
  if (!shared) {
    BurstWriteWords(words, offset, sums, count);
    return;
  }
PutSums_Value:
  for (uint32_t i = 0; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1024
    AddWord(words, offset + 4 * i, sums[i]);
  }
}

// Byte offset of field `field` of struct `type` at arena offset `at`.
#define STROP_FIELD_AT(at, type, field) ((at) + static_cast<uint32_t>(offsetof(type, field)))

}  // namespace strop

#endif  // STROP_DRAM_HPP
