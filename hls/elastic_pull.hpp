// The elastic pull towards anchors, which keeps what was learnt before: NUMERICS.md 1.13.
#ifndef STROP_ELASTIC_PULL_HPP
#define STROP_ELASTIC_PULL_HPP

#include "dram.hpp"
#include "lane.hpp"

namespace strop {

// Values of a part. In emulation they are pointers into the arena, and parts are what lanes share.
constexpr uint32_t kPullValuesOnChip = 512;
constexpr uint32_t kPullValues = STROP_HARDWARE ? kPullValuesOnChip : 4096;
static_assert(kPullValuesOnChip <= kHeld, "a part must be held");

// The parts of this lane, one after another. A part begins at a whole word of each port.
inline void PullParts(Lane &lane, const int8_t *dram, int32_t *words, const strop_command &c) {
  const uint32_t parts = CeilDivide(c.columns, kPullValues);
  const uint32_t last = lane.Last(parts);
#if STROP_HARDWARE
  int32_t held_anchor[kPullValues];
#pragma HLS ARRAY_RESHAPE variable = held_anchor type = cyclic factor = kPortValues
#if STROP_WIDE_ARRAY
#pragma HLS BIND_STORAGE variable = held_anchor type = ram_s2p impl = lutram
#endif
#endif
PullParts_Part:
  for (uint32_t part = lane.First(parts); part < last; ++part) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 65536
    const uint32_t at = part * kPullValues;
    const uint32_t count = Smaller(kPullValues, c.columns - at);
    STROP_READ_VALUES(master, lane.tiles.wide, words, c.master + 4 * at, count);
    STROP_READ_VALUES(anchor, held_anchor, words, c.anchor + 4 * at, count);
    STROP_READ_ROW(importance, lane.tiles.row, dram, c.importance + at, count);
    STROP_LEAF(lane, PullRow)(master, anchor, importance, count);
    STROP_FLUSH_VALUES(master, words, c.master + 4 * at, count);
  }
}

inline uint32_t ElasticPull(Machine &machine, const int8_t *dram, int32_t *words, const strop_command &c) {
  STROP_ON_LANES(machine, uint64_t{c.columns} * 4, PullParts(lane, dram, words, c));
  return STROP_STATUS_OK;
}

}  // namespace strop

#endif  // STROP_ELASTIC_PULL_HPP
