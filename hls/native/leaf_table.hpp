// The leaf loops of one instruction set, by name.
#ifndef STROP_NATIVE_LEAF_TABLE_HPP
#define STROP_NATIVE_LEAF_TABLE_HPP

#include "../tiles.hpp"

#define STROP_LEAVES portable
#include "../leaf_loops.hpp"
#undef STROP_LEAVES

namespace strop {
namespace native {

struct LeafTable {
  decltype(&portable::MacTile) MacTile;
  decltype(&portable::InterleaveRows) InterleaveRows;
  decltype(&portable::TransposeRows) TransposeRows;
  decltype(&portable::GatherFilters) GatherFilters;
  decltype(&portable::CompactRuns) CompactRuns;
  decltype(&portable::SpreadRuns) SpreadRuns;
  decltype(&portable::MaxAbs) MaxAbs;
  decltype(&portable::Requantize) Requantize;
  decltype(&portable::RequantizeDithered) RequantizeDithered;
  decltype(&portable::SumRow) SumRow;
  decltype(&portable::CountAbove) CountAbove;
  decltype(&portable::NormalizeRow) NormalizeRow;
  decltype(&portable::MaskedSums) MaskedSums;
  decltype(&portable::NormGradientRow) NormGradientRow;
  decltype(&portable::MaxPoolRow2) MaxPoolRow2;
  decltype(&portable::MaxPoolBackwardRow2) MaxPoolBackwardRow2;
  decltype(&portable::ConvertPixels) ConvertPixels;
  decltype(&portable::SgdRow) SgdRow;
  decltype(&portable::ViewRow) ViewRow;
};

const LeafTable &PortableLeaves();
#if defined(__x86_64__)
const LeafTable &Avx2Leaves();
const LeafTable &Avx512VnniLeaves();
#endif

}  // namespace native
}  // namespace strop

#endif  // STROP_NATIVE_LEAF_TABLE_HPP
