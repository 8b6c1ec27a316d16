// How the results of a job of the MAC array leave the chip: as maps, logits or weight gradients.
#ifndef STROP_MAC_STORE_HPP
#define STROP_MAC_STORE_HPP

#include "dram.hpp"
#include "lane.hpp"
#include "mac_job.hpp"
#include "quad_constants.hpp"

namespace strop {

// Where four rows of results belong: a quad of channels, and of a flat pass the position, too.
struct Place {
  uint32_t quad, y, x;
};

inline Place PlaceOf(const Pass &p, uint32_t row_quad) {
  if (!p.flat) return {row_quad, 0, 0};
  const uint32_t map = p.out_h * p.out_w;
  return {row_quad / map, row_quad % map / p.out_w, row_quad % p.out_w};
}

// Whether windows lie side by side, in which case the emulator needs no copy on their way.
inline bool AreNeighbours(const uint32_t *places, uint32_t count) { return places[count - 1] - places[0] + 1 == count; }

// Words of one quad of results to their places: every word is a burst of its own, and the bursts follow each other without a gap.
inline void WriteWords(int8_t *dram, uint32_t plane, const uint32_t *places, uint32_t count, const int8_t *results) {
WriteWords_Word:
  for (uint32_t w = 0; w < count; ++w) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 52
#pragma HLS PIPELINE II = kWordCycles
    BurstWrite(dram, plane + places[w] * kWordBytes, results + w * kWordBytes, kWordBytes);
  }
}

// Four rows of results as words of the map; their saturation is counted.
inline void RequantizeQuad(Lane &lane, const Pass &p, const Place &place, uint32_t row, uint32_t count,
                           const uint32_t *positions, const AccumulatorTile finished, int8_t *results) {
  if (p.store.mode == StoreMode::kDither) {
    const uint32_t first = p.store.dither + place.y * p.order.row + place.x * p.order.column;
    uint32_t lanes[kWordBytes];
    FindDitherLanes(first + place.quad * kQuad * p.order.channel, p.order.channel, p.order.image, lanes);
    STROP_LEAF(lane, RequantizeDitheredWords)
    (finished, row, count, p.store.shift, lanes, positions, results, lane.over, lane.half);
  } else {
    STROP_LEAF(lane, RequantizeWords)(finished, row, count, p.store.shift, results, lane.over, lane.half);
  }
}

// In hardware one quad is requantized while the one before leaves.
inline void StoreMaps(Lane &lane, int8_t *dram, const Pass &p, const Job &job, const AccumulatorTile finished) {
  const uint32_t count = WordsOf(job.tile);
  uint32_t places[kTileWords];
  uint32_t positions[kTileWords];
  FindPlaces(p, job, places);
  if (p.store.mode == StoreMode::kDither) {
    IndexWindows(p, job, kImages * p.order.image, p.order.row, p.order.column, positions);
  }
StoreMaps_Quad:
  for (uint32_t row = 0; row < job.rows; row += kQuad) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
#pragma HLS DATAFLOW
    alignas(64) int8_t results[kTileWords * kWordBytes];
    const Place place = PlaceOf(p, (job.group * p.rows.merged + job.first_row + row) / kQuad);
    const uint32_t plane = p.target + place.quad * p.target_plane + (place.y * p.out_w + place.x) * kWordBytes;
#if !STROP_HARDWARE
    if (AreNeighbours(places, count)) {
      RequantizeQuad(lane, p, place, row, count, positions, finished, dram + plane + places[0] * kWordBytes);
      continue;
    }
#endif
    RequantizeQuad(lane, p, place, row, count, positions, finished, results);
    WriteWords(dram, plane, places, count, results);
  }
}

// A site's first use: the largest magnitude alone.
inline void MeasureMaps(Lane &lane, const Job &job, const AccumulatorTile finished) {
MeasureMaps_Quad:
  for (uint32_t row = 0; row < job.rows; row += kQuad) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 16
    const uint32_t largest = STROP_LEAF(lane, MaxAbsWords)(finished, row, WordsOf(job.tile));
    lane.max_abs = Larger(largest, lane.max_abs);
  }
}

// Logits: int32 [K][N], one window an image group.
inline void StoreLogits(Lane &lane, int32_t *words, const Pass &p, const Job &job, const AccumulatorTile finished) {
StoreLogits_Row:
  for (uint32_t row = 0; row < job.rows; ++row) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 64
    const uint32_t channel = job.group * p.rows.merged + job.first_row + row;
    const int64_t bias =
        RoundShift(ReadWord(words, p.store.bias + 4 * channel), STROP_PARAMETER_FRACTION - p.store.logit_exponent);
    const uint32_t first = job.tile.first_n * kImages;
    const uint32_t count = Smaller(job.tile.images * kImages, p.batch - first);
  StoreLogits_Image:
    for (uint32_t i = 0; i < count; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 832
#pragma HLS PIPELINE II = 1
      lane.tiles.wide[i] = Sat32(finished[row][i / kImages][i % kImages] + bias);
    }
    BurstWriteWords(words, p.target + channel * p.target_plane + 4 * first, lane.tiles.wide, count);
  }
}

// The filters [C/groups][R][S] of one output channel: which of the merged group's channels they read, and where they lie.
struct Filters {
  uint32_t first, channels;
  uint32_t offset;
};

inline Filters FiltersOf(const Pass &p, uint32_t k) {
  const uint32_t channels = p.depth.channels / p.layer_groups;
  const uint32_t first = k / (p.rows.channels / p.layer_groups) % p.view.merged * channels;
  return {first, channels, p.target + 4 * k * channels * p.kernel_h * p.kernel_w};
}

// The weight gradients of a chunk, output channel by output channel, in the order of its filters.
inline void StoreGradient(Lane &lane, int32_t *words, const Pass &p, const Job &job, bool shared,
                          const AccumulatorTile finished) {
  const uint32_t held = job.chunk.first_quad * (p.pixels ? 1 : kQuad);  // the chunk's first channel
  const uint32_t channels = job.chunk.quads * (p.pixels ? 1 : kQuad);
  const uint32_t taps = p.kernel_h * p.kernel_w;
  const uint32_t part = job.chunk.rows * p.kernel_w;  // of a channel's taps
  int32_t *sums = lane.tiles.wide;
StoreGradient_Row:
  for (uint32_t row = 0; row < job.rows; ++row) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 64
    const Filters filters = FiltersOf(p, job.group * p.rows.merged + job.first_row + row);
    const uint32_t first = Larger(held, filters.first);
    const uint32_t end = Smaller(held + channels, filters.first + filters.channels);
    if (first >= end) continue;  // the view only pads
    if (p.pixels) {
      STROP_LEAF(lane, FoldPixels)(finished[row], channels * job.chunk.rows, p.kernel_w, sums);
    } else {
      STROP_LEAF(lane, FoldColumns)(finished[row], job.chunk.quads, job.taps, sums);
    }
    const uint32_t to = filters.offset + 4 * ((first - filters.first) * taps + job.chunk.first_row * p.kernel_w);
    if (part == taps) {  // channels follow each other without a gap
      PutSums(words, to, sums + (first - held) * taps, (end - first) * taps, shared);
      continue;
    }
  StoreGradient_Channel:
    for (uint32_t channel = first; channel < end; ++channel) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4
      PutSums(words, to + 4 * (channel - first) * taps, sums + (channel - held) * part, part, shared);
    }
  }
}

}  // namespace strop

#endif  // STROP_MAC_STORE_HPP
