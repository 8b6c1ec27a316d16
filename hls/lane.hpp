// A lane is one worker with its own on-chip memory and counters. The hardware has one; the emulator has one a thread, and
// an operation's work items are divided among them. Sums of integers do not depend on the division, so neither do the bytes.
#ifndef STROP_LANE_HPP
#define STROP_LANE_HPP

#include "fixed_point.hpp"
#include "tiles.hpp"

#ifdef __SYNTHESIS__
#define STROP_LEAVES portable
#include "leaf_loops.hpp"
#undef STROP_LEAVES
// The leaf loop `name`; in emulation, its compilation for the instruction set in use.
#define STROP_LEAF(lane, name) portable::name
#else
#include "native/leaf_table.hpp"
#define STROP_LEAF(lane, name) (lane).leaves->name
#endif

namespace strop {

struct Lane {
  uint32_t index;
  uint32_t count;
  uint32_t over;  // counters of the requantization under way (1.4)
  uint32_t half;
  uint32_t max_abs;
#ifndef __SYNTHESIS__
  const native::LeafTable *leaves;
#endif
  Tiles tiles;

  // This lane's share of `items` work items: [First, Last).
  uint32_t First(uint32_t items) const { return static_cast<uint32_t>(uint64_t{items} * index / count); }
  uint32_t Last(uint32_t items) const { return static_cast<uint32_t>(uint64_t{items} * (index + 1) / count); }
};

}  // namespace strop

#ifdef __SYNTHESIS__
namespace strop {
struct Machine {
  Lane lane;
};

inline void PrepareSingleLane(Machine &machine) {
  machine.lane.index = 0;
  machine.lane.count = 1;
}
}  // namespace strop
// Run `call` on every lane, where it sees `lane`; `work` is about how many bytes or multiply-adds/16 that is.
#define STROP_ON_LANES(machine, work, call) \
  {                                         \
    (void)(work);                           \
    Lane &lane = (machine).lane;            \
    call;                                   \
  }
#define STROP_LANE_COUNT(machine) 1u
#define STROP_LANE(machine, i) (machine).lane
#else
#include "native/lanes.hpp"
#define STROP_ON_LANES(machine, work, call) native::OnLanes(machine, work, [&](Lane &lane) { call; })
#define STROP_LANE_COUNT(machine) (machine).lane_count
#define STROP_LANE(machine, i) (*(machine).lanes[i])
#endif

#endif  // STROP_LANE_HPP
