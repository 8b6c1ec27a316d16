// Jobs of the MAC array that the emulator does in another way than the hardware, with equal bytes: depthwise layers, and jobs of nothing
// but zeros. Included by mac_pass.hpp where the loops are not the hardware's.
#ifndef STROP_NATIVE_JOBS_HPP
#define STROP_NATIVE_JOBS_HPP

#include "../mac_load.hpp"
#include "../mac_store.hpp"

namespace strop {
namespace native {

inline bool IsDepthwise(const Pass &p) {
  return p.layer_groups > 1 && p.rows.channels == p.layer_groups && p.depth.channels == p.layer_groups;
}

inline bool StoresMap(const Pass &p) {
  return p.mode == MacMode::kForward && (p.store.mode == StoreMode::kRound || p.store.mode == StoreMode::kDither);
}

// A phase of an input gradient that no tap meets: its sums are 0, and 0 rounds to 0, whatever the dither.
inline void ZeroJob(int8_t *dram, const Pass &p, const Job &job) {
  uint32_t places[kTileWords];
  FindPlaces(p, job, places);
  for (uint32_t row = 0; row < job.rows; row += kQuad) {
    const uint32_t quad = (job.group * p.rows.merged + job.first_row + row) / kQuad;
    for (uint32_t w = 0; w < WordsOf(job.tile); ++w) {
      __builtin_memset(dram + p.target + quad * p.target_plane + places[w] * kWordBytes, 0, kWordBytes);
    }
  }
}

inline void DepthwiseMapJob(Lane &lane, int8_t *dram, const Pass &p, const Job &job) {
  const uint32_t count = WordsOf(job.tile);
  const uint32_t quad = job.group * p.rows.merged / kQuad;
  uint32_t places[kTileWords];
  FindPlaces(p, job, places);
  alignas(64) int8_t results[kTileWords * kWordBytes];
  int8_t *map = dram + p.target + quad * p.target_plane;
  const bool whole = AreNeighbours(places, count);
  int8_t *target = whole ? map + places[0] * kWordBytes : results;
  const Operands &operands = lane.tiles.operands;
  if (p.store.mode == StoreMode::kDither) {
    uint32_t positions[kTileWords];
    uint32_t lanes[kWordBytes];
    IndexWindows(p, job, kImages * p.order.image, p.order.row, p.order.column, positions);
    FindDitherLanes(p.store.dither + quad * kQuad * p.order.channel, p.order.channel, p.order.image, lanes);
    STROP_LEAF(lane, DepthwiseDitheredWords)
    (lane.tiles.weights, operands, count, job.chunk.rows, p.window.w.taps, p.store.shift, lanes, positions, target,
     lane.over, lane.half);
  } else {
    STROP_LEAF(lane, DepthwiseWords)
    (lane.tiles.weights, operands, count, job.chunk.rows, p.window.w.taps, p.store.shift, target, lane.over, lane.half);
  }
  if (!whole) WriteWords(dram, p.target + quad * p.target_plane, places, count, results);
}

inline void DepthwiseGradientJob(Lane &lane, const int8_t *maps, const Pass &p, const Job &job, bool first) {
  uint32_t places[kTileWords];
  FindPlaces(p, job, places);
  const int8_t *errors = maps + p.error + job.group * p.rows.merged / kQuad * p.error_plane;
  STROP_LEAF(lane, DepthwiseGradient)
  (lane.tiles.operands, errors, places, WordsOf(job.tile), job.taps, !first, lane.tiles.accumulator);
}

// Whether the job was done here.
inline bool DoneNatively(Lane &lane, const int8_t *maps, const int8_t *filters, int8_t *dram, int32_t *words,
                         const Pass &p, const Job &job, uint32_t index, uint32_t &weights_held, bool first, bool last,
                         bool shared) {
  if (ChunksOf(p.tiling) > 1) return false;
  if (StoresMap(p) && IsEmpty(job)) {
    ZeroJob(dram, p, job);
    return true;
  }
  if (!IsDepthwise(p)) return false;
  if (StoresMap(p)) {
    LoadPlanes(maps, p, job, lane.tiles.operands);
    const uint32_t wanted = index / TilesOf(p.tiling);
    if (wanted != weights_held) LoadWeights(lane, filters, p, job, lane.tiles.weights);
    weights_held = wanted;
    DepthwiseMapJob(lane, dram, p, job);
    return true;
  }
  if (p.mode != MacMode::kWeightGradient) return false;
  LoadPlanes(maps, p, job, lane.tiles.operands);
  DepthwiseGradientJob(lane, maps, p, job, first);
  if (last) StoreGradient(lane, words, p, job, shared, lane.tiles.accumulator);
  return true;
}

}  // namespace native
}  // namespace strop

#endif  // STROP_NATIVE_JOBS_HPP
