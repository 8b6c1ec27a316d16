// The leaf loops as the compiler's baseline makes them: exactly the text that is synthesized.
#include "leaf_table.hpp"
#include "make_leaf_table.hpp"

namespace strop {
namespace native {
const LeafTable &PortableLeaves() {
  static const LeafTable table = STROP_MAKE_LEAF_TABLE(portable);
  return table;
}
}  // namespace native
}  // namespace strop
