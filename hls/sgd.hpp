// SGD with momentum and weight decay, and the int8 view of the weights: NUMERICS.md 1.8.
#ifndef STROP_SGD_HPP
#define STROP_SGD_HPP

#include "site.hpp"
#include "view_layout.hpp"

namespace strop {

// Largest magnitude of each row goes to weight_exponent[row] for the moment; ViewRows turns it into the exponent.
inline void SgdRows(Lane &lane, int32_t *words, const strop_command &c, uint32_t slot) {
  const int32_t rate_mantissa = ReadWord(words, STROP_FIELD_AT(slot, strop_slot, learning_rate_mantissa));
  const int32_t rate_shift = ReadWord(words, STROP_FIELD_AT(slot, strop_slot, learning_rate_shift));
  const uint32_t last = lane.Last(c.rows);
SgdRows_Row:
  for (uint32_t row = lane.First(c.rows); row < last; ++row) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
    const uint32_t word = (c.flags & STROP_FLAG_EXPONENT_PER_ROW) ? 4 * row : 0;
    const int32_t exponent = ReadWord(words, c.gradient_exponent + word);
    const SgdConstants constants = {c.batch_mantissa,
                                    exponent + c.batch_shift - c.fraction_bits,
                                    c.momentum_decay,
                                    c.weight_decay_mantissa,
                                    c.weight_decay_shift,
                                    rate_mantissa,
                                    rate_shift};
    uint32_t largest = 0;
  SgdRows_Part:
    for (uint32_t at = 0; at < c.columns; at += kRow) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 33
      const uint32_t count = Smaller(kRow, c.columns - at);
      const uint32_t offset = 4 * (row * c.columns + at);
      STROP_READ_VALUES(master, lane.tiles.wide[0], words, c.master + offset, count);
      STROP_READ_VALUES(momentum, lane.tiles.wide[1], words, c.momentum + offset, count);
      STROP_READ_VALUES(gradient, lane.tiles.wide[2], words, c.gradient + offset, count);
      const uint32_t seen = STROP_LEAF(lane, SgdRow)(master, momentum, gradient, count, constants);
      largest = seen > largest ? seen : largest;
      STROP_FLUSH_VALUES(master, words, c.master + offset, count);
      STROP_FLUSH_VALUES(momentum, words, c.momentum + offset, count);
    }
    if (c.flags & STROP_FLAG_VIEW) WriteWord(words, c.weight_exponent + 4 * row, static_cast<int32_t>(largest));
  }
}

// The same magnitudes, of masters that were loaded and not updated.
inline void MeasureRows(Lane &lane, int32_t *words, const strop_command &c) {
  const uint32_t last = lane.Last(c.rows);
MeasureRows_Row:
  for (uint32_t row = lane.First(c.rows); row < last; ++row) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
    uint32_t largest = 0;
  MeasureRows_Part:
    for (uint32_t at = 0; at < c.columns; at += kRow) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 33
      const uint32_t count = Smaller(kRow, c.columns - at);
      STROP_READ_VALUES(master, lane.tiles.wide[0], words, c.master + 4 * (row * c.columns + at), count);
      const uint32_t seen = STROP_LEAF(lane, MaxAbs)(master, count);
      largest = seen > largest ? seen : largest;
    }
    WriteWord(words, c.weight_exponent + 4 * row, static_cast<int32_t>(largest));
  }
}

// Quads [first, first + count) of row k of the view. Its masters are the channels of k's own group; the view's other channels, which k does
// not read, are 0.
inline void ViewQuads(Lane &lane, int8_t *dram, int32_t *words, const strop_command &c, const ViewLayout &view,
                      uint32_t k, uint32_t first, uint32_t count, int32_t shift) {
  const uint32_t taps = view.taps;
  const uint32_t channels = c.channels_in / c.groups;
  const uint32_t own = k / (c.channels_out / c.groups) % view.merged * channels;  // the first own channel in the view
  const uint32_t begin = first * kQuad > own ? first * kQuad : own;
  const uint32_t end = Smaller((first + count) * kQuad, own + channels);
  const uint32_t present = end > begin ? end - begin : 0;
  const uint32_t skip = begin - first * kQuad;
  const uint32_t from = c.master + 4 * (k * c.columns + (begin - own) * taps);
  const uint32_t to = c.weights + k * view.row_bytes + first * taps * kQuad;
  STROP_READ_VALUES(master, lane.tiles.wide[0], words, from, present * taps);
  STROP_WRITE_ROW(packed, lane.tiles.row[0], dram, to);
  STROP_LEAF(lane, PackQuads)(master, skip, present, count, taps, shift, packed);
  STROP_FLUSH_ROW(packed, dram, to, count * taps * kQuad);
}

// w8 = sat(rsh(W, shift of the row)), laid out as view_layout.hpp says, and ew = fraction - shift.
inline void ViewRows(Lane &lane, int8_t *dram, int32_t *words, const strop_command &c) {
  const ViewLayout view = ViewLayoutOf(c);
  const uint32_t part = kRow / (view.taps * kQuad);
  const uint32_t last = lane.Last(c.rows);
ViewRows_Row:
  for (uint32_t row = lane.First(c.rows); row < last; ++row) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
    const int32_t shift = ShiftFor(static_cast<uint32_t>(ReadWord(words, c.weight_exponent + 4 * row)));
    if (c.flags & STROP_FLAG_PIXELS) {
      const uint32_t to = c.weights + row * view.row_bytes;
      STROP_READ_VALUES(master, lane.tiles.wide[0], words, c.master + 4 * row * c.columns, c.columns);
      STROP_WRITE_ROW(packed, lane.tiles.row[0], dram, to);
      STROP_LEAF(lane, PackPixelRows)(master, c.channels_in * c.kernel_h, c.kernel_w, shift, packed);
      STROP_FLUSH_ROW(packed, dram, to, view.row_bytes);
    } else {
    ViewRows_Part:
      for (uint32_t quad = 0; quad < view.quads; quad += part) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 33
        ViewQuads(lane, dram, words, c, view, row, quad, Smaller(part, view.quads - quad), shift);
      }
    }
    WriteWord(words, c.weight_exponent + 4 * row, STROP_WEIGHT_FRACTION - shift);
  }
}

// From the rows' magnitudes in weight_exponent to the view and its exponents.
inline void MakeView(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c) {
  if ((c.flags & STROP_FLAG_VIEW_PER_ROW) == 0) {
    uint32_t largest = 0;
  MakeView_Largest:
    for (uint32_t row = 0; row < c.rows; ++row) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
      const uint32_t seen = static_cast<uint32_t>(ReadWord(words, c.weight_exponent + 4 * row));
      largest = seen > largest ? seen : largest;
    }
  MakeView_Share:
    for (uint32_t row = 0; row < c.rows; ++row) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
      WriteWord(words, c.weight_exponent + 4 * row, static_cast<int32_t>(largest));
    }
  }
  STROP_ON_LANES(machine, uint64_t{c.rows} * c.columns, ViewRows(lane, dram, words, c));
}

inline uint32_t Sgd(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c, uint32_t slot) {
  STROP_ON_LANES(machine, uint64_t{c.rows} * c.columns * 4, SgdRows(lane, words, c, slot));
  if (c.flags & STROP_FLAG_VIEW) MakeView(machine, dram, words, c);
  return STROP_STATUS_OK;
}

inline uint32_t WeightView(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c) {
  STROP_ON_LANES(machine, uint64_t{c.rows} * c.columns, MeasureRows(lane, words, c));
  MakeView(machine, dram, words, c);
  return STROP_STATUS_OK;
}

}  // namespace strop

#endif  // STROP_SGD_HPP
