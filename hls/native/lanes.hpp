// The lanes of the emulator: a machine of one or several workers, and how an operation is spread over them.
#ifndef STROP_NATIVE_LANES_HPP
#define STROP_NATIVE_LANES_HPP

#include "emulator.h"
#include "thread_pool.hpp"

namespace strop {

struct Lane;

struct Machine {
  static constexpr uint32_t kMaxLanes = STROP_EMULATOR_MAX_THREADS;
  Lane *lanes[kMaxLanes];
  uint32_t lane_count;
  native::ThreadPool *pool;  // null: one lane, on the caller's thread
};

// One lane with the portable leaf loops: the top function in C simulation.
void PrepareSingleLane(Machine &machine);

namespace native {

// Below this much work a second thread costs more than it brings.
constexpr uint64_t kWorkForThreads = 16384;

void SetShare(Lane &lane, uint32_t index, uint32_t count);

// Call body(lane) on every lane, or on the first alone where the work is small.
template <typename Body>
void OnLanes(Machine &machine, uint64_t work, const Body &body) {
  const bool spread = machine.pool != nullptr && machine.lane_count > 1 && work >= kWorkForThreads;
  const uint32_t count = spread ? machine.lane_count : 1;
  struct Call {
    Machine &machine;
    const Body &body;
    uint32_t count;
  } call = {machine, body, count};
  const auto run = [](void *context, uint32_t index) {
    Call &c = *static_cast<Call *>(context);
    SetShare(*c.machine.lanes[index], index, c.count);
    c.body(*c.machine.lanes[index]);
  };
  if (spread) {
    machine.pool->Run(run, &call, count);
  } else {
    run(&call, 0);
  }
}

}  // namespace native
}  // namespace strop

#endif  // STROP_NATIVE_LANES_HPP
