// SGD with momentum and weight decay, and the int8 view of the weights: NUMERICS.md 1.8.
#ifndef STROP_SGD_HPP
#define STROP_SGD_HPP

#include "site.hpp"
#include "view_layout.hpp"

namespace strop {

// A part of one row of the weights. What a row on chip holds; in emulation it is a pointer into the arena, and holds all.
struct SgdPart {
  uint32_t row;
  uint32_t count;
  uint32_t offset;  // in bytes, in master, momentum and gradient alike
  bool first;       // of its row
  bool last;
};

constexpr uint32_t kSgdValuesOnChip = 512;
constexpr uint32_t kSgdValues = STROP_HARDWARE ? kSgdValuesOnChip : STROP_MAX_REDUCTION;

inline uint32_t SgdPartsOfRow(const strop_command &c) { return CeilDivide(c.columns, kSgdValues); }

inline SgdPart SgdPartAt(const strop_command &c, uint32_t index) {
  const uint32_t parts = SgdPartsOfRow(c);
  const uint32_t row = index / parts;
  const uint32_t at = index % parts * kSgdValues;
  return {row, Smaller(kSgdValues, c.columns - at), 4 * (row * c.columns + at), at == 0, at + kSgdValues >= c.columns};
}

inline int32_t GradientExponent(const int32_t *words, const strop_command &c, uint32_t row) {
  return ReadWord(words, c.gradient_exponent + ((c.flags & STROP_FLAG_EXPONENT_PER_ROW) ? 4 * row : 0));
}

inline SgdConstants SgdConstantsOf(const int32_t *words, const strop_command &c, uint32_t slot) {
  return {c.batch_mantissa,
          c.batch_shift - c.fraction_bits,
          c.momentum_decay,
          c.weight_decay_mantissa,
          c.weight_decay_shift,
          ReadWord(words, STROP_FIELD_AT(slot, strop_slot, learning_rate_mantissa)),
          ReadWord(words, STROP_FIELD_AT(slot, strop_slot, learning_rate_shift))};
}

// `constants` lacks the exponent of the row's gradient. `largest` is the largest magnitude of the row so far.
inline void UpdatePart(Lane &lane, const SgdPart &part, const SgdConstants &constants, int32_t exponent,
                       int32_t *master, int32_t *momentum, const int32_t *gradient, uint32_t &largest) {
  (void)lane;
  const SgdConstants own = {constants.batch_mantissa,     constants.gradient_shift + exponent,
                            constants.momentum_decay,     constants.weight_decay_mantissa,
                            constants.weight_decay_shift, constants.learning_rate_mantissa,
                            constants.learning_rate_shift};
  const uint32_t seen = STROP_LEAF(lane, SgdRow)(master, momentum, gradient, part.count, own);
  largest = Larger(seen, part.first ? 0 : largest);
}

// The largest magnitude of each row goes to weight_exponent[row] for the moment; ViewRows turns it into the exponent.
inline void WriteLargest(int32_t *words, const strop_command &c, const SgdPart &part, uint32_t largest) {
  if (part.last && (c.flags & STROP_FLAG_VIEW)) {
    WriteWord(words, c.weight_exponent + 4 * part.row, static_cast<int32_t>(largest));
  }
}

#if STROP_HARDWARE
using SgdValues = int32_t[kSgdValues];

inline int32_t ReadPart(const int32_t *words, const strop_command &c, const SgdPart &part, SgdValues master,
                        SgdValues momentum, SgdValues gradient) {
  BurstReadWords(master, words, c.master + part.offset, part.count);
  BurstReadWords(momentum, words, c.momentum + part.offset, part.count);
  BurstReadWords(gradient, words, c.gradient + part.offset, part.count);
  return GradientExponent(words, c, part.row);
}

// What is updated in place has to lie in the buffers that are written next, not in those that are read.
inline void CopyPart(const SgdPart &part, const SgdValues master, const SgdValues momentum, SgdValues new_master,
                     SgdValues new_momentum) {
CopyPart_Word:
  for (uint32_t i = 0; i < part.count; i += kWordValues) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 32
#pragma HLS PIPELINE II = kWordCycles
    CopyValues(new_master + i, master + i);
    CopyValues(new_momentum + i, momentum + i);
  }
}

inline void UpdateCopy(Lane &lane, const SgdPart &part, const SgdConstants &constants, int32_t exponent,
                       const SgdValues master, const SgdValues momentum, const SgdValues gradient, SgdValues new_master,
                       SgdValues new_momentum, uint32_t &largest) {
  CopyPart(part, master, momentum, new_master, new_momentum);
  UpdatePart(lane, part, constants, exponent, new_master, new_momentum, gradient, largest);
}

inline void WritePart(int32_t *words, const strop_command &c, const SgdPart &part, const SgdValues master,
                      const SgdValues momentum, uint32_t largest) {
  BurstWriteWords(words, c.master + part.offset, master, part.count);
  BurstWriteWords(words, c.momentum + part.offset, momentum, part.count);
  WriteLargest(words, c, part, largest);
}
#endif

// The rows of this lane, part by part. While one part is updated, the next is read and the last is written.
inline void SgdRows(Lane &lane, int32_t *words, const strop_command &c, uint32_t slot) {
  const SgdConstants constants = SgdConstantsOf(words, c, slot);
  const uint32_t last = lane.Last(c.rows) * SgdPartsOfRow(c);
  uint32_t largest = 0;
SgdRows_Part:
  for (uint32_t index = lane.First(c.rows) * SgdPartsOfRow(c); index < last; ++index) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 65536
#pragma HLS DATAFLOW
    const SgdPart part = SgdPartAt(c, index);
#if STROP_HARDWARE
    SgdValues master, momentum, gradient, new_master, new_momentum;
#pragma HLS ARRAY_RESHAPE variable = master type = cyclic factor = kPortValues
#pragma HLS ARRAY_RESHAPE variable = momentum type = cyclic factor = kPortValues
#pragma HLS ARRAY_RESHAPE variable = gradient type = cyclic factor = kPortValues
#pragma HLS ARRAY_RESHAPE variable = new_master type = cyclic factor = kPortValues
#pragma HLS ARRAY_RESHAPE variable = new_momentum type = cyclic factor = kPortValues
#if STROP_WIDE_ARRAY
#pragma HLS BIND_STORAGE variable = master type = ram_s2p impl = lutram
#pragma HLS BIND_STORAGE variable = momentum type = ram_s2p impl = lutram
#pragma HLS BIND_STORAGE variable = gradient type = ram_s2p impl = lutram
#endif
#pragma HLS BIND_STORAGE variable = new_master type = ram_s2p impl = lutram
#pragma HLS BIND_STORAGE variable = new_momentum type = ram_s2p impl = lutram
    const int32_t exponent = ReadPart(words, c, part, master, momentum, gradient);
    UpdateCopy(lane, part, constants, exponent, master, momentum, gradient, new_master, new_momentum, largest);
    WritePart(words, c, part, new_master, new_momentum, largest);
#else
    const uint32_t at = part.offset / 4;
    UpdatePart(lane, part, constants, GradientExponent(words, c, part.row), words + c.master / 4 + at,
               words + c.momentum / 4 + at, words + c.gradient / 4 + at, largest);
    WriteLargest(words, c, part, largest);
#endif
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
    for (uint32_t at = 0; at < c.columns; at += kHeld) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 33
      const uint32_t count = Smaller(kHeld, c.columns - at);
      STROP_READ_VALUES(master, lane.tiles.wide, words, c.master + 4 * (row * c.columns + at), count);
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
  STROP_READ_VALUES(master, lane.tiles.wide, words, from, present * taps);
  STROP_WRITE_ROW(packed, lane.tiles.row, dram, to);
  STROP_LEAF(lane, PackQuads)(master, skip, present, count, taps, shift, packed);
  STROP_FLUSH_ROW(packed, dram, to, count * taps * kQuad);
}

// w8 = sat(rsh(W, shift of the row)), laid out as view_layout.hpp says, and ew = fraction - shift.
inline void ViewRows(Lane &lane, int8_t *dram, int32_t *words, const strop_command &c) {
  const ViewLayout view = ViewLayoutOf(c);
  const uint32_t part = kHeld / (view.taps * kQuad);
  const uint32_t last = lane.Last(c.rows);
ViewRows_Row:
  for (uint32_t row = lane.First(c.rows); row < last; ++row) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
    const int32_t shift = ShiftFor(static_cast<uint32_t>(ReadWord(words, c.weight_exponent + 4 * row)));
    if (c.flags & STROP_FLAG_PIXELS) {
      const uint32_t to = c.weights + row * view.row_bytes;
      STROP_READ_VALUES(master, lane.tiles.wide, words, c.master + 4 * row * c.columns, c.columns);
      STROP_WRITE_ROW(packed, lane.tiles.row, dram, to);
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
