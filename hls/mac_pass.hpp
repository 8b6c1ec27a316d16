// One pass of the MAC array over a layer: forward, input gradient or weight gradient (NUMERICS 1.3, 1.7).
//
//                    rows                      words                  summed over
//   forward          output channels           windows over the input input channels x taps
//   input gradient   input channels            windows over the error output channels x taps, filter turned
//   weight gradient  output channels           input channels x taps  windows over the input
//
// While the array works on one job, the operands of the next are loaded and the results of the last leave the chip.
#ifndef STROP_MAC_PASS_HPP
#define STROP_MAC_PASS_HPP

#include "mac_load.hpp"
#include "mac_store.hpp"
#ifndef __SYNTHESIS__
#include "native/native_jobs.hpp"
#endif

namespace strop {

// What of a job's depth the array multiplies.
struct Depth {
  uint32_t first_group;  // in the weight tile
  uint32_t groups;
};

// First process: operands that change with every job.
inline void LoadJob(Lane &lane, const int8_t *maps, const Pass &p, const Job &job, Operands &operands) {
  LoadPlanes(maps, p, job, operands);
  if (IsEmpty(job)) LoadZero(job, operands);
  if (p.mode == MacMode::kWeightGradient) LoadErrors(lane, maps, p, job, operands);
}

// Second process: the weights where they change, and the array. `weights_held` names what is in the weight tile.
inline void MultiplyJob(Lane &lane, const int8_t *filters, const Pass &p, const Job &job, uint32_t index,
                        uint32_t &weights_held, bool first, bool last, const Operands &operands,
                        AccumulatorTile finished) {
  Depth depth = {0, job.chunk.quads * job.taps};
  if (p.mode == MacMode::kForward) {
    const uint32_t wanted = p.tiling.resident ? index / ChunksOf(p.tiling) / TilesOf(p.tiling) : index;
    if (wanted != weights_held) LoadWeights(lane, filters, p, job, lane.tiles.weights);
    weights_held = wanted;
    if (p.tiling.resident) depth.first_group = job.chunk.first_quad * p.window.h.taps * p.window.w.taps;
    if (IsEmpty(job)) depth = {0, 1};
  }
  STROP_LEAF(lane, MacTile)
  (p.mode, lane.tiles.weights, depth.first_group, operands, PaddedRows(job.rows), WordsOf(job.tile), depth.groups,
   !first, last, lane.tiles.accumulator, finished);
}

// Third process.
inline void StoreJob(Lane &lane, int8_t *dram, int32_t *words, const Pass &p, const Job &job, bool shared,
                     const AccumulatorTile finished) {
  if (p.mode == MacMode::kWeightGradient) {
    StoreGradient(lane, words, p, job, shared, finished);
  } else if (p.store.mode == StoreMode::kLogits) {
    StoreLogits(lane, words, p, job, finished);
  } else if (p.store.mode == StoreMode::kMeasure) {
    MeasureMaps(lane, job, finished);
  } else {
    StoreMaps(lane, dram, p, job, finished);
  }
}

// All jobs of a pass that fall to this lane. In hardware the three processes overlap: their arrays are doubled.
inline void MacPass(Lane &lane, const int8_t *maps, const int8_t *filters, int8_t *dram, int32_t *words,
                    const Pass &p) {
  const uint32_t each = SharesWholeResults(p, lane.count) ? JobsOfResult(p) : 1;
  const uint32_t shares = JobsOf(p) / each;
  const uint32_t begin = lane.First(shares) * each;
  const uint32_t end = lane.Last(shares) * each;
  const uint32_t tiles = TilesOf(p.tiling);
  const bool gradient = p.mode == MacMode::kWeightGradient;
  uint32_t weights_held = ~0u;
MacPass_Job:
  for (uint32_t index = begin; index < end; ++index) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
#pragma HLS DATAFLOW
#if STROP_HARDWARE
    Operands operands;
    AccumulatorTile finished;
#pragma HLS ARRAY_RESHAPE variable = operands.planes type = cyclic factor = 64
#pragma HLS ARRAY_PARTITION variable = operands.errors type = cyclic factor = kMacRows dim = 1
#pragma HLS ARRAY_RESHAPE variable = operands.errors type = cyclic factor = 16 dim = 2
#pragma HLS ARRAY_PARTITION variable = finished type = cyclic factor = kMacRows dim = 1
#pragma HLS ARRAY_PARTITION variable = finished type = complete dim = 3
#if STROP_WIDE_ARRAY
#pragma HLS BIND_STORAGE variable = operands.planes type = ram_t2p impl = uram
#pragma HLS BIND_STORAGE variable = finished type = ram_s2p impl = lutram
#endif
#else
    Operands &operands = lane.tiles.operands;
    int32_t(*finished)[kTileWords][kImages] = lane.tiles.accumulator;
#endif
    const Job job = JobAt(p, index);
    const bool first = job.first || (gradient && index == begin);
    const bool last = job.last || (gradient && index + 1 == end);
    // a weight gradient is whole where this lane has all of its tiles
    const bool shared = gradient && (index % tiles + 1 != tiles || index + 1 - begin < tiles);
#if !STROP_HARDWARE
    if (job.rows > 0 &&
        native::DoneNatively(lane, maps, filters, dram, words, p, job, index, weights_held, first, last, shared))
      continue;
#endif
    if (job.rows > 0) {
      LoadJob(lane, maps, p, job, operands);
      MultiplyJob(lane, filters, p, job, index, weights_held, first, last, operands, finished);
      if (last) StoreJob(lane, dram, words, p, job, shared, finished);
    }
  }
}

}  // namespace strop

#endif  // STROP_MAC_PASS_HPP
