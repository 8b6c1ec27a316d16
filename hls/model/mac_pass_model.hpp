// The passes of the MAC array, job by job as mac_pass.hpp runs them: three processes that overlap, with doubled arrays between.
#ifndef STROP_MODEL_MAC_PASS_MODEL_HPP
#define STROP_MODEL_MAC_PASS_MODEL_HPP

#include "../convolution.hpp"
#include "cost.hpp"

namespace strop {
namespace model {

inline uint64_t Later(uint64_t a, uint64_t b) { return a > b ? a : b; }

// A pipelined loop over words that are a burst each: they follow each other without a gap (UG1399, "AXI Burst Transfers", Summary).
inline void EachWord(Stage &stage, const TileShape &shape, uint64_t count) {
  if (count == 0) return;
  stage.bytes += count * kWordBytes;
  stage.cycles += kLatency + kDepth + count * shape.word_cycles;
  stage.waits += kLatency;
}

// LoadPlanes.
inline void LoadPlanesModel(Stage &load, const TileShape &shape, const Pass &p, const Job &job) {
  const Region region = RegionOf(p, job);
  EachWord(load, shape, uint64_t{region.quads} * region.images * region.height * region.width);
  Nest(load, job.tile.images * job.tile.rows, job.tile.columns);
  Nest(load, job.chunk.quads * job.chunk.rows, p.window.w.taps);
}

// LoadErrors.
inline void LoadErrorsModel(Stage &load, const TileShape &shape, const Job &job) {
  Nest(load, job.tile.images * job.tile.rows, job.tile.columns);
  EachWord(load, shape, uint64_t{Blocks(job.rows, kQuad)} * WordsOf(job.tile));
}

// LoadTurnedFilters.
inline void LoadTurnedModel(Stage &load, const strop_board &board, const Pass &p, const Job &job, const Chunk &part,
                            uint32_t taps) {
  const uint32_t row_taps = p.flat ? 1 : p.view.taps;
  const uint32_t at_once = kStrip / (row_taps * kQuad);
  const uint32_t row_quads = Blocks(job.rows, kQuad);
  Loop(load, taps);
  for (uint32_t quad = 0; quad < row_quads; quad += at_once) {
    const uint32_t held = Smaller(at_once, row_quads - quad);
    Stage strips = {};
    for (uint32_t k = 0; k < kQuad; ++k) Burst(strips, board, held * row_taps * kQuad);
    for (uint32_t i = 0; i < held; ++i) Loop(strips, taps);
    AddTimes(load, strips, part.quads);
  }
}

// LoadWeights.
inline void LoadWeightsModel(Stage &load, const strop_board &board, const Pass &p, const Job &job) {
  const Chunk part = p.tiling.resident ? Chunk{0, job.quads, 0, p.window.h.taps} : job.chunk;
  const uint32_t taps = part.rows * p.window.w.taps;
  if (p.turned) {
    LoadTurnedModel(load, board, p, job, part, taps);
  } else {
    Stage row = {};
    Burst(row, board, part.quads * taps * kQuad);
    AddTimes(load, row, job.rows);
  }
}

// StoreMaps: one quad is requantized while the one before leaves.
inline void StoreMapsModel(Stage &store, const TileShape &shape, const Pass &p, const Job &job) {
  const uint32_t count = WordsOf(job.tile);
  const bool dithered = p.store.mode == StoreMode::kDither;
  Nest(store, (dithered ? 2 : 1) * job.tile.images * job.tile.rows, job.tile.columns);
  Stage requantize = {};
  Stage write = {};
  if (dithered) Loop(requantize, kWordBytes);  // FindLanes
  Loop(requantize, count, shape.word_cycles);
  EachWord(write, shape, count);
  const uint64_t quads = Blocks(job.rows, kQuad);
  const uint64_t slower = Later(requantize.cycles, write.cycles);
  store.bytes += quads * write.bytes;
  store.cycles += requantize.cycles + write.cycles + (quads - 1) * slower;
  store.waits += write.cycles == slower ? quads * write.waits : write.waits;
}

// StoreLogits.
inline void StoreLogitsModel(Stage &store, const Pass &p, const Job &job) {
  const uint32_t first = job.tile.first_n * kImages;
  const uint32_t count = Smaller(job.tile.images * kImages, p.batch - first);
  for (uint32_t row = 0; row < job.rows; ++row) {
    Single(store, 1);
    Loop(store, count);
    BurstWords(store, count);
  }
}

// StoreGradient.
inline void StoreGradientModel(Stage &store, const Pass &p, const Job &job) {
  const uint32_t held = job.chunk.first_quad * (p.pixels ? 1 : kQuad);
  const uint32_t channels = job.chunk.quads * (p.pixels ? 1 : kQuad);
  const uint32_t part = job.chunk.rows * p.kernel_w;
  const bool whole = part == p.kernel_h * p.kernel_w;
  for (uint32_t row = 0; row < job.rows; ++row) {
    const Filters filters = FiltersOf(p, job.group * p.rows.merged + job.first_row + row);
    const uint32_t first = Larger(held, filters.first);
    const uint32_t end = Smaller(held + channels, filters.first + filters.channels);
    if (first >= end) continue;
    if (p.pixels) {
      Nest(store, channels * job.chunk.rows, p.kernel_w);
    } else {
      Nest(store, job.chunk.quads, job.taps, kQuad);
    }
    Stage burst = {};
    BurstWords(burst, whole ? (end - first) * part : part);
    AddTimes(store, burst, whole ? 1 : end - first);
  }
}

// Which depth the array runs through, MultiplyJob.
inline uint32_t DepthOf(const Pass &p, const Job &job) {
  const uint32_t groups = job.chunk.quads * job.taps;
  return p.mode == MacMode::kForward && groups == 0 ? 1 : groups;
}

// MacTile's turns.
inline uint64_t ArrayCycles(const TileShape &shape, const Pass &p, const Job &job) {
  return uint64_t{WordsOf(job.tile)} * Blocks(job.rows, shape.mac_rows) * DepthOf(p, job);
}

// When each process is done with the job before and the one before that: an array between two processes is doubled.
struct Overlap {
  uint64_t loaded[2];
  uint64_t multiplied[2];
  uint64_t stored[2];
};

inline void Advance(uint64_t done[2], uint64_t end) {
  done[1] = done[0];
  done[0] = end;
}

inline void Meet(Overlap &o, uint64_t load, uint64_t multiply, uint64_t store) {
  const uint64_t loaded = Later(o.loaded[0], o.multiplied[1]) + load;
  const uint64_t multiplied = Later(Later(loaded, o.multiplied[0]), o.stored[1]) + multiply;
  Advance(o.stored, Later(multiplied, o.stored[0]) + store);
  Advance(o.loaded, loaded);
  Advance(o.multiplied, multiplied);
}

// MacPass.
inline void MacPassModel(Cost &cost, const TileShape &shape, const strop_board &board, const Pass &p) {
  const uint32_t jobs = JobsOf(shape, p);
  Overlap overlap = {};
  uint32_t weights_held = ~0u;
  for (uint32_t index = 0; index < jobs; ++index) {
    const Job job = JobAt(shape, p, index);
    if (job.rows == 0) continue;
    Stage load = {};
    Stage compute = {};
    Stage store = {};
    Work(load, 4 * kDivision);  // JobAt: the longest chain of divisions
    LoadPlanesModel(load, shape, p, job);
    if (p.mode == MacMode::kWeightGradient) {
      LoadErrorsModel(load, shape, job);
    } else {
      const uint32_t wanted = p.tiling.resident ? index / ChunksOf(p.tiling) / TilesOf(p.tiling) : index;
      if (wanted != weights_held) LoadWeightsModel(compute, board, p, job);
      weights_held = wanted;
    }
    const uint64_t turns = ArrayCycles(shape, p, job);
    Loop(compute, turns);
    cost.array_cycles += turns;
    if (job.last) {
      if (p.mode == MacMode::kWeightGradient) {
        StoreGradientModel(store, p, job);
      } else if (p.store.mode == StoreMode::kLogits) {
        StoreLogitsModel(store, p, job);
      } else {
        StoreMapsModel(store, shape, p, job);
      }
    }
    Meet(overlap, load.cycles, compute.cycles, store.cycles);
    Add(cost.load, load);
    Add(cost.compute, compute);
    Add(cost.store, store);
  }
  cost.cycles += overlap.stored[0];
}

}  // namespace model
}  // namespace strop

#endif  // STROP_MODEL_MAC_PASS_MODEL_HPP
