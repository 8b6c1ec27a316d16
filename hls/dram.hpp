// Access to the arena. The kernel sees it through two ports: `dram` counts bytes, `words` counts 32-bit words. Within one operation a
// value is written and read through the same port: int8 tensors through bytes, everything else through words.
#ifndef STROP_DRAM_HPP
#define STROP_DRAM_HPP

#include <stddef.h>

#include "contract.h"

namespace strop {

inline void BurstRead(int8_t *target, const int8_t *dram, uint32_t offset, uint32_t count) {
#ifndef __SYNTHESIS__
  __builtin_memcpy(target, dram + offset, count);
#else
BurstRead_Byte:
  for (uint32_t i = 0; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
#pragma HLS PIPELINE II = 1
    target[i] = dram[offset + i];
  }
#endif
}

inline void BurstWrite(int8_t *dram, uint32_t offset, const int8_t *source, uint32_t count) {
#ifndef __SYNTHESIS__
  __builtin_memcpy(dram + offset, source, count);
#else
BurstWrite_Byte:
  for (uint32_t i = 0; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
#pragma HLS PIPELINE II = 1
    dram[offset + i] = source[i];
  }
#endif
}

inline void BurstReadWords(int32_t *target, const int32_t *words, uint32_t offset, uint32_t count) {
#ifndef __SYNTHESIS__
  __builtin_memcpy(target, words + offset / 4, size_t{count} * 4);
#else
BurstReadWords_Word:
  for (uint32_t i = 0; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
#pragma HLS PIPELINE II = 1
    target[i] = words[offset / 4 + i];
  }
#endif
}

inline void BurstWriteWords(int32_t *words, uint32_t offset, const int32_t *source, uint32_t count) {
#ifndef __SYNTHESIS__
  __builtin_memcpy(words + offset / 4, source, size_t{count} * 4);
#else
BurstWriteWords_Word:
  for (uint32_t i = 0; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
#pragma HLS PIPELINE II = 1
    words[offset / 4 + i] = source[i];
  }
#endif
}

// target[begin..end) = value, on chip.
inline void Fill(int8_t *target, uint32_t begin, uint32_t end, int8_t value) {
Fill_Byte:
  for (uint32_t i = begin; i < end; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
#pragma HLS PIPELINE II = 1
    target[i] = value;
  }
}

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

// Byte offset of field `field` of struct `type` at arena offset `at`.
#define STROP_FIELD_AT(at, type, field) ((at) + static_cast<uint32_t>(offsetof(type, field)))

}  // namespace strop

#endif  // STROP_DRAM_HPP
