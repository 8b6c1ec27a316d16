// The leaf loops of one instruction set, by name.
#ifndef STROP_NATIVE_LEAF_TABLE_HPP
#define STROP_NATIVE_LEAF_TABLE_HPP

#include "../tiles.hpp"

#define STROP_LEAVES portable
#include "../leaf_loops.hpp"
#undef STROP_LEAVES

// Every leaf loop that an operation calls: use(space, name) for each.
// clang-format off
#define STROP_EACH_LEAF(use, space)                                                                \
  use(space, MacTile) use(space, TurnFilters) use(space, TransposeErrors) use(space, FoldColumns)  \
  use(space, FoldPixels)                                                                           \
  use(space, DepthwiseWords) use(space, DepthwiseDitheredWords) use(space, DepthwiseGradient)      \
  use(space, MaxAbsWords) use(space, RequantizeWords) use(space, RequantizeDitheredWords)          \
  use(space, SumWords) use(space, CountAbove) use(space, NormalizeWords) use(space, MaskedSums)    \
  use(space, NormGradientMaxAbs) use(space, NormGradientWords)                                     \
  use(space, FillWords) use(space, MaxWords) use(space, MaxPool2x2) use(space, MaxPoolBackward2x2) \
  use(space, AddIfFirst)                                                                           \
  use(space, SumPositions) use(space, MeansOfWord) use(space, SpreadDithered)                      \
  use(space, AddWords) use(space, MaskWords) use(space, AddDithered)                               \
  use(space, ActivateWords) use(space, ActivationGradientWords)                                    \
  use(space, QuarterSums) use(space, RepeatWords)                                                  \
  use(space, ConvertPixels) use(space, InterleavePixels) use(space, InterleaveChannels)            \
  use(space, SoftmaxLargest) use(space, SoftmaxSum) use(space, SoftmaxDifference)                  \
  use(space, SoftmaxDifferenceSoft) use(space, AddLossProducts) use(space, LogitErrors)                \
  use(space, SigmoidTerms) use(space, SquaredTerms) use(space, AddLosses)                          \
  use(space, SgdRow) use(space, PullRow) use(space, MaxAbs) use(space, PackQuads) use(space, PackPixelRows)
// clang-format on

namespace strop {
namespace native {

struct LeafTable {
#define STROP_LEAF_MEMBER(space, name) decltype(&space::name) name;
  STROP_EACH_LEAF(STROP_LEAF_MEMBER, portable)
#undef STROP_LEAF_MEMBER
};

const LeafTable &PortableLeaves();
#if defined(__x86_64__)
const LeafTable &Avx2Leaves();
const LeafTable &Avx512VnniLeaves();
#elif defined(__aarch64__) || defined(__arm__)
const LeafTable &NeonLeaves();
#if defined(__aarch64__)
const LeafTable &NeonDotLeaves();
#endif
#endif

}  // namespace native
}  // namespace strop

#endif  // STROP_NATIVE_LEAF_TABLE_HPP
