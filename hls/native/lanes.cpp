#include "../lane.hpp"

namespace strop {

namespace native {

void SetShare(Lane &lane, uint32_t index, uint32_t count) {
  lane.index = index;
  lane.count = count;
}

}  // namespace native

void PrepareSingleLane(Machine &machine) {
  static Lane lane;
  lane.leaves = &native::PortableLeaves();
  machine.lanes[0] = &lane;
  machine.lane_count = 1;
  machine.pool = nullptr;
}

}  // namespace strop
