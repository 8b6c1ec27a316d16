// Rows of words that a step of a streaming pass reads and writes. On chip they follow each other; the emulator works on the arena
// itself.
#ifndef STROP_STREAM_ROWS_HPP
#define STROP_STREAM_ROWS_HPP

#include "map_words.hpp"

namespace strop {

struct Rows {
  uint32_t offset;  // arena offset of the first word
  uint32_t rows;    // none: 0
  uint32_t words;   // in a row
  uint32_t stride;  // bytes from row to row
};

inline Rows OneRow(uint32_t offset, uint32_t words) { return {offset, 1, words, 0}; }

inline Rows RowOf(const MapPlace &map, const Span &span) {
  return OneRow(map.offset + span.quad * map.plane + span.first * kWordBytes, span.count);
}

// Bytes from row to row, where an operation finds them.
inline uint32_t PitchOf(const Rows &rows) {
#if STROP_HARDWARE
  return rows.words * kWordBytes;
#else
  return rows.stride;
#endif
}

#if STROP_HARDWARE
// One word a turn, across the rows: where a row ends the next burst follows without a gap.
inline void ReadRows(int8_t *target, const int8_t *dram, const Rows &rows) {
  uint32_t row = rows.offset;
  uint32_t column = 0;
ReadRows_Word:
  for (uint32_t word = 0; word < rows.rows * rows.words; ++word) {
#pragma HLS LOOP_TRIPCOUNT min = 0 max = 128
#pragma HLS PIPELINE II = kWordCycles
    CopyWord(target + word * kWordBytes, dram + row + column * kWordBytes);
    STROP_COUNT_READ(kWordBytes);
    const bool last = column + 1 == rows.words;
    row += last ? rows.stride : 0;
    column = last ? 0 : column + 1;
  }
}

inline void WriteRows(int8_t *dram, const Rows &rows, const int8_t *source) {
  uint32_t row = rows.offset;
  uint32_t column = 0;
WriteRows_Word:
  for (uint32_t word = 0; word < rows.rows * rows.words; ++word) {
#pragma HLS LOOP_TRIPCOUNT min = 0 max = 128
#pragma HLS PIPELINE II = kWordCycles
    CopyWord(dram + row + column * kWordBytes, source + word * kWordBytes);
    STROP_COUNT_WRITE(kWordBytes);
    const bool last = column + 1 == rows.words;
    row += last ? rows.stride : 0;
    column = last ? 0 : column + 1;
  }
}
#endif

}  // namespace strop

#endif  // STROP_STREAM_ROWS_HPP
