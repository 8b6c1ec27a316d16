// Twins of the leaf loops of depthwise layers against the portable text, for leaf_twins.cpp.
#ifndef STROP_TESTS_HLS_DEPTHWISE_TWINS_HPP
#define STROP_TESTS_HLS_DEPTHWISE_TWINS_HPP

#include <cstdio>
#include <cstring>
#include <random>

#include "native/leaf_table.hpp"

// Filters of any size over windows that mostly follow each other, on random words at any shift.
inline bool CheckDepthwise(std::mt19937 &generator, const strop::native::LeafTable &table, const char *isa) {
  using namespace strop;
  struct Result {
    AccumulatorTile sums;
    int8_t rounded[kTileWords * kWordBytes];
    int8_t dithered[kTileWords * kWordBytes];
    uint32_t counts[4];
  };
  static Tiles tiles;
  static Result expected;
  static Result got;
  const auto below = [&](uint32_t n) { return static_cast<uint32_t>(generator() % n); };
  const auto value = [&] { return static_cast<int8_t>(static_cast<int32_t>(below(255)) - 127); };
  const uint32_t words = 1 + below(kTileWords);
  const uint32_t rows = below(2) ? 3 : 1 + below(7);
  const uint32_t columns = below(2) ? 3 : 1 + below(STROP_MAX_KERNEL / 2);
  const int32_t shift = static_cast<int32_t>(below(25));
  const bool accumulate = below(2) != 0;
  const uint32_t taps = rows * columns < kTileWords ? rows * columns : kTileWords;  // of the weight gradient
  for (auto &b : tiles.operands.planes) b = value();
  for (uint32_t c = 0; c < kQuad; ++c) {
    for (auto &b : tiles.weights[c]) b = value();
  }
  for (uint32_t t = 0; t < rows * columns; ++t) tiles.operands.group_offset[t] = t / columns * 40 + t % columns;
  for (uint32_t w = 0; w < words; ++w) {
    const bool follows = w > 0 && below(4) != 0;
    tiles.operands.word_offset[w] = follows ? tiles.operands.word_offset[w - 1] + 1 : below(kPlaneWords / 2);
  }
  for (auto &row : tiles.accumulator) {
    for (auto &word : row) {
      for (auto &sum : word) sum = static_cast<int32_t>(generator()) / 4;
    }
  }
  for (uint32_t t = 0; t < taps; ++t) {  // as the loop itself leaves them: every row has the same sums
    for (uint32_t c = 1; c < kQuad; ++c) std::memcpy(tiles.accumulator[c][t], tiles.accumulator[0][t], kWordBytes);
  }
  uint32_t places[kTileWords];
  uint32_t positions[kTileWords];
  uint32_t lanes[kWordBytes];
  for (auto &place : places) place = below(64);
  for (auto &position : positions) position = generator();
  for (auto &lane : lanes) lane = generator();
  const auto run = [&](const native::LeafTable &leaves, Result &result) {
    std::memset(&result, 0x5A, sizeof result);
    std::memset(result.counts, 0, sizeof result.counts);
    std::memcpy(result.sums, tiles.accumulator, sizeof result.sums);
    leaves.DepthwiseWords(tiles.weights, tiles.operands, words, rows, columns, shift, result.rounded, result.counts[0],
                          result.counts[1]);
    leaves.DepthwiseDitheredWords(tiles.weights, tiles.operands, words, rows, columns, shift, lanes, positions,
                                  result.dithered, result.counts[2], result.counts[3]);
    leaves.DepthwiseGradient(tiles.operands, tiles.operands.planes + 64, places, words, taps, accumulate, result.sums);
  };
  run(native::PortableLeaves(), expected);
  run(table, got);
  const bool equal = std::memcmp(&expected, &got, sizeof got) == 0;
  if (!equal) std::printf("depthwise, %s: rows %u, columns %u, words %u differ\n", isa, rows, columns, words);
  return equal;
}

#endif  // STROP_TESTS_HLS_DEPTHWISE_TWINS_HPP
