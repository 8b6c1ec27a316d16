// The raster under a convolution, and how a channel's plane is laid on it.
//
// The columns of a MAC tile are not the output positions themselves but the cells of a raster: the zero-padded source, image
// after image, row after row. Then the operand of filter tap (r, s) is the same stretch of memory, moved by r rows and s cells:
// no gathering for each tap. Cells that are no output position (the last S-1 of a row) are computed and dropped.
//   stride 1: one raster; the zeros right of a row are those left of the next.
//   stride t: t_h * t_w rasters, one for each remainder of the padded coordinates (phase); a tap picks its phase.
// Forward and weight gradient use the raster of the layer's input. The input gradient is a stride-1 convolution of the output's
// gradient, spread by the stride (`spread`), with the filter turned around.
#ifndef STROP_RASTER_HPP
#define STROP_RASTER_HPP

#include "dram.hpp"
#include "lane.hpp"
#include "runs.hpp"

namespace strop {

struct Raster {
  uint32_t batch;
  uint32_t source_h, source_w;  // plane in memory
  uint32_t spread_h, spread_w;  // cells from one source value to the next
  uint32_t top, left;           // zeros in front
  uint32_t stride_h, stride_w;  // phases
  uint32_t out_h, out_w;        // positions that count
  uint32_t kernel_h, kernel_w;
  uint32_t pitch;  // cells a row
  uint32_t image;  // cells an image
};

// Cells along one axis: see the head of this file. `extent` is the source's length after spreading.
inline uint32_t RasterLength(uint32_t extent, uint32_t out, uint32_t kernel, uint32_t front, uint32_t stride) {
  if (stride > 1) return out + (kernel - 1) / stride;
  const uint32_t needed = out - 1 + kernel;
  const uint32_t back = needed > front + extent ? needed - front - extent : 0;
  return extent + (front > back ? front : back);
}

inline void FinishRaster(Raster &raster) {
  const uint32_t extent_h = (raster.source_h - 1) * raster.spread_h + 1;
  const uint32_t extent_w = (raster.source_w - 1) * raster.spread_w + 1;
  raster.pitch = RasterLength(extent_w, raster.out_w, raster.kernel_w, raster.left, raster.stride_w);
  raster.image = raster.pitch * RasterLength(extent_h, raster.out_h, raster.kernel_h, raster.top, raster.stride_h);
}

// The raster of a layer's input, for forward and weight gradient.
inline Raster InputRaster(const strop_command &c) {
  Raster raster = {c.batch,    c.height_in,  c.width_in,  1,          1,          c.pad_top, c.pad_left, c.stride_h,
                   c.stride_w, c.height_out, c.width_out, c.kernel_h, c.kernel_w, 0,         0};
  FinishRaster(raster);
  return raster;
}

// The raster of the output's gradient, for the input gradient.
inline Raster GradientRaster(const strop_command &c) {
  Raster raster = {c.batch,
                   c.height_out,
                   c.width_out,
                   c.stride_h,
                   c.stride_w,
                   c.kernel_h - 1 - c.pad_top,
                   c.kernel_w - 1 - c.pad_left,
                   1,
                   1,
                   c.height_in,
                   c.width_in,
                   c.kernel_h,
                   c.kernel_w,
                   0,
                   0};
  FinishRaster(raster);
  return raster;
}

inline uint32_t RasterCells(const Raster &raster) { return raster.batch * raster.image; }

inline bool IsDense(const Raster &raster) {
  return raster.stride_h == 1 && raster.stride_w == 1 && raster.pitch == raster.out_w &&
         raster.image == raster.out_h * raster.out_w;
}

// Bytes that one phase needs on chip under a full tile, and the phases that the filter's taps use.
inline uint32_t RasterSpan(const Raster &raster) {
  const uint32_t reach =
      (raster.kernel_h - 1) / raster.stride_h * raster.pitch + (raster.kernel_w - 1) / raster.stride_w;
  return (kTileColumns + reach + 2 * STROP_ALIGN_BYTES - 1) / STROP_ALIGN_BYTES * STROP_ALIGN_BYTES;
}

inline uint32_t PhasesH(const Raster &raster) { return Smaller(raster.stride_h, raster.kernel_h); }
inline uint32_t PhasesW(const Raster &raster) { return Smaller(raster.stride_w, raster.kernel_w); }

// The widest raster within the limits, for each stride (contract.h; limits.hpp refuses windows that leave the map).
constexpr uint32_t LargestRaster(uint32_t stride) {
  return stride * stride *
         ((kTileColumns +
           (STROP_MAX_KERNEL - 1) / stride * ((STROP_MAX_SIDE + 2 * STROP_MAX_KERNEL) / stride + STROP_MAX_KERNEL) +
           STROP_MAX_KERNEL + 2 * STROP_ALIGN_BYTES) /
          STROP_ALIGN_BYTES * STROP_ALIGN_BYTES);
}
static_assert(LargestRaster(1) <= kPlaneBytes, "one channel's raster must fit kPlaneBytes at stride 1");
static_assert(LargestRaster(2) <= kPlaneBytes, "one channel's raster must fit kPlaneBytes at stride 2");
static_assert(LargestRaster(3) <= kPlaneBytes, "one channel's raster must fit kPlaneBytes at stride 3");
static_assert(LargestRaster(4) <= kPlaneBytes, "one channel's raster must fit kPlaneBytes at stride 4");
static_assert(STROP_MAX_STRIDE == 4, "a larger stride needs its own bound");

// Where each tap begins in a channel's on-chip raster, in the filter's order or, for a turned filter, the opposite.
struct TapOffsets {
  uint32_t taps;
  uint32_t at[STROP_MAX_KERNEL * STROP_MAX_KERNEL];
};

inline void FindTapOffsets(const Raster &raster, bool turned, TapOffsets &offsets) {
  offsets.taps = raster.kernel_h * raster.kernel_w;
FindTapOffsets_Row:
  for (uint32_t r = 0; r < raster.kernel_h; ++r) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 15
  FindTapOffsets_Column:
    for (uint32_t s = 0; s < raster.kernel_w; ++s) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 15
      const uint32_t tap = r * raster.kernel_w + s;
      const uint32_t phase = (r % raster.stride_h) * PhasesW(raster) + s % raster.stride_w;
      offsets.at[turned ? offsets.taps - 1 - tap : tap] =
          phase * RasterSpan(raster) + r / raster.stride_h * raster.pitch + s / raster.stride_w;
    }
  }
}

// Walks over channels and their taps, bringing each channel's raster on chip when it is met first.
struct TapWalk {
  uint32_t channel;
  uint32_t tap;
  uint32_t loaded;  // channels below are on chip
};

// target[0..count) = cells `first`.. of phase (phase_h, phase_w) of the plane at DRAM offset `source`; cells that hold no
// source value are 0.
inline void LoadPhase(const int8_t *dram, uint32_t source, const Raster &raster, uint32_t phase_h, uint32_t phase_w,
                      uint32_t first, uint32_t count, int8_t *target) {
  const uint32_t cells = RasterCells(raster);
  if (IsDense(raster) && raster.spread_h == 1 && raster.spread_w == 1 && raster.top == 0 && raster.left == 0 &&
      raster.source_w == raster.pitch && raster.source_h * raster.source_w == raster.image) {
    const uint32_t held = first >= cells ? 0 : Smaller(count, cells - first);
    BurstRead(target, dram, source + first, held);
    Fill(target, held, count, 0);
    return;
  }
  uint32_t n = first / raster.image;
  uint32_t y = first % raster.image / raster.pitch;
  uint32_t x = first % raster.pitch;
  const uint32_t rows = raster.image / raster.pitch;
  const int32_t extent_h = static_cast<int32_t>((raster.source_h - 1) * raster.spread_h + 1);
  const int32_t extent_w = static_cast<int32_t>((raster.source_w - 1) * raster.spread_w + 1);
  uint32_t done = 0;
LoadPhase_Row:
  for (uint32_t row = 0; row < count; ++row) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1088
    if (done == count) break;
    const uint32_t length = Smaller(raster.pitch - x, count - done);
    const int32_t padded_y = static_cast<int32_t>(y * raster.stride_h + phase_h) - static_cast<int32_t>(raster.top);
    const bool holds = n < raster.batch && padded_y >= 0 && padded_y < extent_h &&
                       padded_y % static_cast<int32_t>(raster.spread_h) == 0;
    const uint32_t source_y = holds ? static_cast<uint32_t>(padded_y) / raster.spread_h : 0;
    const uint32_t line = source + (n * raster.source_h + source_y) * raster.source_w;
    int8_t *out = target + done;
    if (!holds) {
      Fill(out, 0, length, 0);
    } else if (raster.stride_w == 1 && raster.spread_w == 1) {
      const uint32_t begin = x < raster.left ? Smaller(raster.left - x, length) : 0;  // zeros in front
      const uint32_t at = x + begin - raster.left;  // source column of the first value
      const uint32_t held =
          at >= raster.source_w || begin == length ? 0 : Smaller(raster.source_w - at, length - begin);
      Fill(out, 0, begin, 0);
      BurstRead(out + begin, dram, line + at, held);
      Fill(out, begin + held, length, 0);
    } else {
    LoadPhase_Cell:
      for (uint32_t i = 0; i < length; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1088
        const int32_t padded_x =
            static_cast<int32_t>((x + i) * raster.stride_w + phase_w) - static_cast<int32_t>(raster.left);
        const bool value =
            padded_x >= 0 && padded_x < extent_w && padded_x % static_cast<int32_t>(raster.spread_w) == 0;
        out[i] = value ? dram[line + static_cast<uint32_t>(padded_x) / raster.spread_w] : int8_t{0};
      }
    }
    done += length;
    x = 0;
    ++y;
    if (y == rows) {
      y = 0;
      ++n;
    }
  }
}

// All phases of one channel under the tile of columns that starts at cell `first`.
inline void LoadPlane(const int8_t *dram, uint32_t source, const Raster &raster, uint32_t first, int8_t *plane) {
  const uint32_t span = RasterSpan(raster);
LoadPlane_PhaseH:
  for (uint32_t a = 0; a < PhasesH(raster); ++a) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4
  LoadPlane_PhaseW:
    for (uint32_t b = 0; b < PhasesW(raster); ++b) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4
      LoadPhase(dram, source, raster, a, b, first, span, plane + (a * PhasesW(raster) + b) * span);
    }
  }
}

// Where in Tiles::planes the row of the walk's present tap begins; then one tap on. `source` is the DRAM offset of channel 0.
inline uint32_t NextTap(Tiles &tiles, const int8_t *dram, uint32_t source, uint32_t source_plane, const Raster &raster,
                        const TapOffsets &offsets, uint32_t first, TapWalk &walk) {
  const uint32_t plane = walk.channel % kPlanes * kPlaneBytes;
  if (walk.channel == walk.loaded) {
    LoadPlane(dram, source + walk.channel * source_plane, raster, first, tiles.planes + plane);
    ++walk.loaded;
  }
  const uint32_t row = plane + offsets.at[walk.tap];
  ++walk.tap;
  if (walk.tap == offsets.taps) {
    walk.tap = 0;
    ++walk.channel;
  }
  return row;
}

// The output positions among the `columns` cells from `first`.
inline void FindRuns(const Raster &raster, uint32_t first, uint32_t columns, Runs &runs) {
  runs.count = 0;
  runs.total = 0;
  uint32_t n = first / raster.image;
  uint32_t y = first % raster.image / raster.pitch;
  uint32_t x = first % raster.pitch;
  const uint32_t rows = raster.image / raster.pitch;
  // the first position at or after the tile's first cell
  const uint32_t in_image =
      y >= raster.out_h ? raster.out_h * raster.out_w : y * raster.out_w + Smaller(x, raster.out_w);
  runs.first_output = n * raster.out_h * raster.out_w + in_image;
  if (IsDense(raster)) {
    runs.count = 1;
    runs.total = columns;
    runs.start[0] = 0;
    runs.length[0] = static_cast<uint16_t>(columns);
    return;
  }
  uint32_t done = 0;
FindRuns_Row:
  for (uint32_t row = 0; row < kMaxRunsPerTile; ++row) {
    if (done >= columns) break;
    const uint32_t length = Smaller(raster.pitch - x, columns - done);
    if (y < raster.out_h && x < raster.out_w) {
      const uint32_t valid = Smaller(raster.out_w - x, length);
      runs.start[runs.count] = static_cast<uint16_t>(done);
      runs.length[runs.count] = static_cast<uint16_t>(valid);
      runs.total += valid;
      ++runs.count;
    }
    done += length;
    x = 0;
    ++y;
    if (y == rows) {
      y = 0;
      ++n;
    }
  }
}

}  // namespace strop

#endif  // STROP_RASTER_HPP
