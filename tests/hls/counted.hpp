// Put before every source of a test bench that counts (counters.hpp): `g++ -include counted.hpp`. One thread only.
#ifndef STROP_TESTS_COUNTED_HPP
#define STROP_TESTS_COUNTED_HPP

#include <cstdint>

struct Counted {
  uint64_t read;   // bytes
  uint64_t wrote;  // bytes
  uint64_t array;  // turns of the MAC array's loop
};

extern Counted counted;

#define STROP_COUNT_READ(bytes) static_cast<void>(counted.read += (bytes))
#define STROP_COUNT_WRITE(bytes) static_cast<void>(counted.wrote += (bytes))
#define STROP_COUNT_ARRAY(cycles) static_cast<void>(counted.array += (cycles))

#endif  // STROP_TESTS_COUNTED_HPP
