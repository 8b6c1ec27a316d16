// The leaf loops around the MAC array: the tile itself, and what brings operands to it and results from it.
#ifndef STROP_LEAVES
#error "define STROP_LEAVES, the namespace of this compilation: see leaf_loops.hpp"
#endif

namespace strop {
namespace STROP_LEAVES {

// accumulator[row][column] (+)= sum over depth of a[row][depth] * b[column][depth].
static inline void MacTile(const RowTile a, uint32_t rows, const ColumnTile b, uint32_t words, uint32_t groups,
                           bool accumulate, AccumulatorTile accumulator) {
MacTile_Word:
  for (uint32_t word = 0; word < words; ++word) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
  MacTile_Row:
    for (uint32_t row = 0; row < rows; ++row) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 64
      int32_t sum[kVector];
#pragma HLS ARRAY_PARTITION variable = sum complete
    MacTile_Start:
      for (uint32_t lane = 0; lane < kVector; ++lane) {
#pragma HLS UNROLL
        sum[lane] = accumulate ? accumulator[row][word * kVector + lane] : 0;
      }
    MacTile_Group:
      for (uint32_t group = 0; group < groups; ++group) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 64
#pragma HLS PIPELINE II = 1
      MacTile_Lane:
        for (uint32_t lane = 0; lane < kVector; ++lane) {
#pragma HLS UNROLL
        MacTile_Depth:
          for (uint32_t depth = 0; depth < kGroup; ++depth) {
#pragma HLS UNROLL
            sum[lane] += a[row][group * kGroup + depth] * b[word][group][lane * kGroup + depth];
          }
        }
      }
    MacTile_Store:
      for (uint32_t lane = 0; lane < kVector; ++lane) {
#pragma HLS UNROLL
        accumulator[row][word * kVector + lane] = sum[lane];
      }
    }
  }
}

// Four depth rows, beginning at `rows` in `planes`, side by side into group `group` of every column word.
static inline void InterleaveRows(const int8_t *planes, const uint32_t rows[kGroup], uint32_t words, uint32_t group,
                                  ColumnTile b) {
InterleaveRows_Word:
  for (uint32_t word = 0; word < words; ++word) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
#pragma HLS PIPELINE II = 1
  InterleaveRows_Lane:
    for (uint32_t lane = 0; lane < kVector; ++lane) {
#pragma HLS UNROLL
      const uint32_t column = word * kVector + lane;
      b[word][group][lane * kGroup + 0] = planes[rows[0] + column];
      b[word][group][lane * kGroup + 1] = planes[rows[1] + column];
      b[word][group][lane * kGroup + 2] = planes[rows[2] + column];
      b[word][group][lane * kGroup + 3] = planes[rows[3] + column];
    }
  }
}

// Four rows that run along the depth become columns `column` to `column` + 3 (column a multiple of 4).
static inline void TransposeRows(const int8_t *planes, const uint32_t rows[kGroup], uint32_t groups, uint32_t column,
                                 ColumnTile b) {
  const uint32_t word = column / kVector;
  const uint32_t lane = (column % kVector) * kGroup;
TransposeRows_Group:
  for (uint32_t group = 0; group < groups; ++group) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 64
#pragma HLS PIPELINE II = 1
  TransposeRows_Depth:
    for (uint32_t depth = 0; depth < kGroup; ++depth) {
#pragma HLS UNROLL
      b[word][group][lane + 0 * kGroup + depth] = planes[rows[0] + group * kGroup + depth];
      b[word][group][lane + 1 * kGroup + depth] = planes[rows[1] + group * kGroup + depth];
      b[word][group][lane + 2 * kGroup + depth] = planes[rows[2] + group * kGroup + depth];
      b[word][group][lane + 3 * kGroup + depth] = planes[rows[3] + group * kGroup + depth];
    }
  }
}

// One row of the A tile: `channels` filters of `taps` values, `step` bytes apart in DRAM.
static inline void GatherFilters(const int8_t *dram, uint32_t offset, uint32_t step, uint32_t taps, uint32_t channels,
                                 int8_t *row) {
GatherFilters_Channel:
  for (uint32_t channel = 0; channel < channels; ++channel) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 256
  GatherFilters_Tap:
    for (uint32_t tap = 0; tap < taps; ++tap) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 225
#pragma HLS PIPELINE II = 1
      row[channel * taps + tap] = dram[offset + channel * step + tap];
    }
  }
}

// The runs of an accumulator row, side by side.
static inline void CompactRuns(const int32_t *accumulators, const Runs &runs, int32_t *target) {
  uint32_t at = 0;
CompactRuns_Run:
  for (uint32_t run = 0; run < runs.count; ++run) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 257
  CompactRuns_Value:
    for (uint32_t i = 0; i < runs.length[run]; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 256
#pragma HLS PIPELINE II = 1
      target[at + i] = accumulators[runs.start[run] + i];
    }
    at += runs.length[run];
  }
}

// The opposite, for int8: values that lie side by side go to their runs; the cells between hold 0.
static inline void SpreadRuns(const int8_t *dram, uint32_t offset, const Runs &runs, uint32_t cells, int8_t *target) {
SpreadRuns_Clear:
  for (uint32_t i = 0; i < cells; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 256
#pragma HLS PIPELINE II = 1
    target[i] = 0;
  }
  uint32_t at = offset;
SpreadRuns_Run:
  for (uint32_t run = 0; run < runs.count; ++run) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 257
  SpreadRuns_Value:
    for (uint32_t i = 0; i < runs.length[run]; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 256
#pragma HLS PIPELINE II = 1
      target[runs.start[run] + i] = dram[at + i];
    }
    at += runs.length[run];
  }
}

}  // namespace STROP_LEAVES
}  // namespace strop
