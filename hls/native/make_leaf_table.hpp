// A table of all leaf loops of one namespace.
#ifndef STROP_NATIVE_MAKE_LEAF_TABLE_HPP
#define STROP_NATIVE_MAKE_LEAF_TABLE_HPP

#include "leaf_table.hpp"

#define STROP_LEAF_ENTRY(space, name) space::name,
#define STROP_MAKE_LEAF_TABLE(space) {STROP_EACH_LEAF(STROP_LEAF_ENTRY, space)}

#endif  // STROP_NATIVE_MAKE_LEAF_TABLE_HPP
