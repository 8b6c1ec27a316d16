// For leaf_twins.cpp: the loops around the MAC array against the portable text.
#ifndef STROP_TESTS_HLS_MAC_TWINS_HPP
#define STROP_TESTS_HLS_MAC_TWINS_HPP

#include <cstdio>
#include <cstring>

#include "leaf_arena.hpp"

namespace {

using namespace leaf;
using native::LeafTable;

// The loops around the MAC array: what they leave in the rows that a pass reads, of random sizes and offsets.
bool CheckMac(const LeafTable &table, const char *isa) {
  struct Result {
    AccumulatorTile sums;
    WeightTile weights;
    ErrorTile errors;
    int32_t filters[kTileWords * kQuad + 4];
  };
  static Tiles tiles;
  static Result expected;
  static Result got;
  const uint32_t rows = kQuad * (1 + Below(kTileRows / kQuad));
  const uint32_t words = 1 + Below(kTileWords);
  const bool forward = Below(2) != 0;
  const uint32_t groups = 1 + Below(forward ? 150 : kTileWords);
  const uint32_t first_group = Below(kTileGroups - groups + 1);
  const bool accumulate = Below(2) != 0;
  for (auto &b : tiles.operands.planes) b = RandomValue(0);
  for (auto &row : tiles.operands.errors) {
    for (auto &b : row) b = RandomValue(2);
  }
  for (auto &row : tiles.weights) {
    for (auto &b : row) b = RandomValue(2);
  }
  for (auto &strip : tiles.strip) {
    for (auto &b : strip) b = RandomValue(0);
  }
  for (auto &offset : tiles.operands.word_offset) offset = Below(kPlaneWords / 2);
  for (auto &offset : tiles.operands.group_offset) offset = Below(kPlaneWords / 2);
  for (auto &row : tiles.accumulator) {
    for (auto &word : row) {
      for (auto &sum : word) sum = static_cast<int32_t>(generator()) / 4;
    }
  }
  uint8_t taps[STROP_MAX_KERNEL * STROP_MAX_KERNEL];
  const uint32_t tap_count = 1 + Below(25);
  for (auto &tap : taps) tap = static_cast<uint8_t>(Below(60));
  uint32_t places[kTileWords];
  for (auto &place : places) place = Below(64);
  const uint32_t quads = 1 + Below(3);
  const uint32_t quad_taps = 1 + Below(kTileWords / 3);
  const int8_t *strips[kQuad] = {tiles.strip[0], tiles.strip[1], tiles.strip[2], tiles.strip[3]};
  const auto run = [&](const LeafTable &leaves, Result &result) {
    std::memset(&result, 0x5A, sizeof result);
    std::memcpy(result.sums, tiles.accumulator, sizeof result.sums);
    const MacMode mode = forward ? MacMode::kForward : MacMode::kWeightGradient;
    leaves.MacTile(mode, tiles.weights, first_group, tiles.operands, rows, words, groups, accumulate, true, result.sums,
                   result.sums);
    // rows of a block beyond the last may hold anything
    for (uint32_t row = rows; row < kTileRows; ++row) std::memset(result.sums[row], 0, sizeof result.sums[row]);
    leaves.TurnFilters(strips, 3 * kQuad, taps, tap_count, result.weights, rows - kQuad, first_group % 200);
    leaves.TransposeErrors(tiles.operands.planes, 128 * kWordBytes, rows / kQuad, places, words, result.errors);
    leaves.FoldColumns(tiles.accumulator[0], quads, quad_taps, result.filters);
  };
  run(native::PortableLeaves(), expected);
  run(table, got);
  const bool equal = std::memcmp(&expected, &got, sizeof got) == 0;
  if (!equal) std::printf("around the MAC array, %s: rows %u, words %u, groups %u differ\n", isa, rows, words, groups);
  return equal;
}

// Filters of any size over windows that mostly follow each other, on random words at any shift.
bool CheckDepthwise(const LeafTable &table, const char *isa) {
  struct Result {
    AccumulatorTile sums;
    int8_t rounded[kTileWords * kWordBytes];
    int8_t dithered[kTileWords * kWordBytes];
    uint32_t counts[4];
  };
  static Tiles tiles;
  static Result expected;
  static Result got;
  const uint32_t words = 1 + Below(kTileWords);
  const uint32_t rows = Below(2) ? 3 : 1 + Below(7);
  const uint32_t columns = Below(2) ? 3 : 1 + Below(STROP_MAX_KERNEL / 2);
  const int32_t shift = static_cast<int32_t>(Below(25));
  const bool accumulate = Below(2) != 0;
  const uint32_t taps = rows * columns < kTileWords ? rows * columns : kTileWords;  // of the weight gradient
  for (auto &b : tiles.operands.planes) b = RandomValue(0);
  for (uint32_t c = 0; c < kQuad; ++c) {
    for (auto &b : tiles.weights[c]) b = RandomValue(0);
  }
  for (uint32_t t = 0; t < rows * columns; ++t) tiles.operands.group_offset[t] = t / columns * 40 + t % columns;
  for (uint32_t w = 0; w < words; ++w) {
    const bool follows = w > 0 && Below(4) != 0;
    tiles.operands.word_offset[w] = follows ? tiles.operands.word_offset[w - 1] + 1 : Below(kPlaneWords / 2);
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
  for (auto &place : places) place = Below(64);
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

}  // namespace

#endif  // STROP_TESTS_HLS_MAC_TWINS_HPP
