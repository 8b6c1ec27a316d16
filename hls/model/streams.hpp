// What the streaming operations have in common: passes over the words of a map, one row on chip after another.
#ifndef STROP_MODEL_STREAMS_HPP
#define STROP_MODEL_STREAMS_HPP

#include "../map_words.hpp"
#include "cost.hpp"

namespace strop {
namespace model {

// Call body(words, times) for the spans of all quads (SpanAt of map_words.hpp), spans of a size together.
template <typename Body>
void ForSpans(const MapShape &shape, uint32_t row_words, const Body &body) {
  const uint32_t parts[2] = {shape.words - shape.map, shape.map};  // the last image group may be partly empty
  for (uint32_t part : parts) {
    if (part / row_words > 0) body(row_words, part / row_words * shape.quads);
    if (part % row_words > 0) body(part % row_words, shape.quads);
  }
}

// One process after another.
inline void InTurn(Cost &cost) {
  cost.cycles = cost.load.cycles + cost.compute.cycles + cost.store.cycles + cost.words.cycles;
}

}  // namespace model
}  // namespace strop

#endif  // STROP_MODEL_STREAMS_HPP
