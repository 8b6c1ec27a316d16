// The shift of a requantization and its control: NUMERICS.md 1.4.
#ifndef STROP_SITE_HPP
#define STROP_SITE_HPP

#include "dram.hpp"
#include "lane.hpp"

namespace strop {

enum class StoreMode { kMeasure, kRound, kDither, kLogits };

struct Site {
  bool set;
  int32_t next;
  int32_t used;
  int32_t reference;
};

inline Site ReadSite(const int32_t *words, uint32_t at) {
  return {ReadWord(words, STROP_FIELD_AT(at, strop_site, set)) != 0,
          ReadWord(words, STROP_FIELD_AT(at, strop_site, next)), ReadWord(words, STROP_FIELD_AT(at, strop_site, used)),
          ReadWord(words, STROP_FIELD_AT(at, strop_site, reference))};
}

// The shift of an error that arrives with `exponent`: the site keeps its grid, whatever the shifts above did (1.4).
inline int32_t FollowingShift(const Site &site, int32_t exponent) {
  return static_cast<int32_t>(Clamp(int64_t{site.next} + exponent - site.reference, 0, STROP_MAX_SHIFT));
}

inline void ClearCounters(Machine &machine) {
ClearCounters_Lane:
  for (uint32_t i = 0; i < STROP_LANE_COUNT(machine); ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1
    Lane &lane = STROP_LANE(machine, i);
    lane.over = 0;
    lane.half = 0;
    lane.max_abs = 0;
  }
}

// Largest magnitude that any lane saw.
inline uint32_t MaxAbsOfLanes(Machine &machine) {
  uint32_t largest = 0;
MaxAbsOfLanes_Lane:
  for (uint32_t i = 0; i < STROP_LANE_COUNT(machine); ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1
    const uint32_t seen = STROP_LANE(machine, i).max_abs;
    largest = seen > largest ? seen : largest;
  }
  return largest;
}

// After a tensor of `elements` values was shifted by `shift`: choose the next shift, valid where an error arrives with `exponent`, and
// write the site back.
inline void AdvanceSite(Machine &machine, int32_t *words, uint32_t at, bool was_set, int32_t shift, int32_t exponent,
                        uint32_t elements, uint32_t rate_log2) {
  uint32_t over = 0;
  uint32_t half = 0;
AdvanceSite_Lane:
  for (uint32_t i = 0; i < STROP_LANE_COUNT(machine); ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1
    over += STROP_LANE(machine, i).over;
    half += STROP_LANE(machine, i).half;
  }
  const uint32_t tolerated = elements >> rate_log2;
  int32_t next = shift;
  if (was_set && over > tolerated) {
    next = shift + 1;
  } else if (was_set && half <= tolerated && shift > 0) {
    next = shift - 1;
  }
  WriteWord(words, STROP_FIELD_AT(at, strop_site, set), 1);
  WriteWord(words, STROP_FIELD_AT(at, strop_site, next), next);
  WriteWord(words, STROP_FIELD_AT(at, strop_site, used), shift);
  WriteWord(words, STROP_FIELD_AT(at, strop_site, over), static_cast<int32_t>(over));
  WriteWord(words, STROP_FIELD_AT(at, strop_site, half), static_cast<int32_t>(half));
  WriteWord(words, STROP_FIELD_AT(at, strop_site, reference), exponent);
}

// One draw of the dither counter (1.5).
inline uint32_t NextDither(int32_t *words, uint32_t at) {
  uint32_t counter = static_cast<uint32_t>(ReadWord(words, at));
  const uint32_t offset = DrawDither(counter);
  WriteWord(words, at, static_cast<int32_t>(counter));
  return offset;
}

}  // namespace strop

#endif  // STROP_SITE_HPP
