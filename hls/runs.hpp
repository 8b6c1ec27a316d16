// The output positions among a tile's raster cells: runs of neighbours. Outputs of consecutive runs are consecutive in memory.
#ifndef STROP_RUNS_HPP
#define STROP_RUNS_HPP

#include "tiles.hpp"

namespace strop {

struct Runs {
  uint32_t count;
  uint32_t first_output;  // index of the first position in its channel
  uint32_t total;         // positions in the tile
  uint16_t start[kMaxRunsPerTile];
  uint16_t length[kMaxRunsPerTile];
};

}  // namespace strop

#endif  // STROP_RUNS_HPP
