// The passes of the MAC array, job by job as mac_pass.hpp runs them: three processes that overlap, with doubled arrays between.
#ifndef STROP_MODEL_MAC_PASS_MODEL_HPP
#define STROP_MODEL_MAC_PASS_MODEL_HPP

#include "../convolution.hpp"
#include "cost.hpp"

namespace strop {
namespace model {

// LoadPlanes, LoadZero.
inline void LoadPlanesModel(Stage &load, const strop_board &board, const Pass &p, const Job &job) {
  const Region region = RegionOf(p, job);
  EachWord(load, board, Way::kRead, uint64_t{region.quads} * region.images * region.height * region.width);
  Nest(load, job.tile.images * job.tile.rows, job.tile.columns);
  Nest(load, job.chunk.quads * job.chunk.rows, p.window.w.taps);
  if (IsEmpty(job)) Loop(load, WordsOf(job.tile));
}

// LoadErrors.
inline void LoadErrorsModel(Stage &load, const strop_board &board, const Job &job) {
  Nest(load, job.tile.images * job.tile.rows, job.tile.columns);
  EachWord(load, board, Way::kRead, uint64_t{CeilDivide(job.rows, kQuad)} * WordsOf(job.tile));
}

// LoadTurnedFilters.
inline void LoadTurnedModel(Stage &load, const strop_board &board, const Pass &p, const Job &job, const Chunk &part,
                            uint32_t taps) {
  const uint32_t row_taps = p.flat ? 1 : p.view.taps;
  const uint32_t at_once = kStrip / (row_taps * kQuad);
  const uint32_t row_quads = CeilDivide(job.rows, kQuad);
  Loop(load, taps);
  for (uint32_t quad = 0; quad < row_quads; quad += at_once) {
    const uint32_t held = Smaller(at_once, row_quads - quad);
    Stage strips = {};
    for (uint32_t k = 0; k < kQuad; ++k) Burst(strips, board, Way::kRead, held * row_taps * kQuad);
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
    Burst(row, board, Way::kRead, part.quads * taps * kQuad);
    AddTimes(load, row, job.rows);
  }
}

// StoreMaps: one quad is requantized while the one before leaves.
inline void StoreMapsModel(Stage &store, const strop_board &board, const Pass &p, const Job &job) {
  const uint32_t count = WordsOf(job.tile);
  const bool dithered = p.store.mode == StoreMode::kDither;
  Nest(store, (dithered ? 2 : 1) * job.tile.images * job.tile.rows, job.tile.columns);
  Stage requantize = {};
  Stage write = {};
  if (dithered) Loop(requantize, kWordBytes);  // FindDitherLanes
  Loop(requantize, count, WordCycles(board));
  EachWord(write, board, Way::kWrite, count);
  const uint64_t quads = CeilDivide(job.rows, kQuad);
  const uint64_t slower = Later(requantize.cycles, write.cycles);
  Move(store, Way::kWrite, quads * write.bytes);
  store.cycles += requantize.cycles + write.cycles + (quads - 1) * slower;
  store.waits += write.cycles == slower ? quads * write.waits : write.waits;
}

// StoreLogits.
inline void StoreLogitsModel(Stage &store, const strop_board &board, const Pass &p, const Job &job) {
  const uint32_t first = job.tile.first_n * kImages;
  const uint32_t count = Smaller(job.tile.images * kImages, p.batch - first);
  for (uint32_t row = 0; row < job.rows; ++row) {
    Single(store, 1);
    Loop(store, count);
    BurstWords(store, board, Way::kWrite, count);
  }
}

// StoreGradient.
inline void StoreGradientModel(Stage &store, const strop_board &board, const Pass &p, const Job &job) {
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
    BurstWords(burst, board, Way::kWrite, whole ? (end - first) * part : part);
    AddTimes(store, burst, whole ? 1 : end - first);
  }
}

// Which depth the array runs through, MultiplyJob.
inline uint32_t DepthOf(const Pass &p, const Job &job) {
  return p.mode == MacMode::kForward && IsEmpty(job) ? 1 : job.chunk.quads * job.taps;
}

// MacTile's turns.
inline uint64_t ArrayCycles(const TileShape &shape, const Pass &p, const Job &job) {
  return uint64_t{WordsOf(job.tile)} * CeilDivide(CeilDivide(job.rows, kQuad) * kQuad, shape.mac_rows) *
         DepthOf(p, job);
}

// MacPass.
inline void MacPassModel(Cost &cost, const TileShape &shape, const strop_board &board, const Pass &p) {
  const uint32_t jobs = JobsOf(p);
  Overlap overlap = {};
  uint32_t weights_held = ~0u;
  for (uint32_t index = 0; index < jobs; ++index) {
    const Job job = JobAt(p, index);
    if (job.rows == 0) continue;
    Stage load = {};
    Stage compute = {};
    Stage store = {};
    LoadPlanesModel(load, board, p, job);
    if (p.mode == MacMode::kWeightGradient) {
      LoadErrorsModel(load, board, job);
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
        StoreGradientModel(store, board, p, job);
      } else if (p.store.mode == StoreMode::kLogits) {
        StoreLogitsModel(store, board, p, job);
      } else {
        StoreMapsModel(store, board, p, job);
      }
    }
    Meet(overlap, cost, 4, load, compute, store);  // JobAt and TileAt: four divisions
  }
  cost.cycles += overlap.stored[0];
}

}  // namespace model
}  // namespace strop

#endif  // STROP_MODEL_MAC_PASS_MODEL_HPP
