// A table of all leaf loops of one namespace.
#ifndef STROP_NATIVE_MAKE_LEAF_TABLE_HPP
#define STROP_NATIVE_MAKE_LEAF_TABLE_HPP

#define STROP_MAKE_LEAF_TABLE(space) \
  {space::MacTile,                   \
   space::InterleaveRows,            \
   space::TransposeRows,             \
   space::GatherFilters,             \
   space::CompactRuns,               \
   space::SpreadRuns,                \
   space::MaxAbs,                    \
   space::Requantize,                \
   space::RequantizeDithered,        \
   space::SumRow,                    \
   space::CountAbove,                \
   space::NormalizeRow,              \
   space::MaskedSums,                \
   space::NormGradientRow,           \
   space::MaxPoolRow2,               \
   space::MaxPoolBackwardRow2,       \
   space::ConvertPixels,             \
   space::SgdRow,                    \
   space::ViewRow}

#endif  // STROP_NATIVE_MAKE_LEAF_TABLE_HPP
