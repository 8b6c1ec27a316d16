// Where a weight view holds what: contract.h, "weight view". SGD and WEIGHT_VIEW write it, the convolutions read it.
#ifndef STROP_VIEW_LAYOUT_HPP
#define STROP_VIEW_LAYOUT_HPP

#include "fixed_point.hpp"

namespace strop {

struct ViewLayout {
  uint32_t merged;     // groups in one merged group: M
  uint32_t quads;      // of input channels in a row: D; with pixels every channel is a quad of its own
  uint32_t taps;       // groups of 4 values, a quad: R*S, with pixels R*ceil(S/4)
  uint32_t row_bytes;  // one output channel
};

// M: the smallest number of groups whose channels fill whole quads, in and out; 1, 2 or 4, since 4 always serves.
inline uint32_t MergedGroups(const strop_command &c) {
  if (c.groups == 1) return 1;
  const uint32_t either = c.channels_in / c.groups | c.channels_out / c.groups;
  const uint32_t merged = either % 4 == 0 ? 1 : (either % 2 == 0 ? 2 : 4);
  return merged < c.groups ? merged : c.groups;
}

inline ViewLayout ViewLayoutOf(const strop_command &c) {
  if (c.flags & STROP_FLAG_PIXELS) {
    const uint32_t taps = c.kernel_h * CeilDivide(c.kernel_w, STROP_QUAD);
    return {1, c.channels_in, taps, c.channels_in * taps * STROP_QUAD};
  }
  const uint32_t merged = MergedGroups(c);
  const uint32_t quads = CeilDivide(merged * (c.channels_in / c.groups), STROP_QUAD);
  const uint32_t taps = c.kernel_h * c.kernel_w;
  return {merged, quads, taps, quads * taps * STROP_QUAD};
}

// The merged group of output channel k.
inline uint32_t MergedGroupOf(const ViewLayout &view, const strop_command &c, uint32_t k) {
  return k / (c.channels_out / c.groups) / view.merged;
}

// The quad of input channels that the view's quad 0 stands for. The last merged group may have fewer groups than the others: its
// view's last quads may lie beyond C. They are zero, and nothing is read for them.
inline uint32_t FirstQuad(const ViewLayout &view, const strop_command &c, uint32_t k) {
  return MergedGroupOf(view, c, k) * (view.merged * (c.channels_in / c.groups) / STROP_QUAD);
}

}  // namespace strop

#endif  // STROP_VIEW_LAYOUT_HPP
